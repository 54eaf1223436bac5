//! `[maintenance]`, and `maintenance` of a route: requests are turned away while something is repaired.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::located::Located;
use crate::resolve::Resolver;
use crate::text::Text;
use crate::whole::Whole;
use http::StatusCode;
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// `[maintenance]`, or what holds for one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// Whether requests are turned away.
    pub enabled: bool,
    /// 400 to 599
    pub status: StatusCode,
    /// When clients may ask again; `None` does not say.
    pub retry_after: Option<Duration>,
    /// A file that is answered with; absolute. `None` is a short text.
    pub page: Option<Located<PathBuf>>,
    /// Clients who get through.
    pub allow: Vec<IpNet>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawMaintenance {
    /// Whether requests are turned away.
    enabled: bool,
    /// What they get, 400 to 599.
    #[serde(with = "Whole::<400, 599>")]
    status: u32,
    /// When clients may ask again (Retry-After). "0s" does not say.
    #[serde(with = "Text::<Option<Duration>>")]
    retry_after: Option<Duration>,
    /// A file that is answered with, relative to this file, at most 1 MiB. Without it, a short text.
    #[schemars(example = &"maintenance.html")]
    page: Option<Located<PathBuf>>,
    /// Networks of clients who get through.
    #[schemars(example = serde_json::json!(["10.0.0.0/8"]))]
    allow: Vec<Text<IpNet>>,
}

impl Default for RawMaintenance {
    fn default() -> Self {
        Self {
            enabled: false,
            status: 503,
            retry_after: Some(Duration::from_secs(300)),
            page: None,
            allow: Vec::new(),
        }
    }
}

impl RawMaintenance {
    pub(crate) fn resolve(self, resolver: &Resolver) -> Maintenance {
        Maintenance {
            enabled: self.enabled,
            status: status(self.status),
            retry_after: self.retry_after,
            page: self.page.map(|page| resolve_page(page, resolver)),
            allow: self.allow.into_iter().map(|text| text.0).collect(),
        }
    }
}

fn resolve_page(page: Located<PathBuf>, resolver: &Resolver) -> Located<PathBuf> {
    Located::new(resolver.source().resolve_path(page.value), page.span)
}

/// The number was checked when it was read.
fn status(number: u32) -> StatusCode {
    u16::try_from(number)
        .ok()
        .and_then(|number| StatusCode::from_u16(number).ok())
        .unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

// === maintenance of a route as written: a truth value, or a table ===

#[derive(Debug)]
pub(crate) enum RawRouteMaintenance {
    Switch(bool),
    Own(Table),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// What requests get, 400 to 599.
    status: Option<Whole<400, 599>>,
    /// When clients may ask again.
    retry_after: Option<Text<Option<Duration>>>,
    /// A file that is answered with.
    page: Option<Located<PathBuf>>,
    /// Networks of clients who get through.
    allow: Option<Vec<Text<IpNet>>>,
}

impl RawRouteMaintenance {
    /// `all` is what holds for all routes, and for what a table leaves out.
    pub(crate) fn over(self, all: &Maintenance, resolver: &Resolver) -> Maintenance {
        match self {
            RawRouteMaintenance::Switch(enabled) => Maintenance {
                enabled,
                ..all.clone()
            },
            RawRouteMaintenance::Own(own) => Maintenance {
                enabled: true,
                status: own.status.map_or(all.status, |number| status(number.0)),
                retry_after: own.retry_after.map_or(all.retry_after, |text| text.0),
                page: match own.page {
                    Some(page) => Some(resolve_page(page, resolver)),
                    None => all.page.clone(),
                },
                allow: own.allow.map_or_else(
                    || all.allow.clone(),
                    |allow| allow.into_iter().map(|text| text.0).collect(),
                ),
            },
        }
    }
}

impl<'de> Deserialize<'de> for RawRouteMaintenance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaintenanceVisitor)
    }
}

impl JsonSchema for RawRouteMaintenance {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RouteMaintenance".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Table>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, table] })
    }
}

struct MaintenanceVisitor;

impl<'de> Visitor<'de> for MaintenanceVisitor {
    type Value = RawRouteMaintenance;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or a table such as { status = 503, page = \"closed.html\" }")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<RawRouteMaintenance, E> {
        Ok(RawRouteMaintenance::Switch(on))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawRouteMaintenance, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(map)).map(RawRouteMaintenance::Own)
    }
}
