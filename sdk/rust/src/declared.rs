//! Edits that the host makes of every head by itself.

use crate::Edits;
use crate::bindings::host::tidegate::plugin::interest::{DeclaredEdit, Part};
use crate::bindings::host::tidegate::plugin::types::Edit;
use crate::field_name::check;

/// Edits that the host makes of every head in place of a call, in this order: with
/// [`Interest::edit_request`](crate::Interest::edit_request) and
/// [`Interest::edit_response`](crate::Interest::edit_response).
///
/// A value can be put together from bytes and from attributes of the exchange. [`Edits`], whose values are
/// always the same, are such edits as well.
///
/// ```
/// # use tidegate_sdk::{DeclaredEdits, ValuePart};
/// let mut edits = DeclaredEdits::new();
/// edits.set("x-served-by", [ValuePart::bytes("edge, route "), ValuePart::attribute("route")]);
/// edits.remove("server");
/// ```
#[derive(Clone, Debug, Default)]
pub struct DeclaredEdits(Vec<DeclaredEdit>);

impl Part {
    /// These bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// The text of an attribute, as [`attributes::text`](crate::attributes::text) gives it at the plugin's turn;
    /// nothing where it is absent. The operator must have granted `attributes`.
    pub fn attribute(name: impl Into<String>) -> Self {
        Self::Attribute(name.into())
    }
}

impl DeclaredEdits {
    /// No edits yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Set a field to this one value.
    pub fn set(
        &mut self,
        name: impl Into<String>,
        value: impl IntoIterator<Item = Part>,
    ) -> &mut Self {
        let value = value.into_iter().collect();
        self.0.push(DeclaredEdit::Set((name.into(), value)));
        self
    }

    /// Add one more value to a field.
    pub fn append(
        &mut self,
        name: impl Into<String>,
        value: impl IntoIterator<Item = Part>,
    ) -> &mut Self {
        let value = value.into_iter().collect();
        self.0.push(DeclaredEdit::Append((name.into(), value)));
        self
    }

    /// Remove a field.
    pub fn remove(&mut self, name: impl Into<String>) -> &mut Self {
        self.0.push(DeclaredEdit::Remove(name.into()));
        self
    }

    /// Whether a value depends on attributes.
    pub(crate) fn read_attributes(&self) -> bool {
        self.0.iter().any(|edit| match edit {
            DeclaredEdit::Set((_, parts)) | DeclaredEdit::Append((_, parts)) => {
                parts.iter().any(|part| matches!(part, Part::Attribute(_)))
            }
            DeclaredEdit::Remove(_) => false,
        })
    }

    /// The field of the first edit that no host accepts.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.0.iter().find_map(|edit| {
            let (name, parts) = match edit {
                DeclaredEdit::Set((name, parts)) | DeclaredEdit::Append((name, parts)) => {
                    (name, parts.as_slice())
                }
                DeclaredEdit::Remove(name) => (name, [].as_slice()),
            };
            check(name, &known(parts)).err().map(|_| name.as_str())
        })
    }

    pub(crate) fn as_slice(&self) -> &[DeclaredEdit] {
        &self.0
    }
}

impl From<&Edits> for DeclaredEdits {
    fn from(edits: &Edits) -> Self {
        let edits = edits.as_slice().iter().cloned().map(|edit| match edit {
            Edit::Set((name, value)) => DeclaredEdit::Set((name, vec![Part::Bytes(value)])),
            Edit::Append((name, value)) => DeclaredEdit::Append((name, vec![Part::Bytes(value)])),
            Edit::Remove(name) => DeclaredEdit::Remove(name),
        });
        Self(edits.collect())
    }
}

/// The bytes of a value that do not depend on the exchange.
pub(crate) fn known(parts: &[Part]) -> Vec<u8> {
    let bytes = parts.iter().filter_map(|part| match part {
        Part::Bytes(bytes) => Some(bytes.as_slice()),
        Part::Attribute(_) => None,
    });
    bytes.collect::<Vec<_>>().concat()
}
