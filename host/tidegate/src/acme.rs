//! Certificates from authorities, as a configuration describes them: from `[acme.NAME]` to what
//! `tidegate-acme` works with, and from there to what listeners serve.

mod names;

use crate::app::Parts;
use crate::certificates::FILE_MAX;
use crate::tls::Tls;
use crate::watch::Stamp;
use async_trait::async_trait;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};
use base64::{DecodeError, alphabet};
use prometheus::Registry;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_acme::{
    Acme, Authority, Backoff, Certificate, Challenge, Dns, ExternalAccount, Hook, Key, KeyType,
    Metrics, Name, OnDemand, Prepared, Rate, Renew, Schedule, Secret, Serve, StoreKey, Tokens,
    Update, certdefs,
};
use tidegate_capability::secret::Secrets;
use tidegate_config::{self as config, Config, Error, Errors, read_file};
use tidegate_listen::tls;

/// Open challenges `http-01`, for requests.
#[derive(Debug)]
pub struct Answers(pub Arc<Tokens>);

impl tidegate_http::Challenges for Answers {
    fn answer(&self, token: &str) -> Option<Arc<str>> {
        self.0.answer(token)
    }
}

/// Hands certificates to what the listeners serve.
struct Server(Arc<Tls>);

impl Serve for Server {
    fn put(&self, authority: &str, certificates: &[(&Name, &Certificate)]) {
        let mut served = Vec::with_capacity(certificates.len());
        for (main, certificate) in certificates {
            match of(certificate) {
                Ok(certificate) => served.push((main.as_str(), certificate)),
                Err(error) => {
                    tracing::error!(issuer = authority, name = %main, %error, "the certificate cannot be served");
                }
            }
        }
        self.0.certificates.issued(authority).put(&served);
    }

    fn retain(&self, authority: &str, mains: &[Name]) {
        let mains: Vec<&str> = mains.iter().map(Name::as_str).collect();
        self.0.certificates.issued(authority).retain(&mains);
    }

    fn challenge(&self, name: &Name, certificate: &Certificate) {
        match of(certificate) {
            Ok(answer) => self.0.challenges.put(name.as_str(), answer),
            Err(error) => tracing::error!(%name, %error, "the challenge cannot be answered"),
        }
    }

    fn challenge_over(&self, name: &Name) {
        self.0.challenges.remove(name.as_str());
    }
}

fn of(certificate: &Certificate) -> Result<tls::Certificate, tls::CertificateError> {
    let key = certificate.key().clone_key();
    tls::Certificate::from_der(certificate.chain().to_vec(), key)
}

/// Orders what clients ask for.
struct Ordering {
    acme: Acme,
    authority: Arc<str>,
}

#[async_trait]
impl tls::OnDemand for Ordering {
    async fn obtain(&self, name: &str) {
        self.acme.obtain(&self.authority, name).await;
    }
}

/// Nothing is asked for yet.
pub fn start(tls: &Arc<Tls>, registry: &Registry) -> Result<Acme, prometheus::Error> {
    let metrics = Metrics::register(registry)?;
    Ok(Acme::new(Arc::new(Server(tls.clone())), metrics))
}

/// Open the stores of a configuration and read what they have.
///
/// # Errors
/// With positions in the file.
pub async fn prepare(parts: &Arc<Parts>, config: &Arc<Config>) -> Result<Prepared, Errors> {
    let secrets = parts.grants.secrets(config).await?;
    for name in config.acme.keys() {
        // The first to be set stays, and is the same.
        parts
            .tls
            .certificates
            .issued(name)
            .set_on_demand(Arc::new(Ordering {
                acme: parts.acme.clone(),
                authority: name.as_str().into(),
            }));
    }
    let (acme, of) = (parts.acme.clone(), config.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let authorities = authorities(&of, &secrets)?;
        acme.prepare(authorities).map_err(|error| {
            let span = of.acme.get(&*error.authority).map(|section| section.span);
            Errors::from(of.error(span.unwrap_or_default(), error.to_string()))
        })
    });
    prepared.await.unwrap_or_else(|error| {
        let error = config.error(config::Span::default(), error.to_string());
        Err(Errors::from(error))
    })
}

