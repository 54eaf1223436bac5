//! Heads on the wire (RFC 9112 §2 to §5): the request's as it is written to a peer, the response's as it is read.

use super::body::{Reader, Writer};
use crate::chunk_scan::ChunkScan;
use crate::hop_by_hop::members;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora::http::{IntoCaseHeaderName, RequestHeader, ResponseHeader};
use std::mem::MaybeUninit;

/// Bounds of a response's head.
pub(super) const HEAD_BYTES_MAX: usize = 1024 * 1024;
const FIELDS_MAX: usize = 256;

/// A head that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHead {
    #[error("the request target cannot be sent")]
    Target,
    #[error("not a head of HTTP/1: {0}")]
    Syntax(#[from] httparse::Error),
    #[error("a field that is not one")]
    Field,
    #[error("the content-length is not one length")]
    Length,
}

/// Write a request's head.
pub(super) fn write_request(head: &RequestHeader, out: &mut BytesMut) -> Result<(), BadHead> {
    let target = head.raw_path();
    if target.iter().any(|byte| b"\0\r\n ".contains(byte)) {
        return Err(BadHead::Target);
    }
    out.put_slice(head.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(target);
    out.put_slice(b" HTTP/1.1\r\n");
    head.header_to_h1_wire(out);
    out.put_slice(b"\r\n");
    Ok(())
}

/// How the body of a request is written that has this head.
pub(super) fn request_body(head: &RequestHeader) -> Result<Writer, BadHead> {
    if is_chunked(&head.headers) {
        return Ok(Writer::Chunks);
    }
    Ok(Writer::Length(length(&head.headers)?.unwrap_or(0)))
}

/// Take a response's head from what was read; `None` while it is not all there.
pub(super) fn take_response(read: &mut BytesMut) -> Result<Option<Box<ResponseHeader>>, BadHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let mut parser = httparse::ParserConfig::default();
    // As old servers write them.
    parser.allow_spaces_after_header_name_in_responses(true);
    parser.allow_obsolete_multiline_headers_in_responses(true);
    let parsing = parser.parse_response_with_uninit_headers(&mut parsed, read, &mut fields);
    let httparse::Status::Complete(end) = parsing? else {
        return Ok(None);
    };
    let mut head = Box::new(
        ResponseHeader::build(parsed.code.unwrap_or_default(), Some(parsed.headers.len()))
            .map_err(|_| httparse::Error::Status)?,
    );
    head.set_version(match parsed.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    });
    head.set_reason_phrase(parsed.reason)
        .map_err(|_| httparse::Error::Status)?;
    // Names and values share what was read; where they stand in it outlives the parser's borrow of it.
    let start = read.as_ptr() as usize;
    let place = |bytes: &[u8]| {
        let at = bytes.as_ptr() as usize - start;
        at..at + bytes.len()
    };
    let places: Vec<_> = parsed
        .headers
        .iter()
        .map(|field| (place(field.name.as_bytes()), place(field.value)))
        .collect();
    let text = read.split_to(end).freeze();
    for (name, value) in places {
        let value = field_value(text.slice(value))?;
        head.append_header(text.slice(name).into_case_header_name(), value)
            .map_err(|_| BadHead::Field)?;
    }
    if head.headers.contains_key(header::TRANSFER_ENCODING) {
        // It overrides a length (RFC 9112 §6.3).
        head.remove_header(&header::CONTENT_LENGTH);
    }
    Ok(Some(head))
}

/// A value, of which a line that was folded is one line now (RFC 9112 §5.2).
fn field_value(text: Bytes) -> Result<HeaderValue, BadHead> {
    let is_folded = text.iter().any(|byte| b"\r\n".contains(byte));
    if !is_folded {
        return HeaderValue::from_maybe_shared(text).map_err(|_| BadHead::Field);
    }
    let unfolded: Vec<u8> = text
        .iter()
        .map(|byte| match byte {
            b'\r' | b'\n' => b' ',
            byte => *byte,
        })
        .collect();
    HeaderValue::from_bytes(&unfolded).map_err(|_| BadHead::Field)
}

/// How the body of a response is framed (RFC 9112 §6.3).
pub(super) fn response_body(request: &Method, head: &ResponseHeader) -> Result<Reader, BadHead> {
    let length = length(&head.headers)?;
    let has_none = matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if has_none || *request == Method::HEAD {
        return Ok(Reader::NONE);
    }
    Ok(match length {
        _ if is_chunked(&head.headers) => Reader::Chunks(ChunkScan::default(), 0),
        Some(length) => Reader::Length(length),
        None => Reader::Close,
    })
}

/// Whether the peer lets the connection be used again after this response (RFC 9112 §9.3).
pub(super) fn keeps_connection(head: &ResponseHeader) -> bool {
    let says = |word: &str| {
        members(&head.headers, header::CONNECTION)
            .any(|member| member.eq_ignore_ascii_case(word.as_bytes()))
    };
    match head.version {
        Version::HTTP_10 => {
            says("keep-alive") && !head.headers.contains_key(header::TRANSFER_ENCODING)
        }
        _ => !says("close"),
    }
}

