//! What a program writes, line by line, while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// All lines that came so far; a thread adds to them.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<Line>>>);

/// One line of a log.
#[derive(Clone, Debug)]
pub struct Line {
    /// As it was written.
    pub text: String,
    json: Value,
}

impl Lines {
    /// Gathers what comes until the program closes its end.
    pub fn gather(from: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        let into = lines.clone();
        std::thread::spawn(move || {
            for text in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&text).into_owned();
                let json = serde_json::from_str(&text).unwrap_or_default();
                into.0.lock().unwrap().push(Line { text, json });
            }
        });
        lines
    }

    /// A copy of them all.
    pub fn all(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }
}

impl Line {
    /// Whether it is a line of the program's log whose message begins so.
    pub fn says(&self, message: &str) -> bool {
        match self.json["fields"]["message"].as_str() {
            Some(text) => text.starts_with(message),
            // For people: after the time and the level.
            None => self.text.contains(&format!("INFO {message}")),
        }
    }

    /// The line as JSON, or null.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// A field: of a line of the log, or of the access log, in either format; numbers as text.
    pub fn field(&self, name: &str) -> Option<String> {
        if self.json.is_null() {
            return text_field(&self.text, name);
        }
        let value = [&self.json["fields"][name], &self.json[name]]
            .into_iter()
            .find(|value| !value.is_null())?;
        Some(match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        })
    }
}

/// `name=value` or `name="value"` in a line for people, colours removed.
fn text_field(line: &str, name: &str) -> Option<String> {
    let plain = strip_colours(line);
    let (_, rest) = plain.split_once(&format!("{name}="))?;
    let end = |rest: &str| rest.split([' ', ',']).next().map(str::to_owned);
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().map(str::to_owned),
        None => end(rest),
    }
}

fn strip_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}
