//! Where a redirect leads.
//!
//! A location is taken apart when it is read, so that nothing of a request can get into the scheme or
//! the authority: `https://example.com$1` with `.evil.example` leads to `https://example.com/.evil.example`.

use regex_lite::Regex;

use crate::encode;
use crate::template::{Template, Values};

/// `https://example.com/new/$1?from=$2#top`, in its parts.
#[derive(Debug)]
pub(crate) struct Location {
    scheme: Option<Template>,
    authority: Authority,
    path: Template,
    query: Option<Template>,
    fragment: Option<String>,
}

#[derive(Debug)]
enum Authority {
    /// The location is a path on the same host.
    None,
    /// As written.
    Fixed(String),
    /// The host of the request, and a port as written, with its colon.
    Request(String),
}

const REQUEST_SCHEME: &str = "${request.scheme}";
const REQUEST_HOST: &str = "${request.host}";

impl Location {
    /// # Errors
    ///
    /// What is wrong, for the operator.
    pub(crate) fn parse(text: &str, expression: Option<&Regex>) -> Result<Self, String> {
        let (rest, fragment) = match text.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment)),
            None => (text, None),
        };
        if fragment.is_some_and(|fragment| fragment.contains('$')) {
            return Err("a fragment cannot have references".to_owned());
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (scheme, authority, path) = if rest.starts_with('/') && !rest.starts_with("//") {
            (None, Authority::None, rest)
        } else {
            let (scheme, rest) = rest.split_once("://").ok_or(EXPECTED)?;
            if !matches!(scheme, "http" | "https" | REQUEST_SCHEME) {
                return Err(EXPECTED.to_owned());
            }
            let (authority, path) = Authority::parse(rest)?;
            (Some(Template::parse(scheme, None)?), authority, path)
        };
        let template = |text| Template::parse(text, expression);
        Ok(Self {
            scheme,
            authority,
            path: template(path)?,
            query: query.map(template).transpose()?,
            fragment: fragment.map(encode::query),
        })
    }

    pub(crate) fn render(&self, values: &Values<'_>) -> String {
        let mut location = String::new();
        if let Some(scheme) = &self.scheme {
            location.push_str(&scheme.render(values, str::to_owned));
            location.push_str("://");
        }
        match &self.authority {
            Authority::None => {}
            Authority::Fixed(authority) => location.push_str(authority),
            Authority::Request(port) => {
                location.push_str(&host(&values.request.host()));
                location.push_str(port);
            }
        }
        location.push_str(&encode::path(&self.path.render(values, encode::path_text)));
        if let Some(query) = &self.query {
            let query = encode::query(&query.render(values, encode::parameter));
            if !query.is_empty() {
                location.push('?');
                location.push_str(&query);
            }
        }
        if let Some(fragment) = &self.fragment {
            location.push('#');
            location.push_str(fragment);
        }
        location
    }
}

const EXPECTED: &str = "expected a path as in `/new/$1`, or a URL as in `https://example.com/$1`";

impl Authority {
    /// It ends where the path begins: at a `/`, or at a reference to something else than the host.
    fn parse(text: &str) -> Result<(Self, &str), String> {
        let (is_request, rest) = match text.strip_prefix(REQUEST_HOST) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let end = rest.find(['/', '$']).unwrap_or(rest.len());
        let (written, path) = rest.split_at(end);
        let is_port = written
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok());
        match is_request {
            true if written.is_empty() || is_port => Ok((Self::Request(written.to_owned()), path)),
            false if is_authority(written) => Ok((Self::Fixed(written.to_owned()), path)),
            _ => Err(format!("`{written}` is not a host")),
        }
    }
}

/// A host and maybe a port; no user.
pub(crate) fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_ipv6 = || {
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let is_name = !host.is_empty() && host.bytes().all(is_name_byte);
    (is_name || is_ipv6()) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// The proxy has checked it; what is no host all the same does not get further.
fn host(text: &str) -> String {
    let allowed = |&c: &char| u8::try_from(c).is_ok_and(is_name_byte) || "[]:".contains(c);
    text.chars().filter(allowed).collect()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}
