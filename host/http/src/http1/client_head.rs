//! Heads between us and a client (RFC 9112 §2 to §5): the request's as it is read, the response's as it is written.

use super::body::{Reader, Writer};
use super::head::{self, BadHead, FIELDS_MAX};
use super::spelling::{Speller, Spelling};
use crate::hop_by_hop::members;
use crate::interpose::has_body;
use bytes::BytesMut;
use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::authority::validate_request_authority;
use std::mem::MaybeUninit;

/// Take a request's head from what was read; `None` while it is not all there.
pub(super) fn take_request(
    read: &mut BytesMut,
) -> Result<Option<(Box<RequestHeader>, Spelling)>, BadHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let parsing = parsed.parse_with_uninit_headers(read, &mut fields);
    let httparse::Status::Complete(end) = parsing? else {
        return Ok(None);
    };
    let (mut parts, ()) = http::Request::new(()).into_parts();
    let method = parsed.method.unwrap_or_default();
    parts.method = Method::from_bytes(method.as_bytes()).map_err(|_| httparse::Error::Token)?;
    parts.version = match parsed.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let target = parsed.path.unwrap_or_default();
    let target_place = {
        let at = target.as_ptr() as usize - read.as_ptr() as usize;
        at..at + target.len()
    };
    let places = head::places(read, parsed.headers);
    let text = read.split_to(end).freeze();
    let target = text.slice(target_place);
    let (fields, spelling) = head::take_fields(text, places)?;
    parts.headers = fields;
    let mut head = Box::new(RequestHeader::from(parts));
    head.set_raw_path(&target).map_err(|_| BadHead::Target)?;
    Ok(Some((head, spelling)))
}

/// How the body of a request is framed (RFC 9112 §6.3).
///
/// # Errors
/// The end of the body, or the host, is in doubt.
pub(super) fn request_body(head: &RequestHeader) -> Result<Reader, BadHead> {
    validate_request_authority(head).map_err(|_| BadHead::Target)?;
    let fields = &head.headers;
    if !fields.contains_key(header::TRANSFER_ENCODING) {
        return Ok(Reader::Length(head::length(fields)?.unwrap_or(0)));
    }
    if head.version == Version::HTTP_10 || !head::is_chunked(fields) {
        return Err(BadHead::Length);
    }
    Ok(Reader::chunks())
}

/// Whether the client lets the connection be used again (RFC 9112 §9.3).
pub(super) fn keeps_connection(head: &RequestHeader) -> bool {
    if !head.headers.contains_key(header::CONNECTION) {
        return head.version == Version::HTTP_11;
    }
    let says = |word: &str| {
        members(&head.headers, header::CONNECTION)
            .any(|member| member.eq_ignore_ascii_case(word.as_bytes()))
    };
    !says("close") && (head.version == Version::HTTP_11 || says("keep-alive"))
}

/// How the body of a final response is written, as its head says (RFC 9112 §6.3).
pub(super) fn response_body(request: &Method, head: &ResponseHeader) -> Writer {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Writer::Close;
    }
    if !has_body(request, head.status) {
        return Writer::Length(0);
    }
    if head::is_chunked(&head.headers) {
        return Writer::Chunks;
    }
    match head::length(&head.headers) {
        Ok(Some(length)) => Writer::Length(length),
        _ => Writer::Close,
    }
}

/// What a final response says in place of whatever its head says.
pub(super) struct Closing {
    pub(super) date: HeaderValue,
    pub(super) keeps_connection: bool,
}

