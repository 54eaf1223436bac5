//! Requests whose body two servers could take for ending in different places: CL.TE, TE.CL, TE.TE.

use super::{Edge, Over};

both! {
    a_length_beside_an_encoding,
    encodings_that_are_not_chunked,
    lengths_that_are_no_number,
    lengths_and_encodings_of_good_will,
    expectations_that_nobody_knows,
}

const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

async fn a_length_beside_an_encoding(over: Over) {
    let edge = Edge::new(over).await;
    let chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (fields, body) in [
        (
            format!("content-length: 6\r\n{chunked}"),
            format!("0\r\n\r\n{SMUGGLED}"),
        ),
        (format!("{chunked}Content-Length: 4\r\n"), chunk),
        (
            format!("{chunked}x: y\r\ncontent-length: 0\r\n"),
            "0\r\n\r\n".to_owned(),
        ),
        (
            format!("connection: close\r\ncontent-length: 5\r\n{chunked}"),
            "0\r\n\r\n".to_owned(),
        ),
        (
            "content-length: 5\r\ntransfer-encoding: identity\r\n".to_owned(),
            "hello".to_owned(),
        ),
        (
            "content-length: 5\r\ntransfer-encoding:\r\n".to_owned(),
            "hello".to_owned(),
        ),
    ] {
        edge.refuses(400, "framing", format!("{POST}{fields}\r\n{body}"))
            .await;
    }
    edge.serves_on().await;
}

/// Any of them may be `chunked` to the next server, or not.
async fn encodings_that_are_not_chunked(over: Over) {
    let edge = Edge::new(over).await;
    for encoding in [
        "xchunked",
        "chunked, identity",
        "identity",
        "identity, chunked",
        "gzip, chunked",
        "chunked, chunked",
        ", chunked",
        "chunked,",
        ",chunked,x",
        "\"chunked\"",
        "chunked;q=1",
        "chunked x",
        "\x0bchunked",
        "",
        "chunked\r\ntransfer-encoding: chunked",
        "identity\r\ntransfer-encoding: chunked",
        "chunked\r\ntransfer-encoding: identity",
        "\r\n chunked",
    ] {
        let head = format!("{POST}transfer-encoding: {encoding}\r\n\r\n");
        let answer = edge.proxy.raw(format!("{head}0\r\n\r\n{SMUGGLED}")).await;
        let is_refused =
            answer.starts_with(b"HTTP/1.1 400 ") || answer.starts_with(b"HTTP/1.1 501 ");
        assert!(is_refused, "{encoding:?}: {answer:?}");
        let answers = answer
            .windows(9)
            .filter(|bytes| bytes == b"HTTP/1.1 ")
            .count();
        assert_eq!(answers, 1, "{encoding:?}: {answer:?}");
    }
    for head in [
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n",
    ] {
        edge.refuses(400, "malformed", format!("{head}0\r\n\r\n"))
            .await;
    }
    assert!(edge.origin.seen().is_empty(), "{:?}", edge.origin.seen());
}

async fn lengths_that_are_no_number(over: Over) {
    let edge = Edge::new(over).await;
    for length in [
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5a",
        "5.0",
        "5,",
        ",5",
        "5;5",
        "5e0",
        "",
        "99999999999999999999",
        "18446744073709551621",
        "5, 5",
        "5,5",
        "5, 6",
        "5\r\ncontent-length: 5",
        "5\r\ncontent-length: 6",
        "\u{ff15}",
    ] {
        let answer = edge
            .proxy
            .raw(format!("{POST}content-length: {length}\r\n\r\nhello"))
            .await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400 "),
            "{length:?}: {answer:?}"
        );
    }
    assert!(edge.origin.seen().is_empty(), "{:?}", edge.origin.seen());
    edge.serves_on().await;
}

/// Spellings that mean one thing everywhere.
async fn lengths_and_encodings_of_good_will(over: Over) {
    let edge = Edge::new(over).await;
    for fields in [
        "content-length: 5",
        "content-length: 05",
        "Content-Length:5",
        "content-length: \t5 ",
    ] {
        let mut wire = edge.wire(format!("{POST}{fields}\r\n\r\nhello")).await;
        assert_eq!(wire.response().await.text(), "hello", "{fields:?}");
    }
    for fields in [
        "Transfer-Encoding: CHUNKED",
        "transfer-encoding:\tchunked",
        "transfer-encoding:chunked ",
    ] {
        let body = "5\r\nhello\r\n0\r\n\r\n";
        let mut wire = edge.wire(format!("{POST}{fields}\r\n\r\n{body}")).await;
        assert_eq!(wire.response().await.text(), "hello", "{fields:?}");
    }
}

/// An expectation that nobody knows is passed on, or refused (RFC 9110 §10.1.1); it changes no framing.
async fn expectations_that_nobody_knows(over: Over) {
    let edge = Edge::new(over).await;
    for expectation in [
        "garbage",
        "100-continue, x",
        "100-continue\r\nexpect: x",
        "",
    ] {
        let head = format!("{POST}expect: {expectation}\r\ncontent-length: 5\r\n\r\nhello");
        let mut wire = edge
            .wire(format!(
                "{head}GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
            ))
            .await;
        wire.rest().await;
        let seen = edge.origin.seen();
        assert!(
            seen.iter()
                .all(|seen| seen.body == "hello" || seen.target == "/2"),
            "{seen:?}"
        );
    }
    edge.serves_on().await;
}
