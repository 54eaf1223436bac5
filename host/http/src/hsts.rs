//! HTTP Strict Transport Security (RFC 6797): browsers are told to come over TLS only.

use crate::context::Context;
use http::HeaderValue;
use http::header::{InvalidHeaderValue, STRICT_TRANSPORT_SECURITY};
use pingora::http::ResponseHeader;
use std::time::Duration;

/// The value of `strict-transport-security` (RFC 6797 §6.1).
///
/// # Errors
/// None in practice: what is written here can stand in a field.
pub fn hsts(
    max_age: Duration,
    include_subdomains: bool,
    preload: bool,
) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = format!("max-age={}", max_age.as_secs());
    if include_subdomains {
        value.push_str("; includeSubDomains");
    }
    if preload {
        value.push_str("; preload");
    }
    HeaderValue::try_from(value)
}

/// Add the listener's field to a response, before plugins see it. One that an upstream or a plugin has set
/// stays: it knows its own names better, and browsers read the first one alone (§8.1). Never over
/// plaintext (§7.2).
pub(crate) fn add(head: &mut ResponseHeader, context: &Context) -> pingora::Result<()> {
    if context.facts.scheme != "https" || head.headers.contains_key(STRICT_TRANSPORT_SECURITY) {
        return Ok(());
    }
    match context
        .listener()
        .and_then(|listener| listener.hsts.clone())
    {
        Some(value) => head.insert_header(STRICT_TRANSPORT_SECURITY, value),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field() {
        let day = Duration::from_secs(86400);
        assert_eq!(hsts(day, false, false).unwrap(), "max-age=86400");
        let all = "max-age=86400; includeSubDomains; preload";
        assert_eq!(hsts(day, true, true).unwrap(), all);
    }
}
