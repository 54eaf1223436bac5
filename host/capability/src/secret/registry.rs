//! The secrets of a configuration, each under its name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use super::{Secret, Source, SourceError};

/// What a section `[secret.NAME]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the value comes from.
    pub source: Source,
    /// How long a value is used before it is read again.
    pub refresh: Duration,
}

/// A secret that could not be read at the start.
#[derive(Debug, thiserror::Error)]
#[error("secret `{name}`: {reason}")]
pub struct LoadError {
    /// The section's name.
    pub name: String,
    /// What is wrong with its source.
    pub reason: SourceError,
}

/// The secrets of a configuration. Reading one takes no lock.
#[derive(Debug)]
pub struct Secrets {
    by_name: BTreeMap<String, Entry>,
    /// How often a value changed.
    changes: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    settings: Settings,
    value: ArcSwap<Value>,
    /// How often reading it was begun.
    readings: AtomicU64,
}

#[derive(Debug)]
struct Value {
    secret: Arc<Secret>,
    /// Which reading gave it. A command that began before another may end after it, with an older value.
    reading: u64,
}

impl Secrets {
    /// Reads all secrets, at the same time.
    ///
    /// # Errors
    ///
    /// The first by name that could not be read.
    pub async fn load(settings: BTreeMap<String, Settings>) -> Result<Secrets, LoadError> {
        let mut reading = JoinSet::new();
        for (name, settings) in settings {
            reading.spawn(async move {
                let value = settings.source.read().await;
                (name, settings, value)
            });
        }
        let mut read = reading.join_all().await;
        read.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        let entries = read.into_iter().map(|(name, settings, value)| match value {
            Ok(value) => Ok((name, Entry::new(settings, value))),
            Err(reason) => Err(LoadError { name, reason }),
        });
        Ok(Secrets {
            by_name: entries.collect::<Result<_, _>>()?,
            changes: AtomicU64::default(),
        })
    }

    /// The present value of a secret.
    pub fn get(&self, name: &str) -> Option<Arc<Secret>> {
        Some(self.by_name.get(name)?.value.load().secret.clone())
    }

    /// How often a value has changed: for those who work with a copy.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Reads those again now whose source is `wanted`, at the same time. What cannot be read keeps its last value.
    pub async fn read_again(self: &Arc<Self>, wanted: impl Fn(&Source) -> bool) {
        let mut reading = JoinSet::new();
        for (name, entry) in &self.by_name {
            if !entry.is_fixed() && wanted(&entry.settings.source) {
                let (secrets, name) = (self.clone(), name.clone());
                reading.spawn(async move { secrets.read_one_again(&name).await });
            }
        }
        reading.join_all().await;
    }

    async fn read_one_again(&self, name: &str) {
        let Some(entry) = self.by_name.get(name) else {
            return;
        };
        match entry.read().await {
            Ok(false) => {}
            Ok(true) => {
                self.changes.fetch_add(1, Ordering::Release);
                tracing::info!(secret = name, "secret changed");
            }
            Err(reason) => {
                tracing::warn!(secret = name, "the secret keeps its last value: {reason}");
            }
        }
    }

    /// Reads each secret again and again, until this future or the last reference to the secrets is
    /// dropped. What cannot be read keeps its last value.
    pub fn refresh(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let secrets = Arc::downgrade(self);
        let changing = self.by_name.iter().filter(|(_, entry)| !entry.is_fixed());
        let changing = changing.map(|(name, entry)| (name.clone(), entry.settings.refresh));
        let changing: Vec<_> = changing.collect();
        async move {
            // One task for each: a command that is slow does not delay other secrets.
            let mut tasks = JoinSet::new();
            for (name, every) in changing {
                tasks.spawn(refresh(secrets.clone(), name, every));
            }
            while tasks.join_next().await.is_some() {}
        }
    }
}

async fn refresh(secrets: Weak<Secrets>, name: String, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(secrets) = secrets.upgrade() else {
            return;
        };
        secrets.read_one_again(&name).await;
    }
}

impl Entry {
    fn new(settings: Settings, secret: Secret) -> Entry {
        let secret = Arc::new(secret);
        Entry {
            settings,
            value: ArcSwap::from_pointee(Value { secret, reading: 0 }),
            readings: AtomicU64::new(0),
        }
    }

    /// The environment of a process does not change.
    fn is_fixed(&self) -> bool {
        matches!(self.settings.source, Source::Environment(_))
    }

    /// Whether there is another value now.
    async fn read(&self) -> Result<bool, SourceError> {
        let reading = self.readings.fetch_add(1, Ordering::AcqRel) + 1;
        let secret = Arc::new(self.settings.source.read().await?);
        let new = Arc::new(Value { secret, reading });
        let before = self.value.rcu(|present| match present.reading < reading {
            true => new.clone(),
            false => present.clone(),
        });
        Ok(before.reading < reading && before.secret.expose() != new.secret.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const SECOND: Duration = Duration::from_secs(1);

    fn from_file(path: &Path) -> Settings {
        Settings {
            source: Source::File(path.to_owned()),
            refresh: SECOND,
        }
    }

    async fn load(sections: &[(&str, Settings)]) -> Result<Secrets, LoadError> {
        let sections = sections.iter();
        let sections = sections.map(|(name, settings)| ((*name).to_owned(), settings.clone()));
        Secrets::load(sections.collect()).await
    }

    #[tokio::test]
    async fn a_start_with_a_bad_source_names_the_section() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        std::fs::write(&good, "key").unwrap();
        let bad = from_file(&folder.path().join("missing"));
        let sections = [("a", from_file(&good)), ("b", bad.clone()), ("c", bad)];
        let error = load(&sections).await.unwrap_err().to_string();
        assert!(error.starts_with("secret `b`: cannot read "), "{error}");
        let secrets = load(&sections[..1]).await.unwrap();
        assert_eq!(secrets.get("a").unwrap().expose(), b"key");
        assert!(secrets.get("b").is_none());
        assert!(!format!("{secrets:?}").contains("key\""));
    }

    #[tokio::test]
    async fn a_rotated_file_is_seen_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "first").unwrap();
        let settings = Settings {
            refresh: Duration::from_millis(1),
            ..from_file(&path)
        };
        let secrets = Arc::new(load(&[("key", settings)]).await.unwrap());
        let task = tokio::spawn(secrets.refresh());

