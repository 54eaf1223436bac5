//! Clients that are slow on purpose, or silent: what they hold ends with a deadline, and is bounded until then.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{Edge, Over};
use crate::harness::frames::{
    self, CONTINUATION, END_HEADERS, END_STREAM, GET, HEADERS, POST, SETTINGS, block, frame,
    headers, post_headers,
};
use crate::harness::{Line, Origin, Outcome, soon, until};

both! {
    heads_that_drip_are_cut_and_counted,
    heads_of_http_2_that_do_not_end,
    a_first_byte_that_comes_late_wins_no_time,
    bodies_that_stall_are_cut_and_counted,
    a_body_over_its_limit_ends_however_slowly_it_comes,
    responses_that_nobody_reads_are_cut_and_counted,
    windows_of_http_2_do_not_hold_a_response_for_ever,
    http_2_without_a_request_is_closed,
    connections_without_another_request_are_closed_and_counted,
}

/// Far above what the tests set, far below what the defaults are.
const FAR_TOO_LONG: Duration = Duration::from_secs(8);

/// A test that sends something again and again until the connection ends.
async fn drip(wire: &mut crate::harness::Wire, piece: &[u8]) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    soon("the slow client to be cut off", async {
        while !wire.is_closed().await {
            tick.tick().await;
            wire.send(piece).await;
        }
    })
    .await;
}

async fn heads_that_drip_are_cut_and_counted(over: Over) {
    let edge = Edge::limited(over, "header_timeout = \"300ms\"").await;
    let start = Instant::now();
    let mut wires = Vec::new();
    for _ in 0..20 {
        wires.push(edge.wire("GET / HTTP/1.1\r\nhost: a\r\nx: ").await);
    }
    for wire in &mut wires {
        drip(wire, b"y").await;
    }
    // Says nothing at all.
    edge.wire("").await.rest().await;
    assert!(start.elapsed() < FAR_TOO_LONG);
    edge.has_cut("header-timeout", 21.0).await;
    edge.serves_on().await;
}

/// Beside a stream that is served, and one that has come to its end.
async fn heads_of_http_2_that_do_not_end(over: Over) {
    let edge = Edge::limited(over, "header_timeout = \"300ms\"").await;
    for open in [
        frame(HEADERS, END_STREAM, 3, block(&GET)),
        headers(3, END_HEADERS | END_STREAM, &GET)[..12].to_vec(),
    ] {
        let start = Instant::now();
        let mut frames = edge.proxy.frames().await;
        frames.send([post_headers(1), open].concat()).await;
        while frames.next().await.is_some() {}
        assert!(start.elapsed() < FAR_TOO_LONG);
    }
    edge.has_cut("header-timeout", 2.0).await;
    edge.serves_on().await;
}

async fn a_first_byte_that_comes_late_wins_no_time(over: Over) {
    let edge = Edge::limited(over, "header_timeout = \"3s\"").await;
    let start = Instant::now();
    let mut wire = edge.wire("").await;
    // It is about time that passes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    wire.send("GET").await;
    assert!(wire.rest().await.is_empty());
    assert!(start.elapsed() < Duration::from_millis(4500));
    edge.has_cut("header-timeout", 1.0).await;
}

async fn bodies_that_stall_are_cut_and_counted(over: Over) {
    let edge = Edge::limited(over, "read_timeout = \"300ms\"").await;
    let start = Instant::now();
    let mut length = edge
        .wire("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut chunk = edge.wire(format!("{chunked}a\r\nhalf")).await;
    let mut trailers = edge.wire(format!("{chunked}0\r\nx: y\r\n")).await;
    for wire in [&mut length, &mut chunk, &mut trailers] {
        assert_eq!(wire.response().await.status, 408);
        wire.rest().await;
    }
    let mut frames = edge.proxy.frames().await;
    frames.send(post_headers(1)).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(408));
    let is = |line: &Line, name: &str, value: &str| line.field(name).as_deref() == Some(value);
    let is_cut = |line: &Line| is(line, "protocol", "HTTP/2") && is(line, "status", "408");
    edge.proxy.stdout_line(is_cut).await;
    assert!(start.elapsed() < FAR_TOO_LONG);
    edge.has_cut("body-timeout", 4.0).await;
    assert!(edge.origin.seen().is_empty());
    edge.serves_on().await;
}

async fn a_body_over_its_limit_ends_however_slowly_it_comes(over: Over) {
    let edge = Edge::limited(over, "body_bytes = 10").await;
    let mut wire = edge
        .wire("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..11 {
        wire.send("1\r\nx\r\n").await;
    }
    assert_eq!(wire.response().await.status, 413);
    edge.has_refused("body-bytes", 1.0).await;
}

async fn large_response(over: Over) -> Edge {
    let origin = Origin::answering(|_| {
        let body = bytes::Bytes::from_static(&[b'x'; 8 << 20]);
        http::Response::new(http_body_util::Full::new(body))
    })
    .await;
    let edge = Edge::before(over, origin, "write_timeout = \"300ms\"").await;
    for mut client in [edge.proxy.client().await, edge.proxy.h2_client().await] {
        for _ in 0..5 {
            assert_eq!(client.get("/").await.body.len(), 8 << 20);
        }
    }
    edge.origin.forget();
    edge
}

