//! Heads that are too large: in one field, in many, in the first line; and many at once.

use super::{Edge, Over};

both! {
    heads_above_the_limits_are_refused,
    unfinished_heads_hold_little,
}

fn head(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
}

async fn heads_above_the_limits_are_refused(over: Over) {
    let edge = Edge::new(over).await;
    let many = |count| head(&"x: y\r\n".repeat(count));
    edge.refuses(431, "header-count", many(150)).await;
    edge.refuses(431, "header-count", many(300)).await;
    edge.refuses(431, "header-count", many(100_000)).await;
    let large = |bytes| head(&format!("x: {}\r\n", "y".repeat(bytes)));
    edge.refuses(431, "header-bytes", large(40_000)).await;
    edge.refuses(431, "header-bytes", large(4 << 20)).await;
    let name = head(&format!("{}: y\r\n", "x".repeat(1 << 20)));
    edge.refuses(431, "header-bytes", name).await;
    let target = |bytes| format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(bytes));
    edge.refuses(414, "uri-bytes", target(10_000)).await;
    edge.refuses(414, "uri-bytes", target(4 << 20)).await;
    let method = format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "X".repeat(1 << 20));
    edge.refuses(414, "uri-bytes", method).await;
    edge.refuses(414, "uri-bytes", "\r\n".repeat(1 << 20)).await;
    edge.serves_on().await;
}

/// What unfinished heads hold is bounded by the limit, not by the parser's megabyte.
async fn unfinished_heads_hold_little(over: Over) {
    let edge = Edge::limited(
        over,
        "header_timeout = \"60s\"\nconnections_per_address = 1000",
    )
    .await;
    let warm = head(&format!("x: {}\r\n", "y".repeat(20_000)));
    for _ in 0..20 {
        assert_eq!(edge.wire(&warm).await.response().await.status, 200);
    }
    edge.proxy
        .metric_becomes("tidegate_connections{listener=\"web\"}", 0.0)
        .await;
    let before = edge.proxy.resident_bytes();
    let mut wires = Vec::new();
    for _ in 0..200 {
        let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "y".repeat(60_000));
        wires.push(edge.wire(head).await);
    }
    edge.proxy
        .metric_becomes("tidegate_connections{listener=\"web\"}", 200.0)
        .await;
    let each = edge.proxy.resident_bytes().saturating_sub(before) / wires.len();
    assert!(each < 160 << 10, "{each} bytes for each connection");
    for wire in &mut wires {
        wire.send("y".repeat(60_000)).await;
        assert_eq!(wire.response().await.status, 431);
    }
}
