//! `https_redirect` of plaintext listeners, and `hsts` of those with TLS.

use tempfile::TempDir;

use crate::harness::{
    Authority, Client, ECHO, Origin, Proxy, Request, Response, TlsClient, get, request, route_to,
    with_header,
};

async fn redirecting(keys: &str) -> Proxy {
    let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n";
    Proxy::start(&format!("{listener}{keys}\n{ECHO}")).await
}

fn to(host: &str, path: &str) -> Request {
    with_header(get(path), "host", host)
}

fn sends_to(response: &Response, location: &str) {
    let seen = (response.status, response.header("location"));
    assert_eq!(seen, (308, location));
    // Browsers would not believe it from here (RFC 6797 §7.2).
    assert_eq!(response.header("strict-transport-security"), "");
}

#[tokio::test]
async fn the_redirect_keeps_host_path_and_query() {
    let proxy = redirecting("https_redirect = true").await;
    for (host, path, location) in [
        ("a.example", "/", "https://a.example/"),
        ("A.Example:8080", "/b?c=d", "https://a.example/b?c=d"),
        ("[::1]:80", "/%c3%a4?x", "https://[::1]/%C3%A4?x"),
        ("a.example", "/a/../b//c", "https://a.example/b/c"),
    ] {
        sends_to(&proxy.client().await.send(to(host, path)).await, location);
        sends_to(
            &proxy.h2_client().await.send(to(host, path)).await,
            location,
        );
    }
}

#[tokio::test]
async fn the_redirect_has_a_port_where_it_is_not_the_usual_one() {
    let proxy = redirecting("https_redirect = 8443").await;
    let response = proxy.send(to("a.example:8080", "/b")).await;
    sends_to(&response, "https://a.example:8443/b");
}

#[tokio::test]
async fn every_method_is_sent_there_and_the_connection_goes_on() {
    let proxy = redirecting("https_redirect = true").await;
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        for method in ["POST", "HEAD", "DELETE", "OPTIONS"] {
            let response = client.send(request(method, "/a", "")).await;
            sends_to(&response, "https://test.example/a");
        }
    }
    let with_body = proxy.send(request("POST", "/a", "text")).await;
    sends_to(&with_body, "https://test.example/a");
}

#[tokio::test]
async fn nobody_is_sent_where_the_request_does_not_lead() {
    let proxy = redirecting("https_redirect = true").await;
    // What could end the field, or make another authority of it, is no host and no target.
    for head in [
        "GET / HTTP/1.1\r\nhost: a.example@evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example/evil\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example\\evil\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example, b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example\r\nhost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let mut wire = proxy.wire().await;
        wire.send(head).await;
        let response = wire.response().await;
        let seen = (response.status, response.header("location"));
        assert_eq!(seen, (400, ""), "{head:?}");
    }
    for (target, location) in [
        ("//evil.example/a", "https://a.example/evil.example/a"),
        ("/\\evil.example", "https://a.example/%5Cevil.example"),
        ("/%0d%0ax-a:%20b", "https://a.example/%0D%0Ax-a:%20b"),
        ("http://a.example/b", "https://a.example/b"),
    ] {
        let mut wire = proxy.wire().await;
        wire.send(format!("GET {target} HTTP/1.1\r\nhost: a.example\r\n\r\n"))
            .await;
        let response = wire.response().await;
        sends_to(&response, location);
        assert_eq!(response.header("x-a"), "");
    }
}

#[tokio::test]
async fn who_came_by_https_to_a_trusted_proxy_is_there_already() {
    let proxy = redirecting("https_redirect = true\ntrusted_proxies = [\"127.0.0.0/8\"]").await;
    let by = |scheme| with_header(get("/"), "x-forwarded-proto", scheme);
    assert_eq!(proxy.send(by("https")).await.status, 200);
    assert_eq!(proxy.send(by("http")).await.status, 308);
    let proxy = redirecting("https_redirect = true").await;
    assert_eq!(proxy.send(by("https")).await.status, 308);
}

