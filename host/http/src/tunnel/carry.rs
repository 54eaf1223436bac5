//! Bytes both ways between a client and an upstream, until both have ended.
//!
//! The directions are independent: each has what it could not write yet, and goes on when the other has
//! ended (RFC 6455 §7.1.1 leaves it to the server to close first). While nothing moves, no buffer is held.
//!
//! When the upstream has ended, the client has a deadline: Chromium, for one, forgets a WebSocket over HTTP/2 then
//! and never ends its own half, so that the stream would count as open for as long as the connection is.

use crate::metrics::TunnelMetrics;
use bytes::{Buf, Bytes};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

/// Bytes that are read at once, and the most that waits to be written, each way.
const CHUNK: usize = 16 * 1024;

/// Bytes that went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// From the client to the upstream.
    pub(crate) up: u64,
    /// From the upstream to the client.
    pub(crate) down: u64,
}

/// Why a tunnel ended before both sides had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The client's connection failed.
    Client,
    /// The upstream's did.
    Upstream,
    /// No byte came either way for too long.
    Idle,
}

impl Broken {
    /// For the access log.
    pub(super) fn problem(self) -> &'static str {
        match self {
            Broken::Client => "client: the tunnel broke",
            Broken::Upstream => "upstream: the tunnel broke",
            Broken::Idle => "proxy: the tunnel was idle",
        }
    }
}

/// What each side had sent before the tunnel was there.
#[derive(Debug, Default)]
pub(super) struct Early {
    pub(super) from_client: Bytes,
    pub(super) from_upstream: Bytes,
}

/// How long no byte may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// Either way.
    pub(super) open: Duration,
    /// From the client, once the upstream has ended.
    pub(super) ended: Duration,
}

