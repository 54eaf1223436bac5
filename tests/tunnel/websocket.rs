//! WebSockets between programs of others: Python's `websockets` at both ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Authority, Proxy, python, repository, route_to_peers, run, soon, until};

fn script(name: &str) -> PathBuf {
    repository().join("tests/tunnel/peers").join(name)
}

/// `server.py`, until it is dropped.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    port: String,
}

impl Server {
    /// `None` where there are no WebSockets for Python.
    pub fn start() -> Option<Server> {
        let mut child = Command::new(python("websockets.asyncio.server")?)
            .arg(script("server.py"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let port = lines
            .recv_timeout(std::time::Duration::from_secs(20))
            .unwrap();
        Some(Server { child, lines, port })
    }

    /// Where it is, as `peers` has it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How the next connection ended.
    async fn ended(&self) -> Value {
        let line = until("a connection's end", async || self.lines.try_recv().ok()).await;
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the client against a proxy in front of the server, and sees that both have seen the same.
async fn everything_passes(server: &Server, proxy: &Proxy, ca: Option<&Path>) {
    let mut client = Command::new(python("websockets").unwrap());
    client
        .arg(script("client.py"))
        .arg(proxy.address())
        .args(ca);
    let exit = soon("the client", run(client)).await;
    assert!(exit.status.success(), "{}{}", exit.stdout, exit.stderr);
    assert_eq!(exit.stdout, "echo\nping_from_the_server\nclose_codes\n");
    let mut ended = Vec::new();
    for _ in 0..9 {
        let end = server.ended().await;
        ended.push(format!("{} {} {}", end["path"], end["code"], end["reason"]));
    }
    // Two that follow each other may be noticed in any order.
    ended.sort();
    let wanted = [
        r#""/close/1000" 1000 "as asked""#,
        r#""/close/1001" 1001 "as asked""#,
        r#""/close/4000" 4000 "as asked""#,
        r#""/closed/1000" 1000 "of my own""#,
        r#""/closed/1001" 1001 "of my own""#,
        r#""/closed/4000" 4000 "of my own""#,
        r#""/echo" 1000 """#,
        r#""/echo" 1000 """#,
        r#""/ping" 1000 """#,
    ];
    assert_eq!(ended, wanted);
    proxy
        .metric_becomes(r#"tidegate_tunnels{route="all"}"#, 0.0)
        .await;
}

#[tokio::test]
async fn messages_pings_and_close_codes_pass() {
    let Some(server) = Server::start() else {
        return;
    };
    let route = route_to_peers(&format!("{:?}", server.address()));
    let proxy = Proxy::start(&route).await;
    everything_passes(&server, &proxy, None).await;
}

#[tokio::test]
async fn they_pass_over_tls() {
    let Some(server) = Server::start() else {
        return;
    };
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    authority.issue(&["127.0.0.1"]).write(folder.path(), "own");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
        tls = { certificates = [{ cert = \"own.pem\", key = \"own.key\" }] }\n";
    let route = route_to_peers(&format!("{:?}", server.address()));
    let proxy = Proxy::start_in(folder, &format!("{listener}{route}")).await;
    everything_passes(&server, &proxy, Some(&ca)).await;
}
