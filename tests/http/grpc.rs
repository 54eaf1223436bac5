//! gRPC, between a client and a server of the gRPC project: all kinds of calls, statuses in trailers,
//! deadlines and cancellation.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{
    Authority, Proxy, Request, post, python, repository, run, upstream, with_header,
};

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
async fn every_call_behaves(proxy: &Proxy, ca: Option<&Path>) {
    let mut client = Command::new(python("grpc").unwrap());
    client
        .arg(script("client.py"))
        .arg(proxy.address())
        .args(ca);
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
    every_call_behaves(&proxy, None).await;
}

/// The proxy between TLS on both sides.
#[tokio::test]
async fn calls_of_every_kind_pass_over_tls() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    authority.issue(&["127.0.0.1"]).write(folder.path(), "own");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    let files = ["own.pem", "own.key"].map(|name| folder.path().join(name));
    let Some(server) = Server::start(&files) else {
        return;
    };
    let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
        tls = { certificates = [{ cert = \"own.pem\", key = \"own.key\" }] }\n";
    let upstream = upstream(&format!(
        "peers = [\"{}\"]\nprotocol = \"http2\"\ntls = {{ ca = \"ca.pem\" }}",
        server.address
    ));
    let proxy = Proxy::start_in(folder, &format!("{listener}{upstream}")).await;
    every_call_behaves(&proxy, Some(&ca)).await;
}

/// The body of a message, or of the trailers of gRPC-Web.
fn piece(mark: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[mark][..], &length, content].concat()
}

fn web(method: &str, kind: &str, message: &[u8]) -> Request {
    let request = post(&format!("/test.Echo/{method}"), piece(0, message));
    with_header(
        with_header(request, "content-type", kind),
        "x-grpc-web",
        "1",
    )
}

#[tokio::test]
async fn browsers_call_by_grpc_web() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let config = format!(
        "[[route]]\nupstream = \"app\"\ngrpc_web = true\n\
         [upstream.app]\npeers = [\"{}\"]\nprotocol = \"http2\"",
        server.address
    );
    let proxy = Proxy::start(&config).await;
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        let request = web("Unary", "application/grpc-web+proto", b"hello");
        let response = client.send(request).await;
        assert_eq!(response.status, 200);
        let kind = response.header("content-type");
        assert!(kind.starts_with("application/grpc-web"), "{kind}");
        let rest = response.body.strip_prefix(&piece(0, b"hello")[..]).unwrap();
        assert_eq!(rest[0], 0x80, "the trailers are a marked piece");
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap());
        assert_eq!(rest.len() - 5, length as usize);
        let trailers = String::from_utf8(rest[5..].to_vec()).unwrap();
        assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
        assert!(response.trailers.is_empty());
        // A refusal without a message has its status in the head.
        let response = client
            .send(web("Refuse", "application/grpc-web", b""))
            .await;
        assert_eq!(response.header("grpc-status"), "9");
        // The text form is not spoken.
        let request = web("Unary", "application/grpc-web-text", b"hello");
        assert_eq!(proxy.send(request).await.status, 415);
    }
}
