//! An origin whose capacity is known: it works on so many requests at once, each takes so long, and
//! the others wait in the order in which they came.

use crate::Outcome;
use crate::http::find;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ndone\n";
/// There is a thread for each connection, and it does little.
const STACK: usize = 64 * 1024;

pub fn run(address: &str, slots: usize, milliseconds: u64) -> Outcome {
    let desk = Arc::new(Desk {
        work: Duration::from_millis(milliseconds),
        free: Mutex::new(vec![Instant::now(); slots]),
    });
    for stream in TcpListener::bind(address)?.incoming() {
        let (stream, desk) = (stream?, desk.clone());
        thread::Builder::new().stack_size(STACK).spawn(move || {
            // A client that goes away ends its connection, and nothing else.
            let _ = serve(stream, &desk);
        })?;
    }
    Ok(())
}

struct Desk {
    work: Duration,
    /// When each slot has done all that it was given.
    free: Mutex<Vec<Instant>>,
}

impl Desk {
    /// When a request that comes now will be done.
    fn admit(&self) -> Option<Instant> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let first = free.iter_mut().min()?;
        *first = (*first).max(Instant::now()) + self.work;
        Some(*first)
    }
}

fn serve(mut stream: TcpStream, desk: &Desk) -> Outcome {
    stream.set_nodelay(true)?;
    let (mut head, mut data) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut data)?;
        if length == 0 {
            return Ok(());
        }
        head.extend_from_slice(&data[..length]);
        while let Some(end) = find(&head, b"\r\n\r\n") {
            head.drain(..end + 4);
            let done = desk.admit().ok_or("an origin without slots")?;
            thread::sleep(done.saturating_duration_since(Instant::now()));
            stream.write_all(ANSWER)?;
        }
    }
}