/// Carry bytes until both sides have ended, or the upstream has and the client is silent. An end is passed on as
/// such, so that either side may go on sending after the other.
///
/// # Errors
/// A connection failed, or was silent while it was open; `traffic` says what went through until then.
pub(super) async fn carry(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    upstream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    early: Early,
    silence: Silence,
    metrics: &TunnelMetrics,
    traffic: &mut Traffic,
) -> Result<(), Broken> {
    let mut up = Direction::new(early.from_client);
    let mut down = Direction::new(early.from_upstream);
    let mut allowed = silence.open;
    let mut timer = pin!(sleep(allowed));
    let mut closing = false;
    let mut last = Instant::now();
    poll_fn(|cx| {
        let up_is_over = up.poll(cx, client, upstream);
        let down_is_over = down.poll(cx, upstream, client);
        let (sent, received) = (down.moved - traffic.down, up.moved - traffic.up);
        if sent + received > 0 {
            *traffic = Traffic {
                up: up.moved,
                down: down.moved,
            };
            metrics.received.inc_by(received);
            metrics.sent.inc_by(sent);
            last = Instant::now();
        }
        match (up_is_over, down_is_over) {
            (Poll::Ready(Err(_)), _) => return Poll::Ready(Err(Broken::Client)),
            (_, Poll::Ready(Err(_))) => return Poll::Ready(Err(Broken::Upstream)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
            (_, Poll::Ready(Ok(()))) if !closing => {
                closing = true;
                allowed = silence.open.min(silence.ended);
                last = Instant::now();
                timer.as_mut().reset(last + allowed);
            }
            _ => {}
        }
        // The timer is set anew only when it fires, not with each byte.
        while timer.as_mut().poll(cx).is_ready() {
            let end = last + allowed;
            if end <= Instant::now() {
                return Poll::Ready(if closing { Ok(()) } else { Err(Broken::Idle) });
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    })
    .await
}

/// One of the two ways.
struct Direction {
    /// Read, and not yet written.
    rest: Bytes,
    stage: Stage,
    /// Whether something was written since the last flush.
    unflushed: bool,
    moved: u64,
}

#[derive(Clone, Copy)]
enum Stage {
    Open,
    /// The reader has ended; the writer is to know.
    Ending,
    Over,
}

impl Direction {
    fn new(early: Bytes) -> Direction {
        Direction {
            rest: early,
            stage: Stage::Open,
            unflushed: false,
            moved: 0,
        }
    }

    /// Move what can be moved now. Ready once this way is over. Errors are `from`'s alone: when nothing can
    /// be written to `to` any more, there may still be something to read from it.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let (mut from, mut to) = (Pin::new(from), Pin::new(to));
        loop {
            match self.stage {
                Stage::Over => return Poll::Ready(Ok(())),
                Stage::Ending => {
                    // Who cannot be told is gone.
                    let _ = ready!(to.as_mut().poll_shutdown(cx));
                    self.stage = Stage::Over;
                    continue;
                }
                Stage::Open => {}
            }
            if !self.rest.is_empty() {
                let written = ready!(to.as_mut().poll_write(cx, &self.rest));
                let written = self.count(written);
                self.rest.advance(written);
                continue;
            }
            let mut space = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut space);
            match from.as_mut().poll_read(cx, &mut chunk) {
                Poll::Ready(Ok(())) => {}
                // Many end TLS without saying so. Whether something is missing, the protocol inside knows.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if self.unflushed && ready!(to.as_mut().poll_flush(cx)).is_ok() {
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
            let read = chunk.filled();
            if read.is_empty() {
                self.stage = Stage::Ending;
                continue;
            }
            // Mostly there is room for all of it, and nothing has to be kept.
            let written = match to.as_mut().poll_write(cx, read) {
                Poll::Ready(written) => self.count(written),
                Poll::Pending => 0,
            };
            self.rest = Bytes::copy_from_slice(read.get(written..).unwrap_or_default());
        }
    }

    /// So much was written; this way is over if that failed.
    fn count(&mut self, written: io::Result<usize>) -> usize {
        let written = written.unwrap_or(0);
        if written == 0 {
            self.stage = Stage::Over;
        }
        self.unflushed = true;
        self.moved += written as u64;
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn metrics() -> TunnelMetrics {
        let metrics = crate::Metrics::register(&prometheus::Registry::new()).unwrap();
        metrics.route("r").tunnels
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const SILENCE: Silence = Silence {
        open: HOUR,
        ended: Duration::from_secs(10),
    };

    #[tokio::test]
    async fn what_came_early_goes_first_and_an_end_leaves_the_other_way_open() {
        let (mut client, mut client_side) = duplex(64);
        let (mut upstream, mut upstream_side) = duplex(64);
        let early = Early {
            from_client: Bytes::from_static(b"early "),
            from_upstream: Bytes::from_static(b"greeting "),
        };
        let carried = tokio::spawn(async move {
            let mut traffic = Traffic::default();
            let (metrics, sides) = (metrics(), (&mut client_side, &mut upstream_side));
            let ended = carry(sides.0, sides.1, early, SILENCE, &metrics, &mut traffic).await;
            (ended, traffic, metrics)
        });
        client.write_all(b"and late").await.unwrap();
        client.shutdown().await.unwrap();
        let mut seen = String::new();
        upstream.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "early and late");
        upstream.write_all(b"answer").await.unwrap();
        upstream.shutdown().await.unwrap();
        seen.clear();
        client.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "greeting answer");
        let (ended, traffic, metrics) = carried.await.unwrap();
        assert_eq!(ended, Ok(()));
        assert_eq!(traffic, Traffic { up: 14, down: 15 });
        assert_eq!((metrics.received.get(), metrics.sent.get()), (14, 15));
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_does_not_read_holds_the_other_back() {
        let (mut client, mut client_side) = duplex(1024);
        let (mut upstream, mut upstream_side) = duplex(1024);
        tokio::spawn(async move {
            let (metrics, mut traffic) = (metrics(), Traffic::default());
            let early = Early::default();
            let (a, b) = (&mut client_side, &mut upstream_side);
            let _ = carry(a, b, early, SILENCE, &metrics, &mut traffic).await;
        });
        let data = vec![7; 1 << 20];
        let mut sent = 0;
        // As much as the two pipes and one chunk hold, and no more. The clock goes on when nothing else does.
        while let Ok(Ok(())) =
            tokio::time::timeout(Duration::from_millis(50), client.write_all(&data[..512])).await
        {
            sent += 512;
        }
        assert!(sent <= 2 * 1024 + CHUNK, "{sent}");
        // The other way is open all the same.
        upstream.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_tunnel_ends_one_timeout_after_its_last_byte() {
        let (mut client, mut client_side) = duplex(64);
        let (_upstream, mut upstream_side) = duplex(64);
        let begin = Instant::now();
        let carried = tokio::spawn(async move {
            let (metrics, mut traffic) = (metrics(), Traffic::default());
            let early = Early::default();
            let (a, b) = (&mut client_side, &mut upstream_side);
            carry(a, b, early, SILENCE, &metrics, &mut traffic).await
        });
        sleep(HOUR / 2).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(carried.await.unwrap(), Err(Broken::Idle));
        assert_eq!(begin.elapsed().as_secs(), HOUR.as_secs() * 3 / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_silent_after_the_upstreams_end_has_ended() {
        let (mut client, mut client_side) = duplex(64);
        let (mut upstream, mut upstream_side) = duplex(64);
        let begin = Instant::now();
        let carried = tokio::spawn(async move {
            let (metrics, mut traffic) = (metrics(), Traffic::default());
            let early = Early::default();
            let (a, b) = (&mut client_side, &mut upstream_side);
            carry(a, b, early, SILENCE, &metrics, &mut traffic).await
        });
        upstream.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        sleep(SILENCE.ended / 2).await;
        // It may still say something.
        client.write_all(b"x").await.unwrap();
        assert_eq!(upstream.read_u8().await.unwrap(), b'x');
        assert_eq!(carried.await.unwrap(), Ok(()));
        assert_eq!(begin.elapsed(), SILENCE.ended * 3 / 2);
    }
}
