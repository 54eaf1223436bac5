//! gRPC-Web, as browsers speak it, to gRPC and back: the same messages, but the trailers are a last piece of
//! the body (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>).
//!
//! The binary form is translated. The text form (base64) is for browsers that cannot read a response
//! while it comes, which all can by now: 415.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use pingora::http::{RequestHeader, ResponseHeader};

const GRPC: &str = "application/grpc";
const WEB: &str = "application/grpc-web";
/// Marks the piece of a body that has the trailers.
const TRAILERS: u8 = 0x80;

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something else.
    Other,
    /// gRPC-Web, with what follows in the content type, such as `+proto`.
    Binary,
    /// Its text form.
    Text,
}

impl Kind {
    pub(crate) fn of(head: &HeaderMap) -> Kind {
        match web_suffix(head) {
            None => Kind::Other,
            Some(suffix) if suffix.starts_with("-text") => Kind::Text,
            Some(_) => Kind::Binary,
        }
    }
}

/// What follows `application/grpc-web` in the content type.
fn web_suffix(head: &HeaderMap) -> Option<&str> {
    let given = head.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (start, suffix) = given.split_at_checked(WEB.len())?;
    let delimited = suffix.is_empty() || suffix.starts_with(['+', ';', '-', ' ']);
    (start.eq_ignore_ascii_case(WEB) && delimited).then_some(suffix)
}

/// Make a request of gRPC of one of gRPC-Web.
pub(crate) fn request(head: &mut RequestHeader) -> pingora::Result<()> {
    let Some(suffix) = web_suffix(&head.headers) else {
        return Ok(());
    };
    let kind = format!("{GRPC}{suffix}");
    head.insert_header(header::CONTENT_TYPE, kind)?;
    // Its length is that of the messages, which stay as they are. Servers ask whether trailers pass.
    head.insert_header(header::TE, "trailers")
}

/// Make a response of gRPC-Web of one of gRPC. Others stay what they are.
pub(crate) fn response(head: &mut ResponseHeader) -> pingora::Result<()> {
    let given = head.headers.get(header::CONTENT_TYPE);
    let given = given.and_then(|value| value.to_str().ok());
    let Some(suffix) = given.and_then(|given| given.strip_prefix(GRPC)) else {
        return Ok(());
    };
    let kind = format!("{WEB}{suffix}");
    // The trailers come on top.
    head.remove_header(&header::CONTENT_LENGTH);
    head.insert_header(header::CONTENT_TYPE, kind)
}

/// The trailers as the last piece of the body.
pub(crate) fn trailers(trailers: &HeaderMap) -> Bytes {
    let line = |(name, value): (&http::HeaderName, &HeaderValue)| {
        [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
    };
    let lines: Vec<u8> = trailers.iter().flat_map(line).collect();
    let mut piece = BytesMut::with_capacity(5 + lines.len());
    piece.put_u8(TRAILERS);
    // Pingora bounds them far below 4 GiB.
    piece.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    piece.put_slice(&lines);
    piece.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_says_what_it_is() {
        let cases = [
            ("application/grpc-web", Kind::Binary),
            ("application/grpc-web+proto", Kind::Binary),
            ("Application/gRPC-Web; charset=x", Kind::Binary),
            ("application/grpc-web-text", Kind::Text),
            ("application/grpc-web-text+proto", Kind::Text),
            ("application/grpc-webx", Kind::Other),
            ("application/grpc", Kind::Other),
            ("application/grpc+proto", Kind::Other),
            ("text/plain", Kind::Other),
        ];
        for (given, expected) in cases {
            let head = HeaderMap::from_iter([(header::CONTENT_TYPE, given.parse().unwrap())]);
            assert_eq!(Kind::of(&head), expected, "{given}");
        }
        assert_eq!(Kind::of(&HeaderMap::new()), Kind::Other);
    }

    #[test]
    fn trailers_are_a_marked_piece_with_its_length() {
        let all = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        assert_eq!(trailers(&all)[..], *b"\x80\0\0\0\x10grpc-status: 0\r\n");
    }
}
