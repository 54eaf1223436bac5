//! What an open connection is of: the socket that accepted it, whatever a reload does with names and places.

use std::net::TcpListener;

use crate::harness::{Authority, Client, ECHO, Proxy, TlsClient, get, with_header};
use tempfile::TempDir;

/// Of a client that is believed, and of one that is not.
const FORGED: &str = "192.0.2.66";

/// An address that is free now; the system does not give it to somebody else for a while.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn listener(address: &str, keys: &str) -> String {
    format!("[[listener]]\naddress = {address:?}\n{keys}\n")
}

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

/// What an upstream would be told of who asks.
async fn told(client: &mut Client) -> String {
    let echo = client
        .send(with_header(get("/"), "x-forwarded-for", FORGED))
        .await;
    let echo = echo.json();
    let told = echo["headers"]["x-forwarded-for"][0].as_str();
    told.unwrap().to_owned()
}

#[tokio::test]
async fn a_listener_put_in_front_is_not_that_of_open_connections() {
    let (public, internal) = (free_address(), free_address());
    let proxy = Proxy::start(&format!("{}{ECHO}", listener(&public, ""))).await;
    let mut client = Client::h1(&public).await;
    let mut h2 = Client::h2(&public).await;
    assert_eq!(told(&mut client).await, "127.0.0.1");
    assert_eq!(told(&mut h2).await, "127.0.0.1");
    let both = listener(&internal, TRUSTING) + &listener(&public, "");
    proxy.reload(&format!("{both}{ECHO}")).await;
    assert_eq!(told(&mut client).await, "127.0.0.1");
    assert_eq!(told(&mut h2).await, "127.0.0.1");
    let trusted = told(&mut Client::h1(&internal).await).await;
    assert!(trusted.starts_with(FORGED), "{trusted}");
}

#[tokio::test]
async fn the_last_that_held_for_a_removed_listener_holds_for_its_connections() {
    let (internal, public) = (free_address(), free_address());
    let both = listener(&internal, TRUSTING) + &listener(&public, "");
    let proxy = Proxy::start(&format!("{both}{ECHO}")).await;
    let mut client = Client::h1(&internal).await;
    let trusted = told(&mut client).await;
    assert!(trusted.starts_with(FORGED), "{trusted}");
    for turn in 0..3 {
        let without = format!("{}{ECHO}# {turn}", listener(&public, ""));
        proxy.reload(&without).await;
        assert_eq!(told(&mut client).await, trusted);
    }
    // A new listener with that address has a socket of its own.
    let anew = listener(&internal, "") + &listener(&public, "");
    proxy.reload(&format!("{anew}{ECHO}")).await;
    assert_eq!(told(&mut client).await, trusted);
    let mut other = Client::h1(&internal).await;
    assert_eq!(told(&mut other).await, "127.0.0.1");
}

#[tokio::test]
async fn a_listener_with_another_name_is_the_same_by_its_socket() {
    let address = free_address();
    let named = |name: &str, keys: &str| {
        let keys = format!("name = {name:?}\n{keys}");
        format!("{}{ECHO}", listener(&address, &keys))
    };
    let proxy = Proxy::start(&named("before", TRUSTING)).await;
    let mut client = Client::h1(&address).await;
    let trusted = told(&mut client).await;
    assert!(trusted.starts_with(FORGED), "{trusted}");
    proxy.reload(&named("after", TRUSTING)).await;
    assert_eq!(told(&mut client).await, trusted);
    proxy.reload(&named("again", "")).await;
    assert_eq!(told(&mut client).await, "127.0.0.1");
}

#[tokio::test]
async fn certificates_that_are_asked_for_now_are_asked_of_open_connections_wherever_their_listener_stands()
 {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let (public, internal) = (free_address(), free_address());
    let tls = "tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    let asking = format!("{tls}\ntls.client_certificates = {{ ca = \"ca.pem\" }}");
    let proxy = Proxy::start_in(folder, &format!("{}{ECHO}", listener(&public, tls))).await;
    let mut client = TlsClient::new(&authority, "a.example").h1(&public).await;
    let request = || with_header(get("/"), "host", "a.example");
    assert_eq!(client.send(request()).await.status, 200);
    let both = listener(&internal, "") + &listener(&public, &asking);
    proxy.reload(&format!("{both}{ECHO}")).await;
    assert_eq!(client.send(request()).await.status, 421);
}

#[tokio::test]
async fn a_connection_in_plaintext_gets_nothing_from_what_speaks_tls_now() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let address = free_address();
    let tls = "tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    let proxy = Proxy::start_in(folder, &format!("{}{ECHO}", listener(&address, ""))).await;
    let mut client = Client::h1(&address).await;
    assert_eq!(client.get("/").await.status, 200);
    proxy
        .reload(&format!("{}{ECHO}", listener(&address, tls)))
        .await;
    assert_eq!(client.get("/").await.status, 421);
    proxy
        .metric_becomes(
            r#"tidegate_requests_refused_total{reason="misdirected"}"#,
            1.0,
        )
        .await;
}