/// A proxy on `localhost` with TLS and these keys, and a client that knows its authority.
async fn with_tls(keys: &str, rest: &str) -> (Proxy, TlsClient) {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.issue(&["localhost"]).write(folder.path(), "own");
    let config = format!(
        "[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
{keys}

[listener.tls]
certificates = [{{ cert = \"own.pem\", key = \"own.key\" }}]
{rest}"
    );
    let proxy = Proxy::start_in(folder, &config).await;
    (proxy, TlsClient::new(&authority, "localhost"))
}

fn on_localhost(path: &str) -> Request {
    to("localhost", path)
}

fn hsts(response: &Response) -> Vec<&str> {
    let values = response.headers.get_all("strict-transport-security");
    values.iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn every_response_over_tls_says_to_come_over_tls() {
    let origin = Origin::echo().await;
    let routes = format!(
        "[limits]\nuri_bytes = 64\n[[route]]\nname = \"own\"\nmatch = {{ path = \"/own\" }}\nrespond = {{}}\n{}",
        route_to(&origin).replace(
            "name = \"all\"",
            "name = \"all\"\nmatch = { path = \"/up/*\" }"
        )
    );
    let keys = "hsts = { max_age = \"365d\", include_subdomains = true, preload = true }";
    let (proxy, client) = with_tls(keys, &routes).await;
    let long = "/".repeat(2) + &"x".repeat(64);
    for (path, status) in [
        ("/own", 200),
        ("/up/", 200),
        ("/no/route", 404),
        (&long, 414),
    ] {
        for mut client in [
            client.h1(proxy.address()).await,
            client.h2(proxy.address()).await,
        ] {
            let response = client.send(on_localhost(path)).await;
            assert_eq!(response.status, status, "{path}");
            let expected = "max-age=31536000; includeSubDomains; preload";
            assert_eq!(hsts(&response), [expected], "{path}");
        }
    }
}

#[tokio::test]
async fn what_an_upstream_says_of_itself_stays() {
    let origin = Origin::answering(|_| {
        http::Response::builder()
            .header("strict-transport-security", "max-age=0")
            .body(bytes::Bytes::new().into())
            .unwrap()
    })
    .await;
    let (proxy, client) = with_tls("hsts = \"1d\"", &route_to(&origin)).await;
    for mut client in [
        client.h1(proxy.address()).await,
        client.h2(proxy.address()).await,
    ] {
        let response = client.send(on_localhost("/")).await;
        assert_eq!(hsts(&response), ["max-age=0"]);
    }
}

#[tokio::test]
async fn nothing_is_said_where_nothing_is_configured() {
    let (proxy, client) = with_tls("", ECHO).await;
    let mut client = client.h1(proxy.address()).await;
    assert!(hsts(&client.send(on_localhost("/")).await).is_empty());
}

#[tokio::test]
async fn each_listener_has_its_own_manners() {
    let (proxy, client) = with_tls("hsts = \"1d\"", &format!(
        "[[listener]]\nname = \"plain\"\naddress = \"127.0.0.1:0\"\nhttps_redirect = true\n{ECHO}"
    ))
    .await;
    let plain = proxy.listener("plain").await;
    let response = Client::h1(&plain).await.send(on_localhost("/a")).await;
    sends_to(&response, "https://localhost/a");
    let mut client = client.h2(proxy.address()).await;
    let response = client.send(on_localhost("/a")).await;
    assert_eq!(
        (response.status, hsts(&response)),
        (200, vec!["max-age=86400"])
    );
}

#[tokio::test]
async fn manners_on_the_wrong_listener_are_errors() {
    let proxy = Proxy::start(ECHO).await;
    let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n";
    let error = proxy
        .reload_refused(&format!("{listener}hsts = \"365d\"\n{ECHO}"))
        .await;
    assert!(error.contains("without TLS"), "{error}");
}
