//! What works and is probably not meant: told at every start and reload, and by `tidegate check`.

use crate::app::Parts;
use crate::exposed;
use std::time::SystemTime;
use tidegate_config::{Config, Error, ListenerTls};
use tidegate_http::State;
use tidegate_listen::tls::Certificate;

/// All of it, each at its place in the configuration.
pub fn warnings(config: &Config, parts: &Parts, state: &State) -> Vec<Error> {
    let mut all = config.warnings();
    all.extend(exposed::warnings(config, state));
    for tls in config.listeners.iter().filter_map(|one| one.tls.as_ref()) {
        // Read already, for the state.
        let served = parts.tls.certificates.of_files(config, &tls.certificates);
        let served = served.map(|served| served.all()).unwrap_or_default();
        certificates(config, tls, &served, &mut all);
        names(config, tls, &served, &mut all);
    }
    all
}

/// Certificates that clients will not accept.
fn certificates(config: &Config, tls: &ListenerTls, served: &[Certificate], all: &mut Vec<Error>) {
    for (files, certificate) in tls.certificates.iter().zip(served) {
        let cert = files.cert.display();
        if certificate.expires() < SystemTime::now() {
            let what = format!("{cert} has expired; clients will not accept it");
            all.push(config.error(files.span, what));
        }
        if certificate.names().is_empty() {
            let what = format!("{cert} is for no name; clients will not accept it");
            let help =
                "make one with subjectAltName: the common name does not count (RFC 9110 §4.3.4)";
            all.push(config.error(files.span, what).with_help(help));
        }
    }
}

/// Settings for names that nothing covers: a name that is misspelt loses what it demands.
fn names(config: &Config, tls: &ListenerTls, served: &[Certificate], all: &mut Vec<Error>) {
    if !tls.acme.is_empty() {
        return;
    }
    for name in tls.names.keys() {
        let name = name.as_str();
        let is_covered = |certificate: &Certificate| match name.strip_prefix('*') {
            Some(parent) => certificate.names().iter().any(|of| of.ends_with(parent)),
            None => certificate.covers(name),
        };
        if !served.iter().any(is_covered) {
            let what =
                format!("settings for `{name}`, which no certificate of this listener is for");
            all.push(
                config
                    .error(tls.span, what)
                    .with_help("is the name misspelt?"),
            );
        }
    }
}
