//! Where the proxy listens, and what kinds of addresses upstreams have.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{Client, ECHO, Origin, Proxy, route_to, run, tool, until};

#[tokio::test]
async fn a_unix_socket_is_served_with_its_permissions() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("web.sock");
    let config = format!(
        "[[listener]]\nname = \"web\"\naddress = \"unix:{}\"\nmode = \"0600\"\n{ECHO}",
        socket.display()
    );
    let proxy = Proxy::start_in(folder, &config).await;
    assert_eq!(proxy.address(), format!("unix:{}", socket.display()));
    assert_eq!(proxy.get("/x").await.json()["path"], "/x");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream() {
    let folder = TempDir::new().unwrap();
    let origin = Origin::echo_on_unix_socket(&folder.path().join("app.sock"));
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    assert_eq!(origin.seen()[0].target, "/x");
    assert_eq!(origin.accepted(), 1, "kept as a TCP connection is");
}

#[tokio::test]
async fn ipv6_is_served() {
    let config = format!("[[listener]]\nname = \"web\"\naddress = \"[::1]:0\"\n{ECHO}");
    let proxy = Proxy::start(&config).await;
    assert!(proxy.address().starts_with("[::1]:"));
    let echo = proxy.get("/").await.json();
    assert_eq!(echo["headers"]["x-forwarded-for"][0], "::1");
}

#[tokio::test]
async fn several_listeners_serve_the_same_routes() {
    let config = format!(
        "
[[listener]]
name = \"one\"
address = \"127.0.0.1:0\"

[[listener]]
name = \"two\"
address = \"127.0.0.1:0\"
{ECHO}"
    );
    let proxy = Proxy::start(&config).await;
    for name in ["one", "two"] {
        let address = proxy.listener(name).await;
        assert_eq!(Client::h1(&address).await.get("/x").await.status, 200);
        proxy
            .metric_becomes(
                &format!("tidegate_connections_total{{listener=\"{name}\"}}"),
                1.0,
            )
            .await;
    }
}

#[tokio::test]
async fn a_listener_has_several_addresses_and_a_reload_changes_them() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("web.sock");
    let unix = format!("unix:{}", socket.display());
    let (first, second) = (free_address("127.0.0.1"), free_address("[::1]"));
    let config = |addresses: &[&str], more: &str| {
        format!("[[listener]]\nname = \"web\"\naddress = {addresses:?}\n{more}\n{ECHO}")
    };
    let proxy = Proxy::start_in(folder, &config(&[&first, &unix], "mode = \"0600\"")).await;
    let mut kept = Client::h1(&first).await;
    let mut kept_unix = Client::h1(&unix).await;
    assert_eq!(kept.get("/x").await.status, 200);
    assert_eq!(kept_unix.get("/x").await.status, 200);

    let changed =
        "mode = \"0666\"\nbacklog = 16\nreuse_port = true\nfast_open = 8\nkeepalive = \"0s\"";
    proxy.reload(&config(&[&second, &unix], changed)).await;
    for address in [&second, &unix] {
        assert_eq!(Client::h1(address).await.get("/x").await.status, 200);
    }
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    // Connections go on, also those of an address that is listened on no more.
    assert_eq!(kept.get("/x").await.status, 200);
    assert_eq!(kept_unix.get("/x").await.status, 200);
    until("the address to be closed", async || {
        TcpStream::connect(&first).is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dual_stack_listener_sees_ipv4_clients_as_ipv4() {
    let config =
        format!("[[listener]]\nname = \"web\"\naddress = \"[::]:0\"\nv6_only = false\n{ECHO}");
    let proxy = Proxy::start(&config).await;
    let port = proxy.address().rsplit(':').next().unwrap().to_owned();
    for (host, client) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
        let mut connection = Client::h1(&format!("{host}:{port}")).await;
        let echo = connection.get("/").await.json();
        assert_eq!(echo["headers"]["x-forwarded-for"][0], client);
    }
}

#[tokio::test]
async fn an_owner_that_the_system_does_not_know_is_refused() {
    let proxy = Proxy::start(ECHO).await;
    let socket = proxy.folder().join("web.sock");
    let config = format!(
        "[[listener]]\naddress = \"unix:{}\"\nowner = \"nobody-has-this-name\"\n{ECHO}",
        socket.display()
    );
    let error = proxy.reload_refused(&config).await;
    assert!(error.contains("no user `nobody-has-this-name`"), "{error}");
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_unix_socket_is_of_the_user_and_group_that_are_asked_for() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("web.sock");
    let folder_of = std::fs::metadata(folder.path()).unwrap();
    // Only root can give a file away; others may give it to themselves.
    let (owner, group, uid, gid) = match folder_of.uid() {
        0 => (
            "\"nobody\"".to_owned(),
            format!("{:?}", id("-gn")),
            id("-u"),
            id("-g"),
        ),
        uid => {
            let (uid, gid) = (uid.to_string(), folder_of.gid().to_string());
            (uid.clone(), gid.clone(), uid, gid)
        }
    };
    let config = format!(
        "[[listener]]\nname = \"web\"\naddress = \"unix:{}\"\nowner = {owner}\ngroup = {group}\n{ECHO}",
        socket.display()
    );
    let proxy = Proxy::start_in(folder, &config).await;
    assert_eq!(proxy.get("/x").await.status, 200);
    let of = std::fs::metadata(&socket).unwrap();
    assert_eq!((of.uid().to_string(), of.gid().to_string()), (uid, gid));
}

#[tokio::test]
async fn the_system_chooses_a_port_for_each_port_0() {
    let config = format!(
        "[[listener]]\nname = \"web\"\naddress = [\"127.0.0.1:0\", \"127.0.0.1:0\", \"[::1]:0\"]\n{ECHO}"
    );
    let proxy = Proxy::start(&config).await;
    let addresses = proxy.listening();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    proxy.reload(&format!("{config}\n# again")).await;
    assert_eq!(proxy.listening(), addresses, "they stay");
    for address in addresses {
        assert_eq!(Client::h1(&address).await.get("/x").await.status, 200);
    }
}

/// How many connections the system takes for a proxy that accepts none.
async fn taken(proxy: &Proxy) -> usize {
    proxy.freeze().await;
    let address = proxy.address().parse().unwrap();
    // On one machine a connection is made at once, or waits for room.
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500));
    let waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).take(100).collect();
    proxy.signal("-CONT");
    waiting.len()
}

