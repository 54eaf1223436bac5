//! curl over TLS, the witness for what ALPN agrees on, client certificates, the PROXY protocol in front of TLS,
//! refusals by host, and bodies that have to arrive whole: large, asked about first, resumed, with trailers.

use std::path::Path;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};

use super::{curl, proxy};
use crate::harness::{
    Authority, Body, ECHO, Exit, Origin, Proxy, Seen, route_to, run, tool, upstream,
};

/// Each makes curl speak one version.
const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

/// Runs curl in the proxy's folder, where whatever host is asked for is the proxy.
async fn run_curl(proxy: &Proxy, arguments: &[&str]) -> Exit {
    let mut command = curl::command().unwrap();
    command
        .current_dir(proxy.folder())
        .args(["--cacert", "ca.pem"])
        .args(["--connect-to", &format!("::{}", proxy.address())])
        .args(arguments);
    run(command).await
}

/// What curl writes where it succeeds.
async fn writes(proxy: &Proxy, arguments: &[&str]) -> String {
    let exit = run_curl(proxy, arguments).await;
    assert!(exit.status.success(), "{arguments:?}: {}", exit.stderr);
    exit.stdout
}

/// What curl complains about where it fails.
async fn fails(proxy: &Proxy, arguments: &[&str]) -> String {
    let exit = run_curl(proxy, arguments).await;
    assert!(!exit.status.success(), "{arguments:?}: {}", exit.stdout);
    exit.stderr
}

/// Bytes of which no part is like another.
fn content(length: u32) -> Vec<u8> {
    let numbers = (0..length / 4).map(|n| n.wrapping_mul(0x9E37_79B9));
    numbers.flat_map(u32::to_le_bytes).collect()
}

/// Whether two files hold the same. Their content is no help in a message.
fn same(folder: &Path, one: &str, other: &str) -> bool {
    std::fs::read(folder.join(one)).unwrap() == std::fs::read(folder.join(other)).unwrap()
}

#[tokio::test]
async fn a_version_is_agreed_on_and_a_connection_carries_several_requests() {
    if tool("curl").is_none() {
        return;
    }
    let proxy = proxy(&Authority::new(), "", ECHO).await;
    for (offer, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
        let url = "https://app.example/";
        let output = writes(
            &proxy,
            &[
                offer,
                "--write-out",
                "%{http_version} %{response_code} %{num_connects}\n",
                "--output",
                "first",
                url,
                "--output",
                "second",
                url,
            ],
        )
        .await;
        assert_eq!(output, format!("{version} 200 1\n{version} 200 0\n"));
    }
}

#[tokio::test]
async fn a_client_certificate_opens_the_door_and_nothing_else_does() {
    if tool("curl").is_none() {
        return;
    }
    let authority = Authority::new();
    let keys = "tls.client_certificates = { ca = \"ca.pem\", forward = [\"subject\"] }";
    let proxy = proxy(&authority, keys, ECHO).await;
    let alice = authority.issue_client("alice");
    alice.write(proxy.folder(), "alice");
    let stranger = Authority::named("another authority").issue_client("alice");
    stranger.write(proxy.folder(), "stranger");
    let url = "https://app.example/";
    for version in VERSIONS {
        let own = ["--cert", "alice.pem", "--key", "alice.key"];
        let echo = writes(&proxy, &[&[version, url], &own[..]].concat()).await;
        let echo: serde_json::Value = serde_json::from_str(&echo).unwrap();
        assert_eq!(echo["headers"]["x-client-cert-subject"][0], "CN=alice");
        let complaint = fails(&proxy, &[version, url]).await;
        assert!(complaint.contains("certificate required"), "{complaint}");
        let complaint = fails(&proxy, &[version, "--tls-max", "1.2", url]).await;
        assert!(complaint.contains("certificate required"), "{complaint}");
        let other = ["--cert", "stranger.pem", "--key", "stranger.key"];
        let complaint = fails(&proxy, &[&[version, url], &other[..]].concat()).await;
        assert!(complaint.contains("unknown ca"), "{complaint}");
    }
    let refused = "tidegate_connections_refused_total{reason=\"client-certificate\"}";
    proxy.metric_becomes(refused, 6.0).await;
}

#[tokio::test]
async fn the_proxy_protocol_comes_before_tls() {
    if tool("curl").is_none() {
        return;
    }
    let keys = "proxy_protocol = { trust = [\"127.0.0.9\"] }";
    let proxy = proxy(&Authority::new(), keys, ECHO).await;
    for (version, path) in VERSIONS.into_iter().zip(["/one", "/two"]) {
        let url = format!("https://app.example{path}");
        let with_header = [version, "--haproxy-protocol", &url];
        let trusted = [&with_header[..], &["--interface", "127.0.0.9"]].concat();
        writes(&proxy, &trusted).await;
        let line = proxy.access_line(path).await;
        assert_eq!(line.field("client").as_deref(), Some("127.0.0.9"));
        // From anybody else it is not TLS.
        fails(&proxy, &with_header).await;
        writes(&proxy, &[version, &url]).await;
    }
    let refused = "tidegate_connections_refused_total{reason=\"plaintext\"}";
    proxy.metric_becomes(refused, 2.0).await;
}

