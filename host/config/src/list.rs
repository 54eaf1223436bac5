//! One value, or a list of them.

use std::fmt;
use std::marker::PhantomData;

use crate::error::Invalid;
use crate::located::Located;
use crate::text::{Text, Textual};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// `"a"` or `["a", "b"]`, each with its place. Where one is `NEEDED`, a list is not empty.
#[derive(Debug)]
pub(crate) struct OneOrMany<T, const NEEDED: bool = false>(pub(crate) Vec<Located<T>>);

/// One string, or a list of strings.
pub(crate) type List = OneOrMany<String>;

impl<T, const NEEDED: bool> Default for OneOrMany<T, NEEDED> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Textual, const NEEDED: bool> Deserialize<'de> for OneOrMany<T, NEEDED> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Located::<Written<T, NEEDED>>::deserialize(deserializer)?;
        Ok(Self(match written.value {
            Written::One(value) => vec![Located::new(value, written.span)],
            Written::Many(values) => values
                .into_iter()
                .map(|one| Located::new(one.value.0, one.span))
                .collect(),
        }))
    }
}

impl<T: Textual, const NEEDED: bool> JsonSchema for OneOrMany<T, NEEDED> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany<{}>", Text::<T>::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Text<T>>();
        let mut many = json_schema!({ "type": "array", "items": one });
        if NEEDED {
            many.insert("minItems".to_owned(), 1.into());
        }
        json_schema!({ "anyOf": [one, many] })
    }
}

enum Written<T, const NEEDED: bool> {
    One(T),
    Many(Vec<Located<Text<T>>>),
}

impl<'de, T: Textual, const NEEDED: bool> Deserialize<'de> for Written<T, NEEDED> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor(PhantomData))
    }
}

struct WrittenVisitor<T, const NEEDED: bool>(PhantomData<T>);

impl<'de, T: Textual, const NEEDED: bool> Visitor<'de> for WrittenVisitor<T, NEEDED> {
    type Value = Written<T, NEEDED>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of them", T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::parse(text)
            .map(Written::One)
            .map_err(Invalid::into_serde)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        if NEEDED && values.is_empty() {
            let help = format!("expected {}", T::EXPECTED);
            return Err(Invalid::new("the list is empty", help).into_serde());
        }
        Ok(Written::Many(values))
    }
}
