//! Origins: servers behind the proxy, in this process.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{Authority, Body, until};

/// A server with a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Origin {
    address: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// A request that arrived as a whole.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// Path and query, as they were sent.
    pub target: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Debug, Default)]
struct State {
    accepted: AtomicUsize,
    open: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
}

type Answer = http::Response<Body>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Service = Arc<dyn Fn(Seen) -> Answering + Send + Sync>;

impl Origin {
    /// Answers 200 with the request's body.
    pub async fn echo() -> Origin {
        Origin::answering(|seen| http::Response::new(Full::new(seen.body))).await
    }

    /// Answers each request by this function.
    pub async fn answering(
        answer: impl Fn(Seen) -> http::Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Origin {
        Origin::serve(immediate(answer)).await
    }

    /// As [`Origin::answering`], in HTTP/2 without TLS, with any body: one with trailers, for example.
    pub async fn h2(
        answer: impl Fn(Seen) -> http::Response<Body> + Send + Sync + 'static,
    ) -> Origin {
        let service: Service = Arc::new(move |seen| Box::pin(std::future::ready(answer(seen))));
        let (listener, address) = listen().await;
        Origin::start(address, async move |state| {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                state.spawn(serve_h2_connection(stream, state.clone(), service.clone()));
            }
        })
    }

    /// Answers 200 `late`, each time that the semaphore gets a permit.
    pub async fn held() -> (Origin, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        let shared = gate.clone();
        let service: Service = Arc::new(move |_| {
            let gate = shared.clone();
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                http::Response::new(Full::new(Bytes::from_static(b"late")).boxed())
            })
        });
        (Origin::serve(service).await, gate)
    }

    /// As [`Origin::answering`], over TLS.
    pub async fn answering_tls(
        authority: &Authority,
        answer: impl Fn(Seen) -> http::Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Origin {
        let (listener, address) = listen().await;
        let (acceptor, service) = (authority.acceptor(), immediate(answer));
        Origin::start(address, async move |state| {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, service, shared) =
                    (acceptor.clone(), service.clone(), state.clone());
                state.spawn(async move {
                    // Some clients do not trust it.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve_connection(stream, shared, service).await;
                    }
                });
            }
        })
    }

    /// As [`Origin::answering`], over TLS of the test's own, in HTTP/2 where that was agreed to.
    pub async fn secured(
        acceptor: TlsAcceptor,
        answer: impl Fn(Seen) -> http::Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Origin {
        let (listener, address) = listen().await;
        let service = immediate(answer);
        Origin::start(address, async move |state| {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, service, shared) =
                    (acceptor.clone(), service.clone(), state.clone());
                state.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    match stream.get_ref().1.alpn_protocol() {
                        Some(b"h2") => serve_h2_connection(stream, shared, service).await,
                        _ => serve_connection(stream, shared, service).await,
                    }
                });
            }
        })
    }

    /// As [`Origin::echo`], on a Unix socket at this path.
    pub fn echo_on_unix_socket(path: &std::path::Path) -> Origin {
        let listener = UnixListener::bind(path).unwrap();
        let service = immediate(|seen| http::Response::new(Full::new(seen.body)));
        Origin::start(format!("unix:{}", path.display()), async move |state| {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                state.spawn(serve_connection(stream, state.clone(), service.clone()));
            }
        })
    }

    /// Hands each connection to this function, which speaks or misbehaves as it likes.
    pub async fn raw<F>(speak: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Origin
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (listener, address) = listen().await;
        Origin::start(address, async move |state| {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                state.spawn(speak(stream));
            }
        })
    }

    /// Where it is, as `peers` has it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// All requests that arrived as a whole, the first one first.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Forgets the requests that have arrived.
    pub fn forget(&self) {
        self.state.seen.lock().unwrap().clear();
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Waits until so many connections were accepted.
    pub async fn has_accepted(&self, count: usize) {
        until(&format!("{count} connections at the origin"), async || {
            (self.accepted() >= count).then_some(())
        })
        .await;
    }

    /// Waits until so many requests have arrived.
    pub async fn has_seen(&self, count: usize) {
        until(&format!("{count} requests at the origin"), async || {
            (self.seen().len() >= count).then_some(())
        })
        .await;
    }

    /// Waits until at least one connection was accepted and none is open any more.
    pub async fn is_left(&self) {
        until("the proxy to leave the origin", async || {
            let open = self.state.open.load(Ordering::SeqCst);
            (self.accepted() > 0 && open == 0).then_some(())
        })
        .await;
    }

    /// Waits until exactly so many connections are open.
    pub async fn has_open(&self, count: usize) {
        until(&format!("{count} open connections"), async || {
            (self.state.open.load(Ordering::SeqCst) == count).then_some(())
        })
        .await;
    }

    async fn serve(service: Service) -> Origin {
        let (listener, address) = listen().await;
        Origin::start(address, async move |state| {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                state.spawn(serve_connection(stream, state.clone(), service.clone()));
            }
        })
    }

    fn start<F>(address: String, accept: impl FnOnce(Arc<State>) -> F) -> Origin
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(state.clone()));
        Origin {
            address,
            state,
            accepting,
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    /// Serves a connection beside the others, and counts it.
    fn spawn(self: &Arc<Self>, serving: impl Future<Output = ()> + Send + 'static) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        let state = self.clone();
        tokio::spawn(async move {
            serving.await;
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }

    async fn answer(
        &self,
        request: http::Request<Incoming>,
        service: &Service,
    ) -> hyper::Result<Answer> {
        let seen = Seen::read(request).await?;
        self.seen.lock().unwrap().push(seen.clone());
        Ok(service(seen).await)
    }
}

/// An address where connections are refused.
pub fn refusing_address() -> String {
    // The system does not give the port to somebody else for a while.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// An address where a connection is neither accepted nor refused, as long as the value lives: a socket
/// whose queue of waiting connections is full.
pub async fn black_hole() -> (String, Vec<JoinHandle<()>>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = vec![tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(listener);
    })];
    for _ in 0..4 {
        queue.push(tokio::spawn(async move {
            let _waiting = TcpStream::connect(address).await;
            std::future::pending::<()>().await;
        }));
    }
    (address.to_string(), queue)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn immediate(
    answer: impl Fn(Seen) -> http::Response<Full<Bytes>> + Send + Sync + 'static,
) -> Service {
    Arc::new(move |seen| Box::pin(std::future::ready(answer(seen).map(BodyExt::boxed))))
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    state: Arc<State>,
    service: Service,
) {
    let service = service_fn(async |request| state.answer(request, &service).await);
    // A connection that ends early is what some tests are about.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn serve_h2_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    state: Arc<State>,
    service: Service,
) {
    let service = service_fn(move |request| {
        let (state, service) = (state.clone(), service.clone());
        async move { state.answer(request, &service).await }
    });
    let _ = http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Seen {
    async fn read(request: http::Request<Incoming>) -> hyper::Result<Seen> {
        let (head, body) = request.into_parts();
        Ok(Seen {
            method: head.method,
            target: head.uri.to_string(),
            version: head.version,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// All values of a header field, in their order, with `, ` between them.
    pub fn header(&self, name: &str) -> String {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        let values: Vec<_> = values.iter().map(|value| value.to_str().unwrap()).collect();
        values.join(", ")
    }
}
