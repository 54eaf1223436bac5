//! WebSocket load: each connection sends a message, waits for its echo, and sends the next.

use crate::Outcome;
use crate::http::find;
use crate::summary::Latencies;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

pub fn run(address: SocketAddr, connections: usize, seconds: f64, bytes: usize) -> Outcome {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let clients: Vec<_> = (0..connections)
        .map(|_| thread::spawn(move || client(address, end, bytes)))
        .collect();
    let mut latencies = Latencies::default();
    let mut errors = 0;
    for client in clients {
        let (seen, error) = client.join().map_err(|_| "a client panicked")?;
        latencies.join(seen);
        if let Some(error) = error {
            eprintln!("bench-load: {error}");
            errors += 1;
        }
    }
    let requests = latencies.count();
    let texts = latencies.json("");
    let per_second = requests as f64 / seconds;
    println!(
        "{{\"requests\": {requests}, \"per_second\": {per_second}, \"errors\": {errors}, {texts}}}"
    );
    Ok(())
}

fn client(address: SocketAddr, end: Instant, bytes: usize) -> (Latencies, Option<String>) {
    let mut latencies = Latencies::default();
    let outcome = talk(address, end, bytes, &mut latencies);
    (latencies, outcome.err().map(|error| error.to_string()))
}

fn talk(address: SocketAddr, end: Instant, bytes: usize, latencies: &mut Latencies) -> Outcome {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // The key of RFC 6455's example, whose answer is known without SHA-1.
    write!(
        stream,
        "GET / HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )?;
    let mut head = Vec::new();
    while find(&head, b"\r\n\r\n").is_none() {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        let line = String::from_utf8_lossy(&head);
        return Err(format!("not upgraded: {}", line.lines().next().unwrap_or_default()).into());
    }
    let message = frame(bytes)?;
    // Without the mask's four bytes, and with the payload as it was before it was masked.
    let mut echo = vec![0; message.len() - 4];
    while Instant::now() < end {
        let begin = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut echo)?;
        if echo[0] != 0x82 || !echo.ends_with(&vec![PAYLOAD; bytes]) {
            return Err("the echo is not what was sent".into());
        }
        latencies.add(begin.elapsed());
    }
    Ok(())
}

const PAYLOAD: u8 = b'a';
const MASK: u8 = 0x5a;

/// A binary message from a client, which has to be masked.
fn frame(bytes: usize) -> Result<Vec<u8>, &'static str> {
    if bytes > 125 {
        return Err("messages have at most 125 bytes");
    }
    let mut frame = vec![0x82, 0x80 | bytes as u8, MASK, MASK, MASK, MASK];
    frame.resize(6 + bytes, PAYLOAD ^ MASK);
    Ok(frame)
}
