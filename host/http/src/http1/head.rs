//! Heads on the wire (RFC 9112 §2 to §5): the request's as it is written to a peer, the response's as it is read.

use super::body::{Reader, Writer};
use super::spelling::{Speller, Spelling};
use crate::hop_by_hop::{self, members};
use crate::interpose::has_body;
use crate::own_fields::OwnFields;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader, header_value_from_raw};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Bounds of a response's head.
pub(super) const HEAD_BYTES_MAX: usize = 1024 * 1024;
pub(super) const FIELDS_MAX: usize = 256;
/// Room for fields that are added on the way.
const FIELDS_MORE: usize = 8;

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

/// Write a request's head: the client's, without what is about its connection, with the proxy's own fields.
pub(super) fn write_request(
    head: &RequestHeader,
    spelling: &Spelling,
    own: &OwnFields,
    out: &mut BytesMut,
) -> Result<(), BadHead> {
    let target = head.raw_path();
    if target.iter().any(|byte| b"\0\r\n ".contains(byte)) {
        return Err(BadHead::Target);
    }
    for part in [
        head.method.as_str().as_bytes(),
        b" ",
        target,
        b" HTTP/1.1\r\n",
    ] {
        out.extend_from_slice(part);
    }
    let mut speller = Speller::new(spelling);
    for (name, value) in &head.headers {
        let spelled = speller.spell(name);
        if !own.has(name) && !hop_by_hop::is_always(name) {
            write_field(spelled, value, out);
        }
    }
    for (name, value) in own.set_fields() {
        write_field(name.as_str().as_bytes(), value, out);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn write_field(name: &[u8], value: &HeaderValue, out: &mut BytesMut) {
    // Once for all of it: these are many, and short.
    out.reserve(name.len() + value.len() + 4);
    for part in [name, b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// How the body of a request with this head is written, if it has one. What nobody knows the length of goes in chunks.
pub(super) fn request_body(
    head: &RequestHeader,
    own: &mut OwnFields,
    has_body: bool,
) -> Result<Writer, BadHead> {
    let length = match own.get(&header::CONTENT_LENGTH) {
        Some(Some(own)) => digits(own.as_bytes()),
        Some(None) => None,
        None => length(&head.headers)?,
    };
    match length {
        Some(length) => Ok(Writer::Length(length)),
        None if has_body => {
            own.set(
                &header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            );
            Ok(Writer::Chunks)
        }
        None => Ok(Writer::Length(0)),
    }
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
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| httparse::Error::Status)?;
    parts.version = match parsed.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let reason = parsed.reason.filter(|reason| {
        // What everybody says is not kept.
        parts.status.canonical_reason() != Some(reason)
    });
    let reason = reason.map(str::to_owned);
    let places = places(read, parsed.headers);
    let (fields, spelling) = take_fields(read.split_to(end).freeze(), places)?;
    parts.headers = fields;
    if parts.headers.contains_key(header::TRANSFER_ENCODING) {
        // It overrides a length (RFC 9112 §6.3).
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    parts.extensions.insert(spelling);
    let mut head = Box::new(ResponseHeader::from(parts));
    if let Some(reason) = reason {
        head.set_reason_phrase(Some(&reason))
            .map_err(|_| httparse::Error::Status)?;
    }
    Ok(Some(head))
}

/// Where the names and values of fields stand in what was read. They share it with the head, and that outlives the
/// parser's borrow of it.
pub(super) fn places(read: &[u8], fields: &[httparse::Header<'_>]) -> Places {
    let start = read.as_ptr() as usize;
    let place = |bytes: &[u8]| {
        let at = bytes.as_ptr() as usize - start;
        at..at + bytes.len()
    };
    Places {
        names: fields
            .iter()
            .map(|field| place(field.name.as_bytes()))
            .collect(),
        values: fields.iter().map(|field| place(field.value)).collect(),
    }
}

/// Of names and values, in the same order.
pub(super) struct Places {
    names: Vec<Range<usize>>,
    values: Vec<Range<usize>>,
}

/// The fields that stand there in a head, and how they are spelled.
pub(super) fn take_fields(head: Bytes, places: Places) -> Result<(HeaderMap, Spelling), BadHead> {
    let Places { names, values } = places;
    let mut fields = HeaderMap::with_capacity(names.len() + FIELDS_MORE);
    for (name, value) in names.iter().zip(values) {
        let name = head.get(name.clone()).unwrap_or_default();
        let name = HeaderName::from_bytes(name).map_err(|_| BadHead::Field)?;
        // Lines that were folded become one (RFC 9112 §5.2).
        fields.append(name, header_value_from_raw(head.slice(value)));
    }
    Ok((fields, Spelling::new(head, names)))
}

/// How the body of a response is framed (RFC 9112 §6.3).
pub(super) fn response_body(request: &Method, head: &ResponseHeader) -> Result<Reader, BadHead> {
    let length = length(&head.headers)?;
    if !has_body(request, head.status) {
        return Ok(Reader::NONE);
    }
    Ok(match length {
        _ if is_chunked(&head.headers) => Reader::chunks(),
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
pub(super) fn is_chunked(fields: &HeaderMap) -> bool {
    let last = fields.get_all(header::TRANSFER_ENCODING).iter().next_back();
    let last = last.and_then(|value| value.as_bytes().rsplit(|byte| *byte == b',').next());
    last.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// The length, which may be said more than once if it is always the same (RFC 9110 §8.6).
pub(super) fn length(fields: &HeaderMap) -> Result<Option<u64>, BadHead> {
    let mut values = fields.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if fields.contains_key(header::TRANSFER_ENCODING) {
        return Ok(None);
    }
    let mut known = None;
    for value in std::iter::once(first).chain(values) {
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
        assert_eq!(head.headers["folded"], "a b");
        let mine = HeaderName::from_static("x-mine");
        let mut speller = Speller::new(head.extensions.get().unwrap());
        assert_eq!(speller.spell(&mine), b"X-Mine", "spelling is kept");
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
        let chunks = Reader::chunks();
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
    fn the_clients_head_goes_on_with_the_proxys_own_fields() {
        let mut head = RequestHeader::build("POST", b"/a?b", None).unwrap();
        for (name, value) in [
            ("X-Mine", "1"),
            ("x-mine", "2"),
            ("Connection", "keep-alive"),
            ("TE", "trailers"),
            ("transfer-encoding", "chunked"),
            ("X-Real-IP", "192.0.2.1"),
            ("X-Gone", "1"),
        ] {
            head.append_header(name, value).unwrap();
        }
        let mut own = OwnFields::new();
        let real_ip = HeaderName::from_static("x-real-ip");
        own.set(&real_ip, HeaderValue::from_static("192.0.2.2"));
        own.remove(&HeaderName::from_static("x-gone"));
        let mut out = BytesMut::new();
        assert_eq!(request_body(&head, &mut own, true), Ok(Writer::Chunks));
        write_request(&head, &Spelling::default(), &own, &mut out).unwrap();
        let expected = "POST /a?b HTTP/1.1\r\nx-mine: 1\r\nx-mine: 2\r\n\
                        x-real-ip: 192.0.2.2\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(str::from_utf8(&out), Ok(expected));
    }

    #[test]
    fn a_length_is_the_proxys_if_it_has_one() {
        let mut head = RequestHeader::build("POST", b"/", None).unwrap();
        let none = |has_body| request_body(&head, &mut OwnFields::new(), has_body);
        assert_eq!(none(false), Ok(Writer::Length(0)));
        head.insert_header("content-length", "5").unwrap();
        let mut own = OwnFields::new();
        assert_eq!(request_body(&head, &mut own, true), Ok(Writer::Length(5)));
        own.set(&header::CONTENT_LENGTH, 7.into());
        assert_eq!(request_body(&head, &mut own, true), Ok(Writer::Length(7)));
        own.remove(&header::CONTENT_LENGTH);
        assert_eq!(request_body(&head, &mut own, true), Ok(Writer::Chunks));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = [b"HTTP/1.1 200 OK\r\n", &bytes[..]].concat();
            let _ = response(&text);
        }
    }
}
