//! A plugin that fails costs the one request what the operator said, and nothing else.

use std::time::Duration;

use crate::harness::{Proxy, Request, get, until, with_header};

use super::load::{Load, ok};
use super::support::{echo_route, echoed, start};

/// A guest, the field that makes it fail, the value of the field, the kind of failure.
const FAILURES: [(&str, &str, &str, &str); 7] = [
    ("trap", "x-trap", "request", "trap"),
    ("trap", "x-trap", "response", "trap"),
    ("spin", "x-spin", "request", "deadline"),
    ("spin", "x-spin", "response", "deadline"),
    ("bomb", "x-bomb", "1", "memory"),
    ("deep", "x-deep", "memory", "trap"),
    ("deep", "x-deep", "engine", "trap"),
];

const GUESTS: [&str; 5] = ["trap", "spin", "bomb", "deep", "liar"];

/// A route for each guest, and one without plugins. A debug build needs longer than 10 ms to fill 32 MiB.
fn config(on_failure: &str) -> String {
    let mut config = format!(
        "[server]\nthreads = 2\n[plugins]\nallow = [\"log\", \"metrics\", \"clock\", \"random\", \"attributes\", \"limiter\", \"crypto\"]\ncache = \"off\"\ndeadline = \"100ms\"\non_failure = {on_failure}\n"
    );
    for guest in GUESTS {
        config += &echo_route(guest, &format!("/{guest}"), &format!("[{guest:?}]"));
    }
    config + &echo_route("good", "/good", "[]")
}

fn failing(guest: &str, field: &'static str, value: &str) -> Request {
    let request = with_header(get(&format!("/{guest}")), field, value);
    with_header(request, "x-keep", "kept")
}

async fn failures(proxy: &Proxy, guest: &str, kind: &str) -> f64 {
    let series = format!("tidegate_plugin_failures_total{{plugin={guest:?},kind={kind:?}}}");
    proxy.metric(&series).await
}

#[tokio::test]
async fn closed_answers_503_and_the_next_request_works() {
    let proxy = start(&GUESTS, &config("\"closed\"")).await;
    for (guest, field, value, kind) in FAILURES {
        let before = failures(&proxy, guest, kind).await;
        let response = proxy.send(failing(guest, field, value)).await;
        assert_eq!(response.status, 503, "{guest} {value}");
        // What failed, and how, is not for the client.
        assert_eq!(response.text(), "503 service unavailable\n");
        assert_eq!(proxy.get(&format!("/{guest}")).await.status, 200);
        let after = failures(&proxy, guest, kind).await;
        assert_eq!(after - before, 1.0, "{guest} {value}");
    }
}

#[tokio::test]
async fn the_log_names_plugin_kind_and_route_once() {
    let proxy = start(&GUESTS, &config("\"closed\"")).await;
    for (guest, field, value, kind) in FAILURES {
        proxy.send(failing(guest, field, value)).await;
        let line = proxy
            .log_line(&format!("a failure of {guest}"), |line| {
                line.text.contains("plugin failed") && line.field("route").as_deref() == Some(guest)
            })
            .await;
        assert_eq!(line.field("plugin").as_deref(), Some(guest));
        assert_eq!(line.field("kind").as_deref(), Some(kind), "{guest} {value}");
        assert!(line.field("request").is_some());
        let access = proxy.access_line(&format!("/{guest}")).await;
        let plugins = access.field("plugins").unwrap();
        assert!(plugins.contains(&format!("{guest}:{kind}")), "{plugins}");
    }
    let lines = || proxy.written().matches("plugin failed").count();
    until("a line for each", async || {
        (lines() >= FAILURES.len()).then_some(())
    })
    .await;
    assert_eq!(lines(), FAILURES.len());
}

