//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;

use serde::de;

/// One mistake, shown as
///
/// ```text
/// tidegate.toml:12:1: unknown key `upsteam`
///    |
/// 12 | upsteam = "app"
///    | ^^^^^^^ did you mean `upstream`?
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The path of the file as it was given, or `environment`.
    pub file: String,
    /// The line, counted from 1; 0 where the mistake has no place in the file.
    pub line: usize,
    /// The character of the line, counted from 1; 0 where the mistake has no place in the file.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was expected, or what to do.
    pub help: Option<String>,
    /// The line of the file, with a mark under the place. Empty where there is no place.
    pub snippet: String,
}

impl Error {
    /// An error about a file as a whole, or about something outside of it.
    pub fn without_place(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message: message.into(),
            help: None,
            snippet: String::new(),
        }
    }

    /// The same error, saying what was expected or what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.snippet.is_empty() {
            write!(f, "\n{}", self.snippet)?;
        }
        match (&self.help, self.snippet.is_empty()) {
            (Some(help), false) => write!(f, " {help}"),
            (Some(help), true) => write!(f, "\n  {help}"),
            (None, _) => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// One mistake or several, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// `Ok` where the list is empty.
    ///
    /// # Errors
    /// The list, sorted by place, where it is not.
    pub fn check(mut errors: Vec<Error>) -> Result<(), Self> {
        if errors.is_empty() {
            return Ok(());
        }
        errors.sort_by_key(|error| (error.line, error.column));
        Err(Self(errors))
    }

    /// All mistakes; there is at least one.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl IntoIterator for Errors {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// A text that is not the value it should be; where it stands is known further out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct Invalid {
    /// What is wrong.
    pub message: String,
    /// What was expected.
    pub help: String,
}

impl Invalid {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }

    /// Serde carries one string, so the help becomes its second line; `explain` takes it apart again.
    pub(crate) fn into_serde<E: de::Error>(self) -> E {
        E::custom(format_args!("{}\n{}", self.message, self.help))
    }
}
