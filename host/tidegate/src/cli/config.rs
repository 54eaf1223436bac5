//! `tidegate config`: what can be configured.

use clap::Subcommand;
use tidegate_config::{environment, reference, schema};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// A whole configuration file: every key, its default, what it does.
    Default,
    /// The JSON Schema of the file, for editors.
    Schema,
    /// The environment variables that override the file.
    Env,
}

pub(super) fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Default => super::print(&reference()),
        Verb::Schema => super::print(&format!("{:#}\n", schema())),
        Verb::Env => {
            let mut text = String::new();
            for variable in environment() {
                let default = match variable.default.as_str() {
                    "" => "no default".to_owned(),
                    default => format!("default {default}"),
                };
                text += &format!("{}\n    {} ({default})\n", variable.name, variable.about);
            }
            super::print(&text)
        }
    }
}
