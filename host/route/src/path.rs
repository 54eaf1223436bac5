//! The path of a request in the one form that is routed and forwarded (RFC 3986 §6.2.2), so that no
//! spelling of a path gets around a route or means something else to the upstream.

use std::borrow::Cow;

/// Why a path has no normal form. Offsets count bytes from the start of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Empty, `*`, or a form that is no path.
    #[error("a path begins with `/`")]
    NoLeadingSlash,
    /// A space, a control character or DEL, raw.
    #[error("byte {byte:#04x} at offset {at} cannot stand in a path")]
    Byte {
        /// The byte.
        byte: u8,
        /// Where it stands.
        at: usize,
    },
    /// A `%` without two hexadecimal digits after it.
    #[error("`%` at offset {at} is not followed by two hexadecimal digits")]
    Escape {
        /// Where the `%` stands.
        at: usize,
    },
    /// `%00`: many upstreams end the path there.
    #[error("`%00` at offset {at} is refused")]
    Null {
        /// Where it stands.
        at: usize,
    },
    /// The beginning of an overlong form of UTF-8, such as `%C0%AE` for a dot (RFC 3629 §3): some upstreams
    /// decode it.
    #[error("the escapes at offset {at} are an overlong form of UTF-8")]
    Overlong {
        /// Where the first one stands.
        at: usize,
    },
    /// A `?`: the query is no part of the path.
    #[error("`?` at offset {at} begins a query, which is no part of the path")]
    Query {
        /// Where it stands.
        at: usize,
    },
    /// A `#`: a client keeps the fragment to itself.
    #[error("`#` at offset {at} begins a fragment, which a request cannot have")]
    Fragment {
        /// Where it stands.
        at: usize,
    },
    /// More `..` than segments before it.
    #[error("`..` leads above the root")]
    AboveRoot,
}

/// Gives the normal form of a request's path, the part before `?`.
///
/// - Percent-encoded unreserved characters are decoded, other escapes get upper-case digits. `%2F` and
///   `%5C` stay escapes and never become separators.
/// - Whatever may not stand raw in a path (RFC 3986 §3.3) is percent-encoded: also the backslash, and
///   text beyond ASCII as UTF-8.
/// - Then `//` becomes `/`, and the segments `.` and `..` are resolved.
///
/// The result is stable: normalising it again changes nothing. A path that has its normal form is
/// borrowed.
///
/// # Errors
///
/// See [`PathError`]; such a request deserves a 400. `*` (RFC 9112 §3.2.4) is no path: decide about it
/// before.
pub fn normalize_path(path: &str) -> Result<Cow<'_, str>, PathError> {
    let escaped = normalize_escapes(path)?;
    if !has_special_segment(&escaped) {
        return Ok(escaped);
    }
    resolve_segments(&escaped).map(Cow::Owned)
}

/// The first half of [`normalize_path`]: each character in its one spelling, segments untouched.
pub(crate) fn normalize_escapes(path: &str) -> Result<Cow<'_, str>, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::NoLeadingSlash);
    }
    if path.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(path));
    }
    let mut out = String::with_capacity(path.len() + 16);
    let mut chars = path.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '%' => {
                let byte = escaped_byte(path, at)?;
                if is_overlong(byte, path, at + 3) {
                    return Err(PathError::Overlong { at });
                }
                push_byte(&mut out, byte);
                // The two digits.
                chars.nth(1);
            }
            _ => push_char(&mut out, c, at)?,
        }
    }
    if out == path {
        return Ok(Cow::Borrowed(path));
    }
    Ok(Cow::Owned(out))
}

/// Whether there is a segment for [`resolve_segments`]: an empty one that is not the last, `.` or `..`.
pub(crate) fn has_special_segment(path: &str) -> bool {
    memchr::memchr_iter(b'/', path.as_bytes()).any(|slash| {
        matches!(
            path.as_bytes().get(slash + 1..),
            Some([b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
        )
    })
}

/// `pchar` of RFC 3986 §3.3 without `%`, and the slash.
fn is_plain(byte: u8) -> bool {
    // A table, because every byte of every request's path is asked about.
    const PLAIN: [bool; 256] = {
        let mut plain = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            plain[byte] = is_unreserved(byte as u8) || is_delimiter(byte as u8);
            byte += 1;
        }
        plain
    };
    PLAIN[usize::from(byte)]
}

/// What may stand raw in a path beside unreserved characters: `sub-delims`, `:`, `@` and `/`.
const fn is_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'$' | b'&'..=b',' | b'/' | b':' | b';' | b'=' | b'@'
    )
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether this byte begins an overlong form of UTF-8 with the escape at this offset, if there is one.
fn is_overlong(first: u8, path: &str, next: usize) -> bool {
    let least = match first {
        0xc0 | 0xc1 => 0xc0,
        0xe0 => 0xa0,
        0xf0 => 0x90,
        _ => return false,
    };
    let is_escape = path.as_bytes().get(next) == Some(&b'%');
    is_escape && escaped_byte(path, next).is_ok_and(|second| (0x80..least).contains(&second))
}

/// The byte that the escape at this offset stands for.
fn escaped_byte(path: &str, at: usize) -> Result<u8, PathError> {
    let digits = path
        .get(at + 1..at + 3)
        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .ok_or(PathError::Escape { at })?;
    match u8::from_str_radix(digits, 16) {
        Ok(0) => Err(PathError::Null { at }),
        Ok(byte) => Ok(byte),
        Err(_) => Err(PathError::Escape { at }),
    }
}

