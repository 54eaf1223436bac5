//! What users see: the message for each mistake (`invalid/*.toml` with `.err`), what is asked about
//! (`doubtful/*.toml` with `.warnings`), what valid files mean, and
//! the generated files in `config/`. `BLESS=1` writes the expected files anew.
#![allow(clippy::unwrap_used)]

mod generated;
mod resolved;

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_config::{Config, Errors, Source, Span};

#[test]
fn mistakes_are_explained() {
    let mut wrong = Vec::new();
    for path in files("invalid") {
        let shown = match load(&path) {
            Ok(_) => panic!("{} is valid", path.display()),
            Err(errors) => format!("{errors}\n"),
        };
        if !same(&path.with_extension("err"), &shown) {
            wrong.push(path);
        }
    }
    assert!(
        wrong.is_empty(),
        "other messages than expected for {wrong:?}; BLESS=1 accepts them"
    );
}

#[test]
fn what_is_probably_not_meant_is_asked_about() {
    let mut wrong = Vec::new();
    for path in files("doubtful") {
        let warnings = load(&path).unwrap().warnings();
        let shown: Vec<_> = warnings
            .iter()
            .map(|warning| format!("{warning}\n"))
            .collect();
        if !same(&path.with_extension("warnings"), &shown.join("\n")) {
            wrong.push(path);
        }
    }
    assert!(
        wrong.is_empty(),
        "other warnings than expected for {wrong:?}; BLESS=1 accepts them"
    );
    for path in files("valid") {
        assert_eq!(load(&path).unwrap().warnings(), [], "{}", path.display());
    }
}

#[test]
fn a_missing_file_is_named() {
    let errors = Config::load(Path::new("no/such.toml"), [])
        .unwrap_err()
        .to_string();
    assert!(
        errors.starts_with("no/such.toml: cannot read the configuration: "),
        "{errors}"
    );
}

/// The environment of a file stands in its first lines, as `# env NAME=VALUE`.
fn load(path: &Path) -> Result<Config, Errors> {
    let text = fs::read_to_string(path).unwrap();
    let env: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# env ")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut expected = ["invalid", "doubtful"].iter();
    let shown = expected
        .find_map(|folder| path.strip_prefix(tests.join(folder)).ok())
        .unwrap_or(path);
    Config::parse(Source::new(shown, text), env)
}

fn parse(text: &str) -> Result<Config, Errors> {
    Config::parse(Source::new("test.toml", text), [])
}

fn owned((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

fn at(config: &Config, span: Span) -> &str {
    &config.source.text()[span.start..span.end]
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn valid(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/valid")
        .join(name)
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../config")
        .join(name)
}

/// Whether the file says this; with `BLESS=1` it does afterwards.
fn same(path: &Path, text: &str) -> bool {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, text).unwrap();
    }
    fs::read_to_string(path).is_ok_and(|expected| expected == text)
}
