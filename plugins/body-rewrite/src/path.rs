//! Paths of values in JSON.

use tidegate_sdk::prelude::*;

/// The most paths of one configuration: each is a bit of the sets in [`Redaction::follow`].
const MOST: usize = u64::BITS as usize;

/// What to redact, and what to put in its place.
pub(crate) struct Redaction {
    paths: Vec<Vec<Segment>>,
    /// Keys that are redacted wherever they are.
    anywhere: Vec<String>,
    pub(crate) value: Vec<u8>,
    /// Bytes of the longest key that can match, as JSON may spell it.
    pub(crate) longest_key: usize,
}

/// One step of a path.
#[derive(Debug, PartialEq)]
enum Segment {
    /// `*`: any key, any index.
    Any,
    /// A key, or an index in decimal.
    Named(String),
}

/// Where a value is in the one that holds it.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// Of an object; `None` where it can be none of the paths'.
    Key(Option<&'a str>),
    Index(u64),
}

impl Redaction {
    /// `None` where there are no paths.
    ///
    /// # Errors
    ///
    /// The first path that is none, at its place below `redact`.
    pub(crate) fn new(
        paths: &[String],
        value: &serde_json::Value,
    ) -> Result<Option<Self>, ConfigError> {
        if paths.len() > MOST {
            return Err(ConfigError::at(
                "redact",
                format!("expected at most {MOST} paths"),
            ));
        }
        let mut redaction = Self {
            paths: Vec::new(),
            anywhere: Vec::new(),
            value: value.to_string().into_bytes(),
            longest_key: 0,
        };
        for (index, path) in paths.iter().enumerate() {
            redaction
                .add(path)
                .map_err(|message| ConfigError::at(format!("redact.{index}"), message))?;
        }
        Ok((!paths.is_empty()).then_some(redaction))
    }

    fn add(&mut self, path: &str) -> Result<(), String> {
        let (anywhere, path) = match path.strip_prefix("**.") {
            Some(key) => (true, key),
            None => (false, path),
        };
        let mut segments = segments(path)?;
        for segment in &segments {
            if let Segment::Named(name) = segment {
                // `\u0041` is the longest spelling of a byte.
                self.longest_key = self.longest_key.max(6 * name.len());
            }
        }
        match segments.pop() {
            Some(Segment::Named(name)) if anywhere && segments.is_empty() => {
                self.anywhere.push(name);
            }
            _ if anywhere => return Err("expected one key after `**.`".to_owned()),
            last => {
                segments.extend(last);
                self.paths.push(segments);
            }
        }
        Ok(())
    }

    /// Of the paths that lead to a value at this depth, those that lead on to a place in it; and
    /// whether one of them ends there.
    pub(crate) fn follow(&self, alive: u64, depth: usize, place: Place<'_>) -> (u64, bool) {
        let mut further = 0;
        let mut ends = match place {
            Place::Key(Some(key)) => self.anywhere.iter().any(|name| name == key),
            _ => false,
        };
        for (bit, path) in self.paths.iter().enumerate() {
            let leads = alive >> bit & 1 == 1 && path.get(depth).is_some_and(|s| s.fits(place));
            further |= u64::from(leads) << bit;
            ends |= leads && path.len() == depth + 1;
        }
        (further, ends)
    }
}

impl Segment {
    fn fits(&self, place: Place<'_>) -> bool {
        match (self, place) {
            (Self::Any, _) => true,
            (Self::Named(name), Place::Key(key)) => key == Some(name.as_str()),
            (Self::Named(name), Place::Index(index)) => name.parse() == Ok(index),
        }
    }
}

/// Dots separate; a backslash takes the next character as it is.
fn segments(path: &str) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let (mut name, mut literal) = (String::new(), false);
    let mut characters = path.chars();
    loop {
        let next = characters.next();
        match next {
            Some('\\') => {
                name.push(characters.next().ok_or("ends with a backslash")?);
                literal = true;
            }
            Some('.') | None => {
                segments.push(match name.as_str() {
                    "" => return Err("expected keys joined by dots, as in `user.password`".into()),
                    "*" if !literal => Segment::Any,
                    "**" if !literal => return Err("`**` can only be the first step".into()),
                    _ => Segment::Named(name),
                });
                (name, literal) = (String::new(), false);
                if next.is_none() {
                    return Ok(segments);
                }
            }
            Some(character) => name.push(character),
        }
    }
}