/// A byte that came as an escape: what is unreserved is decoded, all else stays an escape.
fn push_byte(out: &mut String, byte: u8) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    if is_unreserved(byte) {
        out.push(char::from(byte));
    } else {
        out.extend([
            '%',
            HEX[usize::from(byte >> 4)],
            HEX[usize::from(byte & 15)],
        ]);
    }
}

/// A character that came raw: it stays so if it may, else it becomes an escape or several.
fn push_char(out: &mut String, c: char, at: usize) -> Result<(), PathError> {
    match c {
        '?' => return Err(PathError::Query { at }),
        '#' => return Err(PathError::Fragment { at }),
        '\0'..=' ' | '\x7f' => return Err(PathError::Byte { byte: c as u8, at }),
        _ if u8::try_from(c).is_ok_and(is_plain) => out.push(c),
        _ => {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                push_byte(out, byte);
            }
        }
    }
    Ok(())
}

/// Resolves `.` and `..` as RFC 3986 §5.2.4 does, but merges `//` first, as file systems do.
fn resolve_segments(path: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" | "." => {}
            ".." => {
                let parent = out.rfind('/').ok_or(PathError::AboveRoot)?;
                out.truncate(parent);
            }
            _ => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            out.push('/');
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn normal(path: &str) -> String {
        normalize_path(path).unwrap().into_owned()
    }

    #[test]
    fn a_normal_path_is_borrowed() {
        for path in [
            "/",
            "/v1/users",
            "/v1/",
            "/a.b/..c/.d/e..",
            "/%2F%5C%C3%A9",
            "/@:!$&'()*+,;=-._~",
        ] {
            assert!(
                matches!(normalize_path(path), Ok(Cow::Borrowed(same)) if same == path),
                "{path}"
            );
        }
    }

    #[test]
    fn escapes_get_one_spelling() {
        assert_eq!(normal("/%61%2d%7E"), "/a-~");
        assert_eq!(normal("/%c3%a9%3a"), "/%C3%A9%3A");
        assert_eq!(normal("/é"), "/%C3%A9");
        assert_eq!(normal("/a|b[0]"), "/a%7Cb%5B0%5D");
        assert_eq!(
            normal("/%c0a%c1%e0%a0%80%f0"),
            "/%C0a%C1%E0%A0%80%F0",
            "some other encoding"
        );
        assert_eq!(normal("/%2561"), "/%2561", "decoded once only");
    }

    #[test]
    fn an_encoded_separator_stays_encoded() {
        assert_eq!(normal("/a%2fb"), "/a%2Fb");
        assert_eq!(normal("/a%5cb"), "/a%5Cb");
        assert_eq!(normal("/a\\..\\b"), "/a%5C..%5Cb");
        assert_eq!(normal("/a/..%2fb"), "/a/..%2Fb");
    }

    #[test]
    fn segments_are_resolved_after_decoding() {
        for (path, wanted) in [
            ("//", "/"),
            ("/a//b///c", "/a/b/c"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/../b//c/%2e%2e/d", "/b/d"),
            ("/a//../b", "/b"),
            ("/.%2e/x", ""),
            ("/a/../..", ""),
            ("/..", ""),
        ] {
            match wanted {
                "" => assert_eq!(normalize_path(path), Err(PathError::AboveRoot), "{path}"),
                _ => assert_eq!(normal(path), wanted, "{path}"),
            }
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (path, error) in [
            ("", PathError::NoLeadingSlash),
            ("*", PathError::NoLeadingSlash),
            ("a/b", PathError::NoLeadingSlash),
            ("http://a/", PathError::NoLeadingSlash),
            ("/a b", PathError::Byte { byte: b' ', at: 2 }),
            ("/\r\n", PathError::Byte { byte: b'\r', at: 1 }),
            ("/é\x7f", PathError::Byte { byte: 0x7f, at: 3 }),
            ("/%00", PathError::Null { at: 1 }),
            ("/a%", PathError::Escape { at: 2 }),
            ("/a%4", PathError::Escape { at: 2 }),
            ("/%+1", PathError::Escape { at: 1 }),
            ("/%é", PathError::Escape { at: 1 }),
            ("/a?b", PathError::Query { at: 2 }),
            ("/%c0%ae/", PathError::Overlong { at: 1 }),
            ("/a%C1%9C", PathError::Overlong { at: 2 }),
            ("/%e0%80%af", PathError::Overlong { at: 1 }),
            ("/%F0%8f%80%af", PathError::Overlong { at: 1 }),
            ("/a#b", PathError::Fragment { at: 2 }),
        ] {
            assert_eq!(normalize_path(path), Err(error), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn the_normal_form_is_stable_and_plain(
            path in "(/|\\.|%2[eEfF]|%5[cC]|\\\\|%61|[a-c]|é|%){0,16}|/\\PC*".prop_map(|tail| format!("/{tail}"))
        ) {
            if let Ok(once) = normalize_path(&path) {
                let again = normalize_path(&once);
                prop_assert!(matches!(&again, Ok(Cow::Borrowed(same)) if *same == once), "{again:?}");
                let closed = format!("{once}/");
                for banned in ["/../", "/./"] {
                    prop_assert!(!closed.contains(banned), "{once}");
                }
                prop_assert!(!once.contains("//"), "{once}");
                prop_assert!(once.starts_with('/') && once.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
