//! HTTP/2 without TLS, recognised by its first bytes, on the port of HTTP/1.1.

use bytes::Bytes;
use http::Version;
use http_body_util::Full;

use crate::harness::frames::{END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, frame, get_headers};
use crate::harness::{
    ECHO, Origin, Outcome, Proxy, get, post, route_to, streamed, until, with_header,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test]
async fn both_versions_are_spoken_on_one_port() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut h2 = proxy.h2_client().await;
    let mut h1 = proxy.client().await;
    for _ in 0..3 {
        let response = h2.send(post("/a?b", "two")).await;
        assert_eq!(
            (response.version, response.text()),
            (Version::HTTP_2, "two")
        );
        let response = h1.send(post("/a?b", "one")).await;
        assert_eq!(
            (response.version, response.text()),
            (Version::HTTP_11, "one")
        );
    }
    assert!(origin.seen().iter().all(|seen| seen.target == "/a?b"));
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| seen.version == Version::HTTP_11)
    );
}

#[tokio::test]
async fn the_authority_becomes_the_host() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let request = with_header(get("/"), "host", "www.example.com:81");
    proxy.h2_client().await.send(request).await;
    assert_eq!(origin.seen()[0].header("host"), "www.example.com:81");
}

#[tokio::test]
async fn the_echo_names_the_version() {
    let proxy = Proxy::start(ECHO).await;
    assert_eq!(
        proxy.h2_client().await.get("/").await.json()["version"],
        "HTTP/2"
    );
    assert_eq!(proxy.get("/").await.json()["version"], "HTTP/1.1");
}

#[tokio::test]
async fn requests_on_one_connection_do_not_wait_for_each_other() {
    let (slow, gate) = Origin::held().await;
    let config = format!(
        "{}\n[[route]]\nname = \"fast\"\nmatch = {{ path = \"/fast\" }}\nrespond = {{ body = \"fast\" }}",
        route_to(&slow)
    );
    let proxy = Proxy::start(&config).await;
    let mut client = proxy.h2_client().await;
    let mut another = client.another();
    let waiting = tokio::spawn(async move { another.get("/slow").await });
    slow.has_seen(1).await;
    assert_eq!(client.get("/fast").await.text(), "fast");
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().text(), "late");
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let mut client = proxy.h2_client().await;
    assert!(client.send(post("/", body.clone())).await.body == body);
    let chunks = vec![body.slice(..500_000), body.slice(500_000..)];
    assert!(client.send(streamed("/", chunks)).await.body == body);
}

#[tokio::test]
async fn part_of_a_preface_holds_a_connection_no_longer_than_a_head() {
    let config = format!("[limits]\nheader_timeout = \"300ms\"\n{ECHO}");
    let proxy = Proxy::start(&config).await;
    for length in [0, 1, 3, 18, PREFACE.len() - 1] {
        let mut wire = proxy.wire().await;
        wire.send(&PREFACE[..length]).await;
        let answer = wire.rest().await;
        assert!(
            !answer.starts_with(b"HTTP/1.1 200"),
            "{length} bytes: {answer:?}"
        );
    }
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn a_preface_in_two_pieces_is_recognised() {
    let proxy = Proxy::start(ECHO).await;
    let mut wire = proxy.wire().await;
    wire.send(&PREFACE[..7]).await;
    // Two writes are two packets, because the kernel does not wait for more.
    tokio::task::yield_now().await;
    wire.send([&PREFACE[7..], EMPTY_SETTINGS].concat()).await;
    assert_eq!(wire.frame().await, 4, "the server's preface is SETTINGS");
}

#[tokio::test]
async fn a_method_that_begins_like_the_preface_is_http_1() {
    let proxy = Proxy::start(ECHO).await;
    for method in ["PRI", "PROPFIND", "P"] {
        let mut wire = proxy.wire().await;
        wire.send(format!("{method} /x HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        assert_eq!(wire.response().await.json()["method"], method);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let config = format!("[limits]\nidle_timeout = \"300ms\"\n{ECHO}");
    let proxy = Proxy::start(&config).await;
    let mut client = proxy.h2_client().await;
    assert_eq!(client.get("/").await.status, 200);
    until("the idle connection to be closed", async || {
        client.is_closed().then_some(())
    })
    .await;
    let mut silent = proxy.wire().await;
    silent.send([PREFACE, EMPTY_SETTINGS].concat()).await;
    silent.rest().await;
}

#[tokio::test]
async fn hop_by_hop_fields_are_refused_or_dropped() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    // `te: trailers` is the one that HTTP/2 allows (RFC 9113 §8.2.2).
    let request = with_header(get("/"), "te", "trailers");
    assert_eq!(proxy.h2_client().await.send(request).await.status, 200);
    assert_eq!(origin.seen()[0].header("te"), "");
}

#[tokio::test]
async fn the_authority_survives_a_path_that_is_brought_to_its_form() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let request = with_header(get("/a//b"), "host", "example.com");
    assert_eq!(proxy.h2_client().await.send(request).await.status, 200);
    assert_eq!(origin.seen()[0].target, "/a/b");
    assert_eq!(origin.seen()[0].header("host"), "example.com");
}

/// RFC 9113 §8.2.3.
#[tokio::test]
async fn cookies_in_several_fields_become_one() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut request = with_header(get("/"), "cookie", "a=1");
    for cookie in ["b=2", "c=3"] {
        let value = cookie.parse().unwrap();
        request.headers_mut().append("cookie", value);
    }
    assert_eq!(proxy.h2_client().await.send(request).await.status, 200);
    assert_eq!(origin.seen()[0].header("cookie"), "a=1; b=2; c=3");
}

