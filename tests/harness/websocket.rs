//! Both ends of a tunnel: a client that asks for an upgrade, and an origin that agrees. What they say to each
//! other afterwards are bytes; WebSocket peers that know frames are in `tests/tunnel/peers`.

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Origin, soon};

/// The fields with which a client asks for a WebSocket.
pub const ASKS: &str = "host: test.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A connection that has left HTTP, or did not.
#[derive(Debug)]
pub struct Tunnel {
    pub stream: TcpStream,
    /// The response's head.
    pub head: String,
    /// What came after it, and was not read yet.
    came: Vec<u8>,
}

impl Tunnel {
    /// Asks for a WebSocket at `/ws`, and waits for the answer.
    pub async fn open(proxy: &str) -> Tunnel {
        Tunnel::ask(proxy, &format!("GET /ws HTTP/1.1\r\n{ASKS}\r\n")).await
    }

    /// Sends these bytes at once, and waits for the head that answers them.
    pub async fn ask(proxy: &str, bytes: impl AsRef<[u8]>) -> Tunnel {
        let tunnel = Tunnel::try_ask(proxy, bytes.as_ref()).await;
        tunnel.unwrap_or_else(|error| panic!("no answer to {:?}: {error}", bytes.as_ref()))
    }

    /// As [`Tunnel::ask`], where the connection may fail.
    pub async fn try_ask(proxy: &str, bytes: &[u8]) -> io::Result<Tunnel> {
        soon("an answer", async {
            let mut stream = TcpStream::connect(proxy).await?;
            stream.set_nodelay(true)?;
            stream.write_all(bytes).await?;
            let (head, came) = read_head(&mut stream).await?;
            Ok(Tunnel { stream, head, came })
        })
        .await
    }

    /// The status that it was answered with.
    pub fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref());
        soon("bytes to be taken", sent).await.unwrap();
    }

    /// The next so many bytes.
    pub async fn receive(&mut self, count: usize) -> String {
        let received = self.try_receive(count).await;
        String::from_utf8(received.unwrap()).unwrap()
    }

    /// As [`Tunnel::receive`], where the connection may end before.
    pub async fn try_receive(&mut self, count: usize) -> io::Result<Vec<u8>> {
        soon(&format!("{count} bytes"), async {
            while self.came.len() < count {
                if self.stream.read_buf(&mut self.came).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(self.came.drain(..count).collect())
        })
        .await
    }

    /// Sends something that an echo gives back, and waits for it.
    pub async fn echoes(&mut self, text: &str) {
        self.send(text).await;
        assert_eq!(self.receive(text.len()).await, text);
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// What comes until the other side ends.
    pub async fn rest(&mut self) -> io::Result<String> {
        soon("the end", async {
            while self.stream.read_buf(&mut self.came).await? > 0 {}
            let rest = std::mem::take(&mut self.came);
            Ok(String::from_utf8(rest).unwrap())
        })
        .await
    }
}

/// An origin that answers every request with 101, then hands the connection and the request's head to this
/// function.
pub async fn switching<F>(
    speak: impl Fn(TcpStream, String) -> F + Clone + Send + Sync + 'static,
) -> Origin
where
    F: Future<Output = ()> + Send + 'static,
{
    Origin::raw(move |mut stream| {
        let speak = speak.clone();
        async move {
            // Else what goes in two pieces waits for the acknowledgement of the first.
            let _ = stream.set_nodelay(true);
            if let Ok((head, _)) = read_head(&mut stream).await
                && stream.write_all(switched(&head).as_bytes()).await.is_ok()
            {
                speak(stream, head).await;
            }
        }
    })
    .await
}

/// An origin that gives back what comes through the tunnel.
pub async fn echoing() -> Origin {
    switching(|stream, _| echo(stream)).await
}

/// Gives back what comes, until it ends.
pub async fn echo(stream: impl AsyncRead + AsyncWrite) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

/// The head of a 101 to a request with this head (RFC 6455 §4.2.2).
pub fn switched(head: &str) -> String {
    let accept = field(head, "sec-websocket-key").map(|key| {
        let all = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, all.as_bytes()))
    });
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {}\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        field(head, "upgrade").unwrap_or_default(),
        accept.unwrap_or_default()
    )
}

/// The first field of this name.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A head with its last empty line, and what was read after it.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(String, Vec<u8>)> {
    let mut came = Vec::new();
    loop {
        if let Some(end) = came.windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = came.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&came).into_owned(), rest));
        }
        if stream.read_buf(&mut came).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
