//! A server on loopback, for the tests of this crate.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

pub(crate) type Reply = Response<BoxBody<Bytes, Infallible>>;

/// Runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: watch::Receiver<usize>,
    _task: AbortOnDropHandle<()>,
}

pub(crate) fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = status.try_into().unwrap();
    response
}

impl Server {
    pub(crate) async fn start<F, R>(answer: F) -> Server
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        Server::run(answer, None).await
    }

    pub(crate) async fn start_tls<F, R>(authority: &Authority, answer: F) -> Server
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        Server::run(answer, Some(authority.acceptor())).await
    }

    async fn run<F, R>(answer: F, tls: Option<TlsAcceptor>) -> Server
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (opened, open) = watch::channel(0);
        let counter = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let (opened, tls, answer) = (opened.clone(), tls.clone(), answer.clone());
                opened.send_modify(|open| *open += 1);
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, false, answer).await,
                        Some(tls) => {
                            if let Ok(tls) = tls.accept(tcp).await {
                                let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                                serve(tls, h2, answer).await;
                            }
                        }
                    }
                    opened.send_modify(|open| *open -= 1);
                });
            }
        });
        Server {
            address,
            accepted,
            open,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Wait until no connection is open.
    pub(crate) async fn all_closed(&mut self) {
        self.open.wait_for(|open| *open == 0).await.unwrap();
    }
}

async fn serve<F, R>(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, h2: bool, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    let service = service_fn(move |request| {
        let reply = answer(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    // How a connection ends is what tests ask their client about.
    if h2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(io), service).await;
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(TokioIo::new(io), service).await;
    }
}

/// A certificate authority, and what it says of `127.0.0.1`.
pub(crate) struct Authority {
    pub(crate) pem: String,
    server: Arc<ServerConfig>,
}

impl Authority {
    /// With these protocols in ALPN.
    pub(crate) fn new(protocols: &[&[u8]]) -> Authority {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let server = Arc::new(server);
        Authority { pem, server }
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.server.clone().into()
    }
}
