use super::*;
use proptest::prelude::*;

fn scanning(bytes: usize) -> HeadScan {
    HeadScan::new(&HeadLimits { bytes, count: 100 })
}

/// What becomes of a message, however it is cut into reads.
fn scan(text: &[u8]) -> Result<(), Refusal> {
    let whole = scanning(4096).read(2, text);
    for cut in 0..text.len() {
        let mut scan = scanning(4096);
        let (first, second) = text.split_at(cut);
        let both = scan.read(2, first).and_then(|()| scan.read(2, second));
        assert_eq!(both, whole, "cut at {cut}");
    }
    let mut scan = scanning(4096);
    let bytes = text.iter().try_for_each(|byte| scan.read(2, &[*byte]));
    assert_eq!(bytes, whole, "byte by byte");
    whole
}

#[test]
fn ordinary_messages_pass_and_bodies_are_not_looked_at() {
    for message in [
        &b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\r\nGET / HTTP/1.1\r\nHost: a b  c\r\nX:\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n\n\n#\x01 a b c d\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\n#\n\r\n0\r\n\r\n\n",
        b"POST / HTTP/1.1\r\nX-Transfer-Encoding: a\r\nContent-Length-X: 5\r\nContent-Length: 1\r\n\r\n\n",
    ] {
        assert_eq!(scan(message), Ok(()), "{}", message.escape_ascii());
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for head in [
        &b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET /\ta HTTP/1.1\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\n\r\n",
        b"GET /\ra HTTP/1.1\r\n\r\n",
        b"\rGET / HTTP/1.1\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(
            scan(head),
            Err(Refusal::Malformed),
            "{}",
            head.escape_ascii()
        );
    }
}

#[test]
fn a_body_whose_end_is_in_doubt_is_refused() {
    for message in [
        &b"POST / HTTP/1.1\r\nContent-Length: 5\r\ntransfer-encoding: chunked\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nTRANSFER-ENCODING: x\r\nX: y\r\ncontent-length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;\n\r\nhello\r\n0\r\n\r\n",
    ] {
        assert_eq!(
            scan(message),
            Err(Refusal::Framing),
            "{}",
            message.escape_ascii()
        );
    }
}

#[test]
fn each_message_of_a_connection_is_looked_at() {
    let mut scan = scanning(4096);
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nh";
    assert_eq!(scan.read(0, chunked), Ok(()));
    assert_eq!(scan.read(1, b"ello\r\n0\r\n\r\n"), Ok(()));
    assert_eq!(scan.read(2, chunked), Ok(()));
    assert_eq!(scan.read(3, b"elloX"), Err(Refusal::Framing));
    assert_eq!(
        scan.read(4, b"GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"),
        Ok(())
    );
    assert_eq!(scan.read(5, b"\n"), Ok(()));
    assert_eq!(scan.read(6, b"GET / HTTP/1.1\n"), Err(Refusal::Malformed));
}

#[test]
fn heads_are_bounded() {
    let long = |length: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(length));
    assert_eq!(scanning(100).read(0, long(150).as_bytes()), Ok(()));
    assert_eq!(
        scanning(100).read(0, long(200).as_bytes()),
        Err(Refusal::UriBytes)
    );
    let field = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200));
    assert_eq!(
        scanning(100).read(0, field.as_bytes()),
        Err(Refusal::HeaderBytes)
    );
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x:\r\n".repeat(257));
    assert_eq!(
        scanning(4096).read(0, many.as_bytes()),
        Err(Refusal::HeaderCount)
    );
    assert_eq!(
        scanning(4096).read(0, &b"\r\n".repeat(5000)),
        Err(Refusal::UriBytes)
    );
}

/// What messages are made of, and what spoils them.
const WORDS: [&[u8]; 22] = [
    b"GET ",
    b"/ ",
    b"HTTP/1.1",
    b"POST / HTTP/1.1\r\n",
    b"host: a\r\n",
    b"transfer-encoding: chunked\r\n",
    b"Transfer-Encoding",
    b"content-length: 5\r\n",
    b":",
    b" ",
    b"\r\n",
    b"\r",
    b"\n",
    b"\t",
    b"\0",
    b"5\r\n",
    b"hello\r\n",
    b"0\r\n",
    b";a",
    b"#",
    b"ffffffffffffffff",
    b"x: y\r\n",
];

proptest! {
    #[test]
    fn reads_make_no_difference(
        words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..16),
        cuts in prop::collection::vec(0..12_usize, 0..6),
    ) {
        let text = words.concat();
        let whole = scanning(64).read(0, &text);
        let mut scan = scanning(64);
        let mut rest = &text[..];
        let mut read = Ok(());
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            read = read.and_then(|()| scan.read(0, piece));
            rest = after;
        }
        // Which of two mistakes is found first may depend on it.
        prop_assert_eq!(read.and_then(|()| scan.read(0, rest)).is_err(), whole.is_err());
    }
}
