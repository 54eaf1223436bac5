//! A client that speaks HTTP as it should be: one connection, HTTP/1.1 or HTTP/2.

use http::{Uri, header};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{Body, Request, Response, get, soon};

/// One connection. HTTP/2 clients can be cloned to have several requests on it.
#[derive(Debug)]
pub struct Client(Protocol);

#[derive(Debug)]
enum Protocol {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

impl Client {
    /// HTTP/1.1 to `127.0.0.1:80` or `unix:/path`.
    pub async fn h1(address: &str) -> Client {
        match address.strip_prefix("unix:") {
            Some(path) => Client::h1_on(UnixStream::connect(path).await.unwrap()).await,
            None => Client::h1_on(TcpStream::connect(address).await.unwrap()).await,
        }
    }

    /// HTTP/2 with prior knowledge to `127.0.0.1:80`.
    pub async fn h2(address: &str) -> Client {
        Client::h2_on(TcpStream::connect(address).await.unwrap()).await
    }

    /// HTTP/2 on a connection.
    pub async fn h2_on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Client {
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Client(Protocol::H2(sender))
    }

    /// HTTP/1.1 on a connection.
    pub async fn h1_on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Client {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Client(Protocol::H1(sender))
    }

    /// A second handle on an HTTP/2 connection.
    pub fn another(&self) -> Client {
        match &self.0 {
            Protocol::H2(sender) => Client(Protocol::H2(sender.clone())),
            Protocol::H1(_) => panic!("HTTP/1.1 has one request at a time"),
        }
    }

    /// Sends a request and waits for the whole response.
    pub async fn send(&mut self, request: Request) -> Response {
        self.try_send(request)
            .await
            .unwrap_or_else(|error| panic!("the exchange failed: {error:?}"))
    }

    /// As [`Client::send`], where the exchange may fail.
    pub async fn try_send(&mut self, request: Request) -> hyper::Result<Response> {
        let line = format!("the response to {} {}", request.method(), request.uri());
        soon(&line, self.exchange(request)).await
    }

    /// `GET`.
    pub async fn get(&mut self, path: &str) -> Response {
        self.send(get(path)).await
    }

    /// Whether the other side has closed the connection.
    pub fn is_closed(&self) -> bool {
        match &self.0 {
            Protocol::H1(sender) => sender.is_closed(),
            Protocol::H2(sender) => sender.is_closed(),
        }
    }

    async fn exchange(&mut self, request: Request) -> hyper::Result<Response> {
        let response = match &mut self.0 {
            Protocol::H1(sender) => {
                sender.ready().await?;
                sender.send_request(with_host(request)).await?
            }
            Protocol::H2(sender) => {
                sender.ready().await?;
                sender.send_request(with_authority(request)).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        Ok(Response {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
        })
    }
}

/// The `Host` of requests that have none.
const HOST: &str = "test.example";

fn with_host(mut request: Request) -> Request {
    let host = header::HeaderValue::from_static(HOST);
    request.headers_mut().entry(header::HOST).or_insert(host);
    request
}

/// HTTP/2 has the host in the URI.
fn with_authority(mut request: Request) -> Request {
    let host = request.headers_mut().remove(header::HOST);
    let host = host.as_ref().map_or(HOST, |host| host.to_str().unwrap());
    let uri = format!("http://{host}{}", request.uri());
    *request.uri_mut() = uri.parse::<Uri>().unwrap();
    request
}