#[tokio::test]
async fn open_goes_on_as_if_the_plugin_were_not_there() {
    let proxy = start(&GUESTS, &config("\"open\"")).await;
    for (guest, field, value, kind) in FAILURES {
        let before = failures(&proxy, guest, kind).await;
        let response = proxy.send(failing(guest, field, value)).await;
        assert_eq!(response.status, 200, "{guest} {value}");
        assert_eq!(response.header("x-touched"), "", "{guest} {value}");
        let seen = response.json();
        if value == "response" {
            // Its request phase went well, and that stays.
            assert_eq!(echoed(&seen, "x-touched").as_deref(), Some(guest));
        } else {
            assert_eq!(echoed(&seen, "x-touched"), None, "{guest} {value}");
            assert_eq!(echoed(&seen, "x-keep").as_deref(), Some("kept"));
        }
        let again = proxy.get(&format!("/{guest}")).await;
        assert_eq!(again.status, 200, "{guest} {value}");
        let after = failures(&proxy, guest, kind).await;
        assert_eq!(after - before, 1.0, "{guest} {value}");
    }
}

#[tokio::test]
async fn what_an_open_failure_hides_is_in_the_log() {
    let proxy = start(&GUESTS, &config("\"open\"")).await;
    proxy.send(failing("trap", "x-trap", "request")).await;
    let line = proxy
        .log_line("the failure", |line| line.text.contains("plugin failed"))
        .await;
    assert_eq!(line.field("plugin").as_deref(), Some("trap"));
    assert_eq!(line.field("kind").as_deref(), Some("trap"));
}

#[tokio::test]
async fn each_kind_has_its_own_policy() {
    let kinds = [
        ("trap", "trap", "x-trap", "request"),
        ("deadline", "spin", "x-spin", "request"),
        ("memory", "bomb", "x-bomb", "1"),
        ("error", "liar", "x-lie", "respond"),
        ("error", "liar", "x-lie", "fail"),
        ("error", "liar", "x-lie", "respond-late"),
    ];
    for open in ["trap", "deadline", "memory", "error"] {
        let proxy = start(&GUESTS, &config(&format!("{{ {open} = \"open\" }}"))).await;
        for (kind, guest, field, value) in kinds {
            let response = proxy.send(failing(guest, field, value)).await;
            let expected = if kind == open { 200 } else { 503 };
            assert_eq!(response.status, expected, "{open} is open, {guest} {value}");
        }
    }
}

#[tokio::test]
async fn one_plugin_can_have_another_policy_than_the_rest() {
    let config = config("\"closed\"") + "\n[plugin.trap]\non_failure = { trap = \"open\" }\n";
    let proxy = start(&GUESTS, &config).await;
    let open = proxy.send(failing("trap", "x-trap", "request")).await;
    assert_eq!(open.status, 200);
    let closed = proxy.send(failing("deep", "x-deep", "memory")).await;
    assert_eq!(closed.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_requests_do_not_notice() {
    let proxy = start(&GUESTS, &config("\"closed\"")).await;
    let elsewhere = Load::start(&proxy, 2, || get("/good"), ok);
    let same = ["trap", "bomb", "deep"].map(|guest| {
        let request = move || get(&format!("/{guest}"));
        (guest, Load::start(&proxy, 1, request, ok))
    });
    for round in 0..5 {
        for (guest, field, value, _) in FAILURES {
            let response = proxy.send(failing(guest, field, value)).await;
            assert_eq!(response.status, 503, "{round} {guest} {value}");
        }
        elsewhere.goes_on(10).await;
    }
    for (which, load) in std::iter::once(("elsewhere", elsewhere)).chain(same) {
        let report = load.end().await;
        report.assert_whole();
        let (most, worst) = (report.quantile(0.99), report.quantile(1.0));
        println!("{which}: p99 {most:?}, worst {worst:?}");
        // A call that spins holds one of the two workers for its deadline of 100 ms.
        assert!(most < Duration::from_millis(150), "{which}: {most:?}");
    }
}

#[tokio::test]
async fn a_thousand_traps_leave_a_proxy_that_serves() {
    let proxy = start(&GUESTS, &config("\"closed\"")).await;
    let mut client = proxy.client().await;
    for _ in 0..1000 {
        let response = client.send(failing("trap", "x-trap", "request")).await;
        assert_eq!(response.status, 503);
    }
    assert_eq!(client.get("/trap").await.status, 200);
    assert_eq!(failures(&proxy, "trap", "trap").await, 1000.0);
}
