//! A Redis server of a test's own, on a Unix socket in a folder of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::UnixStream;

use super::{tool, until};

/// A running server, which is killed when it is dropped.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    folder: TempDir,
    process: Child,
}

impl Redis {
    /// Starts one and waits until it listens. `None`, with a line that says so, where `redis-server` is
    /// not installed.
    pub async fn start() -> Option<Redis> {
        let program = tool("redis-server")?;
        let folder = TempDir::new().unwrap();
        let process = spawn(&program, &folder, None);
        let redis = Redis {
            program,
            folder,
            process,
        };
        redis.listens().await;
        Some(redis)
    }

    /// Where it is, as `[redis.NAME]` has it.
    pub fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, empty.
    pub async fn restart(&mut self) {
        self.process = spawn(&self.program, &self.folder, None);
        self.listens().await;
    }

    /// Kills it and starts it again, empty and with this password.
    pub async fn restart_with_password(&mut self, password: &str) {
        self.stop();
        self.process = spawn(&self.program, &self.folder, Some(password));
        self.listens().await;
    }

    /// Sends it a signal, such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        let kill = Command::new("kill")
            .args([signal, &self.process.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    async fn listens(&self) {
        until("redis-server to listen", async || {
            UnixStream::connect(self.socket()).await.ok()
        })
        .await;
    }
}

fn spawn(program: &PathBuf, folder: &TempDir, password: Option<&str>) -> Child {
    let password = password.map(|password| ["--requirepass", password]);
    Command::new(program)
        .args(["--port", "0", "--unixsocket", "redis.sock"])
        .args(password.iter().flatten())
        .args(["--save", "", "--appendonly", "no"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
