//! The bundled plugin `request-limits`, as its README says.

use bytes::Bytes;

use crate::harness::{Origin, Proxy, Request, get, post, request, streamed, with_header};

use super::support::{bundled, start_with};

/// A route to an origin with this configuration of the plugin.
async fn proxy(origin: &Origin, config: &str) -> Proxy {
    let config = format!(
        "
[plugin.request-limits]
allow = [\"metrics\"]

[[route]]
name = \"all\"
plugins = [{{ use = \"request-limits\", config = {{ {config} }} }}]
upstream = \"app\"

[upstream.app]
peers = [{:?}]
",
        origin.address()
    );
    let files = [("request-limits.wasm", bundled("request-limits"))];
    start_with(&files, &config).await
}

fn json(request: Request) -> Request {
    with_header(request, "content-type", "application/json")
}

/// A body of unknown length.
fn chunks(size: usize, count: usize) -> Vec<Bytes> {
    vec![Bytes::from(vec![b'x'; size]); count]
}

async fn refused(proxy: &Proxy, limit: &str) -> f64 {
    let name = "tidegate_plugin_request_limits_refused_total";
    proxy.metric(&format!("{name}{{limit=\"{limit}\"}}")).await
}

#[tokio::test]
async fn an_announced_body_is_refused_before_it_is_sent() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin, "max_body = \"1KiB\"").await;
    let fits = proxy.send(post("/", vec![b'x'; 1024])).await;
    assert_eq!((fits.status, fits.body.len()), (200, 1024));

    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1025\r\n\r\n")
        .await;
    assert_eq!(wire.response().await.status, 413);
    assert_eq!(origin.seen().len(), 1);
    assert_eq!(refused(&proxy, "body").await, 1.0);
}

#[tokio::test]
async fn a_streamed_body_is_counted() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin, "max_body = \"64KiB\"").await;
    let fits = proxy.send(streamed("/", chunks(1024, 64))).await;
    assert_eq!((fits.status, fits.body.len()), (200, 65_536));
    let large = proxy.send(streamed("/", chunks(1024, 65))).await;
    assert_eq!(large.status, 413);
    let mut client = proxy.h2_client().await;
    assert_eq!(
        client.send(streamed("/", chunks(1000, 100))).await.status,
        413
    );
    assert_eq!(
        client.send(streamed("/", chunks(1000, 10))).await.status,
        200
    );
    // No body that was refused has arrived as a whole.
    let lengths: Vec<_> = origin.seen().iter().map(|seen| seen.body.len()).collect();
    assert_eq!(lengths, [65_536, 10_000]);
}

#[tokio::test]
async fn json_is_not_too_deep() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin, "max_json_depth = 3").await;
    let send = async |body: &'static str| proxy.send(json(post("/", body))).await.status;
    assert_eq!(send(r#"{"a": [{"b": "[[["}]}"#).await, 200);
    assert_eq!(send(r#"{"a": [{"b": []}]}"#).await, 400);
    assert_eq!(proxy.send(post("/", "[[[[[[")).await.status, 200);
    let pieces = ["[[", "\"]\\\"", "]\",", "[["].map(Bytes::from);
    assert_eq!(
        proxy.send(json(streamed("/", pieces.into()))).await.status,
        400
    );
    assert_eq!(refused(&proxy, "json").await, 2.0);
}

#[tokio::test]
async fn the_head_has_limits() {
    let origin = Origin::echo().await;
    let config =
        "max_uri = 20, max_query_parameters = 2, max_headers = 10, methods = [\"GET\", \"POST\"]";
    let proxy = proxy(&origin, config).await;
    let many = (0..10).fold(get("/"), |request, _| with_header(request, "x-a", "1"));
    for (request, status) in [
        (get("/"), 200),
        (get("/long-long-long-long-path"), 414),
        (get("/?a&b&c"), 400),
        (many, 431),
        (request("DELETE", "/", ""), 405),
    ] {
        let response = proxy.send(request).await;
        assert_eq!(response.status, status);
        if status == 405 {
            assert_eq!(response.header("allow"), "GET, POST");
        }
    }
    assert_eq!(origin.seen().len(), 1);
    for limit in ["uri", "query", "headers", "method"] {
        assert_eq!(refused(&proxy, limit).await, 1.0, "{limit}");
    }
}

#[tokio::test]
async fn a_body_has_a_type_that_is_served() {
    let origin = Origin::echo().await;
    let proxy = proxy(
        &origin,
        "content_types = [\"application/json\"], status = { content_type = 400 }",
    )
    .await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(proxy.send(json(post("/", "{}"))).await.status, 200);
    assert_eq!(proxy.send(post("/", "{}")).await.status, 400);
    assert_eq!(proxy.send(streamed("/", chunks(1, 1))).await.status, 400);
    let text = with_header(post("/", "{}"), "content-type", "text/plain");
    assert_eq!(proxy.send(text).await.status, 400);
}

#[tokio::test]
async fn a_mistake_has_its_place() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin, "max_body = \"1MiB\"").await;
    let file = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
    let error = proxy.reload_refused(&file.replace("1MiB", "1MB")).await;
    assert!(error.contains("`1MB` is not a size"), "{error}");
}
