//! What Pingora's parser lets pass and the next server may read differently, found in the raw bytes of
//! an HTTP/1 head: lines that end without a carriage return (RFC 9112 §2.2 allows to refuse them), and a
//! request line with more than two spaces, control characters or a fragment.

/// Follows one head through the reads in which it comes.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    /// Which head of the connection.
    head: u32,
    part: Part,
    spaces: u32,
    /// The last byte before the next read.
    last: u8,
    /// Bytes of the present line so far, its end included.
    length: usize,
}

#[derive(Debug, Default, PartialEq)]
enum Part {
    #[default]
    RequestLine,
    Fields,
    /// What follows is a body.
    Over,
}

impl HeadScan {
    /// Whether the bytes may be the next ones of this head.
    pub(crate) fn accepts(&mut self, head: u32, bytes: &[u8]) -> bool {
        if head != self.head {
            *self = HeadScan {
                head,
                ..HeadScan::default()
            };
        }
        let mut rest = bytes;
        while !rest.is_empty() && self.part != Part::Over {
            let end = memchr::memchr(b'\n', rest);
            let (line, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            if !self.accepts_line(line, end.is_some()) {
                return false;
            }
            rest = after;
        }
        true
    }

    /// A line, or the part of it that was read; `ends` with its line feed.
    fn accepts_line(&mut self, line: &[u8], ends: bool) -> bool {
        let before_end = match line.len().checked_sub(2) {
            Some(index) if ends => line.get(index).copied(),
            _ => Some(self.last),
        };
        self.length += line.len();
        self.last = line.last().copied().unwrap_or(self.last);
        // Empty lines before the request line are passed over (RFC 9112 §2.2).
        let is_empty = ends && self.length == 2;
        if self.part == Part::RequestLine && !(is_empty && self.spaces == 0) {
            self.spaces += line.iter().filter(|byte| **byte == b' ').count() as u32;
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let refused = |byte: &u8| *byte < b' ' || *byte == 0x7f || *byte == b'#';
            if self.spaces > 2 || text.iter().any(refused) {
                return false;
            }
        }
        if !ends {
            return true;
        }
        if before_end != Some(b'\r') {
            return false;
        }
        match self.part {
            Part::RequestLine if is_empty => {}
            Part::RequestLine => self.part = Part::Fields,
            Part::Fields if is_empty => self.part = Part::Over,
            Part::Fields | Part::Over => {}
        }
        self.length = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a head is accepted, however it is cut into reads.
    fn accepts(text: &[u8]) -> bool {
        let whole = HeadScan::default().accepts(2, text);
        for cut in 0..text.len() {
            let mut scan = HeadScan::default();
            let (first, second) = text.split_at(cut);
            let both = scan.accepts(2, first) && scan.accepts(2, second);
            assert_eq!(both, whole, "cut at {cut}");
        }
        let mut scan = HeadScan::default();
        let bytes = text.iter().all(|byte| scan.accepts(2, &[*byte]));
        assert_eq!(bytes, whole, "byte by byte");
        whole
    }

    #[test]
    fn ordinary_heads_pass_and_bodies_are_not_looked_at() {
        assert!(accepts(b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(accepts(b"\r\nGET / HTTP/1.1\r\nHost: a b  c\r\nX:\r\n\r\n"));
        assert!(accepts(
            b"POST / HTTP/1.1\r\nHost: a\r\n\r\n\n\n#\x01 a b c d\n"
        ));
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
            b"GET /\x7f HTTP/1.1\r\n\r\n",
            b"GET /a#b HTTP/1.1\r\n\r\n",
        ] {
            assert!(!accepts(head), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn each_head_of_a_connection_is_looked_at() {
        let mut scan = HeadScan::default();
        let good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(scan.accepts(0, good));
        assert!(scan.accepts(2, good));
        assert!(!scan.accepts(4, b"GET / HTTP/1.1\n"));
    }
}