async fn responses_that_nobody_reads_are_cut_and_counted(over: Over) {
    let edge = large_response(over).await;
    let before = edge.proxy.resident_bytes();
    let mut wires = Vec::new();
    for _ in 0..10 {
        wires.push(edge.wire("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await);
    }
    let mut most = before;
    until("ten connections to be cut", async || {
        most = most.max(edge.proxy.resident_bytes());
        (edge.cut("write-timeout").await == 10.0).then_some(())
    })
    .await;
    // Of 80 MiB, some pieces each; what else is on its way is in buffers of the system.
    let grown = most - before;
    assert!(grown < 32 << 20, "{grown} bytes");
}

/// A window that never opens, one that opens byte by byte, and one that is open while nobody reads.
async fn windows_of_http_2_do_not_hold_a_response_for_ever(over: Over) {
    let edge = large_response(over).await;
    let mut closed = edge.proxy.frames_with(&[(4, 0)]).await;
    closed.send(frames::get_headers(1)).await;
    assert_eq!(closed.outcome(1).await, Outcome::Status(200));
    assert!(!matches!(closed.outcome(1).await, Outcome::Status(_)));
    edge.has_cut("write-timeout", 1.0).await;

    drop(closed);
    let before = edge.proxy.resident_bytes();
    let wide = (1 << 31) - 1;
    let mut unread = edge.proxy.frames_with(&[(4, wide)]).await;
    let more = (wide - 65_535).to_be_bytes();
    unread.send(frame(frames::WINDOW_UPDATE, 0, 0, more)).await;
    for stream in 0..50 {
        unread.send(frames::get_headers(2 * stream + 1)).await;
    }
    // As many as get through before the connection is cut.
    edge.origin.has_seen(5).await;
    let mut most = before;
    let open = "tidegate_connections{listener=\"web\"}";
    until("the connection to be cut", async || {
        most = most.max(edge.proxy.resident_bytes());
        (edge.proxy.metric(open).await == 0.0).then_some(())
    })
    .await;
    let grown = most - before;
    assert!(
        grown < 48 << 20,
        "{grown} bytes for 50 streams that nobody reads"
    );
}

async fn connections_without_another_request_are_closed_and_counted(over: Over) {
    let edge = Edge::limited(over, "idle_timeout = \"1s\"").await;
    let mut leaves = edge.wire("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(leaves.response().await.status, 200);
    drop(leaves);
    let mut stays = edge.wire("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(stays.response().await.status, 200);
    stays.rest().await;
    edge.has_cut("idle", 1.0).await;
    let mut frames = edge.proxy.frames().await;
    frames.send(frames::get_headers(1)).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    while frames.next().await.is_some() {}
    edge.has_cut("idle", 2.0).await;
}

async fn http_2_without_a_request_is_closed(over: Over) {
    let edge = Edge::limited(over, "idle_timeout = \"1s\"").await;
    let mut silent = edge.proxy.frames().await;
    assert_eq!(silent.outcome(1).await, Outcome::Closed);
    let mut half = edge.proxy.frames().await;
    half.send(frame(HEADERS, END_STREAM, 1, block(&POST))).await;
    half.send(frame(CONTINUATION, 0, 1, block(&[("x", "y")])))
        .await;
    assert_eq!(half.outcome(1).await, Outcome::Closed);
    let mut acknowledging = edge.proxy.frames().await;
    acknowledging.send(frame(SETTINGS, 1, 0, [])).await;
    assert_eq!(acknowledging.outcome(1).await, Outcome::Closed);
}

/// Connections above the caps are closed at once, before anything is spoken on them; those below are held cheaply.
#[tokio::test]
async fn idle_connections_are_capped_and_cheap() {
    let count = match raise_files() {
        20_000.. => 5000,
        _ => 400,
    };
    let limits = format!(
        "connections = {count}\nconnections_per_address = 10000\nheader_timeout = \"120s\""
    );
    let edge = Edge::limited(Over::Tcp, &limits).await;
    edge.is_warm().await;
    let before = edge.proxy.resident_bytes();
    let mut wires = Vec::new();
    for _ in 0..count + 100 {
        wires.push(edge.proxy.wire().await);
    }
    let refused = "tidegate_connections_refused_total{listener=\"web\",reason=\"connections\"}";
    edge.proxy.metric_becomes(refused, 100.0).await;
    let open = "tidegate_connections{listener=\"web\"}";
    assert_eq!(edge.proxy.metric(open).await, f64::from(count));
    let each = edge.proxy.resident_bytes().saturating_sub(before) / count as usize;
    assert!(each < 16 << 10, "{each} bytes for each idle connection");
    let spent = edge.proxy.cpu_time();
    assert!(spent < Duration::from_secs(20), "{spent:?}");
    drop(wires);
    edge.proxy.metric_becomes(open, 0.0).await;
    edge.serves_on().await;
}

/// Lets this process, and those that it starts, open as many files and sockets as the system allows; gives
/// the number.
pub(super) fn raise_files() -> u32 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let hard = line.unwrap().split_whitespace().nth(4).unwrap();
    let process = std::process::id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &process, &format!("--nofile={hard}:{hard}")])
        .status();
    assert!(raised.unwrap().success());
    hard.parse().unwrap_or(u32::MAX)
}
