//! WebSockets between programs of others: Python's `websockets` at both ends.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::harness::{Proxy, repository, route_to_peers, run, soon, tool, until};

/// The interpreter that has the module, or `None` with a line that says so.
fn python() -> Option<PathBuf> {
    let python = tool("python")?;
    let mut import = Command::new(&python);
    import.args(["-c", "import websockets.asyncio.server"]);
    if import.stderr(Stdio::null()).status().unwrap().success() {
        return Some(python);
    }
    eprintln!("skipped: Python has no module `websockets`");
    None
}

fn script(name: &str) -> PathBuf {
    repository().join("tests/tunnel/peers").join(name)
}

/// `server.py`, until it is dropped.
struct Server {
    child: Child,
    lines: Receiver<String>,
    port: String,
}

impl Server {
    fn start(python: &PathBuf) -> Server {
        let mut child = Command::new(python)
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
        Server { child, lines, port }
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

#[tokio::test]
async fn messages_pings_and_close_codes_pass() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    let peer = format!("\"127.0.0.1:{}\"", server.port);
    let proxy = Proxy::start(&route_to_peers(&peer)).await;
    let mut client = Command::new(&python);
    client.arg(script("client.py")).arg(proxy.address());
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
