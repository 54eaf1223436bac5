//! The known keys, by their hashes.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use subtle::ConstantTimeEq;
use tidegate_sdk::attributes::Value;
use tidegate_sdk::prelude::*;

/// One key, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawKey {
    /// Who it belongs to. Two keys may have the same, while one replaces the other.
    id: String,
    /// `sha256:` and 64 hexadecimal digits.
    hash: Hash,
    /// False for a key that is known and refused.
    #[serde(default = "yes")]
    enabled: bool,
    /// The last moment: `2026-12-31`, to its end in UTC, or `2026-12-31T12:00:00Z`.
    not_after: Option<Moment>,
    /// Set as `api-key.NAME` for later plugins.
    #[serde(default)]
    attributes: BTreeMap<String, Plain>,
}

/// One key, checked.
pub(crate) struct Key {
    pub(crate) id: String,
    /// With their whole names.
    pub(crate) attributes: Vec<(String, Value)>,
    hash: Hash,
    enabled: bool,
    not_after: Option<Moment>,
}

/// What is known about a key that a client presents.
pub(crate) enum Verdict<'a> {
    Valid(&'a Key),
    Unknown,
    Disabled(&'a Key),
    Expired(&'a Key),
}

/// All keys, sorted by hash.
pub(crate) struct KeyRing(Vec<Key>);

impl KeyRing {
    pub(crate) fn new(raw: Vec<RawKey>) -> Result<Self, Vec<ConfigError>> {
        let mut keys = Vec::with_capacity(raw.len());
        for (index, key) in raw.into_iter().enumerate() {
            let at = |(path, message): (String, &str)| {
                ConfigError::at(format!("keys.{index}.{path}"), message)
            };
            keys.push((index, Key::new(key).map_err(at)?));
        }
        keys.sort_by_key(|(_, key)| key.hash);
        let pairs = keys.iter().zip(keys.iter().skip(1));
        for ((first, a), (second, b)) in pairs {
            if a.hash == b.hash {
                let message = format!("is the hash of `keys.{first}` too");
                return Err(ConfigError::at(format!("keys.{second}.hash"), message).into());
            }
        }
        Ok(Self(keys.into_iter().map(|(_, key)| key).collect()))
    }

    /// Find a key by its SHA-256. The first bytes lead to the candidates, the whole is compared in
    /// constant time. How long the first step takes says something about the first bytes of a
    /// hash, from which nobody gets to a key.
    pub(crate) fn find(&self, digest: [u8; 32]) -> Verdict<'_> {
        let wanted = Hash::new(digest);
        let start = self
            .0
            .partition_point(|key| key.hash.head() < wanted.head());
        let candidates = self.0.iter().skip(start);
        let found = candidates
            .take_while(|key| key.hash.head() == wanted.head())
            .find(|key| bool::from(key.hash.0.ct_eq(&wanted.0)));
        match found {
            None => Verdict::Unknown,
            Some(key) if !key.enabled => Verdict::Disabled(key),
            Some(key) if key.not_after.is_some_and(|end| clock::now() > end.0) => {
                Verdict::Expired(key)
            }
            Some(key) => Verdict::Valid(key),
        }
    }
}

impl Key {
    /// Check what serde cannot; an error says which key of the table is wrong.
    fn new(raw: RawKey) -> Result<Self, (String, &'static str)> {
        if raw.id.is_empty() || raw.id.contains(char::is_control) {
            return Err(("id".to_owned(), "expected text without control characters"));
        }
        if raw.attributes.len() > 16 {
            return Err(("attributes".to_owned(), "more than 16 attributes"));
        }
        let mut attributes = Vec::with_capacity(raw.attributes.len());
        for (name, value) in raw.attributes {
            let allowed = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
            };
            if !(1..=56).contains(&name.len()) || !name.bytes().all(allowed) {
                let message = "the name must be 1 to 56 characters of `a-z 0-9 . _ -`";
                return Err((format!("attributes.{name}"), message));
            }
            if name == "id" {
                return Err((
                    "attributes.id".to_owned(),
                    "`api-key.id` is the key's `id` itself",
                ));
            }
            attributes.push((format!("api-key.{name}"), value.into()));
        }
        Ok(Self {
            id: raw.id,
            attributes,
            hash: raw.hash,
            enabled: raw.enabled,
            not_after: raw.not_after,
        })
    }
}

/// A SHA-256, in words: they are fewer to compare than bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Hash([u64; 4]);

impl Hash {
    fn new(digest: [u8; 32]) -> Self {
        let (words, _) = digest.as_chunks::<8>();
        let mut words = words.iter().copied().map(u64::from_be_bytes);
        Self(std::array::from_fn(|_| words.next().unwrap_or_default()))
    }

    /// Enough to tell honest keys apart.
    fn head(&self) -> u64 {
        let [head, ..] = self.0;
        head
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        // The text is not repeated: somebody may have put the key itself here.
        let expected = "expected `sha256:` and 64 hexadecimal digits, the SHA-256 of the key";
        let digits = text.strip_prefix("sha256:").ok_or(expected)?;
        let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
            return Err(expected);
        };
        let mut bytes = Vec::with_capacity(32);
        for [high, low] in pairs {
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            let value = digit(high)
                .zip(digit(low))
                .map(|(high, low)| high * 16 + low);
            bytes.push(
                value
                    .and_then(|value| u8::try_from(value).ok())
                    .ok_or(expected)?,
            );
        }
        bytes.try_into().map(Self::new).map_err(|_| expected)
    }
}

/// Time since 1970.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Moment(Duration);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let whole = if text.len() == "2026-12-31".len() {
            format!("{text}T23:59:59.999999999Z")
        } else {
            text.clone()
        };
        humantime::parse_rfc3339(&whole)
            .ok()
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is not a date, expected `2026-12-31` or `2026-12-31T12:00:00Z`")
            })
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text, an integer or a boolean")]
enum Plain {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

impl From<Plain> for Value {
    fn from(plain: Plain) -> Self {
        match plain {
            Plain::Boolean(truth) => truth.into(),
            Plain::Integer(number) => number.into(),
            Plain::Text(text) => text.into(),
        }
    }
}

fn yes() -> bool {
    true
}
