//! What must not be written anywhere: credentials in header fields, and keys in queries.

use crate::harness::{
    Origin, Proxy, refusing_address, request, route_to, route_to_peers, with_header,
};

const SECRET: &str = "hunter2-e3b0c442";

/// Every place of a request where credentials are put.
fn request_with_secrets(path: &str) -> crate::harness::Request {
    let path = format!("{path}?api_key={SECRET}&sig={SECRET}");
    [
        ("authorization", format!("Bearer {SECRET}")),
        ("proxy-authorization", format!("Basic {SECRET}")),
        ("cookie", format!("session={SECRET}")),
        ("x-api-key", SECRET.to_owned()),
    ]
    .into_iter()
    .fold(request("POST", &path, SECRET), |request, (name, value)| {
        with_header(request, name, &value)
    })
}

async fn keeps_secrets(config: &str) {
    let config = format!("[log]\nlevel = \"trace\"\nformat = \"json\"\n{config}");
    let proxy = Proxy::start(&config).await;
    proxy.send(request_with_secrets("/h1")).await;
    proxy
        .h2_client()
        .await
        .send(request_with_secrets("/h2"))
        .await;
    for bytes in [
        // Refused by the parser, by the checks, by a limit, and cut off.
        format!("POST /1?{SECRET} HTTP/1.1\r\nhost: a\r\nauthorization : {SECRET}\r\n\r\n"),
        format!("POST /2?{SECRET} HTTP/1.1\r\ncookie: {SECRET}\r\nconnection: close\r\n\r\n"),
        format!("POST /../3?{SECRET} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        format!("POST http://user:{SECRET}@a/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        format!("POST /4?{SECRET} HTTP/1.1\r\nhost: {SECRET}@a\r\nconnection: close\r\n\r\n"),
        format!("{SECRET} \0 HTTP/1.1\r\n\r\n"),
        format!(
            "POST /5 HTTP/1.1\r\nhost: a\r\nx: {}{SECRET}\r\nconnection: close\r\n\r\n",
            "y".repeat(40_000)
        ),
    ] {
        proxy.raw(bytes).await;
    }
    let mut wire = proxy.wire().await;
    wire.send(format!(
        "POST /6?{SECRET} HTTP/1.1\r\nauthorization: {SECRET}"
    ))
    .await;
    drop(wire);
    proxy.access_line("/h1").await;
    proxy.access_line("/h2").await;
    proxy
        .metric_becomes(r#"tidegate_connections{listener="web"}"#, 0.0)
        .await;
    let written = proxy.written();
    for line in written.lines() {
        assert!(!line.contains(SECRET), "{line}");
    }
    assert!(!proxy.admin("/metrics").await.text().contains(SECRET));
}

#[tokio::test]
async fn of_requests_that_succeed() {
    let origin = Origin::answering(|_| {
        let answer = http::Response::builder().header("set-cookie", SECRET);
        answer.body(http_body_util::Full::from(SECRET)).unwrap()
    })
    .await;
    keeps_secrets(&route_to(&origin)).await;
}

#[tokio::test]
async fn of_requests_whose_upstream_is_down() {
    keeps_secrets(&route_to_peers(&format!("{:?}", refusing_address()))).await;
}

#[tokio::test]
async fn of_requests_whose_upstream_talks_nonsense() {
    let origin = Origin::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 4096]).await;
        let nonsense = format!("HTTP/1.1 {SECRET}\r\n{SECRET} {SECRET}\r\n\r\n");
        let _ = stream.write_all(nonsense.as_bytes()).await;
    })
    .await;
    keeps_secrets(&route_to(&origin)).await;
}
