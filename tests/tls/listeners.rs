//! Routes of one listener, and client certificates that another listener does not ask for.

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Authority, Client, Proxy, TlsClient, get, soon, tidegate, with_header};

/// `admin.example` asks for certificates on `tls`, and there alone.
fn config(bound: &str) -> String {
    let certificates = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    format!(
        "
[[listener]]
name = \"tls\"
address = \"127.0.0.1:0\"
[listener.tls]
{certificates}
[listener.tls.sni.\"admin.example\"]
client_certificates = {{ ca = \"ca.pem\" }}

[[listener]]
name = \"other\"
address = \"127.0.0.1:0\"
[listener.tls]
{certificates}

[[listener]]
name = \"plain\"
address = \"127.0.0.1:0\"

[[route]]
name = \"admin\"
match = {{ host = \"admin.example\"{bound} }}
respond = {{ body = \"secret\" }}

[[route]]
name = \"public\"
respond = {{ body = \"public\" }}
"
    )
}

const BOUND: &str = ", listener = \"tls\"";
const WARNING: &str = "listener `tls` requires client certificates for the host `admin.example`";

fn folder(authority: &Authority) -> TempDir {
    let folder = TempDir::new().unwrap();
    let names = ["admin.example", "a.example"];
    authority.issue(&names).write(folder.path(), "a");
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    folder
}

/// The body of the answer for a host.
async fn ask(client: &mut Client, host: &str) -> String {
    let answer = client.send(with_header(get("/"), "host", host)).await;
    answer.text().to_owned()
}

/// How often the log has it so far.
fn warnings(proxy: &Proxy) -> usize {
    proxy.written().matches(WARNING).count()
}

#[tokio::test]
async fn a_route_of_one_listener_is_on_no_other() {
    let authority = Authority::new();
    let proxy = Proxy::start_in(folder(&authority), &config(BOUND)).await;
    let client = TlsClient::new(&authority, "admin.example");
    let known = client.clone().showing(&authority.issue_client("alice"));
    let (tls, other) = (proxy.listener("tls").await, proxy.listener("other").await);
    assert_eq!(
        ask(&mut known.h1(&tls).await, "admin.example").await,
        "secret"
    );
    assert_eq!(
        ask(&mut known.h2(&tls).await, "admin.example").await,
        "secret"
    );
    let mut unknown = client.connect(&tls).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: admin.example\r\n\r\n";
    let _ = unknown.write_all(request).await;
    let mut answer = Vec::new();
    let _ = soon("the end", unknown.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "{answer:?}");
    assert_eq!(
        ask(&mut client.h2(&other).await, "admin.example").await,
        "public"
    );
    let plain = proxy.listener("plain").await;
    assert_eq!(
        ask(&mut Client::h1(&plain).await, "admin.example").await,
        "public"
    );
    assert_eq!(warnings(&proxy), 0);
    // It follows the listener, not its place in the file.
    let mut open = Client::h1(&plain).await;
    assert_eq!(ask(&mut open, "admin.example").await, "public");
    let first = "[[listener]]\nname = \"first\"\naddress = \"127.0.0.1:0\"\n";
    proxy.reload(&format!("{first}{}", config(BOUND))).await;
    assert_eq!(ask(&mut open, "admin.example").await, "public");
    assert_eq!(
        ask(&mut known.h1(&tls).await, "admin.example").await,
        "secret"
    );
}

#[tokio::test]
async fn what_is_open_beside_certificates_is_said() {
    let authority = Authority::new();
    let proxy = Proxy::start_in(folder(&authority), &config("")).await;
    let warned =
        |open: &str| format!("but listener `{open}` serves the same routes without one: `admin`");
    for open in ["other", "plain"] {
        let text = warned(open);
        let line = proxy
            .log_line("a warning", |line| line.text.contains(&text))
            .await;
        assert!(line.text.contains(WARNING), "{}", line.text);
    }
    let file = proxy.folder().join("tidegate.toml");
    let checked = tidegate(&["check", "--config", file.to_str().unwrap()]);
    assert!(checked.status.success());
    assert!(checked.stderr.contains(WARNING), "{}", checked.stderr);
    // A listener that sends everybody to https serves no route; and what is bound is not open.
    let redirected = config("").replace(
        "name = \"plain\"",
        "name = \"plain\"\nhttps_redirect = true",
    );
    let before = warnings(&proxy);
    proxy.reload(&redirected).await;
    assert_eq!(warnings(&proxy), before + 1);
    proxy.reload(&config(BOUND)).await;
    assert_eq!(warnings(&proxy), before + 1);
}

#[tokio::test]
async fn explain_asks_for_the_listener() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let file = folder.path().join("tidegate.toml");
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(&file, config(BOUND)).unwrap();
    let explain = |more: &[&str]| {
        let request = ["explain", "GET", "https://admin.example/", "--config"];
        let arguments = [&request[..], &[file.to_str().unwrap()], more].concat();
        tidegate(&arguments)
    };
    assert!(
        explain(&["--listener", "tls"])
            .stdout
            .contains("route      admin")
    );
    assert!(
        explain(&["--listener", "plain"])
            .stdout
            .contains("route      public")
    );
    let none = explain(&[]);
    assert!(
        none.stderr.contains("--listener tls|other|plain"),
        "{}",
        none.stderr
    );
    let unknown = explain(&["--listener", "tsl"]);
    assert!(
        unknown.stderr.contains("no listener `tsl`"),
        "{}",
        unknown.stderr
    );
}
