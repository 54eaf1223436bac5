//! The checked configuration as a whole, and the way to it: text → TOML → environment laid over it →
//! [`File`](crate::file::File) → [`Config`].

use std::collections::BTreeMap;
use std::path::Path;

use crate::environment;
use crate::error::{Error, Errors};
use crate::explain;
use crate::file::File;
use crate::read::read_file;
use crate::resolve;
use crate::{
    Acme, Admin, ErrorPages, Kv, Limits, Listener, Log, Maintenance, Plugins, Redis, Route, Secret,
    Server, Source, Span, Upstream,
};

/// The most bytes of the file: room for a hundred thousand routes.
const BYTES_MAX: u64 = 16 << 20;

/// A configuration in which everything holds that this crate can know.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that it came from.
    pub source: Source,
    /// `[server]`
    pub server: Server,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// `[admin]`
    pub admin: Admin,
    /// `[maintenance]`, for requests that no route takes; each route says what holds for it.
    pub maintenance: Maintenance,
    /// `[plugins]` and every `[plugin.NAME]`
    pub plugins: Plugins,
    /// Every `[kv.NAME]` by its name.
    pub kv: BTreeMap<String, Kv>,
    /// Every `[redis.NAME]` by its name.
    pub redis: BTreeMap<String, Redis>,
    /// Every `[secret.NAME]` by its name.
    pub secrets: BTreeMap<String, Secret>,
    /// `[error_pages]`
    pub error_pages: ErrorPages,
    /// Every `[acme.NAME]` by its name.
    pub acme: BTreeMap<String, Acme>,
    /// Every `[[listener]]`, at least one, in the order of the file; names and addresses differ.
    pub listeners: Vec<Listener>,
    /// Every `[upstream.NAME]` by its name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Every `[[route]]`, at least one, in the order of the file; names differ, upstreams exist.
    pub routes: Vec<Route>,
}

impl Config {
    /// Reads the file and resolves it with the environment laid over it.
    ///
    /// Of the environment, only variables of the form `TIDEGATE_<SECTION>_<KEY>` are looked at; see
    /// [`environment`](crate::environment()) for the list.
    ///
    /// # Errors
    /// Says what is wrong, where, and what to do. A mistake of syntax or type is reported alone, the
    /// others together.
    pub fn load(
        path: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Errors> {
        let wrong = |problem: String| {
            let file = path.display().to_string();
            Error::without_place(&file, format!("cannot read the configuration: {problem}"))
        };
        let bytes = read_file(path, BYTES_MAX).map_err(|error| wrong(error.problem.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
        Self::parse(Source::new(path, text), env)
    }

    /// As [`Config::load`], from a text that is there already.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        source: Source,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Errors> {
        let variables = environment::variables(env);
        // `root` borrows the text while `source` moves on into the result.
        let text = source.clone();
        let mut root = explain::parse(&text)?;
        environment::overlay(&mut root, &variables)?;
        let file = File::from_table(root).map_err(|error| explain::toml_error(&source, &error))?;
        resolve::resolve(file, source)
    }

    /// An error at a place of this file, for those who find a mistake later.
    pub fn error(&self, span: Span, message: impl Into<String>) -> Error {
        self.source.error(span, message)
    }
}
