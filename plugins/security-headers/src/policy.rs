//! The fields that have a value of their own: what may stand in them, and what the presets say.

/// One field.
pub(crate) struct Policy {
    /// Its name on the wire.
    pub(crate) name: &'static str,
    /// The preset `strict`.
    pub(crate) strict: Option<&'static str>,
    /// The preset `compatible`.
    pub(crate) compatible: Option<&'static str>,
    /// What is wrong with a value.
    pub(crate) check: fn(&str) -> Result<(), String>,
}

/// Content Security Policy Level 3.
pub(crate) const CONTENT_SECURITY_POLICY: Policy = Policy {
    name: "content-security-policy",
    strict: Some(
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    compatible: Some("base-uri 'self'; frame-ancestors 'self'; object-src 'none'"),
    check: check_csp,
};

/// The same, which browsers report and do not enforce.
pub(crate) const CONTENT_SECURITY_POLICY_REPORT_ONLY: Policy = Policy {
    name: "content-security-policy-report-only",
    strict: None,
    compatible: None,
    check: check_csp,
};

/// Fetch standard, "`X-Content-Type-Options` header".
pub(crate) const CONTENT_TYPE_OPTIONS: Policy = Policy {
    name: "x-content-type-options",
    strict: Some("nosniff"),
    compatible: Some("nosniff"),
    check: |value| one_of(value, &["nosniff"]),
};

/// HTML standard, "The `X-Frame-Options` header"; for browsers that do not know `frame-ancestors`.
pub(crate) const FRAME_OPTIONS: Policy = Policy {
    name: "x-frame-options",
    strict: Some("DENY"),
    compatible: Some("SAMEORIGIN"),
    check: |value| one_of(value, &["DENY", "SAMEORIGIN"]),
};

/// W3C Referrer Policy, "Referrer Policies". Browsers take the last of a list that they know.
pub(crate) const REFERRER_POLICY: Policy = Policy {
    name: "referrer-policy",
    strict: Some("no-referrer"),
    compatible: Some("strict-origin-when-cross-origin"),
    check: |value| {
        let known = [
            "no-referrer",
            "no-referrer-when-downgrade",
            "same-origin",
            "origin",
            "strict-origin",
            "origin-when-cross-origin",
            "strict-origin-when-cross-origin",
            "unsafe-url",
        ];
        value
            .split(',')
            .try_for_each(|one| one_of(one.trim(), &known))
    },
};

/// W3C Permissions Policy.
pub(crate) const PERMISSIONS_POLICY: Policy = Policy {
    name: "permissions-policy",
    strict: Some(
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
         magnetometer=(), microphone=(), payment=(), usb=()",
    ),
    compatible: None,
    check: check_permissions,
};

/// HTML standard, "Cross-origin opener policies".
pub(crate) const OPENER_POLICY: Policy = Policy {
    name: "cross-origin-opener-policy",
    strict: Some("same-origin"),
    compatible: Some("same-origin-allow-popups"),
    check: |value| {
        let known = [
            "same-origin",
            "same-origin-allow-popups",
            "noopener-allow-popups",
            "unsafe-none",
        ];
        one_of(value, &known)
    },
};

/// HTML standard, "Cross-origin embedder policies".
pub(crate) const EMBEDDER_POLICY: Policy = Policy {
    name: "cross-origin-embedder-policy",
    strict: Some("require-corp"),
    compatible: None,
    check: |value| one_of(value, &["require-corp", "credentialless", "unsafe-none"]),
};

/// Fetch standard, "`Cross-Origin-Resource-Policy` header".
pub(crate) const RESOURCE_POLICY: Policy = Policy {
    name: "cross-origin-resource-policy",
    strict: Some("same-origin"),
    compatible: None,
    check: |value| one_of(value, &["same-origin", "same-site", "cross-origin"]),
};

fn one_of(value: &str, known: &[&str]) -> Result<(), String> {
    match known.contains(&value) {
        true => Ok(()),
        false => Err(format!(
            "unknown value `{value}`, expected `{}`",
            known.join("` or `")
        )),
    }
}

/// Directives of level 3 and its neighbours. A browser ignores what it does not know, so a typing error
/// would go unnoticed.
const DIRECTIVES: [&str; 27] = [
    "base-uri",
    "child-src",
    "connect-src",
    "default-src",
    "fenced-frame-src",
    "font-src",
    "form-action",
    "frame-ancestors",
    "frame-src",
    "img-src",
    "manifest-src",
    "media-src",
    "object-src",
    "report-to",
    "report-uri",
    "require-trusted-types-for",
    "sandbox",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "trusted-types",
    "upgrade-insecure-requests",
    "webrtc",
    "worker-src",
];

/// Source expressions that are hosts of that name without their quotes.
const KEYWORDS: [&str; 7] = [
    "self",
    "none",
    "unsafe-inline",
    "unsafe-eval",
    "strict-dynamic",
    "unsafe-hashes",
    "report-sample",
];

fn check_csp(value: &str) -> Result<(), String> {
    printable(value)?;
    for directive in value.split(';') {
        let mut words = directive.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        if !DIRECTIVES.contains(&name) {
            return Err(format!("`{name}` is not a directive"));
        }
        let takes_names = matches!(name, "report-to" | "sandbox" | "trusted-types");
        if let Some(word) = words.find(|word| !takes_names && KEYWORDS.contains(word)) {
            return Err(format!(
                "`{word}` would be a host in `{name}`, write `'{word}'`"
            ));
        }
    }
    Ok(())
}

/// `camera=(), geolocation=(self "https://maps.example"), fullscreen=*`.
fn check_permissions(value: &str) -> Result<(), String> {
    printable(value)?;
    for item in value.split(',') {
        let (name, list) = item.trim().split_once('=').unwrap_or_default();
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let listed = matches!(list, "*" | "self") || list.starts_with('(') && list.ends_with(')');
        if !named || !listed {
            return Err(format!(
                "`{}` is no item, expected one such as `camera=()`",
                item.trim()
            ));
        }
    }
    Ok(())
}

fn printable(value: &str) -> Result<(), String> {
    match !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        true => Ok(()),
        false => Err("expected text of printable ASCII".to_owned()),
    }
}
