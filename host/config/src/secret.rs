//! `[secret.NAME]`: where the value of a secret comes from. The value itself is never here.

use std::path::PathBuf;
use std::time::Duration;

use crate::located::{Located, Span};
use crate::resolve::Resolver;
use crate::text::Text;
use schemars::JsonSchema;
use serde::Deserialize;

/// One `[secret.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Where the value comes from.
    pub source: SecretSource,
    /// Where that was written, for a source that has no value.
    pub span: Span,
}

/// Where the value of a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The content of a file.
    File {
        /// Absolute.
        path: PathBuf,
        /// How long a value is used before the file is looked at again.
        refresh: Duration,
    },
    /// A variable of the process's environment, which does not change while the process runs.
    Env(String),
    /// What a command writes to its standard output.
    Command {
        /// The program and its arguments; there is a program. No shell reads them.
        argv: Vec<String>,
        /// How long a value is used before the command runs again.
        refresh: Duration,
        /// The most time that the command may take.
        timeout: Duration,
    },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["file"] },
    { "required": ["env"] },
    { "required": ["command"] },
]))]
pub(crate) struct RawSecret {
    /// A file that holds it, relative to this file; one newline at its end is cut off. A secret has
    /// exactly one of `file`, `env`, `command`.
    #[schemars(example = &"/run/secrets/token")]
    file: Option<Located<PathBuf>>,
    /// Instead of `file`: the environment variable that holds it.
    #[schemars(example = &"APP_TOKEN")]
    env: Option<Located<String>>,
    /// Instead of `file`: a program that writes it to its standard output, with its arguments. No shell reads
    /// them; one newline at the end is cut off.
    #[schemars(example = serde_json::json!(["vault", "read", "-field=token", "secret/app"]))]
    command: Option<Located<Vec<String>>>,
    /// How often it is read again (not with `env`), also where no file changed and nobody reloads.
    #[schemars(extend("default" = "1m"))]
    refresh: Option<Located<Text<Duration>>>,
    /// The most time that `command` may take. Without it, "5s".
    #[schemars(example = &"5s")]
    timeout: Option<Located<Text<Duration>>>,
}

impl RawSecret {
    /// `section` is the heading. `None` where something was wrong.
    pub(crate) fn resolve(self, section: Span, resolver: &mut Resolver) -> Option<Secret> {
        if let Some(timeout) = self.timeout.as_ref().filter(|_| self.command.is_none()) {
            resolver.reject(timeout.span, "`timeout` is for `command` only", "remove it");
        }
        if let Some(refresh) = self.refresh.as_ref().filter(|_| self.env.is_some()) {
            resolver.reject(
                refresh.span,
                "the environment does not change while the proxy runs",
                "remove `refresh`",
            );
        }
        let duration = |key: Option<Located<Text<Duration>>>, default| {
            key.map_or(Duration::from_secs(default), |text| text.value.0)
        };
        let refresh = duration(self.refresh, REFRESH);
        let timeout = duration(self.timeout, TIMEOUT);
        let (source, span) = match (self.file, self.env, self.command) {
            (Some(file), None, None) => {
                let path = resolver.source().resolve_path(&file.value);
                (SecretSource::File { path, refresh }, file.span)
            }
            (None, Some(env), None) => (resolve_env(&env, resolver)?, env.span),
            (None, None, Some(command)) => {
                let argv = resolve_command(&command, resolver)?;
                let source = SecretSource::Command {
                    argv,
                    refresh,
                    timeout,
                };
                (source, command.span)
            }
            (None, None, None) => {
                resolver.reject(
                    section,
                    "the secret has no source",
                    "add one of `file = \"PATH\"`, `env = \"NAME\"` or `command = [\"PROGRAM\", …]`",
                );
                return None;
            }
            (file, env, command) => {
                let given = [
                    file.map(|key| key.span),
                    env.map(|key| key.span),
                    command.map(|key| key.span),
                ];
                let last = given.into_iter().flatten().max_by_key(|span| span.start);
                resolver.reject(
                    last.unwrap_or(section),
                    "the secret has more than one source",
                    "keep one of `file`, `env` and `command`",
                );
                return None;
            }
        };
        Some(Secret { source, span })
    }
}

/// The name that an environment can have (POSIX.1-2017, XBD 8.1: no `=`, no zero byte).
fn resolve_env(name: &Located<String>, resolver: &mut Resolver) -> Option<SecretSource> {
    if name.value.is_empty() || name.value.contains(['=', '\0']) {
        resolver.reject(
            name.span,
            "this cannot be the name of an environment variable",
            "expected a name such as \"APP_TOKEN\"",
        );
        return None;
    }
    Some(SecretSource::Env(name.value.clone()))
}

fn resolve_command(command: &Located<Vec<String>>, resolver: &mut Resolver) -> Option<Vec<String>> {
    let program = command.value.first().filter(|program| !program.is_empty());
    if program.is_none() || command.value.iter().any(|word| word.contains('\0')) {
        resolver.reject(
            command.span,
            "this is no command",
            "expected a program and its arguments such as [\"cat\", \"/run/token\"]",
        );
        return None;
    }
    Some(command.value.clone())
}

/// In seconds.
const REFRESH: u64 = 60;
/// In seconds.
const TIMEOUT: u64 = 5;
