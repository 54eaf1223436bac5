//! References to secrets: `{ secret = "NAME" }`. The secret itself does not stand in the file.

use crate::error::Invalid;
use crate::located::{Located, Span};
use crate::names::Section;
use crate::resolve::Resolver;
use crate::shorthand::{Brief, Shorthand};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

// Empty where something else was written, such as the secret itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["secret"]))]
pub(crate) struct RawSecretName {
    /// The name of the section.
    secret: Option<Located<String>>,
}

/// A key whose value is a secret, as it is written.
pub(crate) type SecretKey = Located<Brief<RawSecretName>>;

/// For fields of this kind: the table alone, so that an editor does not take the secret itself.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "allOf": [generator.subschema_for::<RawSecretName>()] })
}

/// The name of the secret, if it exists; `key` is the key that it is the value of.
pub(crate) fn resolve(written: SecretKey, key: &str, resolver: &mut Resolver) -> Option<String> {
    let Located { value, span } = written;
    value.0.resolve(key, span, resolver)
}

impl RawSecretName {
    fn resolve(self, key: &str, span: Span, resolver: &mut Resolver) -> Option<String> {
        let Some(name) = self.secret else {
            resolver.reject_unshown(
                span,
                format!("`{key}` is a secret, which does not stand in this file"),
                format!(
                    "write `{key} = {{ secret = \"NAME\" }}`, and where it is in a section [secret.NAME]"
                ),
            );
            return None;
        };
        resolver.refer(Section::Secret, name)
    }
}

impl Shorthand for RawSecretName {
    const EXPECTED: &'static str = "a table such as { secret = \"NAME\" }";

    /// What was written is not kept.
    fn expand(_: Located<String>) -> Result<Self, Invalid> {
        Ok(Self::default())
    }
}