/// Write a response's head; a final one with `closing`.
pub(super) fn write_response(head: &ResponseHeader, closing: Option<&Closing>, out: &mut Vec<u8>) {
    let fields = head.headers.iter();
    let length: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    out.reserve(length + 128);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.get_reason_phrase().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let none = Spelling::default();
    let mut speller = Speller::new(head.extensions.get().unwrap_or(&none));
    for (name, value) in &head.headers {
        let spelled = speller.spell(name);
        if closing.is_none() || !(name == header::DATE || name == header::CONNECTION) {
            field(spelled, value.as_bytes(), out);
        }
    }
    if let Some(closing) = closing {
        field(b"date", closing.date.as_bytes(), out);
        let connection: &[u8] = match closing.keeps_connection {
            true => b"keep-alive",
            false => b"close",
        };
        field(b"connection", connection, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::empty_response;
    use proptest::prelude::*;

    fn request(text: &[u8]) -> Result<Option<(Box<RequestHeader>, BytesMut)>, BadHead> {
        let mut read = BytesMut::from(text);
        Ok(take_request(&mut read)?.map(|(head, _)| (head, read)))
    }

    fn head_of(text: &str) -> Box<RequestHeader> {
        request(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn a_head_is_taken_and_nothing_after_it() {
        let text = b"POST /a?b=%22{c} HTTP/1.1\r\nHost: a\r\nX-Mine: a\r\nx-mine:  b \r\n\r\nrest";
        let (head, rest) = request(text).unwrap().unwrap();
        assert_eq!(&rest[..], b"rest");
        assert_eq!(
            (&head.method, head.version),
            (&Method::POST, Version::HTTP_11)
        );
        assert_eq!(head.raw_path(), b"/a?b=%22{c}");
        let values: Vec<_> = head.headers.get_all("x-mine").iter().collect();
        assert_eq!(values, ["a", "b"]);
        for cut in 0..text.len() - 4 {
            let part = text.get(..cut).unwrap();
            assert!(matches!(request(part), Ok(None)), "{cut}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            &b"GET / HTTP/2\r\n\r\n"[..],
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nx : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nx: a\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\r\nx: \0\r\n\r\n",
        ] {
            assert!(request(text).is_err(), "{}", text.escape_ascii());
        }
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "a: b\r\n".repeat(FIELDS_MAX + 1)
        );
        assert!(request(many.as_bytes()).is_err());
    }

    #[test]
    fn bodies_are_framed_by_their_heads() {
        let cases = [
            ("", Ok(Reader::Length(0))),
            ("content-length: 5\r\n", Ok(Reader::Length(5))),
            (
                "content-length: 5\r\ncontent-length: 6\r\n",
                Err(BadHead::Length),
            ),
            ("content-length: +5\r\n", Err(BadHead::Length)),
            ("transfer-encoding: chunked\r\n", Ok(Reader::chunks())),
            ("transfer-encoding: chunked, gzip\r\n", Err(BadHead::Length)),
            ("host: b\r\n", Err(BadHead::Target)),
        ];
        for (fields, expected) in cases {
            let head = head_of(&format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"));
            assert_eq!(request_body(&head), expected, "{fields:?}");
        }
        let old = head_of("GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(request_body(&old), Err(BadHead::Length));
    }

    #[test]
    fn connections_are_kept_as_both_versions_have_it() {
        let keeps = |line: &str, field: &str| {
            keeps_connection(&head_of(&format!("GET / {line}\r\n{field}\r\n")))
        };
        assert!(keeps("HTTP/1.1", ""));
        assert!(keeps("HTTP/1.1", "connection: x\r\n"));
        assert!(!keeps("HTTP/1.1", "connection: x, Close\r\n"));
        assert!(!keeps("HTTP/1.0", ""));
        assert!(keeps("HTTP/1.0", "connection: Keep-Alive\r\n"));
        assert!(!keeps("HTTP/1.0", "connection: keep-alive, close\r\n"));
    }

    #[test]
    fn a_response_is_written_with_what_it_says_of_the_connection() {
        let mut head = empty_response(StatusCode::NOT_FOUND);
        for (name, value) in [("x-mine", "1"), ("date", "then"), ("connection", "x")] {
            head.append_header(name, value).unwrap();
        }
        let mut out = Vec::new();
        let closing = Closing {
            date: HeaderValue::from_static("now"),
            keeps_connection: false,
        };
        write_response(&head, Some(&closing), &mut out);
        let expected =
            "HTTP/1.1 404 Not Found\r\nx-mine: 1\r\ndate: now\r\nconnection: close\r\n\r\n";
        assert_eq!(str::from_utf8(&out), Ok(expected));
        out.clear();
        write_response(&empty_response(StatusCode::CONTINUE), None, &mut out);
        assert_eq!(str::from_utf8(&out), Ok("HTTP/1.1 100 Continue\r\n\r\n"));
    }

    #[test]
    fn a_response_is_framed_as_its_head_says() {
        let writer = |method, status, field: Option<(&'static str, &str)>| {
            let mut head = empty_response(status);
            if let Some((name, value)) = field {
                head.append_header(name, value).unwrap();
            }
            response_body(&method, &head)
        };
        let length = Some(("content-length", "5"));
        let chunked = Some(("transfer-encoding", "chunked"));
        assert_eq!(
            writer(Method::GET, StatusCode::OK, length),
            Writer::Length(5)
        );
        assert_eq!(writer(Method::GET, StatusCode::OK, chunked), Writer::Chunks);
        assert_eq!(writer(Method::GET, StatusCode::OK, None), Writer::Close);
        assert_eq!(
            writer(Method::HEAD, StatusCode::OK, length),
            Writer::Length(0)
        );
        let none = writer(Method::GET, StatusCode::NOT_MODIFIED, length);
        assert_eq!(none, Writer::Length(0));
        let switched = writer(Method::GET, StatusCode::SWITCHING_PROTOCOLS, None);
        assert_eq!(switched, Writer::Close);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((head, _))) = request(&[b"GET / HTTP/1.1\r\n", &bytes[..]].concat()) {
                let _ = request_body(&head);
                keeps_connection(&head);
            }
        }
    }
}
