//! What a parser lets pass and the next server may read differently, found in the raw bytes of
//! an HTTP/1 message: lines that end without a carriage return (RFC 9112 §2.2 allows to refuse them), a
//! request line with more than two spaces, control characters or a fragment, a length beside an encoding
//! (§6.1 allows to refuse that), and chunks that are not what they should be.
//!
//! It also bounds what is read of a head, as nothing else does. And it finds where a
//! message ends: what follows is the next request's (§9.3.2).

use crate::abuse::Refusal;
use crate::chunk_scan::ChunkScan;
use std::ops::Range;
use tidegate_chain::HeadLimits;

/// The parser takes no more fields.
const FIELDS_MAX: usize = 256;

/// How much more than a head's limit is read, so that most heads that exceed it are refused by the accept
/// phase, which writes the access log.
const SLACK: usize = 2;

/// Follows one message through the reads in which it comes.
#[derive(Debug)]
pub(crate) struct HeadScan {
    /// Bytes of a head that are read at most.
    bytes_max: usize,
    message: Message,
}

#[derive(Debug, Default)]
struct Message {
    /// Which message of the connection.
    number: u32,
    part: Part,
    /// Of the head so far.
    bytes: usize,
    fields: usize,
    spaces: u32,
    /// The last byte before the next read.
    last: u8,
    /// Bytes of the present line so far, its end included.
    length: usize,
    name: Name,
    length_field: Length,
    has_length: bool,
    has_encoding: bool,
    chunks: ChunkScan,
    /// Of a body with a length.
    left: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Part {
    #[default]
    RequestLine,
    Fields,
    Body,
}

/// The beginning of a field's line, as long as the names that are looked for.
#[derive(Debug, Default)]
struct Name {
    bytes: [u8; ENCODING.len()],
    length: usize,
    /// The colon was there, or it is too long for any of them.
    is_over: bool,
    /// It was the one of a length.
    is_length: bool,
}

const LENGTH: &[u8] = b"content-length";
const ENCODING: &[u8] = b"transfer-encoding";

impl HeadScan {
    /// Scans messages with heads of at most twice as many bytes as `limits` has.
    pub(crate) fn new(limits: &HeadLimits) -> HeadScan {
        HeadScan {
            bytes_max: limits.bytes.saturating_mul(SLACK),
            message: Message::default(),
        }
    }

    /// Whether the message of this number is read to its end.
    pub(crate) fn is_over(&self, number: u32) -> bool {
        !self.message.ends_before(number) && self.message.is_over()
    }

    /// Whether the head of the present message is read to its end.
    pub(crate) fn has_head(&self) -> bool {
        self.message.part == Part::Body
    }

    /// Look at the next bytes of the message of this number; even numbers may begin one. Which of them are
    /// the message: empty lines before it are not (RFC 9112 §2.2), nor is what follows its end.
    ///
    /// # Errors
    /// They may not be the next ones of it.
    pub(crate) fn read(&mut self, number: u32, bytes: &[u8]) -> Result<Range<usize>, Refusal> {
        let message = &mut self.message;
        if message.ends_before(number) {
            *message = Message {
                number,
                ..Message::default()
            };
        }
        let mut before = 0;
        let mut rest = bytes;
        while !rest.is_empty() && message.part != Part::Body {
            let end = memchr::memchr(b'\n', rest);
            let (line, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            message.bytes += line.len();
            if message.bytes > self.bytes_max {
                return Err(match message.part {
                    Part::RequestLine => Refusal::UriBytes,
                    Part::Fields | Part::Body => Refusal::HeaderBytes,
                });
            }
            message.read_line(line, end.is_some())?;
            if message.is_before_request_line() {
                before += line.len();
            }
            rest = after;
        }
        let head = bytes.len() - rest.len();
        let body = message.read_body(rest).ok_or(Refusal::Framing)?;
        Ok(before..head + body)
    }
}

impl Message {
    /// Whether the message of this number is a later one.
    fn ends_before(&self, number: u32) -> bool {
        number & 1 == 0 && number != self.number
    }

    /// Whether nothing but empty lines has come.
    fn is_before_request_line(&self) -> bool {
        let is_line_end = self.length == 0 || (self.length == 1 && self.last == b'\r');
        self.part == Part::RequestLine && is_line_end
    }

    fn is_over(&self) -> bool {
        self.part == Part::Body
            && match self.has_encoding {
                true => self.chunks == ChunkScan::Over,
                false => self.left == 0,
            }
    }

    /// How many of the bytes after the head are the body's, unless they cannot be.
    fn read_body(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.part != Part::Body {
            return Some(0);
        }
        if self.has_encoding {
            return self.chunks.read(bytes);
        }
        let here = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.left -= here as u64;
        Some(here)
    }

