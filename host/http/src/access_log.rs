//! The access log: one line per request. The path is written without its query, which can hold keys;
//! no header field is written at all.

use serde_json::json;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;
use std::net::SocketAddr;
use std::time::SystemTime;
use tidegate_chain::{Exchange, Facts, Note, Outcome, Value};

/// Where and how lines are written.
///
/// The writer must not block: each worker writes through it.
pub struct AccessLog {
    format: Format,
    attributes: Vec<String>,
    writer: Box<dyn Fn() -> Box<dyn Write> + Send + Sync>,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What is written of an exchange.
pub(crate) struct Entry<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) upstream: Option<&'a str>,
    pub(crate) peer: Option<&'a str>,
    pub(crate) attempts: u32,
    pub(crate) outcome: &'a Outcome,
    /// Where a plugin was interested in the request.
    pub(crate) exchange: Option<&'a Exchange>,
}

impl AccessLog {
    /// A log whose lines go, each in one write, to what `writer` makes. They have the values of these
    /// attributes.
    pub fn new(
        format: Format,
        attributes: Vec<String>,
        writer: impl Fn() -> Box<dyn Write> + Send + Sync + 'static,
    ) -> AccessLog {
        AccessLog {
            format,
            attributes,
            writer: Box::new(writer),
        }
    }

    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let line = match self.format {
            Format::Json => entry.json(&self.attributes),
            Format::Text => entry.text(&self.attributes),
        };
        // Nobody can be told that the log cannot be written.
        let _ = (self.writer)().write_all(line.as_bytes());
    }
}

impl Entry<'_> {
    fn json(&self, attributes: &[String]) -> String {
        let facts = self.facts;
        let mut object = json!({
            "time": rfc3339(SystemTime::now()),
            "request_id": &*facts.request_id,
            "listener": &*facts.listener,
            "client": self.client(),
            "method": self.method,
            "host": &*facts.host,
            "path": self.path,
            "protocol": facts.protocol,
            "status": self.outcome.status,
            "bytes": self.outcome.response_bytes,
            "duration_ms": self.milliseconds(),
            "route": &*facts.route,
            "upstream": self.upstream,
            "peer": self.peer,
            "attempts": self.attempts,
            "plugins": self.notes().iter().map(note).collect::<Vec<_>>(),
            "error": self.outcome.problem,
        });
        if let Some((version, cipher, name)) = self.tls() {
            object["tls"] = json!({ "version": version, "cipher": cipher, "server_name": name });
        }
        if !attributes.is_empty() {
            let values = self.attributes(attributes);
            let values = values.map(|(name, value)| (name.to_owned(), value.into()));
            object["attributes"] = serde_json::Value::Object(values.collect());
        }
        let mut line = object.to_string();
        line.push('\n');
        line
    }

    fn text(&self, attributes: &[String]) -> String {
        let facts = self.facts;
        let mut line = format!(
            "{} {} {} {} {}{} {} {}B {}ms route={}",
            rfc3339(SystemTime::now()),
            facts.request_id,
            self.client().unwrap_or_else(|| "-".to_owned()),
            self.method,
            facts.host,
            self.path,
            self.outcome.status,
            self.outcome.response_bytes,
            self.milliseconds(),
            facts.route,
        );
        if let Some(upstream) = self.upstream {
            let peer = self.peer.unwrap_or("-");
            // Writing to a string cannot fail.
            let _ = write!(
                line,
                " upstream={upstream} peer={peer} attempts={}",
                self.attempts
            );
        }
        if let Some((version, cipher, name)) = self.tls() {
            let name = name.as_deref().unwrap_or("-");
            let _ = write!(line, " tls={version},{cipher},{name}");
        }
        for one in self.notes() {
            let _ = write!(line, " plugin={}", note(one));
        }
        for (name, value) in self.attributes(attributes) {
            // Quoted and escaped: it may come from the request.
            let _ = write!(line, " {name}={value:?}");
        }
        if let Some(problem) = &self.outcome.problem {
            let _ = write!(line, " error={problem:?}");
        }
        line.push('\n');
        line
    }

    /// Those of the attributes that are set.
    fn attributes<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = (&'a str, String)> {
        names.iter().filter_map(|name| {
            let value = self.attribute(name)?;
            Some((name.as_str(), value.text().into_owned()))
        })
    }

    /// An attribute; what the proxy knows by itself is there without an exchange, too.
    pub(crate) fn attribute(&self, name: &str) -> Option<Cow<'_, Value>> {
        match (self.exchange, name) {
            (Some(exchange), _) => exchange.attribute(name),
            (None, "upstream") => Some(Cow::Owned(Value::Text(self.upstream?.to_owned()))),
            (None, _) => Some(Cow::Owned(self.facts.attribute(name)?)),
        }
    }

    /// Version, cipher suite and the name that the client asked for, of a connection with TLS.
    fn tls(&self) -> Option<(String, String, Option<String>)> {
        let of = |name| {
            let value = self.facts.attribute(name)?;
            Some(value.text().into_owned())
        };
        Some((of("tls.version")?, of("tls.cipher")?, of("tls.server-name")))
    }

    fn notes(&self) -> &[Note] {
        self.exchange.map_or(&[], |exchange| &exchange.notes)
    }

    fn client(&self) -> Option<String> {
        let client: Option<SocketAddr> = self.facts.client;
        client.map(|client| client.ip().to_canonical().to_string())
    }

    fn milliseconds(&self) -> f64 {
        (self.outcome.duration.as_secs_f64() * 1e6).round() / 1e3
    }
}

fn note(note: &Note) -> String {
    format!("{}:{}", note.plugin, note.what)
}

/// `2026-11-20T17:00:00.123Z`.
fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessLog({:?})", self.format)
    }
}
