use super::*;
use proptest::prelude::*;

fn scanning(bytes: usize) -> HeadScan {
    HeadScan::new(&HeadLimits { bytes, count: 100 })
}

/// What becomes of a message, however it is cut into reads.
fn scan(text: &[u8]) -> Result<(), Refusal> {
    let whole = message(text, text.len());
    for cut in 0..text.len() {
        let mut scan = scanning(4096);
        let (first, second) = text.split_at(cut);
        let both = part(&mut scan, 2, first).and_then(|mut all| {
            all.extend(part(&mut scan, 2, second)?);
            Ok(all)
        });
        assert_eq!(both, whole, "cut at {cut}");
    }
    assert_eq!(message(text, 1), whole, "byte by byte");
    whole.map(drop)
}

/// The next bytes of a message, of those that were read.
fn part(scan: &mut HeadScan, number: u32, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let range = scan.read(number, bytes)?;
    Ok(bytes[range].to_vec())
}

/// The first message of a text that is read in pieces of this length.
fn message(text: &[u8], length: usize) -> Result<Vec<u8>, Refusal> {
    let mut scan = scanning(4096);
    let pieces = text.chunks(length.max(1));
    let parts: Result<Vec<_>, _> = pieces.map(|piece| part(&mut scan, 2, piece)).collect();
    parts.map(|parts| parts.concat())
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
    assert!(scan.read(0, chunked).is_ok());
    assert!(scan.read(1, b"ello\r\n0\r\n\r\n").is_ok());
    assert!(scan.read(2, chunked).is_ok());
    assert_eq!(scan.read(3, b"elloX"), Err(Refusal::Framing));
    assert!(
        scan.read(4, b"GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n")
            .is_ok()
    );
    assert_eq!(scan.read(5, b"\n"), Ok(0..1));
    assert_eq!(scan.read(6, b"GET / HTTP/1.1\n"), Err(Refusal::Malformed));
}

#[test]
fn heads_are_bounded() {
    let long = |length: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(length));
    assert!(scanning(100).read(0, long(150).as_bytes()).is_ok());
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

#[test]
fn a_message_ends_where_the_next_begins() {
    let next = b"\r\nPOST /2 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";
    let field = |field: &str, body: &str| format!("POST / HTTP/1.1\r\n{field}\r\n\r\n{body}");
    for first in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        field("x: y", ""),
        field("content-length: 0", ""),
        field("Content-Length:\t05 ", "hello"),
        field("Content-length:12", "\r\n0\r\n\r\nGET /"),
        field(
            "transfer-encoding: chunked",
            "5\r\nhello\r\n0\r\nx: y\r\n\r\n",
        ),
    ] {
        let both = [first.as_bytes(), next].concat();
        for length in 1..both.len() {
            let one = message(&both, length).unwrap();
            assert_eq!(
                one.escape_ascii().to_string(),
                first.escape_default().to_string()
            );
        }
    }
}

/// Whoever reads the head refuses it; until then, nothing after it is taken for a request.
#[test]
fn a_length_in_doubt_has_no_end() {
    for value in [
        "",
        "+5",
        "5 5",
        "5,5",
        "0x5",
        "5\r\ncontent-length: 5",
        "99999999999999999999",
    ] {
        let text = format!("POST / HTTP/1.1\r\ncontent-length: {value}\r\n\r\nGET / HTTP/1.1");
        let mut scan = scanning(4096);
        assert_eq!(
            scan.read(2, text.as_bytes()),
            Ok(0..text.len()),
            "{value:?}"
        );
        assert!(!scan.is_over(3), "{value:?}");
    }
}

#[test]
fn empty_lines_before_a_message_are_not_of_it() {
    let mut scan = scanning(4096);
    assert_eq!(scan.read(0, b"\r\n\r"), Ok(3..3));
    assert_eq!(scan.read(0, b"\n\r\nGET / HTTP/1.1\r\n\r\n\r\n"), Ok(3..21));
    assert!(scan.is_over(0) && scan.is_over(1));
    assert!(!scan.is_over(2));
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
        let whole = part(&mut scanning(64), 0, &text);
        let mut scan = scanning(64);
        let mut rest = &text[..];
        let mut read: Result<_, Refusal> = Ok(Vec::new());
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            read = read.and_then(|read| Ok([read, part(&mut scan, 0, piece)?].concat()));
            rest = after;
        }
        // Which of two mistakes is found first may depend on it.
        prop_assert_eq!(read.ok(), whole.ok());
    }
}
