//! Plugins that are called from time to time, outside of exchanges.

use crate::harness::{Proxy, get, until};

use super::support::{echoed, start, uncached};

/// Two configurations of one plugin that has a store.
fn two(more: &str) -> String {
    format!(
        "
[kv.ticks]

[plugin.ticker]
allow = {{ kv = [\"ticks\"] }}
{more}

[[route]]
match = {{ path = \"/a\" }}
plugins = [{{ use = \"ticker\", config = {{ name = \"a\", period_ms = 1000 }} }}]
respond = {{ echo = true }}

[[route]]
match = {{ path = \"/b\" }}
plugins = [{{ use = \"ticker\", config = {{ name = \"b\", period_ms = 3600000 }} }}]
respond = {{ echo = true }}
"
    )
}

/// Waits until it was called so often.
async fn has_ticked(proxy: &Proxy, name: &str, count: f64) {
    let series = format!("tidegate_plugin_ticker_ticks_total{{name=\"{name}\"}}");
    until(&format!("{count} ticks of {name}"), async || {
        (proxy.metric(&series).await >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_configuration_is_called_at_once_and_again_in_its_period() {
    let proxy = start(&["ticker"], &two("")).await;
    // Requests in between have instances of their own.
    for _ in 0..20 {
        assert_eq!(proxy.get("/a").await.status, 200);
    }
    has_ticked(&proxy, "b", 1.0).await;
    has_ticked(&proxy, "a", 3.0).await;
    // One instance had all of its configuration's.
    for name in ["a", "b"] {
        until("the count of one instance to be that of all", async || {
            let all = format!("tidegate_plugin_ticker_ticks_total{{name=\"{name}\"}}");
            let own = format!("tidegate_plugin_ticker_own_ticks{{name=\"{name}\"}}");
            (proxy.metric(&all).await == proxy.metric(&own).await).then_some(())
        })
        .await;
    }
    assert_eq!(
        proxy
            .metric("tidegate_plugin_ticker_ticks_total{name=\"b\"}")
            .await,
        1.0
    );
}

#[tokio::test]
async fn what_a_tick_keeps_is_there_for_requests() {
    let proxy = start(&["ticker"], &two("")).await;
    has_ticked(&proxy, "a", 2.0).await;
    let answer = proxy.send(get("/a")).await.json();
    let ticks: f64 = echoed(&answer, "x-ticks").unwrap().parse().unwrap();
    assert!(ticks >= 1.0, "{ticks}");
}

#[tokio::test]
async fn a_tick_that_fails_is_counted_and_does_not_end_the_ticking() {
    let config = two("").replace("period_ms = 1000", "period_ms = 1000, trap_at = 1");
    let proxy = start(&["ticker"], &config).await;
    has_ticked(&proxy, "a", 2.0).await;
    let failures = "tidegate_plugin_failures_total{plugin=\"ticker\"}";
    assert!(proxy.metric(failures).await >= 1.0);
    assert_eq!(proxy.get("/a").await.status, 200);
}

#[tokio::test]
async fn a_configuration_that_is_gone_is_not_called_any_more() {
    let proxy = start(&["ticker"], &two("")).await;
    has_ticked(&proxy, "a", 1.0).await;
    let renamed = two("").replace("name = \"a\"", "name = \"c\"");
    proxy.reload(&uncached(&renamed)).await;
    has_ticked(&proxy, "c", 1.0).await;
    let old = "tidegate_plugin_ticker_ticks_total{name=\"a\"}";
    let then = proxy.metric(old).await;
    has_ticked(&proxy, "c", 3.0).await;
    assert!(
        proxy.metric(old).await <= then + 1.0,
        "one may have been on its way"
    );
}

#[tokio::test]
async fn a_period_below_a_second_is_refused() {
    let proxy = start(&["ticker"], &two("")).await;
    let fast = two("").replace("period_ms = 1000", "period_ms = 999");
    let error = proxy.reload_refused(&uncached(&fast)).await;
    assert!(error.contains("999"), "{error}");
}
