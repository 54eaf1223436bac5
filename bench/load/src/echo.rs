//! A WebSocket server that sends every message back. It takes what `ws` sends: whole messages of at most
//! 125 bytes.

use crate::Outcome;
use crate::http::find;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

pub fn run(address: &str) -> Outcome {
    for stream in TcpListener::bind(address)?.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            // A client that goes away ends its connection, and nothing else.
            let _ = echo(stream);
        });
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> Outcome {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    let mut data = [0; 4096];
    while find(&head, b"\r\n\r\n").is_none() {
        let length = stream.read(&mut data)?;
        if length == 0 {
            return Ok(());
        }
        head.extend_from_slice(&data[..length]);
    }
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
          sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )?;
    loop {
        let mut message = [0; 6 + 125];
        stream.read_exact(&mut message[..6])?;
        let length = usize::from(message[1] & 0x7f);
        let Some(payload) = message.get_mut(6..6 + length) else {
            return Err("a message that is too long".into());
        };
        stream.read_exact(payload)?;
        let mask = [message[2], message[3], message[4], message[5]];
        let mut answer = vec![message[0], message[1] & 0x7f];
        let payload = &message[6..6 + length];
        answer.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        stream.write_all(&answer)?;
    }
}
