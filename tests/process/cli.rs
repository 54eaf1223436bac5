//! The command line, apart from `run`.

use tempfile::TempDir;

use crate::harness::{Exit, repository, tidegate, tidegate_with};

const FINE: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = {}\n";

fn check_with(environment: &[(&str, &str)], config: &str) -> Exit {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tidegate.toml");
    std::fs::write(&file, config).unwrap();
    tidegate_with(environment, &["check", "--config", file.to_str().unwrap()])
}

#[test]
fn check_accepts_what_is_right() {
    let exit = check_with(&[], FINE);
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    assert!(exit.stdout.contains("ok"), "{}", exit.stdout);
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let exit = check_with(&[], &format!("{FINE}upsteam = \"app\"\n"));
    assert_eq!(exit.status.code(), Some(1));
    assert!(
        exit.stderr
            .contains("tidegate.toml:5:1: unknown key `upsteam`"),
        "{}",
        exit.stderr
    );
    assert!(exit.stdout.is_empty(), "{}", exit.stdout);
}

#[test]
fn check_reports_several_mistakes_at_once() {
    let config = "
[[listener]]
address = \"127.0.0.1:0\"

[[route]]
match = { path = \"~(\" }
respond = {}

[[route]]
match = { host = \"a b\" }
respond = {}

[[route]]
plugins = [\"nothing\"]
respond = {}
";
    let exit = check_with(&[], config);
    assert_eq!(exit.status.code(), Some(1));
    for place in ["tidegate.toml:6:", "tidegate.toml:10:", "tidegate.toml:14:"] {
        assert!(exit.stderr.contains(place), "{place}: {}", exit.stderr);
    }
}

#[test]
fn the_environment_goes_before_the_file() {
    let exit = check_with(&[("TIDEGATE_LIMITS_URI_BYTES", "many")], FINE);
    assert_eq!(exit.status.code(), Some(1));
    assert!(
        exit.stderr.contains("TIDEGATE_LIMITS_URI_BYTES"),
        "{}",
        exit.stderr
    );
    let exit = check_with(&[("TIDEGATE_LIMITS_URI_BYTES", "4KiB")], FINE);
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
}

#[test]
fn the_default_configuration_is_the_reference_and_right() {
    let exit = tidegate(&["config", "default"]);
    assert_eq!(exit.status.code(), Some(0));
    let reference = std::fs::read_to_string(repository().join("config/reference.toml")).unwrap();
    assert!(
        exit.stdout == reference,
        "config/reference.toml is not what `config default` prints"
    );
    let checked = check_with(&[], &exit.stdout);
    assert_eq!(checked.status.code(), Some(0), "{}", checked.stderr);
}

#[test]
fn the_schema_is_json() {
    let exit = tidegate(&["config", "schema"]);
    assert_eq!(exit.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    assert!(schema["properties"]["route"].is_object(), "{schema}");
}

#[test]
fn the_variables_of_the_environment_are_listed() {
    let exit = tidegate(&["config", "env"]);
    assert_eq!(exit.status.code(), Some(0));
    for name in [
        "TIDEGATE_SERVER_THREADS",
        "TIDEGATE_LIMITS_BODY_BYTES",
        "TIDEGATE_LOG_LEVEL",
    ] {
        assert!(exit.stdout.contains(name), "{name}");
    }
}

#[test]
fn versions_are_printed() {
    for arguments in [["version"], ["--version"]] {
        let exit = tidegate(&arguments);
        assert_eq!(exit.status.code(), Some(0));
        let version = concat!("tidegate ", env!("CARGO_PKG_VERSION"));
        assert!(exit.stdout.starts_with(version), "{}", exit.stdout);
    }
}

#[test]
fn help_names_every_verb() {
    let exit = tidegate(&["--help"]);
    assert_eq!(exit.status.code(), Some(0));
    for verb in ["run", "check", "config", "plugin", "version"] {
        assert!(
            exit.stdout.contains(&format!("\n  {verb} ")),
            "{verb}: {}",
            exit.stdout
        );
    }
    assert!(
        exit.stdout.contains("tidegate check --config"),
        "{}",
        exit.stdout
    );
    for verb in ["run", "check", "config", "plugin"] {
        let exit = tidegate(&[verb, "--help"]);
        assert_eq!(exit.status.code(), Some(0), "{verb}");
    }
}

#[test]
fn an_unknown_verb_is_explained() {
    let exit = tidegate(&["chekc"]);
    assert_eq!(exit.status.code(), Some(2));
    assert!(exit.stderr.contains("check"), "{}", exit.stderr);
}

#[test]
fn nobody_to_ask_is_explained() {
    let exit = tidegate(&["plugin", "list", "--admin", "unix:/nowhere/admin.sock"]);
    assert_eq!(exit.status.code(), Some(1));
    assert!(
        exit.stderr.contains("unix:/nowhere/admin.sock"),
        "{}",
        exit.stderr
    );
}

#[test]
fn what_is_no_plugin_is_explained() {
    let file = repository().join("Cargo.toml");
    let exit = tidegate(&["plugin", "inspect", file.to_str().unwrap()]);
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.stderr.contains("Cargo.toml"), "{}", exit.stderr);
}
