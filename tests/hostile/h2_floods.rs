//! Frames that cost a client little and a server much, in numbers: the connection ends before they have cost
//! much, and others are served meanwhile.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{ANY, Edge, Over, is_refused};
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PADDED, PING, POST, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get_headers, headers, indexed, post_headers,
};
use crate::harness::{Origin, Outcome};

both! {
    floods_of_frames_that_ask_for_nothing,
    floods_of_data_without_data,
    requests_that_are_reset_at_once,
    requests_that_are_reset_once_they_are_under_way,
    requests_that_the_server_is_made_to_reset,
    more_streams_than_there_may_be,
    field_blocks_without_end,
    field_blocks_that_unfold,
    control_frames_at_a_slow_rate_are_no_flood,
    control_frames_of_good_will_are_no_flood,
}

/// How often each frame is sent, unless the connection ends before.
const MANY: u32 = 50_000;

/// Memory that a flood may cost, and processor time.
const MEMORY: usize = 48 << 20;
const TIME: Duration = Duration::from_secs(10);

impl Edge {
    /// A flood ends the connection, is counted for this reason, and has cost little.
    async fn stands(
        &self,
        what: &str,
        reason: &str,
        first: Vec<u8>,
        frame: impl Fn(u32) -> Vec<u8>,
    ) {
        self.is_warm().await;
        let (memory, time) = (self.proxy.resident_bytes(), self.proxy.cpu_time());
        let before = self.cut(reason).await;
        let mut frames = self.proxy.frames().await;
        frames.send(first).await;
        for start in (0..MANY).step_by(100) {
            let some: Vec<u8> = (start..start + 100).flat_map(&frame).collect();
            if !frames.send(some).await {
                break;
            }
        }
        frames.send(get_headers(2 * MANY + 1)).await;
        let outcome = frames.outcome(2 * MANY + 1).await;
        assert!(
            matches!(outcome, Outcome::GoAway(_) | Outcome::Closed),
            "{what}: {outcome:?}"
        );
        assert_eq!(self.cut(reason).await, before + 1.0, "{what} as {reason}");
        self.serves_on().await;
        let grown = self.proxy.resident_bytes().saturating_sub(memory);
        assert!(grown < MEMORY, "{what} cost {grown} bytes");
        let spent = self.proxy.cpu_time().saturating_sub(time);
        assert!(spent < TIME, "{what} cost {spent:?}");
    }
}

async fn floods_of_frames_that_ask_for_nothing(over: Over) {
    let edge = Edge::new(over).await;
    for (what, frame) in [
        ("SETTINGS", frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0xff, 0xff])),
        ("empty SETTINGS", frame(SETTINGS, 0, 0, [])),
        (
            "acknowledged SETTINGS",
            frame(PRIORITY, 0, 3, [0, 0, 0, 0, 16]),
        ),
        ("PING", frame(PING, 0, 0, [0; 8])),
        ("PRIORITY", frame(PRIORITY, 0, 1, [0, 0, 0, 0, 16])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
        ("unknown frames", frame(0xf0, 0, 0, [])),
    ] {
        edge.stands(what, "h2-flood", vec![], |_| frame.clone())
            .await;
    }
}

async fn floods_of_data_without_data(over: Over) {
    let edge = Edge::new(over).await;
    let empty = frame(DATA, 0, 1, []);
    edge.stands("empty DATA", "h2-flood", post_headers(1), |_| empty.clone())
        .await;
    // A client that waits for no answer sends small frames faster than they can be used.
    let origin = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let stuck = Edge::before(over, origin, "").await;
    let padded = frame(DATA, PADDED, 1, [&[255, b'x'][..], &[0; 255]].concat());
    let mut frames = stuck.proxy.frames().await;
    let memory = stuck.proxy.resident_bytes();
    frames.send(post_headers(1)).await;
    for _ in 0..MANY {
        if !frames.send(&padded).await {
            break;
        }
    }
    assert!(is_refused(frames.outcome(1).await));
    let grown = stuck.proxy.resident_bytes().saturating_sub(memory);
    assert!(grown < MEMORY, "{grown} bytes");
}

/// CVE-2023-44487.
async fn requests_that_are_reset_at_once(over: Over) {
    let edge = Edge::new(over).await;
    let reset = |n: u32| {
        let stream = 2 * n + 1;
        [
            get_headers(stream),
            frame(RST_STREAM, 0, stream, [0, 0, 0, 8]),
        ]
        .concat()
    };
    edge.stands("rapid reset", "h2-resets", vec![], reset).await;
}