#[tokio::test]
async fn another_host_on_the_same_connection_is_misdirected() {
    if tool("curl").is_none() {
        return;
    }
    let keys = "tls.sni.\"www.app.example\".min_version = \"1.3\"";
    let proxy = proxy(&Authority::new(), keys, ECHO).await;
    for version in VERSIONS {
        let mut seen = Vec::new();
        for (sni, host) in [
            ("app.example", "app.example"),
            ("app.example", "localhost"),
            // Has other settings.
            ("app.example", "www.app.example"),
            ("www.app.example", "www.app.example"),
            // Is not covered by the certificate.
            ("app.example", "other.example"),
        ] {
            let (url, host) = (format!("https://{sni}/"), format!("host: {host}"));
            let arguments = [version, "--header", &host, "--output", "answer"];
            let arguments = [&arguments[..], &["--write-out", "%{response_code}", &url]].concat();
            seen.push(writes(&proxy, &arguments).await);
        }
        assert_eq!(seen, ["200", "200", "421", "200", "421"], "{version}");
    }
}

#[tokio::test]
async fn large_bodies_arrive_whole_in_both_directions() {
    if tool("curl").is_none() {
        return;
    }
    let origin = Origin::echo().await;
    let proxy = proxy(&Authority::new(), "", &route_to(&origin)).await;
    std::fs::write(proxy.folder().join("sent"), content(16 << 20)).unwrap();
    let url = "https://app.example/file";
    for version in VERSIONS {
        let arguments = ["--upload-file", "sent", "--output", "received"];
        writes(&proxy, &[&[version, url], &arguments[..]].concat()).await;
        assert!(same(proxy.folder(), "sent", "received"), "{version}");
    }
}

#[tokio::test]
async fn an_upload_waits_for_consent() {
    if tool("curl").is_none() {
        return;
    }
    let origin = Origin::echo().await;
    let limits = "[limits]\nbody_bytes = \"1MiB\"\n";
    let rest = format!("{limits}{}", route_to(&origin));
    let proxy = proxy(&Authority::new(), "", &rest).await;
    std::fs::write(proxy.folder().join("small"), content(1 << 20)).unwrap();
    std::fs::write(proxy.folder().join("large"), content(2 << 20)).unwrap();
    let upload = async |file| {
        let arguments = [
            "--verbose",
            "--http1.1",
            "--header",
            "expect: 100-continue",
            // Longer than it waits for anything: it does not send the body without consent.
            "--expect100-timeout",
            "60",
            "--upload-file",
            file,
            "--output",
            "received",
            "--write-out",
            "%{response_code} %{size_upload}",
            "https://app.example/",
        ];
        let exit = run_curl(&proxy, &arguments).await;
        assert!(exit.status.success(), "{}", exit.stderr);
        (exit.stdout, exit.stderr.contains("< HTTP/1.1 100 Continue"))
    };
    assert_eq!(upload("small").await, ("200 1048576".to_owned(), true));
    assert!(same(proxy.folder(), "small", "received"));
    assert_eq!(upload("large").await, ("413 0".to_owned(), false));
    assert_eq!(origin.seen().len(), 1);
}

/// Gives the body back, with a trailer, and without a length: curl does not wait for trailers after it.
fn with_trailer(seen: Seen) -> http::Response<Body> {
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
    let (mut sender, body) = Channel::new(2);
    tokio::spawn(async move {
        let _ = sender.send_data(seen.body).await;
        let _ = sender.send_trailers(trailers).await;
    });
    http::Response::new(body.boxed())
}

#[tokio::test]
async fn trailers_come_after_the_body_in_http_2() {
    if tool("curl").is_none() {
        return;
    }
    let origin = Origin::h2(with_trailer).await;
    let keys = format!("peers = [{:?}]\nprotocol = \"http2\"", origin.address());
    let proxy = proxy(&Authority::new(), "", &upstream(&keys)).await;
    let url = "https://app.example/";
    let arguments = ["--include", "--data", "the body", url];
    let output = writes(&proxy, &[&["--http2"][..], &arguments].concat()).await;
    assert!(output.starts_with("HTTP/2 200"), "{output}");
    assert!(output.trim_end().ends_with("the bodyx-sum: 42"), "{output}");
    let output = writes(&proxy, &[&["--http1.1"][..], &arguments].concat()).await;
    assert!(output.ends_with("\r\n\r\nthe body"), "{output}");
}

/// Serves the content, or what is left of it from where the request asks for it on (RFC 9110 §14).
fn serve(content: &Bytes, seen: &Seen) -> http::Response<Full<Bytes>> {
    let total = content.len();
    let range = seen.header("range");
    let Some(from) = range.strip_prefix("bytes=") else {
        return http::Response::new(content.clone().into());
    };
    let from: usize = from.strip_suffix('-').unwrap().parse().unwrap();
    http::Response::builder()
        .status(206)
        .header(
            "content-range",
            format!("bytes {from}-{}/{total}", total - 1),
        )
        .body(content.slice(from..).into())
        .unwrap()
}

#[tokio::test]
async fn a_download_is_resumed_where_it_broke_off() {
    if tool("curl").is_none() {
        return;
    }
    let whole = Bytes::from(content(1 << 20));
    let served = whole.clone();
    let origin = Origin::answering(move |seen| serve(&served, &seen)).await;
    let proxy = proxy(&Authority::new(), "", &route_to(&origin)).await;
    let folder = proxy.folder();
    std::fs::write(folder.join("whole"), &whole).unwrap();
    for version in VERSIONS {
        std::fs::write(folder.join("part"), &whole[..300_000]).unwrap();
        let arguments = ["--continue-at", "-", "--output", "part"];
        let arguments = [&[version, "https://app.example/file"], &arguments[..]].concat();
        writes(&proxy, &arguments).await;
        assert!(same(folder, "part", "whole"), "{version}");
    }
    let asked: Vec<_> = origin
        .seen()
        .iter()
        .map(|seen| seen.header("range"))
        .collect();
    assert_eq!(asked, ["bytes=300000-", "bytes=300000-"]);
}
