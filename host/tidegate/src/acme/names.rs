//! The names that an authority is asked for: lists in the configuration, and files in a folder.

use std::collections::HashSet;
use tidegate_acme::{Name, Names, certdefs};
use tidegate_config::{self as config, Config, Error, Span};

/// The names of all certificates, checked.
///
/// # Errors
/// What is no name, or none that this authority can be shown control of; and two certificates under one
/// name. Those of files have the place of their folder's key, and say which file and line it is.
pub(super) fn all(config: &Config, section: &config::Acme) -> Result<Vec<Names>, Vec<Error>> {
    let mut lists = Lists {
        config,
        section,
        all: Vec::new(),
        mains: HashSet::new(),
        errors: Vec::new(),
    };
    for list in &section.certificates {
        lists.read(list);
    }
    if let Some(folder) = &section.certdefs {
        match certdefs::read(&folder.value) {
            Ok(definitions) => {
                for names in definitions {
                    for name in names.iter() {
                        lists.check(name, folder.span);
                    }
                    lists.take(names, folder.span);
                }
            }
            Err(mistakes) => {
                for mistake in mistakes {
                    lists.reject(folder.span, mistake.to_string(), None);
                }
            }
        }
    }
    match lists.errors.is_empty() {
        true => Ok(lists.all),
        false => Err(lists.errors),
    }
}

struct Lists<'a> {
    config: &'a Config,
    section: &'a config::Acme,
    all: Vec<Names>,
    mains: HashSet<Name>,
    errors: Vec<Error>,
}

impl Lists<'_> {
    fn read(&mut self, list: &config::Located<Vec<config::Located<String>>>) {
        let mut names = Vec::with_capacity(list.value.len());
        for one in &list.value {
            match Name::parse(&one.value) {
                Ok(name) => {
                    self.check(&name, one.span);
                    names.push(name);
                }
                Err(error) => {
                    let help = "expected a name such as \"example.com\" or \"*.example.com\"";
                    self.reject(one.span, error.to_string(), Some(help));
                }
            }
        }
        if names.len() < list.value.len() {
            return;
        }
        match Names::new(names) {
            Ok(names) => self.take(names, list.span),
            Err(error) => self.reject(list.span, error.to_string(), None),
        }
    }

    /// Whether control of the name can be shown.
    fn check(&mut self, name: &Name, span: Span) {
        if name.is_wildcard() && self.section.challenge != config::Challenge::Dns01 {
            let problem =
                format!("`{name}`: authorities give out wildcards for the challenge dns-01 only");
            let help = "add `challenge = \"dns-01\"` and `dns`, or name the hosts one by one";
            self.reject(span, problem, Some(help));
        }
        let zone = self.section.dns.as_ref().and_then(config::DnsUpdate::zone);
        if let Some(zone) = zone.filter(|zone| !name.is_within(zone.as_str())) {
            let problem = format!("`{name}` is not in the zone `{zone}`");
            let help = "records can be set in the zone of `dns` only; make another [acme.NAME] for this name";
            self.reject(span, problem, Some(help));
        }
    }

    fn take(&mut self, names: Names, span: Span) {
        if !self.mains.insert(names.main().clone()) {
            let problem = format!("two certificates with the main name `{}`", names.main());
            self.reject(span, problem, None);
        }
        self.all.push(names);
    }

    fn reject(&mut self, span: Span, problem: String, help: Option<&str>) {
        let error = self.config.error(span, problem);
        self.errors.push(match help {
            Some(help) => error.with_help(help),
            None => error,
        });
    }
}
