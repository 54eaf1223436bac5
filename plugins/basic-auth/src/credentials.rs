//! What a client presents (RFC 7617 §2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate_sdk::prelude::*;

/// Longer passwords are wrong: checking one takes time and memory.
const PASSWORD_BYTES_MAX: usize = 1024;

/// A user's name and password.
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) password: Vec<u8>,
}

/// What the request holds.
pub(crate) enum Presented {
    Nothing,
    /// Not credentials in the form of RFC 7617.
    Malformed,
    /// It would be unclear who asks; another reader of the request could take others.
    Several,
    One(Credentials),
}

impl Presented {
    pub(crate) fn read(request: &Request) -> Self {
        let values = request.header_values("authorization");
        let mut encoded = values.iter().filter_map(basic);
        let Some(first) = encoded.next() else {
            return Self::Nothing;
        };
        if encoded.next().is_some() {
            return Self::Several;
        }
        Credentials::decode(first).map_or(Self::Malformed, Self::One)
    }
}

impl Credentials {
    /// The name has no colon, the password may; neither has control characters.
    fn decode(encoded: &[u8]) -> Option<Self> {
        let decoded = STANDARD.decode(encoded).ok()?;
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        let (name, rest) = decoded.split_at_checked(colon)?;
        let password = rest.strip_prefix(b":")?;
        let name = std::str::from_utf8(name).ok()?;
        let plain = !name.is_empty()
            && name.trim() == name
            && !name.contains(char::is_control)
            && !password.iter().any(u8::is_ascii_control)
            && password.len() <= PASSWORD_BYTES_MAX;
        plain.then(|| Self {
            name: name.to_owned(),
            password: password.to_vec(),
        })
    }
}

/// What follows the scheme `Basic`, in any case. Another scheme is not ours to judge.
fn basic(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, encoded) = value.as_bytes().split_at_checked("Basic ".len())?;
    let ours = scheme.eq_ignore_ascii_case(b"Basic ");
    ours.then(|| encoded.trim_ascii())
}
