//! The plugin files: which version of each plugin is live, and what was refused.
//!
//! A file is compared by its [`Stamp`], loaded when that differs, and takes over only when every route
//! that uses the plugin accepts it. A refused file changes nothing but the plugin's problem, which the
//! log, the metrics and `tidegate plugin list` show.

use crate::watch::Stamp;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_config::{Config, PluginSettings, ReadProblem, nearest, read_file};
use tidegate_wasm::{PluginVersion, Runtime, digest};

/// The largest file that is taken for a plugin. Components of scripting languages have some 20 MiB.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// The plugins that are known.
pub struct Library {
    runtime: Arc<Runtime>,
    entries: Mutex<BTreeMap<String, Entry>>,
    swaps: IntCounterVec,
    refused: IntGaugeVec,
}

#[derive(Default)]
struct Entry {
    file: PathBuf,
    stamp: Option<Stamp>,
    live: Option<Arc<PluginVersion>>,
    problem: Option<String>,
}

/// A file that is another than before.
pub struct Candidate {
    pub name: String,
    file: PathBuf,
    stamp: Option<Stamp>,
    /// The new version, or what is wrong; nothing where the content is the live one's.
    pub loaded: Result<Option<Arc<PluginVersion>>, String>,
}

impl Library {
    /// A library without plugins.
    pub fn new(runtime: Arc<Runtime>, registry: &Registry) -> anyhow::Result<Library> {
        let swaps = IntCounterVec::new(
            Opts::new(
                "tidegate_plugin_swaps_total",
                "New plugin files, by result: `live`, or `refused` where the old version stays.",
            ),
            &["plugin", "result"],
        )?;
        let refused = IntGaugeVec::new(
            Opts::new(
                "tidegate_plugin_refused",
                "1 while the plugin's file is one that was refused.",
            ),
            &["plugin"],
        )?;
        registry.register(Box::new(swaps.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Library {
            runtime,
            entries: Mutex::default(),
            swaps,
            refused,
        })
    }

    /// The live version of a plugin, loaded if it is not yet.
    pub fn version(
        &self,
        name: &str,
        settings: &PluginSettings,
    ) -> Result<Arc<PluginVersion>, String> {
        let pin = settings.sha256.as_ref().map(|pin| pin.value.to_string());
        if let Some(entry) = self.lock().get(name)
            && let Some(live) = &entry.live
            && entry.file == settings.file
            && pin.as_deref().is_none_or(|pin| pin == live.digest())
        {
            return Ok(live.clone());
        }
        let stamp = Stamp::of(&settings.file);
        let version = self.load(name, &settings.file, pin.as_deref())?;
        tracing::info!(plugin = name, version = version.version(), "plugin loaded");
        let entry = Entry {
            file: settings.file.clone(),
            stamp,
            live: Some(version.clone()),
            problem: None,
        };
        self.lock().insert(name.to_owned(), entry);
        Ok(version)
    }

    fn load(
        &self,
        name: &str,
        file: &Path,
        pin: Option<&str>,
    ) -> Result<Arc<PluginVersion>, String> {
        let bytes = read(file)?;
        self.runtime
            .load(&name.into(), &bytes, pin)
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Whether a plugin's file is another than when it was last looked at. Cheap: nothing is read.
    pub fn stamps(&self, config: &Config) -> BTreeMap<String, Option<Stamp>> {
        let mut files = files(config);
        // A copy: the list of plugins does not wait for the file system.
        let known = |(name, entry): (&String, &Entry)| {
            let (file, stamp) = (entry.file.clone(), entry.stamp.clone());
            (name.clone(), (file, stamp))
        };
        let known: BTreeMap<_, _> = self.lock().iter().map(known).collect();
        for (name, (file, _)) in &known {
            files.entry(name.clone()).or_insert_with(|| file.clone());
        }
        files
            .into_iter()
            .map(|(name, file)| (name, Stamp::of(&file)))
            .filter(|(name, stamp)| {
                let known = known.get(name).map(|(_, stamp)| stamp);
                known != Some(stamp) && (known.is_some() || stamp.is_some())
            })
            .collect()
    }

    /// Load what differs. Compiles: not for a worker thread.
    pub fn candidates(&self, config: &Config) -> Vec<Candidate> {
        let changed = self.stamps(config);
        let candidate = |(name, stamp): (String, Option<Stamp>)| {
            let settings = config.plugins.settings(&name);
            let pin = settings.sha256.as_ref().map(|pin| pin.value.to_string());
            let loaded = self.load_unless_live(&name, &settings.file, pin.as_deref(), &stamp);
            Candidate {
                name,
                file: settings.file,
                stamp,
                loaded,
            }
        };
        changed.into_iter().map(candidate).collect()
    }

    fn load_unless_live(
        &self,
        name: &str,
        file: &Path,
        pin: Option<&str>,
        stamp: &Option<Stamp>,
    ) -> Result<Option<Arc<PluginVersion>>, String> {
        if stamp.is_none() {
            return Err(format!(
                "{} is gone; the last good version stays until the proxy is restarted",
                file.display()
            ));
        }
        let bytes = read(file)?;
        let live = self.lock().get(name).and_then(|entry| entry.live.clone());
        if live.is_some_and(|live| live.digest() == digest(&bytes)) {
            return Ok(None);
        }
        self.runtime
            .load(&name.into(), &bytes, pin)
            .map(Some)
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Make a candidate the live version.
    pub fn accept(&self, candidate: Candidate) {
        let name = candidate.name;
        let mut entries = self.lock();
        let entry = entries.entry(name.clone()).or_default();
        entry.file = candidate.file;
        entry.stamp = candidate.stamp;
        entry.problem = None;
        if let Ok(Some(version)) = candidate.loaded {
            let before = entry.live.replace(version.clone());
            tracing::info!(
                plugin = name,
                version = version.version(),
                before = before.as_deref().map(PluginVersion::version),
                "plugin is live"
            );
            self.swaps.with_label_values(&[&*name, "live"]).inc();
        }
        self.refused.with_label_values(&[&*name]).set(0);
    }

    /// Keep what is live, and remember why.
    pub fn refuse(&self, candidate: Candidate, problem: String) {
        let name = candidate.name;
        let mut entries = self.lock();
        if candidate.stamp.is_none() && entries.get(&name).is_some_and(|e| e.live.is_none()) {
            // It never was a plugin, and now it is gone.
            entries.remove(&name);
            let _ = self.refused.remove_label_values(&[&*name]);
            return;
        }
        if candidate.stamp.is_none() {
            tracing::warn!(plugin = name, "{problem}");
        } else {
            tracing::error!(plugin = name, "plugin file refused: {problem}");
        }
        let entry = entries.entry(name.clone()).or_default();
        entry.file = candidate.file;
        entry.stamp = candidate.stamp;
        entry.problem = Some(problem);
        self.swaps.with_label_values(&[&*name, "refused"]).inc();
        self.refused.with_label_values(&[&*name]).set(1);
    }

    /// Files that were refused may be what a new configuration wants: look at them again.
    pub fn reconsider(&self) {
        for entry in self.lock().values_mut().filter(|e| e.problem.is_some()) {
            entry.stamp = None;
        }
    }

    /// What to do about a plugin that is not there.
    pub fn hint(&self, config: &Config, name: &str) -> Option<String> {
        let files = files(config);
        if files.get(name).is_some_and(|file| file.exists()) {
            return None;
        }
        let names: Vec<&str> = files
            .iter()
            .filter(|(_, file)| file.exists())
            .map(|(name, _)| name.as_str())
            .collect();
        let directory = config.plugins.directory.display();
        Some(match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => format!("there are no plugins in {directory}"),
            None => format!("plugins in {directory}: {}", names.join(", ")),
        })
    }

    /// How many plugins a configuration uses.
    pub fn in_use(&self, config: &Config) -> usize {
        let names = self.lock();
        let used = |name: &&String| crate::assemble::uses(config, name).next().is_some();
        names.keys().filter(used).count()
    }

    /// The list for the admin API.
    pub fn list(&self, config: &Config) -> Value {
        let entries = self.lock();
        let plugins = entries.iter().map(|(name, entry)| {
            let live = entry.live.as_deref();
            let using = config.routes.iter().filter(|route| {
                let mut names = route.plugins.iter().map(|used| &used.name.value);
                names.any(|used| used == name)
            });
            let routes: Vec<&str> = using.map(|route| route.name.as_str()).collect();
            let state = match (live, routes.is_empty()) {
                (None, _) => "refused",
                (Some(_), true) => "unused",
                (Some(_), false) => "live",
            };
            let phases = live.map(PluginVersion::phases).unwrap_or_default();
            json!({
                "name": name,
                "state": state,
                "version": live.map(PluginVersion::version),
                "sha256": live.map(PluginVersion::digest),
                "file": entry.file.display().to_string(),
                "phases": phases.iter().map(|phase| phase.name()).collect::<Vec<_>>(),
                "imports": live.map(|live| live.imports().names().collect::<Vec<_>>()).unwrap_or_default(),
                "routes": routes,
                "problem": entry.problem,
            })
        });
        json!({ "plugins": plugins.collect::<Vec<_>>() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The plugin files of a configuration: what is in the directory, and what `[plugin.NAME]` names.
fn files(config: &Config) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&config.plugins.directory)
        .into_iter()
        .flatten()
        .flatten()
    {
        if let Some(name) = plugin_name(&entry.path()) {
            files.insert(name.clone(), config.plugins.settings(&name).file);
        }
    }
    let used = config.routes.iter().flat_map(|route| &route.plugins);
    for name in used
        .map(|used| &used.name.value)
        .chain(config.plugins.named.keys())
    {
        files.insert(name.clone(), config.plugins.settings(name).file);
    }
    files
}

/// The plugin that a file in the directory is: `NAME.wasm`. Editors' and copies' temporary files have
/// other names, or begin with a dot.
fn plugin_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    is_name.then(|| name.to_owned())
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    read_file(file, FILE_BYTES_MAX).map_err(|error| match &error.problem {
        ReadProblem::Io(io) if io.kind() == std::io::ErrorKind::NotFound => {
            format!("there is no plugin file {}", file.display())
        }
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plugin_files_are_plugins() {
        let name = |file: &str| plugin_name(Path::new(file));
        assert_eq!(name("/p/rate-limit.wasm").as_deref(), Some("rate-limit"));
        for other in [
            ".headers.wasm",
            "headers.wasm~",
            "headers.wasm.tmp",
            ".headers.wasm.swp",
            "#headers.wasm#",
            "4913",
            "Headers.wasm",
            ".wasm",
            "headers.wat",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
