//! Redaction of JSON (RFC 8259) in a stream: values at given paths are replaced, all else passes byte
//! for byte.
//!
//! The structure is followed and checked, one byte at a time; the spelling of numbers, literals and
//! strings is not. Memory is bounded by [`DEEPEST`] and the longest key of a path.

use crate::path::{Place, Redaction};

/// How deep values may be nested: as deep as most parsers read.
const DEEPEST: usize = 128;
/// Bytes before JSON that a parser may ignore (RFC 8259 §8.1).
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// What is not JSON, or nested too deep; the byte at which that is clear, from 0.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed(pub(crate) u64);

/// Where in a body the stream is.
#[derive(Default)]
pub(crate) struct Redactor {
    /// Objects and arrays that are open, the innermost last.
    open: Vec<Level>,
    expected: Expected,
    token: Token,
    /// The key that is being read, as JSON spells it.
    key: Vec<u8>,
    /// While a value is left out: how many levels were open at its start.
    hidden: Option<usize>,
    offset: u64,
}

struct Level {
    is_object: bool,
    /// The paths that lead here, one bit each.
    alive: u64,
    /// The index of an array's next value.
    index: u64,
    /// What is known of an object's value once its key is: as from [`Redaction::follow`].
    member: (u64, bool),
}

/// What may come next.
#[derive(Clone, Copy, Default, PartialEq)]
enum Expected {
    #[default]
    Value,
    FirstItemOrEnd,
    FirstKeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// What is being read.
#[derive(Clone, Copy, Default, PartialEq)]
enum Token {
    #[default]
    None,
    /// The flag: after a backslash.
    Key(bool),
    String(bool),
    /// A number or a literal.
    Scalar,
}

/// What becomes of a byte.
enum Emit {
    Byte,
    Nothing,
    /// It begins a value that is redacted.
    Redacted,
}

impl Redactor {
    /// Adds to `out` what goes on of `data`.
    ///
    /// # Errors
    ///
    /// What came is not JSON. Then `out` has what went on before that byte, and the second value is
    /// what was not looked at.
    pub(crate) fn push<'a>(
        &mut self,
        redaction: &Redaction,
        data: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), (Malformed, &'a [u8])> {
        out.reserve(data.len());
        let mut rest = data;
        while let Some((&byte, after)) = rest.split_first() {
            match self.accept(redaction, byte) {
                Some(Emit::Byte) => out.push(byte),
                Some(Emit::Redacted) => out.extend_from_slice(&redaction.value),
                Some(Emit::Nothing) => {}
                None => return Err((Malformed(self.offset), rest)),
            }
            self.offset += 1;
            rest = after;
        }
        Ok(())
    }

