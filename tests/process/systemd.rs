//! What a service manager does with the proxy: it hands sockets over, and is told how the proxy is.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{TcpStream, UnixDatagram};

use crate::harness::{Client, ECHO, Proxy, activated, free_port, soon, until};

/// A listener for each name, with these addresses.
fn listeners(of: &[(&str, &[&str])]) -> String {
    let listeners = of.iter().map(|(name, addresses)| {
        format!("[[listener]]\nname = \"{name}\"\naddress = {addresses:?}\n")
    });
    listeners.chain([ECHO.to_owned()]).collect()
}

async fn is_served(address: &str) {
    assert_eq!(Client::h1(address).await.get("/x").await.status, 200);
}

#[tokio::test]
async fn sockets_that_are_handed_over_are_listened_on() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("local.sock");
    let v4 = format!("127.0.0.1:{}", free_port());
    let v6 = format!("[::1]:{}", free_port());
    let spare = format!("127.0.0.1:{}", free_port());
    let Some(command) = activated(&[
        ("web", &v4),
        ("web", &v6),
        ("local", path.to_str().unwrap()),
        ("spare", &spare),
    ]) else {
        return;
    };
    let unix = format!("unix:{}", path.display());
    let by_name = listeners(&[("web", &["systemd:web"]), ("local", &[&unix])]);
    let first = async {
        until("a first connection", async || {
            TcpStream::connect(&v4).await.ok()
        })
        .await
    };
    let (mut proxy, first) = tokio::join!(Proxy::start_by(command, folder, &by_name), first);

    // The connection that started the proxy is served, too.
    let mut first = Client::h1_on(first).await;
    assert_eq!(first.get("/x").await.status, 200);
    for address in [&v4, &v6, &unix] {
        is_served(address).await;
    }
    let unwanted = proxy
        .log_line("a warning", |line| {
            line.says("no listener wants this socket")
        })
        .await;
    assert_eq!(unwanted.field("name").as_deref(), Some("spare"));
    assert!(TcpStream::connect(&spare).await.is_err(), "it is closed");

    // By their addresses they are the same sockets.
    let by_address = listeners(&[
        ("one", &[&v4]),
        ("two", &[&v6]),
        ("local", &["systemd:local"]),
    ]);
    proxy.reload(&by_address).await;
    assert_eq!(first.get("/x").await.status, 200);
    for address in [&v4, &v6, &unix] {
        is_served(address).await;
    }

    for (name, problem) in [
        ("spare", "the socket `spare` was closed"),
        (
            "other",
            "no socket `other` was handed over, but: local, spare, web",
        ),
    ] {
        let config = listeners(&[("web", &[&format!("systemd:{name}")])]);
        let error = proxy.reload_refused(&config).await;
        assert!(error.contains(problem), "{error}");
    }
    let twice = listeners(&[("web", &["systemd:web"]), ("two", &[&v4])]);
    let error = proxy.reload_refused(&twice).await;
    assert!(
        error.contains("the listener `web` has this socket"),
        "{error}"
    );

    proxy.signal("-TERM");
    assert_eq!(proxy.wait().await.code(), Some(0));
    assert!(path.exists(), "it is the service manager's");
}

#[tokio::test]
async fn sockets_of_another_process_are_left_alone() {
    let environment = [("LISTEN_PID", "1"), ("LISTEN_FDS", "1")];
    let folder = TempDir::new().unwrap();
    let proxy = Proxy::start_with_environment(folder, ECHO, &environment).await;
    assert_eq!(proxy.get("/x").await.status, 200);
}

/// A service manager's ear.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(path: &Path) -> Manager {
        Manager(UnixDatagram::bind(path).unwrap())
    }

    /// Waits for a message with this line and gives all of it; others in between are passed over.
    async fn hears(&self, line: &str) -> String {
        soon(&format!("the message {line}"), async {
            let mut buffer = [0; 4096];
            loop {
                let length = self.0.recv(&mut buffer).await.unwrap();
                let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
                if message.lines().any(|it| it == line) {
                    return message;
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn the_service_manager_is_told_of_start_reload_and_stop() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify.sock");
    let manager = Manager::listen(&path);
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let mut proxy = Proxy::start_with_environment(folder, ECHO, &environment).await;
    let ready = manager.hears("READY=1").await;
    assert!(ready.contains("STATUS=serving"), "{ready}");

    proxy.signal("-HUP");
    let reloading = manager.hears("RELOADING=1").await;
    let when = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let when = Duration::from_micros(when.unwrap().parse().unwrap());
    let ago = uptime - when.as_secs_f64();
    assert!((-1.0..60.0).contains(&ago), "{ago} s ago");
    manager.hears("READY=1").await;

    proxy.reload_refused("nonsense = true").await;
    manager.hears("RELOADING=1").await;
    let ready = manager.hears("READY=1").await;
    assert!(ready.contains("the last reload failed"), "{ready}");

    proxy.signal("-TERM");
    manager.hears("STOPPING=1").await;
    assert_eq!(proxy.wait().await.code(), Some(0));
}

#[tokio::test]
async fn the_watchdog_is_fed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify.sock");
    let manager = Manager::listen(&path);
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let _proxy = Proxy::start_with_environment(folder, ECHO, &environment).await;
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }
}
