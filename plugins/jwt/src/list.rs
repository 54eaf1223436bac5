//! One item or a list of items, as a configuration may write it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// At least one item.
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

struct OneOrMany<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value or a list of values")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<List<T>, E> {
        one(text)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<List<T>, E> {
        one(truth)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<List<T>, E> {
        one(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<List<T>, E> {
        one(number)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<List<T>, A::Error> {
        let items = Vec::deserialize(SeqAccessDeserializer::new(items))?;
        if items.is_empty() {
            return Err(A::Error::custom("is empty, expected at least one value"));
        }
        Ok(List(items))
    }
}

fn one<'de, T: Deserialize<'de>, E: Error>(
    value: impl IntoDeserializer<'de, E>,
) -> Result<List<T>, E> {
    let item = T::deserialize(value.into_deserializer())?;
    Ok(List(vec![item]))
}
