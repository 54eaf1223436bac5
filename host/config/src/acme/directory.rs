//! Where authorities are: by name, or by the URL of their directory.

use crate::error::Invalid;
use crate::text::Textual;
use http::Uri;

/// The URL of a directory.
#[derive(Debug)]
pub(super) struct Directory(pub(super) String);

impl Directory {
    /// Whether this authority takes no account without an external one.
    pub(super) fn needs_account(&self) -> bool {
        [ZEROSSL, GOOGLE].contains(&self.0.as_str())
    }
}

impl Textual for Directory {
    const EXPECTED: &'static str = "\"letsencrypt\", \"letsencrypt-staging\", \"zerossl\", \"google\" \
        or an https URL";

    fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some((_, url)) = DIRECTORIES.iter().find(|(name, _)| *name == text) {
            return Ok(Self((*url).to_owned()));
        }
        let https = text.parse::<Uri>().ok().filter(|uri| {
            uri.scheme_str() == Some("https")
                && uri.authority().is_some_and(|it| !it.as_str().contains('@'))
        });
        if https.is_some() {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(
            format!("`{text}` is not the directory of a certificate authority"),
            format!("expected {}", Self::EXPECTED),
        ))
    }

    fn write(&self) -> String {
        let known = DIRECTORIES.iter().find(|(_, url)| *url == self.0);
        known.map_or_else(|| self.0.clone(), |(name, _)| (*name).to_owned())
    }
}

const DIRECTORIES: [(&str, &str); 4] = [
    (
        "letsencrypt",
        "https://acme-v02.api.letsencrypt.org/directory",
    ),
    (
        "letsencrypt-staging",
        "https://acme-staging-v02.api.letsencrypt.org/directory",
    ),
    ("zerossl", ZEROSSL),
    ("google", GOOGLE),
];
const ZEROSSL: &str = "https://acme.zerossl.com/v2/DV90";
const GOOGLE: &str = "https://dv.acme-v02.api.pki.goog/directory";
