//! A server in front of an authority, which passes on what it is asked and changes an answer here and there:
//! for what Pebble does not do itself.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::harness::{Issued, Pebble};

/// A server until it is dropped.
pub(super) struct Front {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    accepting: JoinHandle<()>,
}

/// What an authority was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub path: String,
    /// Where the client thinks that it is.
    pub host: String,
    /// What was signed (RFC 8555 §6.2); null where nothing was.
    pub payload: Value,
}

/// Changes an answer.
pub(super) type Edit = dyn FnOnce(&mut Response<Bytes>) + Send;

/// What becomes of an answer.
pub(super) enum Change {
    Pass,
    /// The authority is asked, and its answer is changed.
    After(Box<Edit>),
    /// It is not asked.
    Instead(Response<Bytes>),
    /// It is not asked, and no answer comes.
    Silence,
}

struct Authority {
    address: String,
    connector: TlsConnector,
}

impl Front {
    pub(super) async fn start(
        pebble: &Pebble,
        change: impl Fn(&Asked) -> Change + Send + Sync + 'static,
    ) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let [cert, key] = pebble
            .server()
            .map(|file| std::fs::read_to_string(file).unwrap());
        let acceptor = acceptor(&Issued { cert, key });
        let authority = Arc::new(Authority {
            address: pebble.address(),
            connector: connector(&std::fs::read_to_string(pebble.ca()).unwrap()),
        });
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (seen, change) = (asked.clone(), Arc::new(change));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, authority) = (acceptor.clone(), authority.clone());
                let (seen, change) = (seen.clone(), change.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let answer = service_fn(|request: Request<Incoming>| async {
                        let answer = answer(request, &authority, &seen, &*change).await;
                        Ok::<_, Infallible>(answer.map(Full::new))
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    // It ends in the middle where the proxy gives up.
                    let _ = connection
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Front {
            address,
            asked,
            accepting,
        }
    }

    /// The URL of the directory.
    pub(super) fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// What was asked under paths that begin so, the first one first.
    pub(super) fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        let under = asked.iter().filter(|asked| asked.path.starts_with(path));
        under.cloned().collect()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Says what is wrong, as authorities do (RFC 8555 §6.7).
pub(super) fn problem(status: u16, kind: &str, detail: &str) -> Response<Bytes> {
    let body = json!({
        "type": format!("urn:ietf:params:acme:error:{kind}"),
        "detail": detail,
        "status": status,
    });
    Response::builder()
        .status(status)
        .header("content-type", "application/problem+json")
        .body(body.to_string().into())
        .unwrap()
}

/// Changes an answer that is JSON.
pub(super) fn after_json(change: impl FnOnce(&mut Value) + Send + 'static) -> Change {
    Change::After(Box::new(|response| {
        let mut body = serde_json::from_slice(response.body()).unwrap();
        change(&mut body);
        *response.body_mut() = body.to_string().into();
    }))
}

async fn answer(
    request: Request<Incoming>,
    authority: &Authority,
    seen: &Mutex<Vec<Asked>>,
    change: &(impl Fn(&Asked) -> Change + Sync),
) -> Response<Bytes> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return status(StatusCode::BAD_REQUEST);
    };
    let asked = Asked {
        path: parts.uri.path().to_owned(),
        host: parts.headers["host"].to_str().unwrap().to_owned(),
        payload: payload(&body).unwrap_or_default(),
    };
    let change = change(&asked);
    seen.lock().unwrap().push(asked);
    let after = match change {
        Change::Pass => None,
        Change::After(after) => Some(after),
        Change::Instead(response) => return response,
        Change::Silence => std::future::pending().await,
    };
    // Under the name that the client used, so that the authority's own URLs lead here too.
    let request = Request::from_parts(parts, Full::new(body));
    let Some(mut response) = authority.ask(request).await else {
        return status(StatusCode::BAD_GATEWAY);
    };
    if let Some(after) = after {
        after(&mut response);
    }
    let length = HeaderValue::from(response.body().len());
    if response.headers().contains_key("content-length") {
        response.headers_mut().insert("content-length", length);
    }
    response
}

fn payload(body: &[u8]) -> Option<Value> {
    let signed: Value = serde_json::from_slice(body).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(signed["payload"].as_str()?).ok()?;
    serde_json::from_slice(&payload).ok()
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

impl Authority {
    /// `None` where it is down.
    async fn ask(&self, request: Request<Full<Bytes>>) -> Option<Response<Bytes>> {
        let stream = TcpStream::connect(&self.address).await.ok()?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = self.connector.connect(name, stream).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .ok()?;
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Response::from_parts(parts, body))
    }
}

fn acceptor(issued: &Issued) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(issued.chain(), issued.private_key())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn connector(ca: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let ca = Issued {
        cert: ca.to_owned(),
        key: String::new(),
    };
    roots.add(ca.der()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