/// The authorities of a configuration.
///
/// # Errors
/// Names, keys, files and definitions that are not right, with positions in the file.
pub fn authorities(config: &Config, secrets: &Secrets) -> Result<Vec<Authority>, Errors> {
    let mut errors = Vec::new();
    let mut authorities = Vec::with_capacity(config.acme.len());
    for (name, section) in &config.acme {
        match authority(config, name, section, secrets) {
            Ok(authority) => authorities.push(authority),
            Err(more) => errors.extend(more),
        }
    }
    Errors::check(errors)?;
    Ok(authorities)
}

/// Look whether a start could use the stores of a configuration. Changes nothing.
///
/// # Errors
/// As [`authorities`]; and what is wrong with a store, with positions in the file.
pub fn check(config: &Config, secrets: &Secrets) -> Result<(), Errors> {
    let authorities = authorities(config, secrets)?;
    let wrong = authorities.iter().filter_map(|authority| {
        let (store, key) = (&authority.store, authority.store_key.as_ref());
        let error = tidegate_acme::check_store(store, &authority.name, key).err()?;
        let span = config.acme.get(&*authority.name)?.span;
        Some(config.error(span, error.to_string()))
    });
    Errors::check(wrong.collect())
}

fn authority(
    config: &Config,
    name: &str,
    section: &config::Acme,
    secrets: &Secrets,
) -> Result<Authority, Vec<Error>> {
    let problem = |problem: String| vec![config.error(section.span, problem)];
    let roots = section.ca.as_ref().map(|file| {
        read_file(&file.value, FILE_MAX)
            .map_err(|error| vec![config.error(file.span, error.to_string())])
    });
    let store_key = section.encryption.as_ref().map(|name| {
        let key = StoreKey::new(Secret::new(secret(secrets, name)));
        key.map_err(|error| problem(format!("secret `{name}`: {error}")))
    });
    let external_account = section.external_account.as_ref().map(|account| {
        let key = decoded(secrets, &account.key).map_err(problem)?;
        Ok::<_, Vec<Error>>(ExternalAccount {
            key_id: account.key_id.clone(),
            key,
        })
    });
    Ok(Authority {
        name: name.into(),
        directory: section.directory.clone(),
        roots: roots.transpose()?,
        contact: section.contact.clone(),
        external_account: external_account.transpose()?,
        fallback: section
            .fallback
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        store: section.store.clone(),
        store_key: store_key.transpose()?,
        challenge: challenge(section, secrets).map_err(problem)?,
        certificates: names::all(config, section)?,
        key_type: match section.key_type {
            config::KeyType::Ecdsa => KeyType::EcdsaP256,
            config::KeyType::EcdsaP384 => KeyType::EcdsaP384,
        },
        schedule: Schedule {
            renew: match section.renew {
                config::Renew::Before(left) => Renew::Before(left),
                config::Renew::After(age) => Renew::After(age),
            },
            backoff: Backoff {
                first: section.retry,
                most: section.retry_max,
            },
        },
        request_timeout: section.request_timeout,
        order_timeout: section.order_timeout,
        on_demand: section.on_demand.as_ref().map(|on_demand| OnDemand {
            ask: on_demand.ask.clone(),
            ask_timeout: on_demand.ask_timeout,
            ask_limit: rate(on_demand.ask_limit),
            limit: rate(on_demand.limit),
            pending: count(on_demand.pending),
            wait: on_demand.wait,
            remember: on_demand.remember,
            remember_names: count(on_demand.remember_names),
        }),
    })
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn rate(rate: config::Rate) -> Rate {
    Rate {
        count: rate.count,
        period: rate.period,
    }
}

fn challenge(section: &config::Acme, secrets: &Secrets) -> Result<Challenge, String> {
    let timeout = section.dns_timeout;
    Ok(match (section.challenge, &section.dns) {
        (config::Challenge::Http01, _) => Challenge::Http01,
        // The configuration refuses dns-01 that does not say how.
        (config::Challenge::TlsAlpn01, _) | (config::Challenge::Dns01, None) => {
            Challenge::TlsAlpn01
        }
        (config::Challenge::Dns01, Some(config::DnsUpdate::Command(command))) => {
            let command = command.clone();
            Challenge::Dns01(Box::new(Dns::Hook(Hook { command, timeout })))
        }
        (config::Challenge::Dns01, Some(config::DnsUpdate::Server(server))) => {
            let key = server.key.as_ref().map(|key| {
                let algorithm = match key.algorithm {
                    config::TsigAlgorithm::HmacSha256 => "hmac-sha256",
                    config::TsigAlgorithm::HmacSha384 => "hmac-sha384",
                    config::TsigAlgorithm::HmacSha512 => "hmac-sha512",
                };
                Ok::<_, String>(Key {
                    name: key.name.to_string(),
                    algorithm: algorithm.to_owned(),
                    secret: decoded(secrets, &key.secret)?,
                })
            });
            let (address, zone) = (server.address.to_string(), server.zone.as_str());
            let question = server.question_timeout;
            let update = Update::new(&address, zone, key.transpose()?, question, timeout);
            let update = update.map_err(|error| error.to_string())?;
            Challenge::Dns01(Box::new(Dns::Update(update)))
        }
    })
}

/// A key in base64.
fn decoded(secrets: &Secrets, name: &str) -> Result<Secret, String> {
    let key = of_base64(&secret(secrets, name));
    key.map(Secret::new)
        .map_err(|_| format!("secret `{name}`: the key is not base64"))
}

/// What base64 of either alphabet stands for, with or without padding: authorities give keys in all four forms.
fn of_base64(text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    const ANY_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);
    let text = text.trim_ascii();
    let decoded = STANDARD.decode(text);
    decoded.or_else(|_| URL_SAFE.decode(text))
}

