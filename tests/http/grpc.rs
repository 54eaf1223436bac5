//! gRPC, between a client and a server of the gRPC project: all kinds of calls, statuses in trailers,
//! deadlines and cancellation.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::{Proxy, python, repository, run, upstream};

/// What the client says when every call behaved.
const ALL: [&str; 11] = [
    "unary",
    "empty_and_large",
    "many_at_once",
    "server_stream",
    "client_stream",
    "bidi",
    "trailers_only",
    "status_after_messages",
    "unknown_method",
    "cancellation",
    "deadline",
];

/// A server of the gRPC project, until it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// `None` where there is no gRPC for Python.
    fn start(arguments: &[PathBuf]) -> Option<Server> {
        let mut child = Command::new(python("grpc")?)
            .arg(script("server.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening ").unwrap().to_owned();
        Some(Server { child, address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(name: &str) -> PathBuf {
    repository().join("tests/http/grpc").join(name)
}

/// Runs the client against the proxy.
async fn every_call_behaves(proxy: &Proxy) {
    let mut client = Command::new(python("grpc").unwrap());
    client.arg(script("client.py")).arg(proxy.address());
    let exit = run(client).await;
    let passed: Vec<&str> = exit
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("ok "))
        .collect();
    assert_eq!(passed, ALL, "{}", exit.stderr);
}

#[tokio::test]
async fn calls_of_every_kind_pass() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let config = upstream(&format!(
        "peers = [\"{}\"]\nprotocol = \"http2\"",
        server.address
    ));
    let proxy = Proxy::start(&config).await;
    every_call_behaves(&proxy).await;
}
