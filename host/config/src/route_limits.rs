//! `limits` of a route: what its requests may have, where it differs from `[limits]`.

use crate::limits::{HEADER_COUNT_MAX, Limits};
use crate::located::Located;
use crate::resolve::Resolver;
use crate::size::{KIB, Size};
use crate::whole::Whole;
use schemars::JsonSchema;
use serde::Deserialize;

/// What the requests of a route may have; what the route does not say is as in [`Limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteLimits {
    /// Size of a request's head; at most that of `[limits]`.
    pub header_bytes: u64,
    /// Number of header fields; at most that of `[limits]`.
    pub header_count: u32,
    /// Size of a request's target; at most that of `[limits]`.
    pub uri_bytes: u64,
    /// Size of a request's body; 0 is no limit.
    pub body_bytes: u64,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawRouteLimits {
    /// Size of a request's head; at most that of [limits], as the next two.
    #[schemars(example = &"16KiB")]
    header_bytes: Option<Located<Size<KIB>>>,
    /// Number of header fields in a request.
    #[schemars(example = 50)]
    header_count: Option<Located<Whole<1, HEADER_COUNT_MAX>>>,
    /// Size of a request's target.
    #[schemars(example = &"1KiB")]
    uri_bytes: Option<Located<Size<64>>>,
    /// Size of a request's body, less or more than in [limits]. 0 is no limit.
    #[schemars(example = &"1GiB")]
    body_bytes: Option<Size<0>>,
}

impl RawRouteLimits {
    pub(crate) fn over(self, all: &Limits, resolver: &mut Resolver) -> RouteLimits {
        let header_bytes = self
            .header_bytes
            .map(|own| Located::new(own.value.0, own.span));
        let header_count = self
            .header_count
            .map(|own| Located::new(own.value.0, own.span));
        let uri_bytes = self
            .uri_bytes
            .map(|own| Located::new(own.value.0, own.span));
        RouteLimits {
            header_bytes: at_most("header_bytes", header_bytes, all.header_bytes, resolver),
            header_count: at_most("header_count", header_count, all.header_count, resolver),
            uri_bytes: at_most("uri_bytes", uri_bytes, all.uri_bytes, resolver),
            body_bytes: self.body_bytes.map_or(all.body_bytes, |own| own.0),
        }
    }
}

/// A head is read before its route is known, so a route can only take less of it.
fn at_most<T: Copy + PartialOrd>(
    key: &str,
    own: Option<Located<T>>,
    all: T,
    resolver: &mut Resolver,
) -> T {
    let Some(own) = own else {
        return all;
    };
    if own.value > all {
        resolver.reject(
            own.span,
            format!("`{key}` is more than `{key}` in [limits]"),
            "a head is read before its route is known: lower it, or raise the one in [limits]",
        );
    }
    own.value
}
