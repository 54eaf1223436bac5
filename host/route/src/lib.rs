//! Tidegate's routing: from a request's host, path, query, method, headers and listener to one route.
//!
//! Patterns are parsed once ([`HostPattern`], [`PathPattern`], [`ValuePattern`]), gathered in a
//! [`Matcher`] per route and compiled to a [`Table`]. A request is brought to one form first, by
//! [`host`] and [`normalize_path`], and that form is also what goes to the upstream: what is routed is
//! what is forwarded. Everything here is pure: no sockets, no clocks.
//!
//! # Which route wins
//!
//! | Step | Compared | Order |
//! |---|---|---|
//! | 1 | host | exact `api.example.com`, then wildcards `*.example.com` from the longest to the shortest, then any |
//! | 2 | path, within one host | exact `/v1`, then regexes `~^/v[0-9]` in the order of the file, then prefixes from the longest to the shortest (of two equally long, `/v1/*` comes before `/v1*`), then any |
//! | 3 | conditions, within one host and path | most conditions first (1 if `methods` is given, 1 if `listeners` is, 1 for each header, 1 for each query value), then the order of the file |
//!
//! A candidate whose conditions fail is passed over: the lookup goes on to the next candidate, the next
//! less specific path, then the next less specific host. So a `POST`-only `/v1/x` does not hide a
//! general `/v1/*`, and a host that knows no route for a path falls back to the wildcard above it.
//!
//! A prefix is as long as its literal part: `/v1/*` and `/v1*` have both length 3. A route with several
//! hosts or paths stands in the table once for each pair. Regexes with the same text are one path, at
//! the place of the first.
//!
//! The number of steps of a lookup depends on the labels of the host, on how many different lengths the
//! prefixes of that host have, and on the regexes of that host; not on the number of routes.
//!
//! ```
//! use http::{HeaderMap, Method};
//! use tidegate_route::{HostPattern, Matcher, PathPattern, Request, Table, host, normalize_path};
//!
//! let api = Matcher {
//!     hosts: vec![HostPattern::parse("*.example.com")?],
//!     paths: vec![PathPattern::parse("/v1/*")?],
//!     ..Matcher::default()
//! };
//! let table = Table::build([(Matcher::default(), "everything else"), (api, "api")]);
//! let found = table.lookup(&Request {
//!     host: &host("EU.example.com:443")?,
//!     path: &normalize_path("/v1//users/./%34%32")?,
//!     query: None,
//!     method: &Method::GET,
//!     headers: &HeaderMap::new(),
//!     listener: None,
//! });
//! assert_eq!(found, Some(&"api"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod authority;
mod matcher;
mod path;
mod pattern;
mod table;

pub use authority::{HostError, host};
pub use matcher::{ListenerIndex, Matcher, Request};
pub use path::{PathError, normalize_path};
pub use pattern::{HostPattern, PathPattern, PatternError, ValuePattern};
pub use table::Table;
