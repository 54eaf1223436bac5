//! Secrets: where they come from, that they can be rotated, and that they are written nowhere.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Line, Proxy, tidegate, until};

use super::calls::{call, is, refused};
use super::support::{echo_route, folder, guest};

/// A section for each source. They are named as the files in the folder.
fn config(folder: &Path) -> String {
    let command = folder.join("command");
    format!(
        "
[log]
level = \"trace\"
format = \"json\"

[plugins]
cache = \"off\"
deadline = \"2s\"

[plugin.vault]
allow = {{ secrets = [\"file\", \"env\", \"command\"], crypto = true }}

[secret.file]
file = \"file\"
refresh = \"1s\"

[secret.env]
env = \"A_TOKEN\"

[secret.command]
command = [\"cat\", {command:?}]
refresh = \"1s\"

[secret.ungranted]
file = \"file\"
{}",
        echo_route("all", "/*", "[\"vault\"]")
    )
}

const FILE: &str = "hunter2-of-the-file";
const ENV: &str = "hunter2-of-the-environment";
const COMMAND: &str = "hunter2-of-the-command";

fn secrets() -> TempDir {
    let folder = folder(&[("vault.wasm", guest("vault"))]);
    write(folder.path(), "file", FILE);
    write(folder.path(), "command", COMMAND);
    folder
}

/// With a newline, as editors do; by a rename, so that nobody reads half of it.
fn write(folder: &Path, name: &str, value: &str) {
    let new = folder.join(format!(".{name}.new"));
    std::fs::write(&new, format!("{value}\n")).unwrap();
    std::fs::rename(new, folder.join(name)).unwrap();
}

async fn start() -> Proxy {
    start_with(|config| config).await
}

async fn start_with(change: impl FnOnce(String) -> String) -> Proxy {
    let folder = secrets();
    let config = change(config(folder.path()));
    Proxy::start_with_environment(folder, &config, &[("A_TOKEN", ENV)]).await
}

async fn reveal(proxy: &Proxy, name: &str) -> Result<String, String> {
    call(proxy, &json!({ "reveal": name })).await
}

#[tokio::test]
async fn a_secret_comes_from_a_file_the_environment_or_a_command() {
    let proxy = start().await;
    for (name, value) in [("file", FILE), ("env", ENV), ("command", COMMAND)] {
        assert_eq!(reveal(&proxy, name).await, is(value));
        let guess = |value: &str| json!({ "guess": { "secret": name, "value": value } });
        assert_eq!(call(&proxy, &guess(value)).await, is("true"));
        assert_eq!(call(&proxy, &guess("hunter3")).await, is("false"));
        let code = |key| json!({ "hmac": { "hash": "sha256", "key": key, "data": "d" } });
        let with_secret = call(&proxy, &code(json!({ "secret": name })))
            .await
            .unwrap();
        let with_bytes = call(&proxy, &code(json!({ "bytes": value })))
            .await
            .unwrap();
        assert_eq!(with_secret, with_bytes);
    }
    assert_eq!(reveal(&proxy, "ungranted").await, refused("forbidden"));
    assert_eq!(reveal(&proxy, "nonexistent").await, refused("forbidden"));
}

#[tokio::test]
async fn a_rotated_secret_is_seen_without_a_restart() {
    let proxy = start().await;
    for name in ["file", "command"] {
        assert!(reveal(&proxy, name).await.unwrap().starts_with("hunter2"));
        write(proxy.folder(), name, "hunter3");
        until("the new value", async || {
            (reveal(&proxy, name).await == is("hunter3")).then_some(())
        })
        .await;
        let guess = json!({ "guess": { "secret": name, "value": "hunter3" } });
        assert_eq!(call(&proxy, &guess).await, is("true"));
    }
}

/// `refresh` is for what nobody notices: files are watched, and a reload reads all again.
#[tokio::test]
async fn a_file_that_changes_and_a_reload_do_not_wait_for_refresh() {
    let proxy = start_with(|config| config.replace("\"1s\"", "\"1d\"")).await;
    let becomes = async |name: &str, value: &str| {
        until("the new value", async || {
            (reveal(&proxy, name).await == is(value)).then_some(())
        })
        .await;
    };
    write(proxy.folder(), "command", "hunter3");
    write(proxy.folder(), "file", "hunter3");
    becomes("file", "hunter3").await;
    // Nobody knows on what a command depends.
    assert_eq!(reveal(&proxy, "command").await, is(COMMAND));
    proxy.signal("-HUP");
    proxy.has_logged("reloaded", 1).await;
    assert_eq!(reveal(&proxy, "command").await, is("hunter3"));

    write(proxy.folder(), "command", "hunter4");
    // In the place of a file that is watched, by a name that leads elsewhere.
    std::os::unix::fs::symlink("command", proxy.folder().join(".link")).unwrap();
    std::fs::rename(proxy.folder().join(".link"), proxy.folder().join("file")).unwrap();
    becomes("file", "hunter4").await;
    // The file is written in place, and emptied first.
    std::fs::write(proxy.folder().join("command"), "hunter5").unwrap();
    becomes("file", "hunter5").await;
    assert_eq!(reveal(&proxy, "command").await, is("hunter3"));
    let config = config(proxy.folder()).replace("\"1s\"", "\"1d\"");
    proxy.reload(&format!("{config}\n# changed\n")).await;
    assert_eq!(reveal(&proxy, "command").await, is("hunter5"));
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_again_keeps_its_value() {
    let proxy = start().await;
    std::fs::remove_file(proxy.folder().join("file")).unwrap();
    let message = "the secret keeps its last value";
    let of_it = |line: &Line| line.field("secret").as_deref() == Some("file");
    let fits = |line: &Line| line.says(message) && of_it(line);
    proxy.log_line(message, fits).await;
    assert_eq!(reveal(&proxy, "file").await, is(FILE));
    write(proxy.folder(), "file", "hunter3");
    until("the new value", async || {
        (reveal(&proxy, "file").await == is("hunter3")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn secrets_are_written_nowhere() {
    let proxy = start().await;
    let mut said = String::new();
    for name in ["file", "env", "command"] {
        reveal(&proxy, name).await.unwrap();
        let key = json!({ "secret": name });
        let hmac = json!({ "hmac": { "hash": "sha256", "key": key, "data": "d" } });
        call(&proxy, &hmac).await.unwrap();
        // Too short a key, and not a set of keys: the error must not quote it.
        let jws = json!({ "jws": { "token": "a.b.c", "keys": { "shared": key }, "algorithms": ["HS256"] } });
        assert!(call(&proxy, &jws).await.is_err());
    }
    write(proxy.folder(), "file", "hunter2-rotated");
    proxy.has_logged("secret changed", 1).await;
    // A value that is refused.
    write(proxy.folder(), "command", &"hunter2".repeat(10_000));
    proxy.has_logged("the secret keeps its last value", 1).await;
    let bad = config(proxy.folder())
        + "\n[redis.main]\naddress = \"127.0.0.1:1\"\npassword = \"hunter2\"\n";
    said += &proxy.reload_refused(&bad).await;
    for path in ["/metrics", "/plugins", "/healthz", "/readyz", "/nothing"] {
        said += proxy.admin(path).await.text();
    }
    proxy.access_line("/").await;
    said += &proxy.written();
    for line in said.lines() {
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[tokio::test]
async fn a_start_without_a_secret_says_which_and_where() {
    for (name, source, damage) in [
        ("file", "file = \"file\"", "file = \"missing\""),
        ("env", "env = \"A_TOKEN\"", "env = \"NO_SUCH_TOKEN\""),
        (
            "command",
            "command = [\"cat\"",
            "command = [\"false\", \"cat\"",
        ),
        (
            "command",
            "command = [\"cat\"",
            "command = [\"/nonexistent/program\"",
        ),
    ] {
        let folder = secrets();
        let config = config(folder.path())
            .replace("env = \"A_TOKEN\"", "env = \"PATH\"")
            .replacen(&source.replace("A_TOKEN", "PATH"), damage, 1)
            + "\n[admin]\naddress = \"off\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
        let file = folder.path().join("tidegate.toml");
        std::fs::write(&file, &config).unwrap();
        let mut lines = (1..).zip(config.lines());
        let (line, _) = lines.find(|(_, line)| line.starts_with(damage)).unwrap();
        for verb in ["check", "run"] {
            let exit = tidegate(&[verb, "--config", file.to_str().unwrap()]);
            let said = exit.stderr;
            assert_eq!(exit.status.code(), Some(1), "{verb} {damage}: {said}");
            let place = format!("tidegate.toml:{line}:");
            assert!(said.contains(&place), "{place} in {said}");
            assert!(said.contains(&format!("secret `{name}`")), "{said}");
        }
    }
}