        // An empty file is refused, so the first value that differs is the last one written.
        std::fs::write(&path, "").unwrap();
        let staged = folder.path().join("staged");
        std::fs::write(&staged, "second").unwrap();
        std::fs::rename(&staged, &path).unwrap();
        let give_up = tokio::time::Instant::now() + 20 * SECOND;
        while secrets.get("key").unwrap().expose() == b"first" {
            assert!(tokio::time::Instant::now() < give_up, "not seen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(secrets.get("key").unwrap().expose(), b"second");

        drop(secrets);
        let ended = tokio::time::timeout(20 * SECOND, task).await;
        ended.expect("the task outlives the secrets").unwrap();
    }

    #[tokio::test]
    async fn what_is_asked_for_is_read_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "first").unwrap();
        let command = Settings {
            source: Source::Command {
                argv: ["cat".to_owned(), path.display().to_string()].into(),
                timeout: 20 * SECOND,
            },
            refresh: 3600 * SECOND,
        };
        let sections = [("command", command), ("file", from_file(&path))];
        let secrets = Arc::new(load(&sections).await.unwrap());
        let values = || ["command", "file"].map(|name| secrets.get(name).unwrap());
        let shown = || values().map(|value| String::from_utf8_lossy(value.expose()).into_owned());

        std::fs::write(&path, "second").unwrap();
        let files = |source: &Source| matches!(source, Source::File(_));
        secrets.read_again(files).await;
        assert_eq!(shown(), ["first", "second"]);
        assert_eq!(secrets.changes(), 1);
        secrets.read_again(|_| true).await;
        assert_eq!(shown(), ["second", "second"]);
        assert_eq!(secrets.changes(), 2);

        std::fs::remove_file(&path).unwrap();
        secrets.read_again(|_| true).await;
        assert_eq!(shown(), ["second", "second"]);
        assert_eq!(secrets.changes(), 2);
    }

    /// Two readings at one time can end in the other order.
    #[tokio::test]
    async fn an_older_reading_does_not_replace_a_newer_value() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, value) in [("secret", "first"), ("go", "")] {
            std::fs::write(at(name), value).unwrap();
        }
        // It has read its value, and writes it when it may.
        let script = "v=$(cat secret); until test -e go; do : >waits; sleep 0.01; done; echo $v";
        let script = format!("cd {}; {script}", folder.path().display());
        let settings = Settings {
            source: Source::Command {
                argv: ["sh", "-c", &script].map(str::to_owned).into(),
                timeout: 20 * SECOND,
            },
            refresh: SECOND,
        };
        let secrets = Arc::new(load(&[("key", settings)]).await.unwrap());
        std::fs::remove_file(at("go")).unwrap();
        let older = secrets.clone();
        let older = tokio::spawn(async move { older.read_again(|_| true).await });
        let give_up = tokio::time::Instant::now() + 20 * SECOND;
        while !at("waits").exists() {
            assert!(tokio::time::Instant::now() < give_up, "it does not run");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let entry = secrets.by_name.get("key").unwrap();
        let newer = entry.readings.fetch_add(1, Ordering::AcqRel) + 1;
        let secret = Arc::new(Secret::new(b"second"));
        let newer = Value {
            secret,
            reading: newer,
        };
        entry.value.store(Arc::new(newer));
        std::fs::write(at("go"), "").unwrap();
        older.await.unwrap();
        assert_eq!(secrets.get("key").unwrap().expose(), b"second");
    }

    #[tokio::test]
    async fn a_source_that_fails_later_keeps_the_last_value() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        // The first run succeeds; the second says that it ran and fails.
        let script = format!(
            "test -e {0} && {{ echo x >>{0}; exit 1; }}; : >{0}; echo key",
            runs.display()
        );
        let settings = Settings {
            source: Source::Command {
                argv: ["sh", "-c", &script].map(str::to_owned).into(),
                timeout: 20 * SECOND,
            },
            refresh: Duration::from_millis(1),
        };
        let secrets = Arc::new(load(&[("key", settings)]).await.unwrap());
        let task = tokio::spawn(secrets.refresh());
        let give_up = tokio::time::Instant::now() + 20 * SECOND;
        // Two more runs: the failure of the first of them was dealt with.
        while std::fs::metadata(&runs).unwrap().len() < 4 {
            assert!(tokio::time::Instant::now() < give_up, "not read again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(secrets.get("key").unwrap().expose(), b"key");
        task.abort();
    }
}
