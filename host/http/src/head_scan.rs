//! What Pingora's parser lets pass and the next server may read differently, found in the raw bytes of
//! an HTTP/1 message: lines that end without a carriage return (RFC 9112 §2.2 allows to refuse them), a
//! request line with more than two spaces, control characters or a fragment, a length beside an encoding
//! (§6.1 allows to refuse that), and chunks that are not what they should be.
//!
//! It also bounds what is read of a head: Pingora's own bound is 1 MiB for each connection.

use crate::abuse::Refusal;
use crate::chunk_scan::ChunkScan;
use tidegate_chain::HeadLimits;

/// Pingora's parser takes no more fields.
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
    has_length: bool,
    has_encoding: bool,
    chunks: ChunkScan,
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

    /// Look at the next bytes of the message of this number; even numbers may begin one.
    ///
    /// # Errors
    /// They may not be the next ones of it.
    pub(crate) fn read(&mut self, number: u32, bytes: &[u8]) -> Result<(), Refusal> {
        let message = &mut self.message;
        if number & 1 == 0 && number != message.number {
            *message = Message {
                number,
                ..Message::default()
            };
        }
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
            rest = after;
        }
        if message.has_encoding && !message.chunks.accepts(rest) {
            return Err(Refusal::Framing);
        }
        Ok(())
    }
}

impl Message {
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
            Part::Fields if is_empty => self.part = Part::Body,
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
        let Some(name) = self.name.read(line) else {
            return Ok(());
        };
        self.has_length |= name.eq_ignore_ascii_case(LENGTH);
        self.has_encoding |= name.eq_ignore_ascii_case(ENCODING);
        if self.has_length && self.has_encoding {
            return Err(Refusal::Framing);
        }
        Ok(())
    }
}

impl Name {
    /// The name, once its colon is there.
    fn read(&mut self, line: &[u8]) -> Option<&[u8]> {
        for byte in line {
            if self.is_over {
                return None;
            }
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

#[cfg(test)]
#[path = "head_scan_tests.rs"]
mod tests;
