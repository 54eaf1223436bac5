//! Tables that may be written as one string: `"127.0.0.1:9000"` for `{ address = "127.0.0.1:9000" }`.

use std::fmt;
use std::marker::PhantomData;

use crate::error::Invalid;
use crate::located::Located;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A table that a string can stand for.
pub(crate) trait Shorthand: Sized {
    /// Ends the sentence "expected …".
    const EXPECTED: &'static str;

    fn expand(text: Located<String>) -> Result<Self, Invalid>;
}

/// Reads a table or its shorthand.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Brief<T>(pub(crate) T);

impl<'de, T: Shorthand + Deserialize<'de>> Deserialize<'de> for Brief<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Located::<Written<T>>::deserialize(deserializer)?;
        match written.value {
            Written::Table(table) => Ok(Self(table)),
            Written::Text(text) => T::expand(Located::new(text, written.span))
                .map(Self)
                .map_err(Invalid::into_serde),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Brief<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Brief{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<T>()] })
    }
}

enum Written<T> {
    Text(String),
    Table(T),
}

impl<'de, T: Shorthand + Deserialize<'de>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor(PhantomData))
    }
}

struct WrittenVisitor<T>(PhantomData<T>);

impl<'de, T: Shorthand + Deserialize<'de>> Visitor<'de> for WrittenVisitor<T> {
    type Value = Written<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Written<T>, E> {
        Ok(Written::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Written::Table)
    }
}
