//! Bodies in chunks whose framing two servers could read in two ways, or that have no end.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Edge, Over};
use crate::harness::Origin;

both! {
    doubtful_chunks_are_refused,
    chunks_of_good_will_are_served,
    framing_without_end_is_refused_and_holds_no_memory,
    nothing_follows_chunks_that_were_refused,
}

const HEAD: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

const DOUBTFUL: [&str; 21] = [
    "xyz\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-1\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "\r\nhello\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nhello",
    "ffffffffffffffff\r\nhello",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r\n0\n\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello\r\n0\r\nx: y\n\n",
    "5\r\nhello\r\n0\r\n x: y\r\n\r\n",
    "5\r\nhello\r\n0\r\n: y\r\n\r\n",
    "5\r\nhello\r\n0\r\n\x01\r\n\r\n",
];

async fn doubtful_chunks_are_refused(over: Over) {
    let edge = Edge::new(over).await;
    for chunks in DOUBTFUL {
        // In one packet with the head, and after it.
        let answer = edge.proxy.raw(format!("{HEAD}{chunks}")).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400 "),
            "{chunks:?}: {answer:?}"
        );
        let mut wire = edge.wire(HEAD).await;
        for byte in chunks.bytes() {
            wire.send([byte]).await;
        }
        assert_eq!(wire.response().await.status, 400, "{chunks:?}");
        assert!(wire.rest().await.is_empty(), "{chunks:?}");
    }
    assert!(edge.origin.seen().is_empty(), "{:?}", edge.origin.seen());
    assert!(edge.refused("framing").await >= DOUBTFUL.len() as f64);
    edge.serves_on().await;
}

async fn chunks_of_good_will_are_served(over: Over) {
    let edge = Edge::new(over).await;
    for chunks in [
        "5\r\nhello\r\n0\r\n\r\n",
        "0000000000000005\r\nhello\r\n000\r\n\r\n",
        "5;a=\"b c\"\r\nhello\r\n0;x\r\n\r\n",
        "5  \r\nhello\r\n0\r\nx: y\r\n\r\n",
        "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
    ] {
        let mut wire = edge.wire(format!("{HEAD}{chunks}")).await;
        assert_eq!(wire.response().await.text(), "hello", "{chunks:?}");
    }
}

/// A chunk's extension, a trailer section and a number of chunks that do not end: each costs what it sends.
async fn framing_without_end_is_refused_and_holds_no_memory(over: Over) {
    let edge = Edge::limited(over, "body_bytes = \"1MiB\"").await;
    edge.is_warm().await;
    let before = edge.proxy.resident_bytes();
    let extension = format!("5;{}", "x".repeat(8 << 20));
    let trailers = format!("0\r\n{}", "x: y\r\n".repeat(1 << 20));
    let chunks = "1\r\nx\r\n".repeat(2 << 20);
    for (body, status) in [(extension, 400), (trailers, 400), (chunks, 413)] {
        let mut wire = edge.wire(HEAD).await;
        wire.send(body).await;
        assert_eq!(wire.response().await.status, status);
    }
    let grown = edge.proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    assert!(edge.origin.seen().is_empty());
}

/// A response that comes before the rest of its request does not make that a good one.
async fn nothing_follows_chunks_that_were_refused(over: Over) {
    let came = Arc::new(Mutex::new(Vec::new()));
    let all = came.clone();
    let origin = Origin::raw(move |mut stream| {
        let all = all.clone();
        async move {
            let mut read = Vec::new();
            while matches!(stream.read_buf(&mut read).await, Ok(1..)) {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                if read.starts_with(b"POST") && stream.write_all(answer).await.is_err() {
                    return;
                }
                all.lock().unwrap().append(&mut read);
            }
        }
    })
    .await;
    let edge = Edge::before(over, origin, "").await;
    // On a new connection to the upstream, and on one that is kept.
    for _ in 0..2 {
        let mut wire = edge.wire(format!("{HEAD}5\r\nhello\r\n")).await;
        let response = wire.response().await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("connection"), "close");
        let next = "GET /next HTTP/1.1\r\nhost: a\r\n\r\n";
        for piece in ["30;\n", "0\r\n\r\n", next] {
            if !wire.try_send(piece).await {
                break;
            }
        }
        assert!(wire.rest().await.is_empty());
    }
    let came = String::from_utf8_lossy(&came.lock().unwrap()).into_owned();
    assert!(
        came.starts_with("POST / ") && !came.contains("/next"),
        "{came}"
    );
}
