//! Built for WASI: writes to its standard output and error, and answers with what it could find out about
//! the machine and reach from it. With the field `x-wasi` it takes its time instead, or all time.

#![forbid(unsafe_code)]

use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Wasi {}

#[plugin]
impl Plugin for Wasi {
    fn on_request(&self, request: &mut Request) -> Action {
        match request.header("x-wasi") {
            None => report(request),
            Some(what) if what == "spin" => loop {
                std::hint::black_box(());
            },
            Some(what) if what == "trap" => panic!("as asked"),
            Some(milliseconds) => {
                let time = milliseconds.text().parse().unwrap_or_default();
                std::thread::sleep(Duration::from_millis(time));
                request.respond(Reply::new(200).text("slept"))
            }
        }
    }
}

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what this guest is for"
)]
fn report(request: &mut Request) -> Action {
    println!("a line on standard output");
    eprintln!("a line on standard error");
    let origin = request.header("x-origin").unwrap_or(Vec::new().into());
    let found = [
        ("environment", std::env::vars_os().count() > 0),
        ("arguments", std::env::args_os().count() > 0),
        ("folder", std::fs::read_dir("/").is_ok()),
        ("file", std::fs::read("/etc/hostname").is_ok()),
        ("write", std::fs::write("/tmp/x", "x").is_ok()),
        ("connect", TcpStream::connect(&*origin.text()).is_ok()),
        ("listen", TcpListener::bind("127.0.0.1:0").is_ok()),
        ("datagram", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("name", ("localhost", 80).to_socket_addrs().is_ok()),
        ("clock", SystemTime::UNIX_EPOCH.elapsed().is_ok()),
        ("timer", Instant::now().elapsed().as_secs() < 1),
    ];
    let found = found.iter().filter(|(_, found)| *found);
    let names: Vec<&str> = found.map(|(name, _)| *name).collect();
    request.respond(Reply::new(200).text(names.join(" ")))
}
