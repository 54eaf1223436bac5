//! Origins (RFC 6454 §6.2, as browsers write them) and the patterns that allow them.

use tidegate_sdk::prelude::*;

/// What `origins` lists: `*`, `null`, `https://example.com` or `https://*.example.com`.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum OriginPattern {
    /// Every origin.
    Any,
    /// This one.
    Exact(String),
    /// Every name below a domain.
    Below {
        /// `https://`
        scheme: String,
        /// `.example.com:8443`
        domain: String,
    },
}

impl OriginPattern {
    /// Whether it allows this value of `origin`. Browsers write origins in one way, so that nothing
    /// needs to be normalised, and what is written otherwise does not come from one.
    pub(crate) fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => origin == exact,
            Self::Below { scheme, domain } => {
                let name = origin
                    .strip_prefix(scheme.as_str())
                    .and_then(|rest| rest.strip_suffix(domain.as_str()));
                name.is_some_and(is_name)
            }
        }
    }
}

impl TryFrom<String> for OriginPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "null" {
            return Ok(Self::Exact(text));
        }
        parse(&text.to_ascii_lowercase()).ok_or_else(|| {
            format!(
                "`{text}` is not an origin, expected one such as `https://example.com`, \
                 `https://*.example.com`, `http://localhost:3000` or `*`"
            )
        })
    }
}

fn parse(text: &str) -> Option<OriginPattern> {
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return None;
    }
    let (host, port) = split_port(authority)?;
    let port = match (scheme, port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    match host.strip_prefix("*.") {
        Some(domain) if is_name(domain) => Some(OriginPattern::Below {
            scheme: format!("{scheme}://"),
            domain: format!(".{domain}{port}"),
        }),
        None if is_name(host) || is_ipv6(host) => {
            Some(OriginPattern::Exact(format!("{scheme}://{host}{port}")))
        }
        _ => None,
    }
}

/// The host and the port. The colons of an IPv6 address are within brackets.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some((host, Some(port.parse().ok()?))),
        _ => Some((authority, None)),
    }
}

/// Labels with dots between them. Names in other scripts are written in Punycode.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    let mut labels = name.split('.');
    labels.all(|label| !label.is_empty() && label.bytes().all(allowed))
}

fn is_ipv6(host: &str) -> bool {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> OriginPattern {
        OriginPattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn an_exact_origin_allows_itself_only() {
        let example = pattern("https://Example.com:443");
        assert!(example.allows("https://example.com"));
        for other in [
            "http://example.com",
            "https://example.com:8443",
            "https://www.example.com",
            "https://example.com.evil.test",
            "https://example.com/",
            "null",
            "",
        ] {
            assert!(!example.allows(other), "{other}");
        }
        assert!(pattern("http://localhost:3000").allows("http://localhost:3000"));
        assert!(pattern("http://[::1]:3000").allows("http://[::1]:3000"));
        assert!(pattern("null").allows("null"));
    }

    #[test]
    fn a_star_stands_for_names_below() {
        let below = pattern("https://*.example.com");
        assert!(below.allows("https://a.example.com"));
        assert!(below.allows("https://b.a.example.com"));
        for other in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "https://a.example.com:8443",
            "https://a.example.com.evil.test",
            "http://a.example.com",
            "https://evil.test/.example.com",
            "https://evil.test#.example.com",
            "https://user@a.example.com",
            "https://evil.test:1.example.com",
        ] {
            assert!(!below.allows(other), "{other}");
        }
        assert!(pattern("https://*.example.com:8443").allows("https://a.example.com:8443"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "example.com",
            "*.example.com",
            "https://",
            "https://example.com/",
            "https://example.com/path",
            "https://user@example.com",
            "https://*",
            "https://a.*.example.com",
            "https://*example.com",
            "https://example.com:http",
            "https://example.com:70000",
            "https://a..b",
            "https://[::1",
            "://example.com",
        ] {
            let result = OriginPattern::try_from(text.to_owned());
            assert!(result.is_err(), "{text}: {result:?}");
        }
    }

    proptest! {
        #[test]
        fn names_below_a_domain_end_with_it(origin in r"https://[a-z.:/@#?*-]{0,12}(\.example\.com)?") {
            if pattern("https://*.example.com").allows(&origin) {
                let host = origin.strip_prefix("https://").unwrap();
                prop_assert!(host.ends_with(".example.com"));
                prop_assert!(host.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '-'));
            }
        }

        #[test]
        fn any_text_is_an_origin_or_an_error(text in any::<String>()) {
            let _ = OriginPattern::try_from(text);
        }
    }
}
