//! Typed values that belong to an exchange: set by plugins, read by later plugins and the access log.

use crate::Refusal;
use std::borrow::Cow;

/// A typed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// UTF-8 text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A truth value.
    Boolean(bool),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl Value {
    /// As text: integers in decimal, booleans as `true` or `false`, bytes as UTF-8 with replacement
    /// characters.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Integer(number) => Cow::Owned(number.to_string()),
            Value::Boolean(true) => Cow::Borrowed("true"),
            Value::Boolean(false) => Cow::Borrowed("false"),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    fn len(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Integer(_) | Value::Boolean(_) => 8,
        }
    }
}

/// The attributes of one exchange. A handful at most, so a list beats a map.
#[derive(Debug, Default)]
pub struct Attributes {
    list: Vec<(Box<str>, Value)>,
    bytes: usize,
}

impl Attributes {
    /// The most attributes that plugins can set in one exchange.
    pub const COUNT_MAX: usize = 64;
    /// The most bytes of names and values in one exchange.
    pub const BYTES_MAX: usize = 16 * 1024;
    const NAME_MAX: usize = 64;

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.list.iter().find(|(n, _)| **n == *name).map(|(_, v)| v)
    }

    /// Set `name`, and give back what was there. Refused for a name that is not one, and beyond
    /// [`Attributes::COUNT_MAX`] and [`Attributes::BYTES_MAX`].
    pub fn set(&mut self, name: &str, value: Value) -> Result<Option<Value>, Refusal> {
        if !is_name(name) {
            return Err(Refusal::InvalidName);
        }
        let position = self.list.iter().position(|(n, _)| **n == *name);
        let old = position
            .and_then(|p| self.list.get(p))
            .map_or(0, |(n, v)| n.len() + v.len());
        let bytes = self.bytes - old + name.len() + value.len();
        if bytes > Self::BYTES_MAX || position.is_none() && self.list.len() >= Self::COUNT_MAX {
            return Err(Refusal::LimitReached);
        }
        self.bytes = bytes;
        match position.and_then(|p| self.list.get_mut(p)) {
            Some((_, slot)) => Ok(Some(std::mem::replace(slot, value))),
            None => {
                self.list.push((name.into(), value));
                Ok(None)
            }
        }
    }

    /// Put back what [`Attributes::set`] gave.
    pub(crate) fn restore(&mut self, name: &str, old: Option<Value>) {
        let Some(position) = self.list.iter().position(|(n, _)| **n == *name) else {
            return;
        };
        let (name, value) = self.list.swap_remove(position);
        self.bytes -= name.len() + value.len();
        if let Some(old) = old {
            self.bytes += name.len() + old.len();
            self.list.push((name, old));
        }
    }
}

/// Whether an attribute can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let known = |byte: &u8| NAME_BYTES[usize::from(*byte)];
    (1..=Attributes::NAME_MAX).contains(&name.len()) && name.as_bytes().iter().all(known)
}

/// The bytes that names are made of. Plugins set attributes in most requests, and a table takes a third of what
/// comparisons take.
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = b"abcdefghijklmnopqrstuvwxyz0123456789._-";
    let mut index = 0;
    while index < bytes.len() {
        table[bytes[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_replaced_and_restored() {
        let mut attributes = Attributes::default();
        assert_eq!(attributes.set("a.b", Value::Integer(1)), Ok(None));
        let old = attributes.set("a.b", Value::Text("x".into())).unwrap();
        assert_eq!(old, Some(Value::Integer(1)));
        attributes.restore("a.b", old);
        assert_eq!(attributes.get("a.b"), Some(&Value::Integer(1)));
        attributes.restore("a.b", None);
        assert_eq!(attributes.get("a.b"), None);
        assert_eq!(attributes.bytes, 0);
    }

    #[test]
    fn names_and_sizes_are_bounded() {
        let mut attributes = Attributes::default();
        for bad in ["", "A", "a b", "ä", &"x".repeat(65)] {
            let got = attributes.set(bad, Value::Boolean(true));
            assert_eq!(got, Err(Refusal::InvalidName), "{bad}");
        }
        let big = Value::Bytes(vec![0; Attributes::BYTES_MAX]);
        assert_eq!(attributes.set("big", big), Err(Refusal::LimitReached));
        for n in 0..Attributes::COUNT_MAX {
            attributes.set(&format!("n{n}"), Value::Integer(0)).unwrap();
        }
        let one_more = attributes.set("one-more", Value::Integer(0));
        assert_eq!(one_more, Err(Refusal::LimitReached));
        assert!(attributes.set("n0", Value::Integer(7)).is_ok());
    }

    #[test]
    fn every_type_has_a_text() {
        assert_eq!(Value::Integer(-3).text(), "-3");
        assert_eq!(Value::Boolean(true).text(), "true");
        assert_eq!(Value::Bytes(vec![b'a', 0xff]).text(), "a\u{fffd}");
    }
}