    /// A line of the head, or the part of it that was read; `ends` with its line feed.
    fn read_line(&mut self, line: &[u8], ends: bool) -> Result<(), Refusal> {
        let before_end = match line.len().checked_sub(2) {
            Some(index) if ends => line.get(index).copied(),
            _ => Some(self.last),
        };
        let is_broken = self.last == b'\r' && line.first() != Some(&b'\n');
        self.length += line.len();
        self.last = line.last().copied().unwrap_or(self.last);
        // Empty lines before the request line are passed over (RFC 9112 §2.2).
        let is_empty = ends && self.length == 2;
        match self.part {
            Part::RequestLine if is_broken => return Err(Refusal::Malformed),
            Part::RequestLine if is_empty && self.spaces == 0 => {}
            Part::RequestLine => self.read_request_line(line)?,
            Part::Fields | Part::Body => self.read_name(line)?,
        }
        if !ends {
            return Ok(());
        }
        if before_end != Some(b'\r') {
            return Err(Refusal::Malformed);
        }
        match self.part {
            Part::RequestLine if is_empty => {}
            Part::RequestLine => self.part = Part::Fields,
            Part::Fields if is_empty => {
                self.part = Part::Body;
                self.left = self.length_field.value().unwrap_or(u64::MAX);
            }
            Part::Fields | Part::Body => self.fields += 1,
        }
        if self.fields > FIELDS_MAX {
            return Err(Refusal::HeaderCount);
        }
        self.length = 0;
        self.name = Name::default();
        Ok(())
    }

    fn read_request_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.spaces += line.iter().filter(|byte| **byte == b' ').count() as u32;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let refused = |byte: &u8| *byte < b' ' || *byte == 0x7f || *byte == b'#';
        if self.spaces > 2 || text.iter().any(refused) {
            return Err(Refusal::Malformed);
        }
        Ok(())
    }

    /// Look for the fields that frame a body.
    fn read_name(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let mut rest = line;
        let Some(name) = self.name.read(&mut rest) else {
            if self.name.is_length {
                self.length_field.read(rest);
            }
            return Ok(());
        };
        let is_length = name.eq_ignore_ascii_case(LENGTH);
        self.has_encoding |= name.eq_ignore_ascii_case(ENCODING);
        if is_length {
            self.length_field.begin();
            self.length_field.read(rest);
        }
        self.name.is_length = is_length;
        self.has_length |= is_length;
        if self.has_length && self.has_encoding {
            return Err(Refusal::Framing);
        }
        Ok(())
    }
}

impl Name {
    /// The name, once its colon is there; takes what it has read from the line.
    fn read(&mut self, line: &mut &[u8]) -> Option<&[u8]> {
        while !self.is_over {
            let (byte, rest) = line.split_first()?;
            *line = rest;
            if *byte == b':' {
                self.is_over = true;
                return self.bytes.get(..self.length);
            }
            match self.bytes.get_mut(self.length) {
                Some(place) => *place = *byte,
                None => self.is_over = true,
            }
            self.length += 1;
        }
        None
    }
}

/// The length of a body, as its field says it: digits with white space around them.
#[derive(Clone, Copy, Debug, Default)]
enum Length {
    /// There is no such field, and no body.
    #[default]
    None,
    /// Before its digits.
    Before,
    Digits(u64),
    /// After its digits.
    After(u64),
    /// More than one field, or no number: such requests are refused when their head is there.
    InDoubt,
}

impl Length {
    /// A field begins.
    fn begin(&mut self) {
        *self = match self {
            Length::None => Length::Before,
            _ => Length::InDoubt,
        };
    }

    /// More of the field's value, up to the end of its line.
    fn read(&mut self, value: &[u8]) {
        for byte in value {
            *self = self.next(*byte);
        }
    }

    fn next(self, byte: u8) -> Length {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        match (self, byte) {
            (Length::Before, b' ' | b'\t') => Length::Before,
            (Length::Before, b'0'..=b'9') => Length::Digits(digit),
            (Length::Digits(value), b'0'..=b'9') => {
                let value = value.checked_mul(10).and_then(|v| v.checked_add(digit));
                value.map_or(Length::InDoubt, Length::Digits)
            }
            (Length::Digits(value) | Length::After(value), b' ' | b'\t' | b'\r' | b'\n') => {
                Length::After(value)
            }
            _ => Length::InDoubt,
        }
    }

    /// `None` where it is in doubt.
    fn value(self) -> Option<u64> {
        match self {
            Length::None => Some(0),
            Length::Digits(value) | Length::After(value) => Some(value),
            Length::Before | Length::InDoubt => None,
        }
    }
}

#[cfg(test)]
#[path = "head_scan_tests.rs"]
mod tests;