    /// The end of the body.
    ///
    /// # Errors
    ///
    /// It ended in the middle of a value. An empty body is none.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        let whole = match self.token {
            Token::None => matches!(self.expected, Expected::Nothing | Expected::Value),
            Token::Scalar => true,
            Token::Key(_) | Token::String(_) => false,
        };
        match whole && self.open.is_empty() {
            true => Ok(()),
            false => Err(Malformed(self.offset)),
        }
    }

    /// Whether the stream is inside of a value that is redacted.
    pub(crate) fn is_hiding(&self) -> bool {
        self.hidden.is_some()
    }

    fn accept(&mut self, redaction: &Redaction, byte: u8) -> Option<Emit> {
        match self.token {
            Token::None => self.structure(redaction, byte),
            Token::Scalar if is_scalar(byte) => Some(self.shown()),
            Token::Scalar => {
                self.end_value();
                self.structure(redaction, byte)
            }
            Token::String(escaped) => {
                let emit = self.shown();
                match (escaped, byte) {
                    (false, b'"') => self.end_value(),
                    _ => self.token = Token::String(!escaped && byte == b'\\'),
                }
                Some(emit)
            }
            Token::Key(escaped) => {
                if !escaped && byte == b'"' {
                    self.end_key(redaction);
                } else {
                    self.token = Token::Key(!escaped && byte == b'\\');
                    // One more than can match, to tell that it cannot.
                    if self.key.len() <= redaction.longest_key {
                        self.key.push(byte);
                    }
                }
                Some(self.shown())
            }
        }
    }

    /// A byte outside of tokens.
    fn structure(&mut self, redaction: &Redaction, byte: u8) -> Option<Emit> {
        use Expected::{Colon, CommaOrEnd, FirstItemOrEnd, FirstKeyOrEnd, Key, Value};
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') || self.is_byte_order_mark(byte) {
            return Some(self.shown());
        }
        let in_object = self.open.last().is_some_and(|level| level.is_object);
        match (self.expected, byte) {
            (Value | FirstItemOrEnd, b'{' | b'[') => {
                return self.begin_container(redaction, byte == b'{');
            }
            (Value | FirstItemOrEnd, b'"') => {
                self.token = Token::String(false);
                return Some(self.begin_value(redaction).1);
            }
            (Value | FirstItemOrEnd, _) if is_scalar(byte) => {
                self.token = Token::Scalar;
                return Some(self.begin_value(redaction).1);
            }
            (Key | FirstKeyOrEnd, b'"') => {
                self.token = Token::Key(false);
                self.key.clear();
            }
            (Colon, b':') => self.expected = Value,
            (CommaOrEnd, b',') => self.expected = if in_object { Key } else { Value },
            (CommaOrEnd | FirstKeyOrEnd, b'}') if in_object => return Some(self.end_container()),
            (CommaOrEnd | FirstItemOrEnd, b']') if !in_object => {
                return Some(self.end_container());
            }
            _ => return None,
        }
        Some(self.shown())
    }

    /// The paths that lead to the value that begins, and what becomes of its first byte.
    fn begin_value(&mut self, redaction: &Redaction) -> (u64, Emit) {
        let depth = self.open.len();
        let (alive, redact) = match self.open.last_mut() {
            None => (u64::MAX, false),
            Some(level) if level.is_object => level.member,
            Some(level) => {
                let place = Place::Index(level.index);
                level.index += 1;
                redaction.follow(level.alive, depth - 1, place)
            }
        };
        match redact && self.hidden.is_none() {
            true => {
                self.hidden = Some(depth);
                (alive, Emit::Redacted)
            }
            false => (alive, self.shown()),
        }
    }

    fn end_value(&mut self) {
        self.token = Token::None;
        self.expected = match self.open.is_empty() {
            true => Expected::Nothing,
            false => Expected::CommaOrEnd,
        };
        if self.hidden == Some(self.open.len()) {
            self.hidden = None;
        }
    }

    fn begin_container(&mut self, redaction: &Redaction, is_object: bool) -> Option<Emit> {
        if self.open.len() == DEEPEST {
            return None;
        }
        let (alive, emit) = self.begin_value(redaction);
        self.open.push(Level {
            is_object,
            alive,
            index: 0,
            member: (0, false),
        });
        self.expected = match is_object {
            true => Expected::FirstKeyOrEnd,
            false => Expected::FirstItemOrEnd,
        };
        Some(emit)
    }

    fn end_container(&mut self) -> Emit {
        let emit = self.shown();
        self.open.pop();
        self.end_value();
        emit
    }

    fn end_key(&mut self, redaction: &Redaction) {
        self.token = Token::None;
        self.expected = Expected::Colon;
        let depth = self.open.len();
        let key = match self.key.len() <= redaction.longest_key {
            true => decode(&self.key),
            false => None,
        };
        if let Some(level) = self.open.last_mut() {
            let place = Place::Key(key.as_deref());
            level.member = redaction.follow(level.alive, depth - 1, place);
        }
    }

    fn shown(&self) -> Emit {
        match self.hidden {
            Some(_) => Emit::Nothing,
            None => Emit::Byte,
        }
    }

    fn is_byte_order_mark(&self, byte: u8) -> bool {
        let at = usize::try_from(self.offset).unwrap_or(usize::MAX);
        BYTE_ORDER_MARK.get(at) == Some(&byte)
    }
}

/// What numbers and literals are spelt with.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// A key without its escapes; `None` where it is not text.
fn decode(key: &[u8]) -> Option<String> {
    if key.contains(&b'\\') {
        let quoted = [b"\"", key, b"\""].concat();
        return serde_json::from_slice(&quoted).ok();
    }
    String::from_utf8(key.to_vec()).ok()
}

#[cfg(test)]
mod tests;
