//! The proxy under test: the real program, with a configuration of the test's.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::log::{Line, Lines};
use super::metrics;
use super::program;
use super::wait::{DEADLINE, until_within};
use super::{Client, Frames, Request, Response, TlsClient, Wire, get, until};

/// A running proxy, which is killed when it is dropped. A test that fails shows what it wrote.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    /// Where it logs.
    stderr: Lines,
    /// The access log.
    stdout: Lines,
    folder: TempDir,
    config: PathBuf,
    /// Of the first listener.
    address: String,
    admin: String,
    /// What clients of the first listener speak TLS with.
    tls: Option<TlsClient>,
}

impl Proxy {
    /// Starts a proxy and waits until it is ready. The configuration gets a log as JSON, an address for
    /// operators and a listener `web` on a free port, unless it has its own.
    pub async fn start(config: &str) -> Proxy {
        Proxy::start_in(TempDir::new().unwrap(), config).await
    }

    /// As [`Proxy::start`], with the configuration in this folder.
    pub async fn start_in(folder: TempDir, config: &str) -> Proxy {
        Proxy::start_with_environment(folder, config, &[]).await
    }

    /// As [`Proxy::start_in`], with variables of the environment.
    pub async fn start_with_environment(
        folder: TempDir,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Proxy {
        let mut command = program::command();
        command.envs(environment.iter().copied());
        Proxy::start_by(command, folder, config).await
    }

    /// As [`Proxy::start_in`], by this command, which takes the arguments of the program and becomes it.
    pub async fn start_by(command: Command, folder: TempDir, config: &str) -> Proxy {
        Proxy::start_within(DEADLINE, command, folder, config).await
    }

    /// As [`Proxy::start_by`], by a command that may take so long.
    pub async fn start_within(
        time: Duration,
        mut command: Command,
        folder: TempDir,
        config: &str,
    ) -> Proxy {
        let path = folder.path().join("tidegate.toml");
        std::fs::create_dir_all(folder.path().join("plugins")).unwrap();
        std::fs::write(&path, completed(config)).unwrap();
        let mut child = command
            .args(["run", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut proxy = Proxy {
            stderr: Lines::gather(child.stderr.take().unwrap()),
            stdout: Lines::gather(child.stdout.take().unwrap()),
            child,
            config: path,
            folder,
            address: String::new(),
            admin: String::new(),
            tls: None,
        };
        proxy.becomes_ready(time).await;
        proxy
    }

    /// The same; its clients speak TLS from now on.
    pub fn with_tls(mut self, client: TlsClient) -> Proxy {
        self.tls = Some(client);
        self
    }

    /// What its clients speak TLS with ([`Proxy::with_tls`]).
    pub fn tls(&self) -> &TlsClient {
        self.tls.as_ref().unwrap()
    }

    /// Where the first listener is: `127.0.0.1:80` or `unix:/path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The address for operators; empty where it is off.
    pub fn admin_address(&self) -> &str {
        &self.admin
    }

    /// Where the newest listener of this name is.
    pub async fn listener(&self, name: &str) -> String {
        let named =
            |line: &Line| line.says("listening") && line.field("listener").as_deref() == Some(name);
        self.log_line(&format!("`listening` of {name}"), named)
            .await
            .field("address")
            .unwrap()
    }

    /// Where it began to listen so far, in this order.
    pub fn listening(&self) -> Vec<String> {
        let lines = self.stderr.all();
        let listening = lines.iter().filter(|line| line.says("listening"));
        listening.filter_map(|line| line.field("address")).collect()
    }

    /// The folder of the configuration.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `GET` on a new connection.
    pub async fn get(&self, path: &str) -> Response {
        self.send(get(path)).await
    }

    /// Sends a request on a new connection and waits for the whole response.
    pub async fn send(&self, request: Request) -> Response {
        self.client().await.send(request).await
    }

    /// A new connection for HTTP/1.1.
    pub async fn client(&self) -> Client {
        match &self.tls {
            Some(tls) => tls.h1(&self.address).await,
            None => Client::h1(&self.address).await,
        }
    }

    /// A new connection for HTTP/2.
    pub async fn h2_client(&self) -> Client {
        match &self.tls {
            Some(tls) => tls.h2(&self.address).await,
            None => Client::h2(&self.address).await,
        }
    }

    /// A new connection for frames of HTTP/2.
    pub async fn frames(&self) -> Frames {
        self.frames_with(&[]).await
    }

    /// As [`Proxy::frames`], with these settings.
    pub async fn frames_with(&self, settings: &[(u16, u32)]) -> Frames {
        Frames::open(self.wire_for("h2").await, settings).await
    }

    /// A new connection for bytes.
    pub async fn wire(&self) -> Wire {
        self.wire_for("http/1.1").await
    }

    /// Over TLS, this is the protocol that it is for.
    async fn wire_for(&self, protocol: &str) -> Wire {
        match &self.tls {
            Some(tls) => {
                let tls = tls.clone().offering(&[protocol]);
                Wire::on(tls.connect(&self.address).await.unwrap())
            }
            None => Wire::connect(&self.address).await,
        }
    }

    /// Sends bytes on a new connection and gives all that comes until the proxy closes it.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Bytes {
        let mut wire = self.wire().await;
        wire.send(bytes).await;
        wire.rest().await
    }

    /// `GET` at the address for operators.
    pub async fn admin(&self, path: &str) -> Response {
        Client::h1(&self.admin).await.get(path).await
    }

    /// The sum of the series with this name and these labels: `name{label="value"}`; 0 without any.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").await;
        metrics::metric(text.text(), series).unwrap_or_default()
    }

    /// Waits until the metric has the value.
    pub async fn metric_becomes(&self, series: &str, value: f64) {
        let what = format!("{series} to become {value}");
        until(&what, async || {
            (self.metric(series).await == value).then_some(())
        })
        .await;
    }

    /// The newest line of the log that fits, waiting for the first.
    pub async fn log_line(&self, what: &str, fits: impl Fn(&Line) -> bool) -> Line {
        newest(&self.stderr, what, fits).await
    }

    /// The newest line of the access log for this path, waiting for the first.
    pub async fn access_line(&self, path: &str) -> Line {
        let what = format!("a line of the access log for {path}");
        let fits = |line: &Line| line.field("path").as_deref() == Some(path);
        newest(&self.stdout, &what, fits).await
    }

    /// The newest line of the access log that fits, waiting for the first.
    pub async fn stdout_line(&self, fits: impl Fn(&Line) -> bool) -> Line {
        newest(&self.stdout, "a line of the access log", fits).await
    }

    /// How many lines of the log have this message.
    pub fn log_count(&self, message: &str) -> usize {
        let lines = self.stderr.all();
        lines.iter().filter(|line| line.says(message)).count()
    }

    /// All that it wrote so far, to both outputs.
    pub fn written(&self) -> String {
        let lines = self.stdout.all().into_iter().chain(self.stderr.all());
        lines.map(|line| line.text + "\n").collect()
    }

    /// Puts a new configuration in the place of the old one, as an editor does: a new file, renamed.
    pub fn rewrite_config(&self, config: &str) {
        let new = self.folder.path().join(".tidegate.toml.new");
        std::fs::write(&new, completed(config)).unwrap();
        std::fs::rename(&new, &self.config).unwrap();
    }

    /// As [`Proxy::rewrite_config`], into the same file, as `cp` does.
    pub fn overwrite_config(&self, config: &str) {
        std::fs::write(&self.config, completed(config)).unwrap();
    }

    /// Rewrites the configuration and waits until it is in force.
    pub async fn reload(&self, config: &str) {
        let before = self.log_count("reloaded");
        self.rewrite_config(config);
        self.has_logged("reloaded", before + 1).await;
    }

    /// Rewrites the configuration and waits until it is refused; gives the reason.
    pub async fn reload_refused(&self, config: &str) -> String {
        let before = self.log_count("reload failed");
        self.rewrite_config(config);
        self.has_logged("reload failed", before + 1).await;
        let line = self
            .log_line("a refusal", |line| line.says("reload failed"))
            .await;
        line.field("error").unwrap_or_default()
    }

    /// Waits until so many lines of the log have this message.
    pub async fn has_logged(&self, message: &str, count: usize) {
        until(&format!("{count} lines with `{message}`"), async || {
            (self.log_count(message) >= count).then_some(())
        })
        .await;
    }

    /// Sends a signal, such as `-TERM`.
    pub fn signal(&self, signal: &str) {
        let kill = std::process::Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Stops it where it is, until it gets the signal `-CONT`.
    pub async fn freeze(&self) {
        self.signal("-STOP");
        until("the process to stand still", async || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
            // After the name in brackets comes the state (proc_pid_stat(5)).
            stat.contains(") T ").then_some(())
        })
        .await;
    }

    /// Lets it open no more than so many files and sockets.
    pub fn limit_files(&self, count: usize) {
        let limited = std::process::Command::new("prlimit")
            .args(["--pid", &self.pid().to_string()])
            .arg(format!("--nofile={count}:{count}"))
            .status();
        assert!(limited.unwrap().success());
    }

    /// Waits for the end of the process.
    pub async fn wait(&mut self) -> ExitStatus {
        until("the end of the process", async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    /// Processor time of all its threads so far.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // After the name in brackets, utime and stime are the 12th and 13th fields (proc_pid_stat(5)).
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // There are 100 of them in a second on every Linux.
        Duration::from_millis(ticks * 10)
    }

    /// Memory of its own that it has at the moment. The program's code does not count: it comes in page by page
    /// as it is run first, whatever clients do.
    ///
    /// The allocator keeps some pages for each thread and each size of piece that the thread has once needed. So
    /// that a test measures what clients cost, it runs the proxy with [`TWO_THREADS`](super::TWO_THREADS) and has it do the same kind of
    /// work before.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("RssAnon:"))
            .unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<usize>().unwrap() * 1024
    }

    /// How many pieces of compiled code it has: each version of a plugin has one.
    pub fn pieces_of_code(&self) -> usize {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid())).unwrap();
        // Programs and libraries have a name behind these five (proc(5)).
        let is_compiled_here =
            |line: &&str| line.contains(" r-xp ") && line.split_whitespace().count() == 5;
        maps.lines().filter(is_compiled_here).count()
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn becomes_ready(&mut self, time: Duration) {
        until_within(time, "the proxy to be ready", async || {
            if self.stderr.all().iter().any(|line| line.says("ready")) {
                return Some(());
            }
            match self.child.try_wait().unwrap() {
                Some(status) => panic!("the proxy ended at its start: {status}"),
                None => None,
            }
        })
        .await;
        let lines = self.stderr.all();
        let address = |message| {
            let line = lines.iter().find(|line| line.says(message))?;
            line.field("address")
        };
        self.address = address("listening").expect("a line `listening` with an address");
        self.admin = address("admin listening").unwrap_or_default();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what the proxy wrote ---\n{}---", self.written());
        }
    }
}

async fn newest(lines: &Lines, what: &str, fits: impl Fn(&Line) -> bool) -> Line {
    until(what, async || {
        lines.all().into_iter().rev().find(|line| fits(line))
    })
    .await
}

/// The configuration with the sections that every test needs.
fn completed(config: &str) -> String {
    let sections = [
        ("[log]", "format = \"json\""),
        ("[admin]", "address = \"127.0.0.1:0\""),
        ("[[listener]]", "name = \"web\"\naddress = \"127.0.0.1:0\""),
    ];
    let has = |header| config.lines().any(|line| line.trim() == header);
    let mut whole = String::new();
    for (header, keys) in sections.iter().filter(|(header, _)| !has(*header)) {
        whole += &format!("{header}\n{keys}\n\n");
    }
    whole + config
}