/// The configuration has checked that it exists.
fn secret(secrets: &Secrets, name: &str) -> Vec<u8> {
    let secret = secrets.get(name);
    secret.map_or_else(Vec::new, |secret| secret.expose().to_vec())
}

/// Whether an authority, its store or its DNS server has a key.
pub fn uses_secrets(config: &Config) -> bool {
    config.acme.values().any(|section| {
        let signs = match &section.dns {
            Some(config::DnsUpdate::Server(server)) => server.key.is_some(),
            Some(config::DnsUpdate::Command(_)) | None => false,
        };
        signs || section.encryption.is_some() || section.external_account.is_some()
    })
}

/// What the files of definitions look like.
pub type Definitions = BTreeMap<PathBuf, Option<Stamp>>;

/// What they look like now, as far as they could be read.
pub async fn definitions(config: &Config) -> Definitions {
    let folders: Vec<PathBuf> = folders(config).collect();
    let look = move || {
        let entries = folders
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok());
        let entries = entries.flat_map(|entries| entries.take(certdefs::FILES_MAX));
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files.map(|file| (file.clone(), Stamp::of(&file))).collect()
    };
    // It fails while the process ends.
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

/// The folders of definitions.
pub fn folders(config: &Config) -> impl Iterator<Item = PathBuf> {
    let sections = config.acme.values();
    sections.filter_map(|section| Some(section.certdefs.as_ref()?.value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_be_in_each_form_of_base64() {
        for text in ["+/8=", "+/8", "-_8=", "-_8", " -_8=\n"] {
            assert_eq!(
                of_base64(text.as_bytes()).unwrap(),
                [0xfb, 0xff],
                "{text:?}"
            );
        }
        for text in ["+_8", "+/", "+/8==", "a key"] {
            assert!(of_base64(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