#[tokio::test]
async fn a_backlog_is_as_long_as_it_is_asked_for_to_be() {
    let config = |backlog: usize| {
        format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nbacklog = {backlog}\n{ECHO}"
        )
    };
    let proxy = Proxy::start(&config(4)).await;
    // Linux takes one more.
    assert_eq!(taken(&proxy).await, 5);
    assert_eq!(proxy.get("/x").await.status, 200);
    proxy.reload(&config(16)).await;
    assert_eq!(taken(&proxy).await, 17);
}

/// Reads `TCP_FASTOPEN` of the sockets of a process that listen, through copies of them (pidfd_getfd(2)).
const FAST_OPEN: &str = "
import ctypes, os, socket, sys
process = int(sys.argv[1])
handle = os.pidfd_open(process)
system = ctypes.CDLL(None, use_errno=True)
for name in os.listdir(f'/proc/{process}/fd'):
    copy = system.syscall(438, handle, int(name), 0)
    if copy < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    try:
        s = socket.socket(fileno=copy)
        if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            host, port = s.getsockname()[:2]
            print(f'{host}:{port}', s.getsockopt(socket.IPPROTO_TCP, 23))
    except OSError:
        pass
";

#[tokio::test]
async fn fast_open_is_an_option_of_the_socket() {
    let Some(python) = tool("python3") else {
        return;
    };
    let config = |length: usize| {
        format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nfast_open = {length}\n{ECHO}"
        )
    };
    let proxy = Proxy::start(&config(8)).await;
    let length = async || {
        let mut command = Command::new(&python);
        command.args(["-c", FAST_OPEN, &proxy.pid().to_string()]);
        let exit = run(command).await;
        if !exit.status.success() {
            eprintln!("skipped: options cannot be read here: {}", exit.stderr);
            return None;
        }
        let mut lines = exit.stdout.lines();
        let length = lines.find_map(|line| line.strip_prefix(proxy.address()));
        Some(length.unwrap_or_default().trim().to_owned())
    };
    let Some(before) = length().await else {
        return;
    };
    assert_eq!(before, "8");
    proxy.reload(&config(16)).await;
    assert_eq!(length().await.as_deref(), Some("16"));
}

#[tokio::test]
async fn what_a_reload_cannot_change_is_said() {
    let config =
        |v6_only: bool| format!("[[listener]]\naddress = \"[::1]:0\"\nv6_only = {v6_only}\n{ECHO}");
    let proxy = Proxy::start(&config(true)).await;
    proxy.reload(&config(false)).await;
    proxy
        .log_line("a warning", |line| {
            line.says("`v6_only` cannot be changed") && line.text.contains("next start")
        })
        .await;
    assert_eq!(proxy.get("/x").await.status, 200);
}

/// What `id` says about the user that owns nothing.
fn id(option: &str) -> String {
    let output = Command::new("id")
        .args([option, "nobody"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An address that is free now; the system does not give it to somebody else for a while.
fn free_address(host: &str) -> String {
    let listener = TcpListener::bind(format!("{host}:0")).unwrap();
    listener.local_addr().unwrap().to_string()
}
