//! The framing of a chunked body (RFC 9112 §7.1), followed in its raw bytes.
//!
//! Parsers have been seen to take an empty line for the last chunk, a line feed within an extension, and any bytes
//! for trailers; another server reads a different body then, and what follows it is a request to one and
//! data to the other.

/// Follows one body through the reads in which it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkScan {
    /// In a size of so many digits.
    Size {
        digits: u8,
        size: u64,
    },
    /// In the spaces after a size, which old servers pad it with.
    Padding {
        size: u64,
    },
    /// In an extension.
    Extension {
        size: u64,
    },
    /// Before the line feed that ends a size's line.
    SizeEnd {
        size: u64,
    },
    /// Within a chunk of which so much is left.
    Data {
        left: u64,
    },
    /// Before the line end that ends a chunk.
    DataReturn,
    DataEnd,
    /// Before a trailer's line, or the line end that ends the body.
    TrailerStart,
    Trailer,
    TrailerEnd,
    /// Before the last line feed.
    BodyEnd,
    /// What follows is no part of this body.
    Over,
}

/// More would not fit into a `u64`.
const DIGITS_MAX: u8 = 16;

/// Before its last digit: larger ones are negative to servers that count with a sign.
const SIZE_MAX: u64 = (1 << 59) - 1;

impl Default for ChunkScan {
    fn default() -> ChunkScan {
        ChunkScan::Size { digits: 0, size: 0 }
    }
}

impl ChunkScan {
    /// How many of the bytes are this body's; nothing, if they may not be the next ones of it.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if let ChunkScan::Data { left } = *self {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(here..).unwrap_or_default();
                *self = match left - here as u64 {
                    0 => ChunkScan::DataReturn,
                    left => ChunkScan::Data { left },
                };
                continue;
            }
            if *self == ChunkScan::Over {
                break;
            }
            *self = self.next(*byte)?;
            rest = after;
        }
        Some(bytes.len() - rest.len())
    }

    /// What is left of the chunk whose data comes next.
    pub(crate) fn data_left(&self) -> Option<u64> {
        match self {
            ChunkScan::Data { left } => Some(*left),
            _ => None,
        }
    }

    /// How many of the bytes come before data, or are the body's last; nothing, if they may not.
    pub(crate) fn framing(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut taken = 0;
        for byte in bytes {
            if matches!(self, ChunkScan::Data { .. } | ChunkScan::Over) {
                break;
            }
            *self = self.next(*byte)?;
            taken += 1;
        }
        Some(taken)
    }

    /// Where a byte leads; nowhere if it may not stand here.
    fn next(self, byte: u8) -> Option<ChunkScan> {
        use ChunkScan::*;
        let is_text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        match (self, byte) {
            (Size { digits: 1.., size }, b'\r') => Some(SizeEnd { size }),
            (Size { digits: 1.., size }, b';') => Some(Extension { size }),
            (Size { digits: 1.., size }, b' ' | b'\t') => Some(Padding { size }),
            (Size { digits, size }, _) if digits < DIGITS_MAX && size <= SIZE_MAX => Some(Size {
                digits: digits + 1,
                size: size << 4 | u64::from(char::from(byte).to_digit(16)?),
            }),
            (Padding { size } | Extension { size }, b'\r') => Some(SizeEnd { size }),
            (Padding { size }, b';') => Some(Extension { size }),
            (Padding { .. }, b' ' | b'\t') => Some(self),
            (Extension { .. }, _) if is_text => Some(self),
            (SizeEnd { size: 0 }, b'\n') => Some(TrailerStart),
            (SizeEnd { size }, b'\n') => Some(Data { left: size }),
            (DataReturn, b'\r') => Some(DataEnd),
            (DataEnd, b'\n') => Some(ChunkScan::default()),
            (TrailerStart, b'\r') => Some(BodyEnd),
            // A line that begins with a space would continue the one before.
            (TrailerStart, b' ' | b'\t' | b':') => None,
            (Trailer, b'\r') => Some(TrailerEnd),
            (TrailerStart | Trailer, _) if is_text => Some(Trailer),
            (TrailerEnd, b'\n') => Some(TrailerStart),
            (BodyEnd, b'\n') => Some(Over),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a body is that is accepted, and whether it is over, however it is cut into reads.
    fn scan(text: &[u8]) -> Option<(usize, bool)> {
        let mut whole = ChunkScan::default();
        let length = whole.read(text);
        let mut bytes = ChunkScan::default();
        let read: Option<usize> = text.iter().map(|byte| bytes.read(&[*byte])).sum();
        assert_eq!(read, length);
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);
            let mut scan = ChunkScan::default();
            let first = scan.read(first);
            let both = first.and_then(|first| Some(first + scan.read(second)?));
            assert_eq!(both, length);
        }
        Some((length?, whole == ChunkScan::Over))
    }

    #[test]
    fn bodies_pass_to_their_end_and_no_further() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"5;a=\"b c\"\r\n\r\n\r\n\n\r\n0\r\nx: y\r\nz: \xff\r\n\r\n",
            b"A  ;b\r\n0123456789\r\n00  \r\n\r\n",
        ] {
            let whole = Some((body.len(), true));
            assert_eq!(scan(body), whole, "{}", body.escape_ascii());
            let followed = [body, b"GET / HTTP/1.1\n\n\x01"].concat();
            assert_eq!(scan(&followed), whole, "{}", body.escape_ascii());
        }
        let endless = b"7fffffffffffffff\r\nx";
        assert_eq!(scan(endless), Some((endless.len(), false)));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for body in [
            &b"\r\nhello\r\n0\r\n\r\n"[..],
            b";a\r\n",
            b" 5\r\nhello\r\n",
            b"+5\r\n",
            b"0x5\r\n",
            // With a sign, it would be negative.
            b"ffffffffffffffff\r\n",
            b"5 5\r\n",
            b"5\nhello\r\n",
            b"5\rhello",
            b"5;a\nb\r\n",
            b"5;a\rb\r\n",
            b"5;a\0\r\n",
            b"5\r\nhelloXX",
            b"5\r\nhello\n",
            b"0\n\n",
            b"0\r\n\n",
            b"0\r\nx: y\n\r\n",
            b"0\r\n x: y\r\n\r\n",
            b"0\r\n: y\r\n\r\n",
            b"0\r\nx: \x01\r\n\r\n",
            b"fffffffffffffffff\r\n",
        ] {
            assert_eq!(scan(body), None, "{}", body.escape_ascii());
        }
    }
}
