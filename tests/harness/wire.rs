//! A client that sends bytes as they are, for what no HTTP library would send.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Response, soon};

/// A connection, with what came and was not looked at yet.
#[derive(Debug)]
pub struct Wire {
    stream: Box<dyn Stream>,
    came: Vec<u8>,
}

/// TCP, or TLS on it.
trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for S {}

impl Wire {
    /// Connects.
    pub async fn connect(to: &str) -> Wire {
        Wire::on(TcpStream::connect(to).await.unwrap())
    }

    /// On a connection.
    pub fn on(stream: impl AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static) -> Wire {
        Wire {
            stream: Box::new(stream),
            came: Vec::new(),
        }
    }

    /// Connects from this address of the machine, such as 127.0.0.2.
    pub async fn connect_from(from: IpAddr, to: &str) -> Wire {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        Wire::on(socket.connect(to.parse().unwrap()).await.unwrap())
    }

    /// Sends bytes. Where the other side has closed they are lost, as in life; what came says more.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await;
    }

    /// As [`Wire::send`]; false where the other side has closed.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = async {
            self.stream.write_all(bytes.as_ref()).await?;
            // TLS may have taken what the socket has not.
            self.stream.flush().await
        };
        soon("the proxy to take bytes", sent).await.is_ok()
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next response, to any method but `HEAD`; also 1xx.
    pub async fn response(&mut self) -> Response {
        soon("a response", self.read_response(true)).await
    }

    /// The next response, to `HEAD`.
    pub async fn response_to_head(&mut self) -> Response {
        soon("a response to HEAD", self.read_response(false)).await
    }

    /// What else comes until the other side closes, or resets the connection.
    pub async fn rest(&mut self) -> Bytes {
        soon("the end of the connection", async {
            while self.read_more().await {}
        })
        .await;
        std::mem::take(&mut self.came).into()
    }

    /// What comes until the end of a head, or the end of the connection.
    pub async fn rest_or_first_head(&mut self) -> Bytes {
        soon("a head, or the end of the connection", async {
            let has_head = |came: &[u8]| came.windows(4).any(|end| end == b"\r\n\r\n");
            while !has_head(&self.came) && self.read_more().await {}
        })
        .await;
        std::mem::take(&mut self.came).into()
    }

    /// Waits until something has come.
    pub async fn first_byte(&mut self) {
        soon("the first byte", self.must_read_more()).await;
    }

    /// Whether the other side has closed; reads what is there.
    pub async fn is_closed(&mut self) -> bool {
        // A read that is not ready at once is a connection that is open.
        let read = tokio::time::timeout(Duration::from_millis(1), self.read_more());
        matches!(read.await, Ok(false))
    }

    /// The type of the next HTTP/2 frame (RFC 9113 §4.1), whose payload is read over.
    pub async fn frame(&mut self) -> u8 {
        soon("an HTTP/2 frame", async {
            let head = self.take(9).await;
            let length = head[..3]
                .iter()
                .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            self.take(length).await;
            head[3]
        })
        .await
    }

    async fn read_response(&mut self, with_body: bool) -> Response {
        let mut response = self.read_head().await;
        let bodiless = matches!(response.status, 100..=199 | 204 | 304);
        if !with_body || bodiless {
            return response;
        }
        response.body = match response.headers.get("content-length") {
            Some(length) => {
                let length = length.to_str().unwrap().parse().unwrap();
                self.take(length).await
            }
            None if response.headers.contains_key("transfer-encoding") => self.read_chunks().await,
            None => {
                while self.read_more().await {}
                std::mem::take(&mut self.came).into()
            }
        };
        response
    }

    async fn read_head(&mut self) -> Response {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 100];
            let mut head = httparse::Response::new(&mut fields);
            let parsed = head.parse(&self.came);
            match parsed.unwrap_or_else(|error| panic!("{error} in {:?}", self.shown())) {
                httparse::Status::Complete(length) => {
                    let response = response(&head);
                    self.came.drain(..length);
                    return response;
                }
                httparse::Status::Partial => self.must_read_more().await,
            }
        }
    }

    async fn read_chunks(&mut self) -> Bytes {
        let mut body = Vec::new();
        loop {
            let line = self.take_line().await;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).unwrap();
            body.extend(self.take(size).await);
            self.take_line().await;
            if size == 0 {
                return body.into();
            }
        }
    }

    async fn take_line(&mut self) -> String {
        loop {
            if let Some(end) = self.came.iter().position(|&byte| byte == b'\n') {
                return String::from_utf8(self.take(end + 1).await.to_vec()).unwrap();
            }
            self.must_read_more().await;
        }
    }

    async fn take(&mut self, length: usize) -> Bytes {
        while self.came.len() < length {
            self.must_read_more().await;
        }
        self.came.drain(..length).collect()
    }

    /// So many bytes, or `None` where the connection ends before them.
    pub(super) async fn take_or_end(&mut self, length: usize) -> Option<Bytes> {
        while self.came.len() < length {
            if !self.read_more().await {
                return None;
            }
        }
        Some(self.came.drain(..length).collect())
    }

    async fn must_read_more(&mut self) {
        if !self.read_more().await {
            panic!("the connection ended in the middle of {:?}", self.shown());
        }
    }

    /// False at the end.
    async fn read_more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.came).await, Ok(1..))
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.came).into_owned()
    }
}

fn response(head: &httparse::Response<'_, '_>) -> Response {
    let fields = head.headers.iter().map(|field| {
        let name: HeaderName = field.name.parse().unwrap();
        (name, HeaderValue::from_bytes(field.value).unwrap())
    });
    Response {
        status: head.code.unwrap(),
        version: match head.version {
            Some(0) => Version::HTTP_10,
            _ => Version::HTTP_11,
        },
        headers: HeaderMap::from_iter(fields),
        body: Bytes::new(),
        trailers: HeaderMap::new(),
    }
}