/// Whether `chunked` is the last coding.
fn is_chunked(fields: &HeaderMap) -> bool {
    let last = fields.get_all(header::TRANSFER_ENCODING).iter().next_back();
    let last = last.and_then(|value| value.as_bytes().rsplit(|byte| *byte == b',').next());
    last.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// The length, which may be said more than once if it is always the same (RFC 9110 §8.6).
fn length(fields: &HeaderMap) -> Result<Option<u64>, BadHead> {
    if fields.contains_key(header::TRANSFER_ENCODING) {
        return Ok(None);
    }
    let mut known = None;
    for value in fields.get_all(header::CONTENT_LENGTH) {
        for member in value.as_bytes().split(|byte| *byte == b',') {
            let length = digits(member.trim_ascii()).ok_or(BadHead::Length)?;
            if known.is_some_and(|known| known != length) {
                return Err(BadHead::Length);
            }
            known = Some(length);
        }
    }
    Ok(known)
}

fn digits(text: &[u8]) -> Option<u64> {
    let all_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    all_digits
        .then(|| std::str::from_utf8(text).ok()?.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn response(text: &[u8]) -> Result<Option<(Box<ResponseHeader>, BytesMut)>, BadHead> {
        let mut read = BytesMut::from(text);
        Ok(take_response(&mut read)?.map(|head| (head, read)))
    }

    fn body_of(text: &str) -> Result<Reader, BadHead> {
        let (head, _) = response(text.as_bytes())?.unwrap();
        response_body(&Method::GET, &head)
    }

    #[test]
    fn a_head_is_taken_and_nothing_after_it() {
        let text = b"HTTP/1.1 200 Fine\r\nX-Mine: a\r\nx-mine:  b \r\nfolded: a\r\n b\r\n\r\nrest";
        let (head, rest) = response(text).unwrap().unwrap();
        assert_eq!(&rest[..], b"rest");
        assert_eq!(head.status, 200);
        assert_eq!(head.get_reason_phrase(), Some("Fine"));
        let values: Vec<_> = head.headers.get_all("x-mine").iter().collect();
        assert_eq!(values, ["a", "b"]);
        assert_eq!(head.headers["folded"], "a   b");
        let mut wire = Vec::new();
        head.header_to_h1_wire(&mut wire);
        assert!(wire.starts_with(b"X-Mine: a\r\n"), "spelling is kept");
        for cut in 0..text.len() - 4 {
            let part = text.get(..cut).unwrap();
            assert!(matches!(response(part), Ok(None)), "{cut}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            &b"HTTP/2 200\r\n\r\n"[..],
            b"ICY 200 OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
        ] {
            assert!(response(text).is_err(), "{}", text.escape_ascii());
        }
        let many = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "a: b\r\n".repeat(FIELDS_MAX + 1)
        );
        assert!(response(many.as_bytes()).is_err());
    }

    #[test]
    fn bodies_are_framed_by_their_heads() {
        let chunks = Reader::Chunks(ChunkScan::default(), 0);
        let cases = [
            ("content-length: 5\r\n", Ok(Reader::Length(5))),
            (
                "content-length: 5, 5\r\ncontent-length: 5\r\n",
                Ok(Reader::Length(5)),
            ),
            (
                "content-length: 5\r\ncontent-length: 6\r\n",
                Err(BadHead::Length),
            ),
            ("content-length: +5\r\n", Err(BadHead::Length)),
            (
                "content-length: 99999999999999999999\r\n",
                Err(BadHead::Length),
            ),
            ("content-length:\r\n", Err(BadHead::Length)),
            (
                "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
                Ok(chunks),
            ),
            ("transfer-encoding: gzip\r\n", Ok(Reader::Close)),
            ("", Ok(Reader::Close)),
        ];
        for (fields, expected) in cases {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(body_of(&text), expected, "{fields:?}");
        }
        let head = "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(body_of(head), Ok(Reader::NONE));
        let (head, _) = response(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(response_body(&Method::HEAD, &head), Ok(Reader::NONE));
    }

    #[test]
    fn connections_are_kept_as_both_versions_have_it() {
        let keeps = |text: &str| {
            let text = format!("{text}\r\n");
            keeps_connection(&response(text.as_bytes()).unwrap().unwrap().0)
        };
        assert!(keeps("HTTP/1.1 200 OK\r\n"));
        assert!(!keeps("HTTP/1.1 200 OK\r\nconnection: x, Close\r\n"));
        assert!(!keeps("HTTP/1.0 200 OK\r\n"));
        assert!(keeps("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n"));
        let chunked = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n";
        assert!(!keeps(chunked));
    }

    #[test]
    fn a_target_cannot_end_its_line() {
        let mut head = RequestHeader::build("GET", b"/a?b", None).unwrap();
        head.insert_header("X-Mine", "1").unwrap();
        let mut out = BytesMut::new();
        write_request(&head, &mut out).unwrap();
        assert_eq!(&out[..], b"GET /a?b HTTP/1.1\r\nX-Mine: 1\r\n\r\n");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = [b"HTTP/1.1 200 OK\r\n", &bytes[..]].concat();
            let _ = response(&text);
        }
    }
}
