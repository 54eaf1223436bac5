//! Let only requests with a valid JSON Web Token (RFC 7519) pass.
//!
//! The host verifies signatures and has the keys; this checks the claims, hands some of them on, and
//! answers everybody else as RFC 6750 says. Whether a request passes never depends on keys that
//! cannot be had: then the plugin fails, and its failure policy decides.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod claims;
mod keys;
mod list;
mod refusal;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use claims::{ClaimPath, Claims, Plain, Scope, Validity};
use keys::{Keys, RawKeys};
use list::List;
use refusal::Refusal;
use source::{Found, Source};
use tidegate_sdk::FieldName;
use tidegate_sdk::attributes::Value;
use tidegate_sdk::crypto::{Algorithm, JwsError};
use tidegate_sdk::prelude::*;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients put their token.
    #[serde(default = "bearer")]
    from: List<Source>,
    /// The algorithms that are accepted.
    algorithms: Vec<Algorithm>,
    /// Keys: the URL of a JWK set.
    jwks_url: Option<String>,
    /// When it is fetched again.
    #[serde(default, with = "humantime_serde")]
    refresh: Option<Duration>,
    /// How long it serves while a new one cannot be had.
    #[serde(default, with = "humantime_serde")]
    stale: Option<Duration>,
    /// Keys: a JWK set, as text or as a table.
    jwks: Option<serde_json::Value>,
    /// Keys: a public key.
    pem: Option<String>,
    /// Keys: the name of a secret that holds a shared key, a JWK set or a public key.
    secret: Option<String>,
    /// How far the issuer's clock may be from ours.
    #[serde(default, with = "humantime_serde")]
    leeway: Duration,
    /// The most time since a token was issued.
    #[serde(default, with = "humantime_serde")]
    max_age: Option<Duration>,
    /// Whether a token without `exp` is refused.
    #[serde(default = "yes")]
    require_exp: bool,
    /// `iss` is one of these.
    issuer: Option<List<String>>,
    /// `aud` names one of these.
    audience: Option<List<String>>,
    /// Other claims, and the values that they may have.
    #[serde(default)]
    required: BTreeMap<ClaimPath, List<Plain>>,
    /// Scopes that a token must have, all of them.
    #[serde(default)]
    scopes: Vec<Scope>,
    /// Whether requests without a token pass.
    #[serde(default)]
    optional: bool,
    /// Request fields for the upstream, and their claims.
    #[serde(default)]
    headers: BTreeMap<FieldName, ClaimPath>,
    /// Attributes, and their claims.
    #[serde(default)]
    attributes: RawAttributes,
    /// Whether the token is removed before the request is forwarded.
    #[serde(default)]
    strip: bool,
    /// What the tokens are for, as a 401 tells the client.
    #[serde(default = "api")]
    realm: String,
}

/// The plugin.
pub struct Jwt {
    from: Vec<Source>,
    algorithms: Vec<Algorithm>,
    keys: Keys,
    validity: Validity,
    issuers: Option<Vec<String>>,
    audiences: Option<Vec<String>>,
    required: BTreeMap<ClaimPath, List<Plain>>,
    scopes: Vec<Scope>,
    optional: bool,
    headers: BTreeMap<FieldName, ClaimPath>,
    /// With their whole names.
    attributes: Vec<(String, ClaimPath)>,
    strip: bool,
    realm: String,
}

#[plugin]
impl Plugin for Jwt {
    type Config = Config;

    fn configure(config: Config, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if config.algorithms.is_empty() {
            return Err(
                ConfigError::at("algorithms", "is empty, expected `RS256`, for example").into(),
            );
        }
        let printable = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if !config.realm.bytes().all(printable) {
            let message = "expected printable ASCII without quotes and backslashes";
            return Err(ConfigError::at("realm", message).into());
        }
        let keys = RawKeys {
            jwks_url: config.jwks_url,
            refresh: config.refresh,
            stale: config.stale,
            jwks: config.jwks,
            pem: config.pem,
            secret: config.secret,
        };
        Ok(Self {
            keys: Keys::new(keys, &config.algorithms)?,
            from: config.from.0,
            algorithms: config.algorithms,
            validity: Validity {
                leeway: config.leeway,
                max_age: config.max_age,
                require_exp: config.require_exp,
            },
            issuers: config.issuer.map(|list| list.0),
            audiences: config.audience.map(|list| list.0),
            required: config.required,
            scopes: config.scopes,
            optional: config.optional,
            headers: config.headers,
            attributes: config.attributes.named()?,
            strip: config.strip,
            realm: config.realm,
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let passed = match source::find(&self.from, request) {
            Found::One(source, token) => self.admit(request, source, &token),
            Found::None if self.optional => self.admit_anonymous(request),
            Found::None => Err(Obstacle::Refused(Refusal::Missing)),
            Found::Several => Err(Obstacle::Refused(Refusal::Several)),
        };
        match passed {
            Ok(()) => Action::Proceed,
            Err(Obstacle::Refused(refusal)) => self.refuse(request, refusal),
            Err(Obstacle::Undecided(why)) => {
                log::error!("{why}");
                Action::Fail
            }
        }
    }
}

/// Why a request does not pass.
enum Obstacle {
    Refused(Refusal),
    /// It cannot be told whether it may: not for this plugin to decide.
    Undecided(String),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<JwsError> for Obstacle {
    fn from(error: JwsError) -> Self {
        Self::Refused(match error {
            JwsError::Malformed => Refusal::Malformed,
            JwsError::Algorithm => Refusal::Algorithm,
            JwsError::UnknownKey => Refusal::UnknownKey,
            JwsError::Signature => Refusal::Signature,
            JwsError::Unavailable => return Self::Undecided("the keys cannot be had".to_owned()),
            JwsError::InvalidKeys => return Self::Undecided("the keys are not keys".to_owned()),
        })
    }
}

/// What the host says when a claim is handed on. A token that brings too much is the token's fault:
/// who holds one must not be able to make the plugin fail.
impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        match error {
            Error::LimitReached | Error::InvalidValue => Self::Refused(Refusal::Unfit),
            error => Self::Undecided(format!("a claim cannot be handed on: {error}")),
        }
    }
}

impl Jwt {
    fn admit(&self, request: &mut Request, source: &Source, token: &[u8]) -> Result<(), Obstacle> {
        let token = std::str::from_utf8(token).map_err(|_| Refusal::Malformed)?;
        let jws = self.keys.verify(token, &self.algorithms)?;
        let claims = Claims::parse(&jws.payload)?;
        self.check(&claims)?;
        let mut edits = Edits::new();
        for (name, path) in &self.headers {
            // Whatever the client sent under this name.
            edits.remove(name.as_str());
            if let Some(value) = self.plain(&claims, path)? {
                edits.set(name.as_str(), text(value));
            }
        }
        for (name, path) in &self.attributes {
            if let Some(value) = self.plain(&claims, path)? {
                attributes::set(name, value)?;
            }
        }
        if self.strip {
            source.strip(request)?;
        }
        Ok(request.edit(&edits)?)
    }

