//! What an allowed request brings: fields for the upstream, and for the client.

use tidegate_sdk::http::Response;
use tidegate_sdk::{Edits, FieldName};

/// Name and value.
pub(crate) type Field = (String, Vec<u8>);

/// Fields of an answer that allows a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) to_request: Vec<Field>,
    pub(crate) to_response: Vec<Field>,
}

impl Grant {
    /// For a store. Fields have no NUL.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [encode(&self.to_request), encode(&self.to_response)].join(&0)
    }

    /// `None` where a store has something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.split(|&byte| byte == 0);
        let grant = Self {
            to_request: decode(parts.next()?)?,
            to_response: decode(parts.next()?)?,
        };
        parts.next().is_none().then_some(grant)
    }
}

/// The fields of an answer that have these names.
pub(crate) fn picked(answer: &Response, names: &[FieldName]) -> Vec<Field> {
    let fields = answer.headers.iter();
    let fields = fields.filter(|(name, _)| names.iter().any(|one| one.as_str() == *name));
    fields
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// Lines `name:value`. Fields have no line breaks.
pub(crate) fn encode(fields: &[Field]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in fields {
        lines.extend(name.bytes());
        lines.push(b':');
        lines.extend(value);
        lines.push(b'\n');
    }
    lines
}

/// `None` where these are not such lines.
pub(crate) fn decode(lines: &[u8]) -> Option<Vec<Field>> {
    if lines.is_empty() {
        return Some(Vec::new());
    }
    let lines = lines.strip_suffix(b"\n")?.split(|&byte| byte == b'\n');
    let fields = lines.map(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|&byte| byte == b':')?)?;
        Some((
            String::from_utf8(name.to_vec()).ok()?,
            value.strip_prefix(b":")?.to_vec(),
        ))
    });
    fields.collect()
}

/// Put fields into a head: the first of a name replaces what was there, save cookies, which a
/// response may have of others too.
pub(crate) fn edits(fields: Vec<Field>) -> Edits {
    let mut edits = Edits::new();
    let mut begun: Vec<String> = vec!["set-cookie".to_owned()];
    for (name, value) in fields {
        if begun.contains(&name) {
            edits.append(name, value);
        } else {
            begun.push(name.clone());
            edits.set(name, value);
        }
    }
    edits
}
