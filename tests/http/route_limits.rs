//! `limits` of a route: what its requests may have, where that differs from `[limits]`. `limits.rs` has
//! those of all routes.

use bytes::Bytes;

use crate::harness::{Origin, Proxy, Request, get, post, route_to, streamed, with_header};

/// A route `/small/*` with these limits, beside one that has those of all.
async fn limited(limits: &str) -> (Origin, Proxy) {
    let origin = Origin::echo().await;
    let small = format!(
        "[[route]]\nname = \"small\"\nmatch = {{ path = \"/small/*\" }}\nlimits = {{ {limits} }}\nupstream = \"app\"\n"
    );
    let all = "[limits]\nbody_bytes = \"1KiB\"\n";
    let proxy = Proxy::start(&format!("{all}{small}{}", route_to(&origin))).await;
    (origin, proxy)
}

/// The status in both versions of HTTP; each on a connection of its own.
async fn status(proxy: &Proxy, request: impl Fn() -> Request) -> u16 {
    let one = proxy.send(request()).await.status;
    let two = proxy.h2_client().await.send(request()).await.status;
    assert_eq!(one, two, "HTTP/1.1 and HTTP/2");
    one
}

#[tokio::test]
async fn header_bytes() {
    let (origin, proxy) = limited("header_bytes = \"2KiB\"").await;
    let of_size = |path, bytes| with_header(get(path), "x-large", &"x".repeat(bytes));
    assert_eq!(status(&proxy, || of_size("/small/", 1500)).await, 200);
    assert_eq!(status(&proxy, || of_size("/small/", 2100)).await, 431);
    assert_eq!(status(&proxy, || of_size("/", 2100)).await, 200);
    assert_eq!(origin.seen().len(), 4);
}

#[tokio::test]
async fn header_count() {
    let (_origin, proxy) = limited("header_count = 10").await;
    let with = |path, fields: usize| {
        let fields = 0..fields;
        fields.fold(get(path), |request, _| with_header(request, "x-many", "1"))
    };
    assert_eq!(status(&proxy, || with("/small/", 9)).await, 200);
    assert_eq!(status(&proxy, || with("/small/", 11)).await, 431);
    assert_eq!(status(&proxy, || with("/", 11)).await, 200);
}

#[tokio::test]
async fn uri_bytes() {
    let (_origin, proxy) = limited("uri_bytes = 100").await;
    let of_length = |length| format!("/small/{}", "p".repeat(length - "/small/".len()));
    assert_eq!(status(&proxy, || get(&of_length(100))).await, 200);
    assert_eq!(status(&proxy, || get(&of_length(101))).await, 414);
    let elsewhere = format!("/{}", "p".repeat(200));
    assert_eq!(status(&proxy, || get(&elsewhere)).await, 200);
}

#[tokio::test]
async fn a_smaller_body() {
    let (origin, proxy) = limited("body_bytes = 100").await;
    let of_size = |path, bytes| post(path, vec![b'x'; bytes]);
    assert_eq!(status(&proxy, || of_size("/small/", 100)).await, 200);
    assert_eq!(status(&proxy, || of_size("/small/", 101)).await, 413);
    assert_eq!(status(&proxy, || of_size("/", 101)).await, 200);
    assert_eq!(origin.seen().len(), 4);
    let chunks = || streamed("/small/", vec![Bytes::from_static(&[b'x'; 60]); 2]);
    assert_eq!(status(&proxy, chunks).await, 413);
}

#[tokio::test]
async fn a_larger_body() {
    let (_origin, proxy) = limited("body_bytes = \"1MiB\"").await;
    let of_size = |path, bytes| post(path, vec![b'x'; bytes]);
    assert_eq!(status(&proxy, || of_size("/small/", 1 << 20)).await, 200);
    assert_eq!(
        status(&proxy, || of_size("/small/", (1 << 20) + 1)).await,
        413
    );
    assert_eq!(status(&proxy, || of_size("/", 1025)).await, 413);
    let chunks = || streamed("/small/", vec![Bytes::from_static(&[b'x'; 1024]); 3]);
    assert_eq!(status(&proxy, chunks).await, 200);
}

#[tokio::test]
async fn a_body_without_a_limit() {
    let (_origin, proxy) = limited("body_bytes = 0").await;
    assert_eq!(
        status(&proxy, || post("/small/", vec![b'x'; 4096])).await,
        200
    );
}

#[tokio::test]
async fn a_head_cannot_have_more_than_all_heads() {
    let (origin, proxy) = limited("uri_bytes = 100").await;
    let config = format!(
        "[limits]\nuri_bytes = 1000\n[[route]]\nname = \"a\"\nlimits = {{ uri_bytes = 1001 }}\nupstream = \"app\"\n{}",
        route_to(&origin).replace("\"all\"", "\"b\"")
    );
    let error = proxy.reload_refused(&config).await;
    assert!(error.contains("`uri_bytes` is more than"), "{error}");
}
