//! Why a request is refused, and what the client is told (RFC 6750 §3).

use tidegate_sdk::Reply;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Missing,
    Several,
    Malformed,
    Algorithm,
    UnknownKey,
    Signature,
    Expired,
    Endless,
    NotYet,
    TooOld,
    Issuer,
    Audience,
    /// A claim cannot be handed on.
    Unfit,
    Claim,
    Scope,
}

impl Refusal {
    /// For the metric.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Several => "several",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Endless => "endless",
            Self::NotYet => "not-yet",
            Self::TooOld => "too-old",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Unfit => "unfit",
            Self::Claim => "claim",
            Self::Scope => "scope",
        }
    }

    /// The status, and the error of RFC 6750 §3.1: none for a client that does not know yet that a
    /// token is needed.
    fn kind(self) -> (u16, Option<&'static str>) {
        match self {
            Self::Missing => (401, None),
            Self::Several => (400, Some("invalid_request")),
            Self::Claim | Self::Scope => (403, Some("insufficient_scope")),
            _ => (401, Some("invalid_token")),
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Missing => "a token is required",
            Self::Several => "more than one token",
            Self::Malformed => "the token is malformed",
            Self::Algorithm => "the token's algorithm is not accepted",
            Self::UnknownKey => "the token's key is not known",
            Self::Signature => "the token's signature is wrong",
            Self::Expired => "the token has expired",
            Self::Endless => "the token has no time of expiry",
            Self::NotYet => "the token is not valid yet",
            Self::TooOld => "the token is too old",
            Self::Issuer => "the token is of another issuer",
            Self::Audience => "the token is for another audience",
            Self::Unfit => "a claim of the token cannot be used",
            Self::Claim => "the token does not have the claims that are required",
            Self::Scope => "the token does not have the scope that is required",
        }
    }

    /// The answer; `scope` is what is required.
    pub(crate) fn reply(self, realm: &str, scope: &str) -> Reply {
        let (status, error) = self.kind();
        let text = self.description();
        let mut challenge = format!("Bearer realm=\"{realm}\"");
        if let Some(error) = error {
            challenge += &format!(", error=\"{error}\", error_description=\"{text}\"");
        }
        if self == Self::Scope {
            challenge += &format!(", scope=\"{scope}\"");
        }
        let reply = Reply::new(status).header("www-authenticate", challenge);
        reply.text(format!("{text}\n"))
    }
}
