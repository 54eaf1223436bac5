//! Clients that mean harm, and what becomes of them. `docs/security.md` has the same inputs as a table, which
//! `peers.py` prints.

/// Makes two tests of each case: `CASE::plain` and `CASE::tls`.
macro_rules! both {
    ($($case:ident),+ $(,)?) => {$(
        mod $case {
            use crate::hostile::Over;

            #[tokio::test]
            async fn plain() {
                super::$case(Over::Tcp).await;
            }

            #[tokio::test]
            async fn tls() {
                super::$case(Over::Tls).await;
            }
        }
    )+};
}

mod chunks;
mod framing;
mod h2_floods;
mod h2_frames;
mod h2_requests;
mod requests;
mod sizes;
mod slow;
mod tls_floods;

use bytes::Bytes;

use tempfile::TempDir;

use crate::harness::{
    Authority, Origin, Outcome, Proxy, TWO_THREADS, TlsClient, Wire, post, route_to, streamed,
};

/// Whatever the reason: the parser finds some mistakes before the accept phase does.
const ANY: &str = "";

/// What clients speak HTTP over.
#[derive(Clone, Copy)]
enum Over {
    Tcp,
    Tls,
}

/// The hosts that tests ask for.
const HOSTS: [&str; 2] = ["a", "test.example"];

const TLS_LISTENER: &str = "
[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
[listener.tls]
certificates = [{ cert = \"a.pem\", key = \"a.key\" }]
";

/// A proxy and its origin, to be tried with many inputs.
struct Edge {
    origin: Origin,
    proxy: Proxy,
}

impl Edge {
    async fn new(over: Over) -> Edge {
        Edge::limited(over, "").await
    }

    /// With these keys in `[limits]`.
    async fn limited(over: Over, limits: &str) -> Edge {
        Edge::before(over, Origin::echo().await, limits).await
    }

    /// As [`Edge::limited`], with an origin of the test's.
    async fn before(over: Over, origin: Origin, limits: &str) -> Edge {
        let config = format!("{TWO_THREADS}[limits]\n{limits}\n{}", route_to(&origin));
        let proxy = match over {
            Over::Tcp => Proxy::start(&config).await,
            Over::Tls => {
                let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
                authority.issue(&HOSTS).write(folder.path(), "a");
                let proxy = Proxy::start_in(folder, &format!("{config}{TLS_LISTENER}")).await;
                proxy.with_tls(TlsClient::new(&authority, "a"))
            }
        };
        Edge { origin, proxy }
    }

    /// Sends these bytes on a connection of their own.
    async fn wire(&self, bytes: impl AsRef<[u8]>) -> Wire {
        let mut wire = self.proxy.wire().await;
        wire.send(bytes).await;
        wire
    }

    /// The proxy refuses these bytes with this status, counts that, and ends the connection; nothing of
    /// them reaches the origin.
    async fn refuses(&self, status: u16, reason: &str, bytes: impl AsRef<[u8]>) {
        let shown = bytes.as_ref()[..bytes.as_ref().len().min(200)].escape_ascii();
        let (seen, refused) = (self.origin.seen().len(), self.refused(reason).await);
        let mut wire = self.wire(bytes.as_ref()).await;
        assert_eq!(wire.response().await.status, status, "{shown}");
        // Nobody knows where the next request would begin.
        assert!(wire.rest().await.is_empty(), "{shown}");
        assert_eq!(self.origin.seen().len(), seen, "{shown}");
        self.has_refused(reason, refused + 1.0).await;
    }

    /// How many requests were refused for this reason, or for [`ANY`].
    async fn refused(&self, reason: &str) -> f64 {
        self.proxy.metric(&refused(reason)).await
    }

    /// Waits until so many requests were refused for this reason: a client may hear of it before it is counted.
    async fn has_refused(&self, reason: &str, count: f64) {
        self.proxy.metric_becomes(&refused(reason), count).await;
    }

    /// How many connections were cut for this reason, or for [`ANY`].
    async fn cut(&self, reason: &str) -> f64 {
        let labels = match reason {
            ANY => String::new(),
            _ => format!(",reason=\"{reason}\""),
        };
        let series = format!("tidegate_connections_cut_total{{listener=\"web\"{labels}}}");
        self.proxy.metric(&series).await
    }

    /// Waits until so many connections were cut for this reason.
    async fn has_cut(&self, reason: &str, count: f64) {
        let labels = format!("listener=\"web\",reason=\"{reason}\"");
        let series = format!("tidegate_connections_cut_total{{{labels}}}");
        self.proxy.metric_becomes(&series, count).await;
    }

    /// The proxy has served what is usual, so that what it takes from now on is for what comes.
    async fn is_warm(&self) {
        for mut client in [self.proxy.client().await, self.proxy.h2_client().await] {
            let body = vec![b'x'; 512 << 10];
            let chunks = body.chunks(10_000).map(Bytes::copy_from_slice);
            let chunks = streamed("/warm", chunks.collect());
            for request in [post("/warm", body.clone()), chunks] {
                assert_eq!(client.send(request).await.body.len(), body.len());
            }
        }
        self.proxy
            .metric_becomes("tidegate_connections{listener=\"web\"}", 0.0)
            .await;
        self.origin.forget();
    }

    /// The proxy still serves others.
    async fn serves_on(&self) {
        assert_eq!(self.proxy.get("/next").await.status, 200);
    }
}

/// The series of requests that were refused for this reason, or for [`ANY`].
fn refused(reason: &str) -> String {
    let labels = match reason {
        ANY => String::new(),
        _ => format!("{{reason=\"{reason}\"}}"),
    };
    format!("tidegate_requests_refused_total{labels}")
}

/// Whether an h2 stream was refused: by an answer, by a reset, or with its connection.
fn is_refused(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Status(status) => (400..500).contains(&status),
        Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed => true,
    }
}
