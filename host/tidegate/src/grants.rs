//! From what the configuration allows to what plugins hold in hand: stores, secrets, connections. What
//! did not change is kept over a reload, with its content, so that plugins keep their instances too.

use crate::certificates::FILE_MAX;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tidegate_capability::crypto::{Jwks, JwksSettings, PasswordSettings, Passwords};
use tidegate_capability::http::{self, Grant, Transport};
use tidegate_capability::kv::{Limits, Shared, Store, Stores};
use tidegate_capability::limiter;
use tidegate_capability::redis::{self, Connection, Password};
use tidegate_capability::secret::{self, Secrets, Source};
use tidegate_config::{
    self as config, Allow, Config, Error, Errors, HttpGrant, Kv, LimiterGrant, PeerAddress,
    PluginSettings, SecretSource, Span, read_file,
};
use tidegate_wasm::{Capabilities, Folder};

/// The environment of a process does not change, and is not read again.
const NEVER: Duration = Duration::MAX;

/// What stands behind the grants of all plugins, for as long as the process.
pub struct Grants {
    transport: Transport,
    jwks: Jwks,
    passwords: Passwords,
    stores: Stores,
    kept: Mutex<Kept>,
}

/// What a reload finds of the one before.
#[derive(Default)]
struct Kept {
    secrets: Option<KeptSecrets>,
    /// Those of before too, for as long as anybody has them: of a configuration that was refused since, the one that
    /// runs still has its own.
    all_secrets: Vec<Weak<Secrets>>,
    connections: HashMap<String, (config::Redis, Arc<Secrets>, Connection)>,
    granted: HashMap<String, (Wanted, Arc<Capabilities>)>,
}

struct KeptSecrets {
    settings: BTreeMap<String, secret::Settings>,
    secrets: Arc<Secrets>,
    /// Whether somebody keeps them fresh.
    refreshed: bool,
}

/// All that the capabilities of a plugin depend on, wherever it stands in the file.
#[derive(Clone, PartialEq)]
struct Wanted {
    allow: Allow,
    http_calls: u32,
    kv: Vec<Kv>,
    redis: Vec<(String, config::Redis)>,
    secrets: BTreeMap<String, secret::Settings>,
}

impl Wanted {
    fn of(settings: &PluginSettings, config: &Config) -> Wanted {
        let mut allow = settings.allow.clone();
        for grant in allow.http.iter_mut().flatten() {
            grant.span = Span::default();
        }
        let kv = allow
            .kv
            .iter()
            .flatten()
            .filter_map(|name| config.kv.get(name));
        let redis = config.redis.iter().map(|(name, section)| {
            let section = config::Redis {
                span: Span::default(),
                ..section.clone()
            };
            (name.clone(), section)
        });
        Wanted {
            http_calls: settings.http_calls,
            kv: kv.cloned().collect(),
            redis: redis.collect(),
            secrets: config.secrets.iter().map(secret_settings).collect(),
            allow,
        }
    }
}

/// The parts of a configuration that were made for it, until plugins take them.
pub(crate) struct Prepared {
    secrets: Arc<Secrets>,
    connections: HashMap<String, Connection>,
}

impl Grants {
    /// Nothing is connected or read yet.
    pub fn new() -> Grants {
        Grants {
            transport: Transport::new(http::Settings::default()),
            jwks: Jwks::new(JwksSettings::default(), Arc::new(Instant::now)),
            passwords: Passwords::new(&PasswordSettings::default()),
            stores: Stores::default(),
            kept: Mutex::default(),
        }
    }

    /// Read the secrets, and make the connections that stores use.
    pub(crate) async fn prepare(&self, config: &Config) -> Result<Prepared, Errors> {
        let secrets = self.secrets(config).await?;
        let connections = config.redis.iter().map(|(name, section)| {
            let connection = self.connection(name, section, &secrets);
            (name.clone(), connection)
        });
        let connections = connections.collect();
        Ok(Prepared {
            secrets,
            connections,
        })
    }

    /// The secrets of the configuration, read once.
    pub(crate) async fn secrets(&self, config: &Config) -> Result<Arc<Secrets>, Errors> {
        let settings: BTreeMap<_, _> = config.secrets.iter().map(secret_settings).collect();
        if let Some(kept) = &self.lock().secrets
            && kept.settings == settings
        {
            return Ok(kept.secrets.clone());
        }
        let loaded = Secrets::load(settings.clone()).await.map_err(|error| {
            let section = config.secrets.get(&error.name);
            let span = section.map_or_else(Span::default, |section| section.span);
            Errors::from(config.error(span, error.to_string()))
        })?;
        let secrets = Arc::new(loaded);
        let mut kept = self.lock();
        kept.all_secrets.retain(|known| known.strong_count() > 0);
        kept.all_secrets.push(Arc::downgrade(&secrets));
        kept.secrets = Some(KeptSecrets {
            settings,
            secrets: secrets.clone(),
            refreshed: false,
        });
        Ok(secrets)
    }

