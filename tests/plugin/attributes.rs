//! Attributes that plugins set, where operators see them: the access log, the metrics, the balancer.

use crate::harness::{Origin, get, with_header};

use super::support::{bundled, echo_route, peer, route_through, start, start_with};

const KEYS: &str = r#"[{ use = "api-key", config = { keys = [
    { id = "alice", hash = "sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90", attributes = { plan = "gold" } },
] } }]"#;

#[tokio::test]
async fn they_are_in_the_access_log_and_in_metrics() {
    let config = format!(
        "
[log]
format = \"json\"
access_attributes = [\"api-key.plan\", \"route\", \"never.set\"]

[admin]
address = \"127.0.0.1:0\"
metrics_attributes = [\"api-key.plan\"]
{}",
        echo_route("keyed", "/*", KEYS)
    );
    let proxy = start_with(&[("api-key.wasm", bundled("api-key"))], &config).await;
    for path in ["/a", "/b"] {
        let request = with_header(get(path), "x-api-key", "alice");
        assert_eq!(proxy.send(request).await.status, 200);
    }
    assert_eq!(proxy.get("/c").await.status, 401);
    let line = proxy.access_line("/b").await;
    let expected = serde_json::json!({ "api-key.plan": "gold", "route": "keyed" });
    assert_eq!(line.json()["attributes"], expected);
    let line = proxy.access_line("/c").await;
    assert_eq!(
        line.json()["attributes"],
        serde_json::json!({ "route": "keyed" })
    );
    let series = r#"tidegate_attribute_requests_total{attribute="api-key.plan",value="gold"}"#;
    proxy.metric_becomes(series, 2.0).await;
}

#[tokio::test]
async fn those_of_the_proxy_are_there_whether_a_plugin_is_interested_or_not() {
    let origin = Origin::echo().await;
    let plugins = r#"[{ use = "interest", config = { paths = ["/in/*"] } }]"#;
    let config = format!(
        "
[log]
format = \"json\"
access_attributes = [\"route\", \"upstream\"]

[admin]
address = \"127.0.0.1:0\"
metrics_attributes = [\"route\", \"upstream\"]
{}",
        route_through(plugins, &peer(&origin))
    );
    let proxy = start(&["interest"], &config).await;
    for path in ["/in/side", "/out"] {
        assert_eq!(proxy.get(path).await.status, 200);
        let line = proxy.access_line(path).await;
        let expected = serde_json::json!({ "route": "all", "upstream": "app" });
        assert_eq!(line.json()["attributes"], expected, "{path}");
    }
    for (name, value) in [("route", "all"), ("upstream", "app")] {
        let series =
            format!("tidegate_attribute_requests_total{{attribute=\"{name}\",value=\"{value}\"}}");
        proxy.metric_becomes(&series, 2.0).await;
    }
}
