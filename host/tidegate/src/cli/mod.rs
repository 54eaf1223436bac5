//! The command line: one file per verb.

mod check;
mod config;
mod explain;
mod plugin;
mod run;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A proxy that is programmed with WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Begin with:
  tidegate config default > tidegate.toml    every key with its default
  tidegate check --config tidegate.toml      errors have line and column
  tidegate run --config tidegate.toml        serve; edit the file while it runs

A plugin is a .wasm file in the plugin directory (`[plugins] directory`). A new
file with the name of an old one takes over without a dropped request;
`tidegate plugin list` shows what is live.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve until SIGTERM or SIGINT.
    ///
    /// The configuration file and the plugin directory are watched: a change is checked and takes over,
    /// or the old state stays and the log says why. SIGHUP reloads as well. SIGTERM stops accepting,
    /// finishes what is in flight within `[server] drain_timeout`, and exits with 0.
    Run(ConfigFile),
    /// Check a configuration and the plugins that it uses; exit with 1 and positions on errors.
    Check(ConfigFile),
    /// Say what would become of a request: route, plugins, versions, grants, policies, bodies. Sends nothing
    /// and changes nothing.
    Explain(explain::Question),
    /// Print every key with its default, the JSON Schema, or the environment variables.
    #[command(subcommand)]
    Config(config::Verb),
    /// Look at plugins.
    #[command(subcommand)]
    Plugin(plugin::Verb),
    /// Compile a component from standard input to standard output: what `run` starts for each plugin.
    #[command(hide = true)]
    Compile,
    /// Print the version and the plugin contract that this host speaks.
    Version,
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "TIDEGATE_CONFIG",
        default_value = "tidegate.toml"
    )]
    config: PathBuf,
}

/// Carry out a command line.
pub fn run(arguments: Arguments) -> ExitCode {
    let done = match arguments.verb {
        Verb::Run(file) => run::run(&file.config),
        Verb::Check(file) => check::run(&file.config),
        Verb::Explain(question) => explain::run(&question),
        Verb::Config(verb) => config::run(&verb),
        Verb::Plugin(verb) => plugin::run(&verb),
        Verb::Compile => return tidegate_wasm::compile_stdin(),
        Verb::Version => print(&format!(
            "tidegate {}\ncontract tidegate:plugin@{}\n",
            env!("CARGO_PKG_VERSION"),
            tidegate_wasm::CONTRACT
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("{error:#}");
            if !text.ends_with('\n') {
                text.push('\n');
            }
            // Errors begin with what they are about: a file and a place, or the word.
            let prefix = if error.is::<tidegate_config::Errors>() {
                ""
            } else {
                "error: "
            };
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("{prefix}{text}").as_bytes(),
            );
            ExitCode::FAILURE
        }
    }
}

/// Write to standard output; a reader that has seen enough is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The environment, without variables that are not text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.into_string().ok()?))
    })
}