    fn admit_anonymous(&self, request: &mut Request) -> Result<(), Obstacle> {
        let mut edits = Edits::new();
        for name in self.headers.keys() {
            edits.remove(name.as_str());
        }
        Ok(request.edit(&edits)?)
    }

    fn check(&self, claims: &Claims) -> Result<(), Refusal> {
        self.validity.check(claims, clock::now())?;
        if self
            .issuers
            .as_ref()
            .is_some_and(|known| !claims.is_from(known))
        {
            return Err(Refusal::Issuer);
        }
        if self
            .audiences
            .as_ref()
            .is_some_and(|ours| !claims.is_for(ours))
        {
            return Err(Refusal::Audience);
        }
        let mut required = self.required.iter();
        if !required.all(|(path, allowed)| claims::is_one_of(claims.get(path), allowed)) {
            return Err(Refusal::Claim);
        }
        if !claims.has_scopes(&self.scopes) {
            return Err(Refusal::Scope);
        }
        Ok(())
    }

    fn plain(&self, claims: &Claims, path: &ClaimPath) -> Result<Option<Value>, Refusal> {
        claims.get(path).map_or(Ok(None), claims::plain)
    }

    fn refuse(&self, request: &mut Request, refusal: Refusal) -> Action {
        if let Err(error) = metrics::count("refused", &[("reason", refusal.reason())], 1) {
            log::debug!("metric refused: {error}");
        }
        let scopes: Vec<&str> = self.scopes.iter().map(|scope| scope.0.as_str()).collect();
        request.respond(refusal.reply(&self.realm, &scopes.join(" ")))
    }
}

fn text(value: Value) -> Vec<u8> {
    match value {
        Value::Text(text) => text.into_bytes(),
        Value::Integer(number) => number.to_string().into_bytes(),
        Value::Boolean(truth) => truth.to_string().into_bytes(),
        Value::Bytes(bytes) => bytes,
    }
}

/// Attributes, as written: a list of claims, or a table of names and claims.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a list of claims, or a table of names and claims"
)]
enum RawAttributes {
    List(Vec<ClaimPath>),
    Table(BTreeMap<String, ClaimPath>),
}

impl Default for RawAttributes {
    fn default() -> Self {
        Self::List(vec![ClaimPath("sub".to_owned())])
    }
}

impl RawAttributes {
    fn named(self) -> Result<Vec<(String, ClaimPath)>, ConfigError> {
        let pairs: Vec<(String, ClaimPath)> = match self {
            Self::List(paths) => paths
                .into_iter()
                .map(|path| (path.0.clone(), path))
                .collect(),
            Self::Table(table) => table.into_iter().collect(),
        };
        if pairs.len() > 16 {
            return Err(ConfigError::at("attributes", "more than 16 attributes"));
        }
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let unfit = |name: &String| !(1..=60).contains(&name.len()) || !name.bytes().all(allowed);
        if let Some((name, _)) = pairs.iter().find(|(name, _)| unfit(name)) {
            let message = format!(
                "`{name}` cannot be the name of an attribute, expected 1 to 60 characters of `a-z 0-9 . _ -`; \
                 a table gives a claim another name: {{ name = \"CLAIM\" }}"
            );
            return Err(ConfigError::at("attributes", message));
        }
        let pairs = pairs.into_iter();
        Ok(pairs
            .map(|(name, path)| (format!("jwt.{name}"), path))
            .collect())
    }
}

fn bearer() -> List<Source> {
    List(vec![Source::Bearer])
}

fn api() -> String {
    "api".to_owned()
}

fn yes() -> bool {
    true
}
