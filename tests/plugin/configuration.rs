//! What a plugin does not accept in its configuration has a line and a column in the operator's file.

use crate::harness::{Proxy, tidegate};

use super::support::{folder, guest, start, uncached};

/// The plugin refuses each path that is listed first.
const BAD: &str = r#"
[[route]]
name = "all"
respond = { echo = true }

[[route.plugins]]
use = "bad-configure"

[route.plugins.config]
refuse = ["limit", "rules.1.name", "nested.deep.key", "absent.key", ""]
limit = 5
rules = [
    { name = "first" },
    { name = "second" },
]
nested = { deep = { key = true } }
"#;

const GOOD: &str = r#"
[[route]]
name = "all"
plugins = ["bad-configure"]
respond = { echo = true }
"#;

/// Line and column, from 1, of a text that stands in the file.
fn place(file: &str, text: &str) -> String {
    let at = file.find(text).unwrap();
    let before = &file[..at];
    let line = before.matches('\n').count() + 1;
    let column = at - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
    format!("tidegate.toml:{line}:{column}")
}

fn assert_placed(said: &str, file: &str) {
    let placed = [
        ("limit = 5", "`limit` is refused"),
        ("name = \"second\"", "`rules.1.name` is refused"),
        ("key = true", "`nested.deep.key` is refused"),
    ];
    for (text, message) in placed {
        let place = place(file, text);
        // On lines of their own, or one after the other on one line.
        let parts: Vec<&str> = said.lines().flat_map(|line| line.split("; ")).collect();
        let near = (0..parts.len()).any(|from| {
            let two = parts[from..parts.len().min(from + 2)].concat();
            two.contains(&place) && two.contains(message)
        });
        assert!(near, "{place} and {message} in:\n{said}");
    }
    for message in ["`absent.key` is refused", "`` is refused"] {
        assert!(said.contains(message), "{message} in:\n{said}");
    }
}

/// The file, in a folder with the plugin.
fn written(config: &str) -> (tempfile::TempDir, String) {
    let folder = folder(&[("bad-configure.wasm", guest("bad-configure"))]);
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let config = uncached(&format!("{listener}{config}"));
    std::fs::write(folder.path().join("tidegate.toml"), &config).unwrap();
    (folder, config)
}

#[test]
fn check_and_run_say_where() {
    let (folder, config) = written(BAD);
    let file = folder.path().join("tidegate.toml");
    for verb in ["check", "run"] {
        let exit = tidegate(&[verb, "--config", file.to_str().unwrap()]);
        assert_eq!(exit.status.code(), Some(1), "{verb}: {}", exit.stderr);
        assert_placed(&exit.stderr, &config);
    }
}

#[test]
fn check_passes_what_the_plugin_accepts() {
    let (folder, _) = written(GOOD);
    let file = folder.path().join("tidegate.toml");
    let exit = tidegate(&["check", "--config", file.to_str().unwrap()]);
    assert!(exit.status.success(), "{}", exit.stderr);
    assert!(exit.stdout.contains("1 plugin"), "{}", exit.stdout);
}

#[tokio::test]
async fn a_reload_says_where_and_changes_nothing() {
    let proxy: Proxy = start(&["bad-configure"], GOOD).await;
    let error = proxy.reload_refused(&uncached(BAD)).await;
    let file = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
    assert_placed(&error, &file);
    assert_eq!(proxy.get("/").await.status, 200);
}

#[test]
fn a_plugin_that_is_not_there_gets_a_suggestion() {
    let (folder, _) = written(&GOOD.replace("bad-configure", "bad-configur"));
    let file = folder.path().join("tidegate.toml");
    let exit = tidegate(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(exit.status.code(), Some(1));
    assert!(
        exit.stderr.contains("did you mean `bad-configure`?"),
        "{}",
        exit.stderr
    );
}
