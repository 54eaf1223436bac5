//! Percent-encoding (RFC 3986 §2.1): whatever comes in, what goes out is a path or a query and nothing
//! more.

/// A path: it begins with one `/`, has no empty segment and no `.` or `..`, and nothing that would end
/// it.
pub(crate) fn path(text: &str) -> String {
    let encoded = encode(text, is_path);
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for segment in encoded.split('/') {
        let dots = segment.to_ascii_lowercase().replace("%2e", ".");
        ends_in_folder = matches!(dots.as_str(), "" | "." | "..");
        if dots == ".." {
            segments.pop();
        } else if !ends_in_folder {
            segments.push(segment);
        }
    }
    let mut path = format!("/{}", segments.join("/"));
    if ends_in_folder && !segments.is_empty() {
        path.push('/');
    }
    path
}

/// Text within a path; only a capture with a `?` or a `#` would change it, and there is none in a path.
pub(crate) fn path_text(text: &str) -> String {
    encode(text, is_path)
}

/// A query, or what stands between `&` in one.
pub(crate) fn query(text: &str) -> String {
    encode(text, is_query)
}

/// A name or value in a query: without the characters that separate them, and without `+`, which
/// would be a space there.
pub(crate) fn parameter(text: &str) -> String {
    encode(text, |byte| {
        is_unreserved(byte) || matches!(byte, b'/' | b':' | b'@' | b',')
    })
}

/// Keeps what is encoded already.
fn encode(text: &str, keep: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let is_triplet = byte == b'%'
            && matches!(after, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
        if is_triplet || keep(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        rest = after;
    }
    encoded
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §3.3.
fn is_path(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/".contains(&byte)
}

/// RFC 3986 §3.4.
fn is_query(byte: u8) -> bool {
    is_path(byte) || byte == b'?'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_clean() {
        for (text, expected) in [
            ("", "/"),
            ("a", "/a"),
            ("//evil.example//x", "/evil.example/x"),
            ("/a/../../b", "/b"),
            ("/a/%2e%2E/b/.", "/b/"),
            ("/a/..", "/"),
            ("/a/", "/a/"),
            ("/a b?c#d", "/a%20b%3Fc%23d"),
            ("/é%20%zz%", "/%C3%A9%20%25zz%25"),
            ("\\\\evil\r\n", "/%5C%5Cevil%0D%0A"),
        ] {
            assert_eq!(path(text), expected, "{text}");
        }
    }

    #[test]
    fn parameters_separate_nothing() {
        assert_eq!(parameter("a&b=c+d%20e;#"), "a%26b%3Dc%2Bd%20e%3B%23");
        assert_eq!(query("a=b&c=?#d e"), "a=b&c=?%23d%20e");
    }

    proptest! {
        #[test]
        fn a_path_stays_a_path(text in ".{0,40}|[/.%2eE?#\\\\ ]{0,20}") {
            let clean = path(&text);
            prop_assert!(clean.starts_with('/') && !clean.contains("//"));
            prop_assert!(clean.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\\"<>".contains(&b)));
            let has_dots = clean.split('/').any(|segment| {
                let segment = segment.to_ascii_lowercase().replace("%2e", ".");
                segment == "." || segment == ".."
            });
            prop_assert!(!has_dots);
            prop_assert_eq!(path(&clean), clean);
        }

        #[test]
        fn a_parameter_stays_one(text in ".{0,40}") {
            let clean = parameter(&text);
            prop_assert!(clean.bytes().all(|b| b.is_ascii_graphic() && !b"&=#+;?".contains(&b)));
            prop_assert!(query(&text).bytes().all(|b| b.is_ascii_graphic() && b != b'#'));
        }
    }
}
