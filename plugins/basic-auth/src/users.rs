//! The users and the hashes of their passwords, in the form of `htpasswd` files.

use std::borrow::Cow;

use tidegate_sdk::prelude::*;

/// Where the lines are.
pub(crate) enum Users {
    /// In the configuration, checked.
    Listed(String),
    /// In a secret, which may change.
    Secret(Secret),
}

/// Whose password is checked.
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) hash: String,
    /// False where nobody has the name: then this is the first user, so that the check takes its
    /// time all the same and nobody learns which names there are.
    pub(crate) is_asked: bool,
}

impl Users {
    pub(crate) fn new(
        listed: Option<Vec<String>>,
        secret: Option<String>,
    ) -> Result<Self, ConfigError> {
        match (listed, secret) {
            (Some(lines), None) => Self::listed(&lines),
            (None, Some(name)) => Self::secret(&name),
            _ => Err(ConfigError::at("", "expected either `users` or `secret`")),
        }
    }

    /// The user of this name, or a stand-in; `None` where there are no users at all.
    ///
    /// # Errors
    ///
    /// The secret cannot be had at the moment.
    pub(crate) fn candidate(&self, name: &str) -> Result<Option<Candidate>, Error> {
        let text = match self {
            Self::Listed(lines) => Cow::Borrowed(lines.as_bytes()),
            Self::Secret(secret) => Cow::Owned(secret.reveal()?),
        };
        let mut users = lines(&text).filter_map(|(_, line)| line.ok());
        let Some(first) = users.next() else {
            return Ok(None);
        };
        let is_asked = |user: &(&str, &str)| user.0 == name;
        let asked = if is_asked(&first) {
            Some(first)
        } else {
            users.find(is_asked)
        };
        let (known, hash) = asked.unwrap_or(first);
        Ok(Some(Candidate {
            name: known.to_owned(),
            hash: hash.to_owned(),
            is_asked: asked.is_some(),
        }))
    }

    fn listed(listed: &[String]) -> Result<Self, ConfigError> {
        let mut names: Vec<&str> = Vec::with_capacity(listed.len());
        for (index, line) in listed.iter().enumerate() {
            let at = |message: String| ConfigError::at(format!("users.{index}"), message);
            let (name, _) = user(line).map_err(|expected| at(expected.to_owned()))?;
            if let Some(first) = names.iter().position(|known| *known == name) {
                return Err(at(format!("`{name}` is the name of `users.{first}` too")));
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err(ConfigError::at(
                "users",
                "is empty, expected at least one user",
            ));
        }
        Ok(Self::Listed(listed.join("\n")))
    }

    /// A secret that cannot be had yet is looked at when it is needed.
    fn secret(name: &str) -> Result<Self, ConfigError> {
        let at = |message: String| ConfigError::at("secret", message);
        let secret = secrets::open(name);
        let secret = secret.map_err(|error| at(format!("`{name}` cannot be used: {error}")))?;
        let text = secret.reveal().unwrap_or_default();
        if let Some((number, Err(expected))) = lines(&text).find(|(_, line)| line.is_err()) {
            return Err(at(format!("line {number} of `{name}`: {expected}")));
        }
        Ok(Self::Secret(secret))
    }
}

/// Name and hash in each line that has something, by the line's number.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, Result<(&str, &str), &'static str>)> {
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"));
    lines.map(|(index, line)| {
        let line = std::str::from_utf8(line).map_err(|_| EXPECTED);
        (index + 1, line.and_then(user))
    })
}

/// Name and hash; a comment may follow after another colon. The line is not repeated in an error,
/// because somebody may have put the password itself there.
fn user(line: &str) -> Result<(&str, &str), &'static str> {
    let (name, rest) = line.split_once(':').ok_or(EXPECTED)?;
    let hash = rest.split(':').next().unwrap_or(rest);
    let clear = !name.is_empty() && name.trim() == name && !name.contains(char::is_control);
    if clear && SCHEMES.iter().any(|scheme| hash.starts_with(scheme)) {
        Ok((name, hash))
    } else {
        Err(EXPECTED)
    }
}

const SCHEMES: [&str; 7] = [
    "$2a$",
    "$2b$",
    "$2y$",
    "$argon2id$",
    "$argon2i$",
    "$argon2d$",
    "$scrypt$",
];

const EXPECTED: &str = "expected `USER:HASH` with a hash of bcrypt, argon2 or scrypt, \
                        as `htpasswd -nB USER` makes it";