/// The same, at a pace at which requests reach the origin before they are reset: the number that is under way
/// is what counts, not the number that waits to be accepted.
async fn requests_that_are_reset_once_they_are_under_way(over: Over) {
    let (origin, _gate) = Origin::held().await;
    let edge = Edge::before(over, origin, "h2_streams = 10\nh2_resets = 20").await;
    let Edge { origin, proxy } = &edge;
    let mut frames = proxy.frames().await;
    let mut stream = 1;
    let mut open = true;
    while open && stream < 20_000 {
        open = frames.send(get_headers(stream)).await;
        if stream == 1 {
            origin.has_accepted(1).await;
        }
        let reset = frame(RST_STREAM, 0, stream, [0, 0, 0, 8]);
        open = open && frames.send(reset).await;
        stream += 2;
        tokio::task::yield_now().await;
    }
    // Either it was cut, or each was given up as soon as it was reset.
    if !open {
        let outcome = frames.outcome(stream).await;
        assert!(is_refused(outcome), "{outcome:?}");
    }
    drop(frames);
    origin.is_left().await;
    proxy
        .metric_becomes("tidegate_connections{listener=\"web\"}", 0.0)
        .await;
}

/// CVE-2025-8671: the server is made to reset.
async fn requests_that_the_server_is_made_to_reset(over: Over) {
    let edge = Edge::new(over).await;
    let overflow = |n: u32| {
        let stream = 2 * n + 1;
        let window = frame(WINDOW_UPDATE, 0, stream, [0x7f, 0xff, 0xff, 0xff]);
        [post_headers(stream), window].concat()
    };
    edge.stands("windows that overflow", "h2-resets", vec![], overflow)
        .await;
    let trailers = |n: u32| {
        let stream = 2 * n + 1;
        [
            post_headers(stream),
            headers(stream, END_HEADERS, &[("x", "y")]),
        ]
        .concat()
    };
    edge.stands("trailers that do not end", ANY, vec![], trailers)
        .await;
    let mut bad = GET.to_vec();
    bad.push(("connection", "close"));
    let malformed = |n: u32| headers(2 * n + 1, END_HEADERS | END_STREAM, &bad);
    edge.stands("malformed requests", "h2-resets", vec![], malformed)
        .await;
}

async fn more_streams_than_there_may_be(over: Over) {
    let edge = Edge::new(over).await;
    let open = |n: u32| post_headers(2 * n + 1);
    edge.stands("streams without a body", "h2-resets", vec![], open)
        .await;
}

async fn field_blocks_without_end(over: Over) {
    let edge = Edge::new(over).await;
    let start = frame(HEADERS, END_STREAM, 1, block(&GET));
    let byte = frame(CONTINUATION, 0, 1, [0]);
    edge.stands("CONTINUATION of a byte", "h2-flood", start.clone(), |_| {
        byte.clone()
    })
    .await;
    let empty = frame(CONTINUATION, 0, 1, []);
    edge.stands("empty CONTINUATION", "h2-flood", start.clone(), |_| {
        empty.clone()
    })
    .await;
    let full = frame(CONTINUATION, 0, 1, block(&[("x", &"y".repeat(16_000))]));
    edge.stands("full CONTINUATION", "h2-flood", start, |_| full.clone())
        .await;
}

/// One field in the table, and ten thousand references of a byte to it: 40 MB as HTTP/1.1 has them.
async fn field_blocks_that_unfold(over: Over) {
    let edge = Edge::new(over).await;
    edge.is_warm().await;
    let memory = edge.proxy.resident_bytes();
    let bomb = [
        block(&POST),
        indexed("x", &"y".repeat(4000)),
        vec![0xbe; 10_000],
    ]
    .concat();
    for _ in 0..20 {
        let mut frames = edge.proxy.frames().await;
        frames
            .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb))
            .await;
        assert!(is_refused(frames.outcome(1).await));
    }
    let grown = edge.proxy.resident_bytes().saturating_sub(memory);
    assert!(grown < MEMORY, "{grown} bytes");
    assert!(edge.origin.seen().is_empty());
    edge.serves_on().await;
}

/// They pay with time, where they have no answers.
async fn control_frames_at_a_slow_rate_are_no_flood(over: Over) {
    let limits = "h2_control_frames = 100\nh2_control_frames_refill = \"10ms\"";
    let edge = Edge::limited(over, limits).await;
    let mut frames = edge.proxy.frames().await;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    // Late on a busy machine, they must not come together.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..20 {
        tick.tick().await;
        frames.send(frame(PING, 0, 0, [0; 8]).repeat(50)).await;
        for _ in 0..50 {
            while frames.next().await.unwrap().kind != PING {}
        }
    }
}

async fn control_frames_of_good_will_are_no_flood(over: Over) {
    let edge = Edge::limited(over, "h2_control_frames = 100").await;
    let mut frames = edge.proxy.frames_with(&[]).await;
    for n in 0..500 {
        let stream = 2 * n + 1;
        frames.send(get_headers(stream)).await;
        assert_eq!(frames.outcome(stream).await, Outcome::Status(200));
        frames.send(frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])).await;
    }
}
