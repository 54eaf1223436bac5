//! Built for WASI: does with files and sockets what the field `x-call` describes in JSON, and answers with
//! what came of it: 200 and the value, or 400 and the kind of the error.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Io {}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    Read(String),
    List(String),
    Write {
        file: String,
        text: String,
    },
    Remove(String),
    MakeFolder(String),
    /// Connects, sends a line, and answers with what comes back.
    Connect(String),
    Listen(String),
    Datagram(String),
}

#[plugin]
impl Plugin for Io {
    fn on_request(&self, request: &mut Request) -> Action {
        let Some(call) = request.header("x-call") else {
            return Action::Proceed;
        };
        let answer = match serde_json::from_slice(call.as_bytes()) {
            Ok(call) => make(call).map_err(|error| error.kind().to_string()),
            Err(error) => Err(error.to_string()),
        };
        let (status, text) = match answer {
            Ok(text) => (200, text),
            Err(text) => (400, text),
        };
        request.respond(Reply::new(status).text(text))
    }
}

fn make(call: Call) -> io::Result<String> {
    match call {
        Call::Read(file) => std::fs::read_to_string(file),
        Call::List(folder) => {
            let entries = std::fs::read_dir(folder)?;
            let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            let mut names = names.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            Ok(names.join(" "))
        }
        Call::Write { file, text } => std::fs::write(file, text).map(|()| "written".to_owned()),
        Call::Remove(file) => std::fs::remove_file(file).map(|()| "removed".to_owned()),
        Call::MakeFolder(path) => std::fs::create_dir(path).map(|()| "made".to_owned()),
        Call::Connect(address) => {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"hello\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        }
        Call::Listen(address) => TcpListener::bind(address).map(|_| "bound".to_owned()),
        Call::Datagram(address) => UdpSocket::bind(address).map(|_| "bound".to_owned()),
    }
}
