//! What a plugin may use: what was not allowed keeps it from being loaded, and names that were not
//! allowed are refused when they are used.

use serde_json::json;

use crate::harness::{Exit, Origin, get, tidegate, until, with_header};

use super::calls::call;
use super::support::{
    echo_route, folder, guest, install, listed, no_problem, problem, stamp, start_with,
};

/// `allow` with all that the guest `all` imports, one to each line.
pub const EVERYTHING: &str = r#"log = true
metrics = true
clock = true
random = true
attributes = true
limiter = true
crypto = true
kv = ["s"]
secrets = ["t"]
http = ["https://issuer.example"]"#;

/// The sections that grants name, and a route through `all`.
const REST: &str = r#"
[kv.s]
[kv.other]
[secret.t]
command = ["echo", "a-value"]
[secret.other]
command = ["echo", "a-value"]
"#;

/// A proxy's configuration with this `allow` of the plugin `all`.
pub fn config(allow: &str) -> String {
    let allow = allow.replace('\n', ", ");
    format!("[plugins]\ncache = \"off\"\ndeadline = \"2s\"\n[plugin.all]\nallow = {{ {allow} }}\n")
        + REST
        + &echo_route("all", "/*", "[\"all\"]")
}

fn all() -> [(&'static str, Vec<u8>); 1] {
    [("all.wasm", guest("all"))]
}

/// `tidegate check` and `tidegate run`, which must both refuse this.
fn refusals(config: &str) -> [Exit; 2] {
    let folder = folder(&all());
    let file = folder.path().join("tidegate.toml");
    let listener = "[admin]\naddress = \"off\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
    std::fs::write(&file, format!("{config}{listener}")).unwrap();
    ["check", "run"].map(|verb| {
        let exit = tidegate(&[verb, "--config", file.to_str().unwrap()]);
        assert_eq!(exit.status.code(), Some(1), "{verb}: {exit:?}");
        exit
    })
}

/// That `tidegate check` accepts this.
fn accepted(config: &str) {
    let folder = folder(&all());
    let file = folder.path().join("tidegate.toml");
    std::fs::write(
        &file,
        format!("{config}\n[[listener]]\naddress = \"127.0.0.1:0\"\n"),
    )
    .unwrap();
    let exit = tidegate(&["check", "--config", file.to_str().unwrap()]);
    assert!(exit.status.success(), "{}", exit.stderr);
}

/// Where this text is in the configuration, as messages have it.
fn place(config: &str, text: &str) -> String {
    let mut lines = (1..).zip(config.lines());
    let found = lines.find_map(|(line, written)| Some((line, written.find(text)? + 1)));
    let (line, column) = found.unwrap();
    format!("tidegate.toml:{line}:{column}:")
}

#[tokio::test]
async fn each_capability_has_to_be_allowed() {
    for missing in EVERYTHING.lines() {
        let rest: Vec<&str> = EVERYTHING.lines().filter(|line| *line != missing).collect();
        let config = config(&rest.join("\n"));
        let (word, _) = missing.split_once(" = ").unwrap();
        let advice = match word {
            "kv" | "secrets" => format!("{word} = [\"NAME\"]"),
            "http" => "http = [\"https://HOST\"]".to_owned(),
            _ => format!("{word} = true"),
        };
        for exit in refusals(&config) {
            let said = exit.stderr;
            assert!(said.contains(&place(&config, "{ ")), "{word}: {said}");
            assert!(said.contains(&format!("imports `{word}`")), "{said}");
            assert!(said.contains(&advice), "{advice} in {said}");
            assert!(said.contains("[plugin.all]"), "{said}");
        }
    }
}

#[tokio::test]
async fn without_allow_nothing_is_allowed_and_all_that_is_missing_is_said() {
    let config = "[plugins]\ncache = \"off\"\n".to_owned() + &echo_route("r", "/*", "[\"all\"]");
    for exit in refusals(&config) {
        let said = exit.stderr;
        assert!(said.contains(&place(&config, "\"all\"")), "{said}");
        // What it says to write can be written, once there are such names.
        let (_, advice) = said.split_once("write `").unwrap();
        let (advice, _) = advice.split_once('`').unwrap();
        let advice = advice
            .replace("kv = [\"NAME\"]", "kv = [\"s\"]")
            .replace("secrets = [\"NAME\"]", "secrets = [\"t\"]")
            .replace("HOST", "issuer.example");
        accepted(&format!("{config}\n[plugin.all]\n{advice}\n{REST}"));
    }
}

#[tokio::test]
async fn what_is_allowed_works() {
    let proxy = start_with(&all(), &config(EVERYTHING)).await;
    let response = proxy.get("/").await;
    assert_eq!(
        response.text(),
        "metrics clock random attributes limiter crypto"
    );
    let line = |text: &'static str| proxy.log_line(text, move |line| line.says(text));
    line("a line of the plugin").await;
    assert_eq!(proxy.metric("tidegate_plugin_all_calls_total").await, 1.0);
}

#[tokio::test]
async fn what_all_plugins_and_one_plugin_may_adds_up() {
    let (all_plugins, one_plugin) = EVERYTHING.split_at(EVERYTHING.find("random").unwrap());
    let common = format!("allow = {{ {} }}", all_plugins.trim().replace('\n', ", "));
    let own = config(one_plugin);
    let both = own.replace("[plugins]", &format!("[plugins]\n{common}"));
    let proxy = start_with(&all(), &both).await;
    let works = "metrics clock random attributes limiter crypto";
    assert_eq!(proxy.get("/").await.text(), works);
    // One half alone is not enough.
    for exit in refusals(&own) {
        assert!(exit.stderr.contains("imports `"), "{}", exit.stderr);
    }
}

#[tokio::test]
async fn false_takes_back_what_all_plugins_may() {
    for word in [
        "log",
        "metrics",
        "clock",
        "random",
        "attributes",
        "limiter",
        "crypto",
    ] {
        let plain = r#"["log", "metrics", "clock", "random", "attributes", "limiter", "crypto"]"#;
        let own = format!(
            "{word} = false\nkv = [\"s\"]\nsecrets = [\"t\"]\nhttp = [\"https://issuer.example\"]"
        );
        let config = config(&own).replace("[plugins]", &format!("[plugins]\nallow = {plain}"));
        for exit in refusals(&config) {
            let said = exit.stderr;
            assert!(
                said.contains(&format!("imports `{word}`")),
                "{word}: {said}"
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_needs_more_than_is_allowed_does_not_take_over() {
    let config = "[plugins]\ncache = \"off\"\ndeadline = \"2s\"\n".to_owned()
        + &echo_route("r", "/*", "[\"p\"]");
    let proxy = start_with(&[("p.wasm", stamp(1))], &config).await;
    let before = listed(&proxy, "p").await.unwrap();
    install(&proxy, "p.wasm", &guest("all"));
    let said = problem(&proxy, "p").await;
    assert!(said.contains("imports `"), "{said}");
    assert!(said.contains("tidegate.toml:"), "{said}");
    assert_eq!(proxy.get("/").await.header("x-version"), "00000001");
    let after = listed(&proxy, "p").await.unwrap();
    assert_eq!(before["version"], after["version"]);
    // The operator allows it: the file that waits takes over with the reload.
    let allow = EVERYTHING.replace('\n', ", ");
    proxy
        .reload(&format!(
            "{config}\n[plugin.p]\nallow = {{ {allow} }}\n{REST}"
        ))
        .await;
    no_problem(&proxy, "p").await;
    until("the new version answers", async || {
        let old = proxy.get("/").await.header("x-version") == "00000001";
        (!old).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_takes_back_what_is_used_changes_nothing() {
    let proxy = start_with(&all(), &config(EVERYTHING)).await;
    let less = config(&EVERYTHING.replace("clock = true", "clock = false"));
    let said = proxy.reload_refused(&less).await;
    assert!(said.contains("imports `clock`"), "{said}");
    assert!(proxy.get("/").await.text().contains("clock"));
}

#[tokio::test]
async fn names_that_were_not_allowed_are_forbidden() {
    let proxy = start_with(&all(), &config(EVERYTHING)).await;
    for (what, said) in [
        (json!({ "kv": "s" }), "ok"),
        (json!({ "kv": "other" }), "forbidden"),
        (json!({ "kv": "nonexistent" }), "forbidden"),
        (json!({ "secret": "t" }), "ok"),
        (json!({ "secret": "other" }), "forbidden"),
        (json!({ "secret": "nonexistent" }), "forbidden"),
        (json!({ "http": "https://elsewhere.example/" }), "forbidden"),
        (json!({ "http": "http://issuer.example/" }), "forbidden"),
        (
            json!({ "http": "https://issuer.example:8443/" }),
            "forbidden",
        ),
        (json!({ "http": "https://a.issuer.example/" }), "forbidden"),
    ] {
        assert_eq!(call(&proxy, &what).await.as_deref(), Ok(said), "{what}");
    }
}

#[tokio::test]
async fn an_empty_list_lets_a_plugin_in_and_gives_it_nothing() {
    let plain = EVERYTHING.lines().take(7).collect::<Vec<_>>().join("\n");
    let none = config(&format!("{plain}\nkv = []\nsecrets = []\nhttp = []"));
    let proxy = start_with(&all(), &none).await;
    for what in [
        json!({ "kv": "s" }),
        json!({ "secret": "t" }),
        json!({ "http": "https://issuer.example/" }),
    ] {
        let answer = call(&proxy, &what).await;
        assert_eq!(answer.as_deref(), Ok("forbidden"), "{what}");
    }
}

#[tokio::test]
async fn upstreams_beside_the_own_one_have_to_be_allowed() {
    let (own, granted, other) = (
        Origin::echo().await,
        Origin::echo().await,
        Origin::echo().await,
    );
    let upstreams = [("own", &own), ("granted", &granted), ("other", &other)];
    let sections = upstreams
        .map(|(name, origin)| format!("\n[upstream.{name}]\npeers = [{:?}]\n", origin.address()));
    let config = config(&format!("{EVERYTHING}\nupstreams = [\"granted\"]"))
        .replace("respond = { echo = true }", "upstream = \"own\"")
        + &sections.concat();
    let proxy = start_with(&all(), &config).await;
    for (group, said, asked) in [
        ("own", "chosen", &own),
        ("granted", "chosen", &granted),
        ("other", "forbidden", &own),
        // Which ones there are is nothing that a plugin finds out.
        ("nonexistent", "forbidden", &own),
    ] {
        let before = asked.seen().len();
        let response = proxy.send(with_header(get("/"), "x-group", group)).await;
        assert_eq!(response.status, 200, "{group}");
        let seen = asked.seen();
        assert_eq!(seen.len(), before + 1, "{group}");
        assert_eq!(seen[before].header("x-chosen"), said, "{group}");
    }
    assert_eq!(other.accepted(), 0);
}
