//! Upstreams that are down or answer nonsense: the client gets a clear error, and its connection stays
//! in step.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Origin, Proxy, get, post, refusing_address, route_to, route_to_peers, soon};

/// An origin that reads a request, writes this, and closes.
async fn answering(bytes: &'static [u8]) -> Origin {
    Origin::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(bytes).await;
    })
    .await
}

async fn read_head(stream: &mut TcpStream) {
    let mut came = Vec::new();
    while !came.windows(4).any(|end| end == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut came).await, Ok(1..)) {
            return;
        }
    }
}

/// The first response of a connection is this error with a short text, the second one is right.
async fn gives(status: u16, origin: &Origin) {
    let config = format!(
        "{}\n[[route]]\nname = \"fine\"\nmatch = {{ path = \"/fine\" }}\nrespond = {{ body = \"fine\" }}",
        route_to(origin)
    );
    let proxy = Proxy::start(&config).await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let response = wire.response().await;
    assert_eq!(response.status, status);
    assert!((1..200).contains(&response.body.len()), "{response:?}");
    assert!(
        response.header("content-type").starts_with("text/plain"),
        "{response:?}"
    );
    if response.header("connection") == "close" {
        assert!(wire.rest().await.is_empty());
    } else {
        wire.send("GET /fine HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(wire.response().await.text(), "fine");
    }
    assert_eq!(proxy.get("/fine").await.text(), "fine");
    assert_eq!(
        proxy.access_line("/").await.field("status"),
        Some(status.to_string())
    );
}

#[tokio::test]
async fn nobody_listens() {
    let proxy = Proxy::start(&route_to_peers(&format!("{:?}", refusing_address()))).await;
    for _ in 0..3 {
        let response = proxy.get("/x").await;
        assert_eq!(response.status, 502);
        assert!((1..200).contains(&response.body.len()));
    }
    let line = proxy.access_line("/x").await;
    assert!(line.field("error").unwrap().len() > 5, "{}", line.text);
    proxy
        .metric_becomes(r#"tidegate_requests_total{route="all",status="5xx"}"#, 3.0)
        .await;
}

#[tokio::test]
async fn it_closes_at_once() {
    gives(502, &answering(b"").await).await;
}

#[tokio::test]
async fn it_closes_within_the_head() {
    gives(502, &answering(b"HTTP/1.1 200 OK\r\nconte").await).await;
}

#[tokio::test]
async fn it_speaks_something_else() {
    gives(502, &answering(b"SSH-2.0-OpenSSH_9.9\r\n\r\n\r\n").await).await;
}

#[tokio::test]
async fn its_head_has_a_bad_field() {
    let head = b"HTTP/1.1 200 OK\r\nbad name: 1\r\ncontent-length: 2\r\n\r\nhi";
    gives(502, &answering(head).await).await;
}

#[tokio::test]
async fn its_head_contradicts_itself() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!";
    gives(502, &answering(head).await).await;
}

#[tokio::test]
async fn its_head_does_not_end() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        let field = format!("x: {}\r\n", "y".repeat(8000));
        while stream.write_all(field.as_bytes()).await.is_ok() {}
    })
    .await;
    gives(502, &origin).await;
}

/// An origin that sends the beginning of a response, and then this happens.
async fn truncated(head: &'static str, end: fn(TcpStream)) -> Origin {
    Origin::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(head.as_bytes()).await;
        end(stream);
    })
    .await
}

/// A client can tell that the response is not whole, in both versions.
async fn is_noticed(origin: &Origin) {
    let proxy = Proxy::start(&route_to(origin)).await;
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        let response = client.try_send(get("/")).await;
        assert!(
            !matches!(&response, Ok(response) if response.status == 200),
            "{response:?}"
        );
    }
    let line = proxy.access_line("/").await;
    assert!(
        line.field("error").is_some_and(|error| !error.is_empty()),
        "{}",
        line.text
    );
}

const SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello";
const UNENDED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";

