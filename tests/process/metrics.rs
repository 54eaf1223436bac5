//! What is counted, in the text format of Prometheus.

use crate::harness::{Origin, Proxy, get, refusing_address, with_header};

#[tokio::test]
async fn requests_are_counted_by_route_and_class() {
    let origin = Origin::answering(|seen| {
        let status = if seen.target == "/missing" { 404 } else { 200 };
        let answer = http::Response::builder().status(status);
        answer.body(http_body_util::Full::default()).unwrap()
    })
    .await;
    let config = format!(
        "
[[route]]
name = \"app\"
match = {{ host = \"app\" }}
upstream = \"app\"

[[route]]
name = \"down\"
match = {{ host = \"down\" }}
upstream = \"down\"

[[route]]
name = \"moved\"
match = {{ host = \"moved\" }}
redirect = {{ to = \"/\" }}

[upstream.app]
peers = [{:?}]

[upstream.down]
peers = [{:?}]
attempts = 1
",
        origin.address(),
        refusing_address()
    );
    let proxy = Proxy::start(&config).await;
    for (host, path, times) in [
        ("app", "/", 3),
        ("app", "/missing", 2),
        ("down", "/", 2),
        ("moved", "/", 1),
        ("nobody", "/", 1),
    ] {
        for _ in 0..times {
            proxy.send(with_header(get(path), "host", host)).await;
        }
    }
    for (series, value) in [
        (r#"tidegate_requests_total{route="app",status="2xx"}"#, 3.0),
        (r#"tidegate_requests_total{route="app",status="4xx"}"#, 2.0),
        (r#"tidegate_requests_total{route="down",status="5xx"}"#, 2.0),
        (
            r#"tidegate_requests_total{route="moved",status="3xx"}"#,
            1.0,
        ),
        (r#"tidegate_requests_total{status="4xx"}"#, 3.0),
        ("tidegate_requests_total", 9.0),
        (r#"tidegate_request_seconds_count{route="app"}"#, 5.0),
        (
            r#"tidegate_upstream_attempts_total{upstream="app",result="ok"}"#,
            5.0,
        ),
        (
            r#"tidegate_upstream_attempts_total{upstream="down",result="error"}"#,
            2.0,
        ),
        (r#"tidegate_connections_total{listener="web"}"#, 9.0),
        (r#"tidegate_connections{listener="web"}"#, 0.0),
    ] {
        proxy.metric_becomes(series, value).await;
    }
}

#[tokio::test]
async fn the_format_is_that_of_prometheus() {
    let proxy = Proxy::start("[[route]]\nname = \"all\"\nrespond = {}").await;
    proxy.get("/").await;
    let response = proxy.admin("/metrics").await;
    assert!(
        response
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = response.text();
    for line in text.lines() {
        let comment = line.starts_with("# HELP ") || line.starts_with("# TYPE ");
        let value = line
            .rsplit_once(' ')
            .map(|(_, value)| value.parse::<f64>().is_ok());
        assert!(comment || value == Some(true), "{line}");
    }
    assert!(
        text.contains("# TYPE tidegate_requests_total counter"),
        "{text}"
    );
    assert!(
        text.contains("# TYPE tidegate_request_seconds histogram"),
        "{text}"
    );
    assert!(text.contains("# TYPE tidegate_connections gauge"), "{text}");
}
