//! Programs: the one under test, and those of the system that some tests use.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::wait::DEADLINE;

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub struct Exit {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `tidegate` with these arguments to its end.
pub fn tidegate(arguments: &[&str]) -> Exit {
    run_blocking(command().args(arguments))
}

/// As [`tidegate`], for what may hang: it is killed when it takes longer than a test waits, and its exit code is
/// then 124, as timeout(1) has it.
pub fn tidegate_in_time(arguments: &[&str]) -> Exit {
    let command = command();
    let mut timed = Command::new("timeout");
    timed.arg(DEADLINE.as_secs().to_string());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    run_blocking(timed.arg(command.get_program()).args(arguments))
}

/// Runs a program to its end, without holding up what this process serves.
pub async fn run(mut command: Command) -> Exit {
    tokio::task::spawn_blocking(move || run_blocking(&mut command))
        .await
        .unwrap()
}

fn run_blocking(command: &mut Command) -> Exit {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    Exit {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// As [`tidegate`], with variables of the environment.
pub fn tidegate_with(environment: &[(&str, &str)], arguments: &[&str]) -> Exit {
    run_blocking(command().envs(environment.iter().copied()).args(arguments))
}

/// `tidegate`, without configuration from the environment of whoever runs the tests.
pub fn command() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
    command
}

/// `tidegate`, started by a service manager that hands these sockets over, each by its name and address: once
/// something connects to one of them. `None` where there is no `systemd-socket-activate`.
pub fn activated(sockets: &[(&str, &str)]) -> Option<Command> {
    let mut command = Command::new(tool("systemd-socket-activate")?);
    for (_, address) in sockets {
        command.args(["--listen", address]);
    }
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    command.args(["--fdname", &names.join(":")]);
    command.arg(binary());
    Some(command)
}

/// `tidegate` with these limits on what it may have open: the soft and the hard one (getrlimit(2)).
pub fn with_open_files(soft: usize, hard: usize) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={soft}:{hard}")).arg(binary());
    command
}

/// `tidegate`, with a pipe at this path as its standard output, which nobody reads.
pub fn with_deaf_output(pipe: &Path) -> Command {
    let made = Command::new("mkfifo").arg(pipe).status();
    assert!(made.unwrap().success());
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" 1<>\"$PIPE\""])
        .arg(binary())
        .env("PIPE", pipe);
    command
}

/// A program of the system, or `None` with a line that says so.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        // Debian keeps servers out of a plain user's path.
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        skipped(format_args!("`{name}` is not installed"));
    }
    found
}

/// Says that a test is not run, and why.
///
/// # Panics
/// With `TIDEGATE_TESTS_STRICT=1`, under which everything has to be there.
pub fn skipped(why: impl Display) {
    let is_strict = std::env::var_os("TIDEGATE_TESTS_STRICT").is_some_and(|value| value == "1");
    assert!(
        !is_strict,
        "{why}; `.ci/setup test` installs what tests need, and without TIDEGATE_TESTS_STRICT this one is skipped"
    );
    eprintln!("skipped: {why}");
}

/// The top folder of the project.
pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// `TIDEGATE_BIN`, or what `cargo build` makes.
pub fn binary() -> PathBuf {
    let binary = match std::env::var_os("TIDEGATE_BIN") {
        Some(binary) => PathBuf::from(binary),
        None => repository().join("target/debug/tidegate"),
    };
    assert!(
        binary.is_file(),
        "there is no program at {}: run `cargo build`, or set TIDEGATE_BIN to the one to test",
        binary.display()
    );
    binary
}
