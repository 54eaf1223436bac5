//! The names of one certificate.

use super::Challenge;
use crate::dns_name::DnsName;
use crate::dns_update::DnsUpdate;
use crate::located::Located;
use crate::resolve::Resolver;
use crate::text::Textual;

/// What the usual authorities put into one certificate.
const NAMES_MAX: usize = 100;

/// Names that the challenge can show control of.
pub(super) fn resolve(
    names: Located<Vec<Located<String>>>,
    challenge: Challenge,
    dns: Option<&DnsUpdate>,
    resolver: &mut Resolver,
) -> Located<Vec<DnsName>> {
    if !(1..=NAMES_MAX).contains(&names.value.len()) {
        resolver.reject(
            names.span,
            format!("a certificate with {} names", names.value.len()),
            format!("expected 1 to {NAMES_MAX} names"),
        );
    }
    let mut resolved = Vec::with_capacity(names.value.len());
    for Located { value, span } in names.value {
        let name = match DnsName::parse(&value) {
            Ok(name) => name,
            Err(invalid) => {
                resolver.reject(span, invalid.message, invalid.help);
                continue;
            }
        };
        if name.is_wildcard() && challenge != Challenge::Dns01 {
            resolver.reject(
                span,
                "authorities give out wildcards for the challenge dns-01 only",
                "add `challenge = \"dns-01\"` and `dns`, or name the hosts one by one",
            );
        }
        if let Some(zone) = dns.and_then(DnsUpdate::zone)
            && !name.is_within(zone)
        {
            resolver.reject(
                span,
                format!("`{name}` is not in the zone `{zone}`"),
                "records can be set in the zone of `dns` only; make another [acme.NAME] for this name",
            );
        }
        if !resolved.contains(&name) {
            resolved.push(name);
        }
    }
    Located::new(resolved, names.span)
}
