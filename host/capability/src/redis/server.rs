//! A Redis server of a test's own, on a Unix socket in a folder of its own.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{Address, Connection, Settings};

/// How long a test waits for what has to happen; long, because the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    folder: TempDir,
    process: Child,
}

impl Server {
    /// Starts one. `None`, with a message, where `redis-server` is not installed.
    pub(crate) async fn start() -> Option<Server> {
        let folder = tempfile::tempdir().unwrap();
        match spawn(&folder) {
            Ok(process) => {
                let server = Server { folder, process };
                server.ready().await;
                Some(server)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                println!("redis-server is not installed: not tested");
                None
            }
            Err(error) => panic!("cannot start redis-server: {error}"),
        }
    }

    pub(crate) async fn stop(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Starts it again, empty.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(&self.folder).unwrap();
        self.ready().await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.process.id().and_then(|id| Pid::from_raw(id as i32));
        kill_process(id.unwrap(), signal).unwrap();
    }

    pub(crate) fn address(&self) -> Address {
        Address::Unix(self.folder.path().join("redis.sock"))
    }

    /// A connection that waits for as long as a busy machine may take.
    pub(crate) fn connect(&self) -> Connection {
        self.connect_within(DEADLINE)
    }

    pub(crate) fn connect_within(&self, timeout: Duration) -> Connection {
        let settings = Settings {
            timeout,
            ..settings(self.address())
        };
        Connection::new("test", &settings)
    }

    async fn ready(&self) {
        let socket = self.folder.path().join("redis.sock");
        let connects = async || UnixStream::connect(&socket).await.ok();
        until("redis-server listens", connects).await;
    }
}

fn spawn(folder: &TempDir) -> io::Result<Child> {
    Command::new("redis-server")
        .args(["--port", "0", "--unixsocket", "redis.sock"])
        .args(["--save", "", "--appendonly", "no"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// Settings with nothing but an address.
pub(crate) fn settings(address: Address) -> Settings {
    Settings {
        address,
        username: None,
        password: None,
        database: 0,
        timeout: DEADLINE,
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < give_up, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