    /// Read the secrets again that come from files, or all but those of the environment. One that cannot be read keeps
    /// its last value.
    pub(crate) async fn read_secrets_again(&self, commands: bool) {
        let all: Vec<_> = {
            let kept = self.lock();
            kept.all_secrets.iter().filter_map(Weak::upgrade).collect()
        };
        for secrets in all {
            let wanted = |source: &Source| commands || matches!(source, Source::File(_));
            secrets.read_again(wanted).await;
        }
    }

    /// How often a value of the present secrets has changed.
    pub(crate) fn secret_changes(&self) -> u64 {
        let kept = self.lock();
        kept.secrets
            .as_ref()
            .map_or(0, |kept| kept.secrets.changes())
    }

    fn connection(
        &self,
        name: &str,
        section: &config::Redis,
        secrets: &Arc<Secrets>,
    ) -> Connection {
        let mut kept = self.lock();
        let plain = config::Redis {
            span: Span::default(),
            ..section.clone()
        };
        // One without a password does not depend on secrets.
        let of = |known: &Arc<Secrets>| plain.password.is_none() || Arc::ptr_eq(known, secrets);
        if let Some((known, source, connection)) = kept.connections.get(name)
            && *known == plain
            && of(source)
        {
            return connection.clone();
        }
        let settings = redis::Settings {
            address: address(&section.address),
            username: section.username.clone(),
            password: section.password.clone().map(|name| {
                let secrets = secrets.clone();
                Password::new(move || secrets.get(&name))
            }),
            database: section.database,
            timeout: section.timeout,
        };
        let connection = Connection::new(name, &settings);
        let value = (plain, secrets.clone(), connection.clone());
        kept.connections.insert(name.to_owned(), value);
        connection
    }

    /// What a plugin gets: the same as before where nothing about it changed.
    pub(crate) fn of(
        &self,
        plugin: &str,
        settings: &PluginSettings,
        config: &Config,
        prepared: &Prepared,
    ) -> Result<Arc<Capabilities>, Vec<Error>> {
        let wanted = Wanted::of(settings, config);
        if let Some((known, granted)) = self.lock().granted.get(plugin)
            && *known == wanted
        {
            return Ok(granted.clone());
        }
        let granted = Arc::new(self.grant(plugin, settings, config, prepared)?);
        let value = (wanted, granted.clone());
        self.lock().granted.insert(plugin.to_owned(), value);
        Ok(granted)
    }

    fn grant(
        &self,
        plugin: &str,
        settings: &PluginSettings,
        config: &Config,
        prepared: &Prepared,
    ) -> Result<Capabilities, Vec<Error>> {
        let allow = &settings.allow;
        let grants = allow
            .http
            .iter()
            .flatten()
            .map(|grant| http_grant(grant, config));
        let (grants, errors): (Vec<_>, Vec<_>) = grants.partition(Result::is_ok);
        let mut errors: Vec<Error> = errors.into_iter().filter_map(Result::err).collect();
        let missing = allow
            .filesystem
            .iter()
            .filter(|folder| !folder.host.is_dir());
        errors.extend(missing.map(|folder| {
            let text = format!("there is no folder {}", folder.host.display());
            config.error(settings.allow_span.unwrap_or_default(), text)
        }));
        if !errors.is_empty() {
            return Err(errors);
        }
        let grants: Vec<Grant> = grants.into_iter().flatten().collect();
        let calls = usize::try_from(settings.http_calls).unwrap_or(usize::MAX);
        let stores = allow.kv.iter().flatten().filter_map(|name| {
            let store = self.store(name, plugin, config, prepared)?;
            Some((name.clone(), store))
        });
        Ok(Capabilities {
            words: words(allow).map(str::to_owned).collect(),
            upstreams: allow.upstreams.iter().cloned().collect(),
            stores: stores.collect(),
            secret_names: allow.secrets.iter().flatten().cloned().collect(),
            secrets: Some(prepared.secrets.clone()),
            limiter: match &allow.limiter {
                Some(LimiterGrant::Redis(server)) => prepared
                    .connections
                    .get(server)
                    .map(|connection| limiter::Shared::new(connection.clone(), plugin)),
                _ => None,
            },
            http: (!grants.is_empty()).then(|| self.transport.client(grants, calls)),
            jwks: Some(self.jwks.clone()),
            passwords: Some(self.passwords.clone()),
            folders: allow.filesystem.iter().map(folder).collect(),
            sockets: allow.sockets.iter().copied().collect(),
        })
    }

    fn store(
        &self,
        name: &str,
        plugin: &str,
        config: &Config,
        prepared: &Prepared,
    ) -> Option<Store> {
        Some(match config.kv.get(name)? {
            Kv::Memory { entries, bytes } => {
                let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
                let limits = Limits {
                    entries: size((*entries).into()),
                    bytes: size(*bytes),
                };
                Store::Memory(self.stores.open(name, plugin, limits))
            }
            Kv::Redis(server) => {
                let connection = prepared.connections.get(server)?.clone();
                Store::Redis(Shared::new(connection, name, plugin))
            }
        })
    }

