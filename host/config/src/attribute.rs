//! Names of attributes, the values that plugins put on an exchange: `"jwt.sub"`.

use crate::error::Invalid;
use crate::text::{Text, Textual};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name that an attribute can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttributeName(pub(crate) String);

impl Textual for AttributeName {
    const EXPECTED: &'static str = "1 to 64 of a-z, 0-9, `.`, `_` and `-`, such as \"jwt.sub\"";
    const PATTERN: Option<&'static str> = Some("^[a-z0-9._-]{1,64}$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        let legal =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        if (1..=64).contains(&text.len()) && text.chars().all(legal) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(
            format!("`{text}` cannot be the name of an attribute"),
            format!("expected {}", Self::EXPECTED),
        ))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}

/// Reads at most `MAX` names, each once; for fields as `#[serde(with = "AttributeNames::<16>")]`.
pub(crate) struct AttributeNames<const MAX: usize>;

impl<const MAX: usize> AttributeNames<MAX> {
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        let mut names: Vec<String> = Vec::new();
        for Text(AttributeName(name)) in Vec::<Text<AttributeName>>::deserialize(deserializer)? {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > MAX {
            let message = format!("{} attributes are too many", names.len());
            return Err(Invalid::new(message, format!("expected at most {MAX}")).into_serde());
        }
        Ok(names)
    }

    pub(crate) fn serialize<S: Serializer>(
        names: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        names.serialize(serializer)
    }
}

impl<const MAX: usize> JsonSchema for AttributeNames<MAX> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("AttributeNames{MAX}").into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<Text<AttributeName>>();
        json_schema!({ "type": "array", "items": name, "maxItems": MAX })
    }
}