#[tokio::test]
async fn clients_of_both_versions_share_connections_to_an_upstream() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for _ in 0..3 {
        assert_eq!(proxy.h2_client().await.get("/").await.status, 200);
        assert_eq!(proxy.client().await.get("/").await.status, 200);
    }
    assert_eq!(origin.accepted(), 1);
}

/// Clients then need not wait for another frame; and it is how gRPC tells a status without messages.
#[tokio::test]
async fn a_response_without_a_body_ends_with_its_head() {
    let origin = Origin::answering(|_| {
        let mut answer = http::Response::new(Full::new(Bytes::new()));
        *answer.status_mut() = http::StatusCode::NO_CONTENT;
        answer
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.frames().await;
    client.send(get_headers(1)).await;
    let head = loop {
        let frame = client.next().await.unwrap();
        if frame.stream == 1 {
            break frame;
        }
    };
    assert_eq!((head.kind, head.flags & END_STREAM), (HEADERS, END_STREAM));
}

/// How much clients may send unread (RFC 9113 §6.5.2, §6.9.2).
#[tokio::test]
async fn h2_stream_window_and_h2_connection_window() {
    let limits = "[limits]\nh2_stream_window = \"32KiB\"\nh2_connection_window = \"128KiB\"\n";
    let proxy = Proxy::start(&format!("{limits}{ECHO}")).await;
    let mut frames = proxy.frames().await;
    let (mut stream, mut connection) = (None, None);
    while let (None, _) | (_, None) = (stream, connection) {
        let frame = frames.next().await.unwrap();
        let number = |at: usize| {
            let bytes = frame.payload[at..at + 4].try_into();
            u32::from_be_bytes(bytes.unwrap())
        };
        match (frame.kind, frame.stream) {
            (WINDOW_UPDATE, 0) => connection = Some(65_535 + number(0)),
            (SETTINGS, 0) if !frame.payload.is_empty() => {
                let settings = (0..frame.payload.len()).step_by(6);
                let at = settings.filter(|at| frame.payload[*at..].starts_with(&[0, 4]));
                stream = at.map(|at| number(at + 2)).last();
            }
            _ => {}
        }
    }
    assert_eq!((stream, connection), (Some(32 << 10), Some(128 << 10)));
}

/// What a client does not read waits in the proxy or at the upstream.
#[tokio::test]
async fn h2_send_buffer() {
    const BODY: usize = 64 << 20;
    let body = Bytes::from(vec![b'x'; BODY]);
    let origin = Origin::answering(move |_| http::Response::new(Full::from(body.clone()))).await;
    for (bytes, is_taken) in [("64KiB", false), ("1GiB", true)] {
        let limits = format!("[limits]\nh2_send_buffer = \"{bytes}\"\n");
        let proxy = Proxy::start(&format!("{limits}{}", route_to(&origin))).await;
        let before = proxy.resident_bytes();
        // No end to the windows, and nothing is read from the socket.
        let mut frames = proxy.frames_with(&[(4, u32::MAX >> 1)]).await;
        let grow = frame(WINDOW_UPDATE, 0, 0, (1_u32 << 30).to_be_bytes());
        frames.send([grow, get_headers(1)].concat()).await;
        let grown = || proxy.resident_bytes().saturating_sub(before);
        match is_taken {
            true => {
                until("all to be taken", async || {
                    (grown() > BODY / 2).then_some(())
                })
                .await
            }
            false => {
                assert_eq!(frames.outcome(1).await, Outcome::Status(200));
                assert!(grown() < BODY / 4, "{}", grown());
            }
        }
    }
}