    /// Keep secrets fresh from now on, those of the running state.
    pub(crate) fn refresh(&self) {
        if let Some(kept) = &mut self.lock().secrets
            && !std::mem::replace(&mut kept.refreshed, true)
        {
            // Ends with the last reference to them.
            tokio::spawn(kept.secrets.refresh());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The words of `allow` that hold, as interfaces are called by it.
pub(crate) fn words(allow: &Allow) -> impl Iterator<Item = &'static str> {
    [
        ("log", allow.log),
        ("metrics", allow.metrics),
        ("clock", allow.clock),
        ("random", allow.random),
        ("attributes", allow.attributes),
        ("crypto", allow.crypto),
        ("limiter", allow.limiter.is_some()),
        ("kv", allow.kv.is_some()),
        ("secrets", allow.secrets.is_some()),
        ("http", allow.http.is_some()),
    ]
    .into_iter()
    .filter_map(|(word, allowed)| allowed.then_some(word))
}

/// What would allow these capabilities besides, as it is written in the configuration.
pub(crate) fn written<'a>(allow: &Allow, missing: &[&'a str]) -> String {
    let granted = words(allow).map(|word| -> &'a str { word });
    let words: Vec<&str> = granted.chain(missing.iter().copied()).collect();
    let rest = !allow.upstreams.is_empty()
        || !allow.filesystem.is_empty()
        || !allow.sockets.is_empty()
        || matches!(allow.limiter, Some(LimiterGrant::Redis(_)));
    if !rest
        && !words
            .iter()
            .any(|word| matches!(*word, "kv" | "secrets" | "http"))
    {
        let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        return format!("[{}]", words.join(", "));
    }
    let names = |names: &Option<Vec<String>>| match names {
        Some(names) => format!("{names:?}"),
        None => "[\"NAME\"]".to_owned(),
    };
    let mut entries: Vec<String> = words
        .iter()
        .map(|word| match *word {
            "kv" => format!("kv = {}", names(&allow.kv)),
            "secrets" => format!("secrets = {}", names(&allow.secrets)),
            "http" => match &allow.http {
                Some(_) => "http = …".to_owned(),
                None => "http = [\"https://HOST\"]".to_owned(),
            },
            "limiter" => match &allow.limiter {
                Some(LimiterGrant::Redis(name)) => format!("limiter = {{ redis = {name:?} }}"),
                _ => "limiter = true".to_owned(),
            },
            word => format!("{word} = true"),
        })
        .collect();
    if !allow.upstreams.is_empty() {
        entries.push(format!("upstreams = {:?}", allow.upstreams));
    }
    if !allow.filesystem.is_empty() {
        entries.push("filesystem = …".to_owned());
    }
    if !allow.sockets.is_empty() {
        entries.push("sockets = …".to_owned());
    }
    format!("{{ {} }}", entries.join(", "))
}

fn secret_settings((name, section): (&String, &config::Secret)) -> (String, secret::Settings) {
    let (source, refresh) = match &section.source {
        SecretSource::File { path, refresh } => (Source::File(path.clone()), *refresh),
        SecretSource::Env(name) => (Source::Environment(name.clone()), NEVER),
        SecretSource::Command {
            argv,
            refresh,
            timeout,
        } => {
            let source = Source::Command {
                argv: argv.clone(),
                timeout: *timeout,
            };
            (source, *refresh)
        }
    };
    (name.clone(), secret::Settings { source, refresh })
}

fn http_grant(grant: &HttpGrant, config: &Config) -> Result<Grant, Error> {
    let text = grant.origin.to_string();
    let problem = |problem: String| config.error(grant.span, problem);
    let parsed =
        Grant::parse(&text, grant.private).map_err(|error| problem(format!("`{text}` {error}")))?;
    let Some(file) = &grant.ca else {
        return Ok(parsed);
    };
    let pem = read_file(file, FILE_MAX).map_err(|error| problem(error.to_string()))?;
    parsed
        .with_ca(&pem)
        .map_err(|error| problem(format!("{} {error}", file.display())))
}

fn address(address: &PeerAddress) -> redis::Address {
    match address {
        PeerAddress::Socket(socket) => redis::Address::Tcp(socket.ip().to_string(), socket.port()),
        PeerAddress::Name { host, port } => redis::Address::Tcp(host.clone(), *port),
        PeerAddress::Unix(path) => redis::Address::Unix(path.clone()),
    }
}

fn folder(grant: &config::FilesystemGrant) -> Folder {
    Folder {
        host: grant.host.clone(),
        guest: grant.guest.clone(),
        write: grant.write,
    }
}
