//! Why an order came to nothing, in words for the log.

use std::fmt;
use std::time::SystemTime;

use instant_acme::{Error, Problem};

use crate::web::WebError;

/// What went wrong, with the authority's own words and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// When the authority may be asked again, where it said so.
    pub(crate) again: Option<SystemTime>,
    text: String,
}

/// Kinds of failures, as the metric has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The authority cannot be reached or has trouble of its own.
    Unreachable,
    /// It did not get done in its time.
    Timeout,
    /// Too much was asked for.
    RateLimited,
    /// There is no account, or not one that it takes.
    Account,
    /// It does not know the account any more.
    AccountGone,
    /// It does not give certificates for such names.
    Refused,
    /// It did not find the answer to its challenge.
    Validation,
    /// The record could not be set.
    Dns,
    /// Nothing can be kept.
    Store,
    /// What it gave cannot be used.
    Invalid,
}

impl Kind {
    /// The metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::Unreachable => "unreachable",
            Kind::Timeout => "timeout",
            Kind::RateLimited => "rate-limited",
            Kind::Account | Kind::AccountGone => "account",
            Kind::Refused => "refused",
            Kind::Validation => "validation",
            Kind::Dns => "dns",
            Kind::Store => "store",
            Kind::Invalid => "invalid",
        }
    }

    /// Whether another authority would fail in the same way.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Kind::Dns | Kind::Store)
    }

    fn of(problem: &Problem) -> Kind {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        match kind
            .strip_prefix("urn:ietf:params:acme:error:")
            .unwrap_or_default()
        {
            "rateLimited" => Kind::RateLimited,
            "accountDoesNotExist" => Kind::AccountGone,
            "externalAccountRequired"
            | "userActionRequired"
            | "invalidContact"
            | "unsupportedContact" => Kind::Account,
            "connection" | "dns" | "incorrectResponse" | "tls" | "unauthorized" | "caa"
            | "orderNotReady" => Kind::Validation,
            "serverInternal" => Kind::Unreachable,
            "badNonce" | "malformed" => Kind::Invalid,
            _ => Kind::Refused,
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: Kind, text: impl fmt::Display) -> Failure {
        Failure {
            kind,
            again: None,
            text: text.to_string(),
        }
    }

    /// While `doing` something.
    pub(crate) fn of(doing: &str, error: &Error) -> Failure {
        match error {
            Error::Api(problem) => Failure::problem(doing, problem),
            Error::Timeout(_) => Failure::new(
                Kind::Timeout,
                format!("{doing}: the authority did not get done in time"),
            ),
            Error::Other(other) => {
                let kind = match other.downcast_ref::<WebError>() {
                    Some(WebError::Late(_)) => Kind::Timeout,
                    Some(WebError::TooLarge) | None => Kind::Invalid,
                    Some(_) => Kind::Unreachable,
                };
                Failure::new(kind, format!("{doing}: {other}"))
            }
            _ => Failure::new(Kind::Invalid, format!("{doing}: {error}")),
        }
    }

    /// The authority says what is wrong.
    pub(crate) fn problem(doing: &str, problem: &Problem) -> Failure {
        let mut text = format!("{doing}: the authority says: {}", words(problem));
        if let Some(advice) = advice(problem) {
            text = format!("{text}. {advice}");
        }
        Failure::new(Kind::of(problem), text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An authority's words, on one line and bounded.
fn words(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("about:blank");
    let mut text = problem.detail.clone().unwrap_or_default();
    for of_name in &problem.subproblems {
        text = format!("{text}; {of_name}");
    }
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(1000)
        .collect();
    format!("{text} ({kind})")
}

fn advice(problem: &Problem) -> Option<&'static str> {
    let kind = problem.r#type.as_deref()?;
    Some(match kind.strip_prefix("urn:ietf:params:acme:error:")? {
        "externalAccountRequired" => {
            "Set `external_account` to what the authority gave you for your account with it"
        }
        "connection" => {
            "Its servers must reach this proxy under this name: on port 80 for http-01, 443 for tls-alpn-01. \
             Look at the name's address and at firewalls"
        }
        "dns" => "Look whether the name is in DNS, and that its servers answer",
        "unauthorized" | "incorrectResponse" => {
            "Something else answered in the place of this proxy, or a record is old: look where the name leads to"
        }
        "tls" => "Something else answers for this name on port 443",
        "caa" => "The CAA records of the name do not allow this authority",
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            "The authority gives no certificates for this name; is it public?"
        }
        "rateLimited" => "It is asked again when it allows it. Fewer, larger orders help",
        "userActionRequired" => "Its terms changed: read them at the address that it names",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Problem {
        let json = serde_json::json!({
            "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_authoritys_words_are_kept_on_one_line() {
        let failure = Failure::problem("order", &problem("rateLimited", "too\nmany\u{1b}[2J"));
        assert_eq!(failure.kind, Kind::RateLimited);
        let text = failure.to_string();
        assert!(
            text.starts_with(
                "order: the authority says: too many [2J (urn:ietf:params:acme:error:rateLimited)."
            ),
            "{text}"
        );
        let long = Failure::problem("order", &problem("other", &"x".repeat(100_000)));
        assert!(long.to_string().len() < 1200);
    }

    #[test]
    fn kinds_are_told_apart() {
        for (kind, of) in [
            ("externalAccountRequired", Kind::Account),
            ("connection", Kind::Validation),
            ("serverInternal", Kind::Unreachable),
            ("rejectedIdentifier", Kind::Refused),
        ] {
            assert_eq!(Failure::problem("", &problem(kind, "")).kind, of);
        }
        let down = Error::Other(WebError::Unreachable("refused".into()).into());
        assert_eq!(Failure::of("", &down).kind, Kind::Unreachable);
    }
}
