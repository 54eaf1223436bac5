//! Bodies that are too large for any memory: what is in flight is bounded, and a side that does not read
//! stops the other from sending.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Origin, Proxy, get, post, soon, until};

use super::support::{memory, peer, route_through, start};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// How much more memory the proxy may use for a body of any size.
const GROWTH: u64 = 16 * MIB;

/// What two sockets and the proxy between them may hold; the system's buffers are most of it.
const IN_FLIGHT: u64 = 48 * MIB;

/// For a gibibyte, on a machine that is busy.
const LONG: Duration = Duration::from_secs(300);

/// A proxy that puts bodies in upper case, whatever their size.
async fn shouting(origin: &Origin) -> Proxy {
    let watch = "{ mode = \"streaming\", action = \"upper\" }";
    let plugins =
        format!("[{{ use = \"body\", config = {{ request = {watch}, response = {watch} }} }}]");
    let config = route_through(&plugins, &peer(origin));
    start(&["body"], &format!("[limits]\nbody_bytes = 0\n{config}")).await
}

/// An origin that answers `/NUMBER` with so many bytes, and counts what it could send.
async fn source() -> (Origin, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let origin = Origin::raw(move |mut stream| {
        let sent = counter.clone();
        async move {
            let (head, _) = read_head(&mut stream).await;
            let target = head.split(' ').nth(1).unwrap();
            let bytes = target.trim_start_matches('/').parse().unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            send(&mut stream, bytes, &sent).await;
        }
    })
    .await;
    (origin, sent)
}

/// An origin that answers a body in chunks with how many `X` it had.
async fn sink() -> Origin {
    Origin::raw(async |mut stream| {
        let (_, mut tail) = read_head(&mut stream).await;
        let is_x = |byte: &&u8| **byte == b'X';
        let mut count = tail.iter().filter(is_x).count();
        let mut buffer = vec![0; 1 << 16];
        while !tail.ends_with(b"\r\n0\r\n\r\n") {
            let Ok(read @ 1..) = stream.read(&mut buffer).await else {
                return;
            };
            count += buffer[..read].iter().filter(is_x).count();
            tail.drain(..tail.len().saturating_sub(7));
            tail.extend_from_slice(&buffer[read.saturating_sub(7)..read]);
        }
        let count = count.to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", count.len());
        let _ = stream.write_all((head + &count).as_bytes()).await;
    })
    .await
}

/// Reads the head of a message; gives it, and what came after it.
async fn read_head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut came = Vec::new();
    loop {
        if let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = came.split_off(end + 4);
            return (String::from_utf8(came).unwrap(), rest);
        }
        let read = stream.read_buf(&mut came).await.unwrap();
        assert!(read > 0, "no head in {:?}", String::from_utf8_lossy(&came));
    }
}

/// Sends so many bytes, unless the other side closes; counts them.
async fn send(stream: &mut TcpStream, bytes: u64, sent: &AtomicU64) {
    let piece = vec![b'x'; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        let most = piece.len().min(usize::try_from(left).unwrap());
        let Ok(written) = stream.write(&piece[..most]).await else {
            return;
        };
        sent.fetch_add(written as u64, Ordering::SeqCst);
        left -= written as u64;
    }
}

/// Reads so many bytes, of which each is an `X`.
async fn discard(stream: &mut TcpStream, bytes: u64) {
    let mut buffer = vec![0; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap());
        let read = stream.read(&mut buffer[..most]).await.unwrap();
        assert!(read > 0, "{left} bytes are missing");
        assert!(buffer[..read].iter().all(|&byte| byte == b'X'));
        left -= read as u64;
    }
}

/// Does this, and gives the most memory that the proxy used meanwhile.
async fn peak_during(proxy: &Proxy, work: impl Future<Output = ()>) -> u64 {
    let mut peak = 0;
    let mut work = std::pin::pin!(work);
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let done = tokio::time::timeout(LONG, async {
        loop {
            tokio::select! {
                () = &mut work => return,
                _ = look.tick() => peak = peak.max(memory(proxy)),
            }
        }
    });
    done.await.expect("the whole body, in time");
    peak.max(memory(proxy))
}

/// Waits until a number that only grows has stopped: the proxy answers others again and again meanwhile.
async fn has_stopped(number: &AtomicU64, proxy: &Proxy) -> u64 {
    let (mut last, mut rounds) = (0, 0);
    until("a sender that has to wait", async || {
        proxy.admin("/metrics").await;
        let now = number.load(Ordering::SeqCst);
        rounds = if now == last { rounds + 1 } else { 0 };
        last = now;
        (now > 0 && rounds == 40).then_some(now)
    })
    .await
}

#[tokio::test]
async fn a_download_of_a_gibibyte_needs_no_memory() {
    let (origin, _) = source().await;
    let proxy = shouting(&origin).await;
    assert_eq!(proxy.send(get("/1048576")).await.body.len() as u64, MIB);
    let before = memory(&proxy);
    let peak = peak_during(&proxy, async {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let request = format!("GET /{GIB} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (_, early) = read_head(&mut stream).await;
        discard(&mut stream, GIB - early.len() as u64).await;
    })
    .await;
    assert!(peak < before + GROWTH, "from {before} to {peak} bytes");
}

#[tokio::test]
async fn an_upload_of_a_gibibyte_needs_no_memory() {
    let origin = sink().await;
    let proxy = shouting(&origin).await;
    let small = vec![b'x'; 1 << 20];
    assert_eq!(proxy.send(post("/", small)).await.text(), "1048576");
    let before = memory(&proxy);
    let peak = peak_during(&proxy, async {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let head = format!("POST / HTTP/1.0\r\ncontent-length: {GIB}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        send(&mut stream, GIB, &AtomicU64::new(0)).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with(&format!("\r\n\r\n{GIB}")), "{answer}");
    })
    .await;
    assert!(peak < before + GROWTH, "from {before} to {peak} bytes");
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_origin() {
    let (origin, sent) = source().await;
    let proxy = shouting(&origin).await;
    let before = memory(&proxy);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let request = format!("GET /{GIB} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let stopped = has_stopped(&sent, &proxy).await;
    assert!(stopped < IN_FLIGHT, "{stopped} bytes in flight");
    assert!(memory(&proxy) < before + GROWTH);
    // It only waited: who reads on gets more.
    soon(
        "what comes next",
        discard_head_and(&mut stream, stopped + IN_FLIGHT),
    )
    .await;
    assert!(sent.load(Ordering::SeqCst) > stopped);
    drop(stream);
    origin.is_left().await;
}

#[tokio::test]
async fn an_origin_that_does_not_read_stops_the_client() {
    let origin = Origin::raw(async |mut stream| {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = shouting(&origin).await;
    let before = memory(&proxy);
    let sent = Arc::new(AtomicU64::new(0));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {GIB}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let counter = sent.clone();
    let sending = tokio::spawn(async move { send(&mut stream, GIB, &counter).await });
    let stopped = has_stopped(&sent, &proxy).await;
    assert!(stopped < IN_FLIGHT, "{stopped} bytes in flight");
    assert!(memory(&proxy) < before + GROWTH);
    sending.abort();
}

async fn discard_head_and(stream: &mut TcpStream, bytes: u64) {
    let (_, early) = read_head(stream).await;
    discard(stream, bytes - early.len() as u64).await;
}