#[tokio::test]
async fn it_closes_within_a_body_of_known_length() {
    is_noticed(&truncated(SHORT, drop).await).await;
}

#[tokio::test]
async fn it_closes_within_a_chunked_body() {
    is_noticed(&truncated(UNENDED, drop).await).await;
}

#[tokio::test]
async fn it_resets_the_connection_within_the_body() {
    fn reset(stream: TcpStream) {
        stream.set_zero_linger().unwrap();
    }
    is_noticed(&truncated(SHORT, reset).await).await;
    is_noticed(&truncated(UNENDED, reset).await).await;
}

#[tokio::test]
async fn its_chunks_are_malformed() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n";
    is_noticed(&truncated(head, drop).await).await;
}

#[tokio::test]
async fn more_than_the_length_does_not_reach_the_next_request() {
    let origin = Origin::raw(|mut stream| async move {
        loop {
            read_head(&mut stream).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\
                HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    for _ in 0..5 {
        assert_eq!(proxy.get("/").await.text(), "ok");
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_arrives() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nsome of it")
        .await;
    let response = wire.response().await;
    assert_eq!((response.status, response.text()), (403, "no"));
}

/// An origin that answers without the body leaves a connection on which a body is still due. Whatever
/// came next on it would be taken for that body, and what follows for a request.
#[tokio::test]
async fn nothing_follows_a_request_that_was_not_finished() {
    let (came, mut coming) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::raw(move |mut stream| {
        let came = came.clone();
        async move {
            read_head(&mut stream).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let _ = stream.write_all(answer.as_bytes()).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let _ = came.send(rest);
        }
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nsome")
        .await;
    assert_eq!(wire.response().await.text(), "ok");
    drop(wire);
    let rest = soon("the end of the first connection", coming.recv()).await;
    assert!(b"some".starts_with(&rest.unwrap()));
    assert_eq!(proxy.get("/next").await.text(), "ok");
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn early_hints_do_not_hide_the_answer() {
    let head = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let origin = answering(head).await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    assert_eq!(proxy.get("/").await.text(), "ok");
    assert_eq!(proxy.h2_client().await.get("/").await.text(), "ok");
}

#[tokio::test]
async fn a_failed_upload_is_answered() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut client = proxy.client().await;
    let response = soon("an answer", client.try_send(post("/", vec![b'x'; 1 << 20]))).await;
    if let Ok(response) = response {
        assert_eq!(response.status, 502);
    }
    assert_eq!(
        proxy.access_line("/").await.field("status").as_deref(),
        Some("502")
    );
}

#[tokio::test]
async fn what_came_of_a_response_that_breaks_off_is_passed_on() {
    let origin = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let came = proxy.raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let came = String::from_utf8_lossy(&came);
    assert!(came.starts_with("HTTP/1.1 200"), "{came}");
    assert!(came.ends_with("\r\n\r\nabc"), "{came}");
}

#[tokio::test]
async fn the_beginning_of_a_body_does_not_wait_for_its_end() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc";
        let _ = stream.write_all(head).await;
        // The rest never comes; the client hangs up when it has seen the beginning.
        let _ = stream.read_u8().await;
    })
    .await;
    let proxy = Proxy::start(&route_to(&origin)).await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.response_to_head().await.status, 200);
}

#[tokio::test]
async fn an_old_client_sees_that_a_response_broke_off() {
    // It knows no chunks: its body ends with the connection, or breaks off with it.
    for (rest, is_whole) in [("0\r\n\r\n", true), ("", false)] {
        let origin = Origin::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let answer = format!("{head}5\r\nhello\r\n{rest}");
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let proxy = Proxy::start(&route_to(&origin)).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut came = Vec::new();
        let end = soon("the end", stream.read_to_end(&mut came)).await;
        assert!(came.ends_with(b"\r\n\r\nhello"), "{}", came.escape_ascii());
        assert_eq!(end.is_ok(), is_whole, "{end:?}");
    }
}
