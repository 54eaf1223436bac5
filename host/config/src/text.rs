//! Values that are written as a string and parse themselves.

use std::fmt;
use std::marker::PhantomData;

use crate::error::Invalid;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

/// A value that a string of the file stands for.
pub(crate) trait Textual: Sized {
    /// Ends the sentence "expected …".
    const EXPECTED: &'static str;
    /// A regular expression for the schema; editors check with it.
    const PATTERN: Option<&'static str> = None;

    fn parse(text: &str) -> Result<Self, Invalid>;

    /// As it would stand in the file.
    fn write(&self) -> String;
}

/// What stands for itself.
impl Textual for String {
    const EXPECTED: &'static str = "a string";

    fn parse(text: &str) -> Result<Self, Invalid> {
        Ok(text.to_owned())
    }

    fn write(&self) -> String {
        self.clone()
    }
}

/// Reads a [`Textual`]; for plain fields as `#[serde(with = "Text::<Duration>")]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: Textual> Text<T> {
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(TextVisitor(PhantomData))
    }

    pub(crate) fn serialize<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.write())
    }
}

impl<'de, T: Textual> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::<T>::deserialize(deserializer).map(Self)
    }
}

impl<T: Textual> JsonSchema for Text<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        std::any::type_name::<T>().into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({ "type": "string" });
        if let Some(pattern) = T::PATTERN {
            schema.insert("pattern".to_owned(), pattern.into());
        }
        schema
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Textual> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).map_err(Invalid::into_serde)
    }
}
