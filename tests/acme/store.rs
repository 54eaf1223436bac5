//! Stores that are damaged, cannot be written, or are encrypted with another key.

use std::fs;
use std::path::PathBuf;

use super::Edge;
use crate::harness::{Line, Proxy, tidegate, until};

const NAMES: &str = "certificates = [[\"a.example.org\"]]";

fn encrypted(edge: &Edge, key: &str) -> String {
    fs::write(key_file(edge), key).unwrap();
    let file = key_file(edge);
    let file = file.display();
    let keys = format!("{NAMES}\nencryption = {{ secret = \"store\" }}");
    edge.configuration(&format!("{keys}\n[secret.store]\nfile = \"{file}\"\n"))
}

fn key_file(edge: &Edge) -> PathBuf {
    edge.folder.path().join("key")
}

fn kept(edge: &Edge, name: &str) -> PathBuf {
    edge.store().join("ca").join(name)
}

async fn is_kept(edge: &Edge) {
    until("the certificate to be kept", async || {
        kept(edge, "a.example.org.pem").is_file().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_certificate_serves_while_the_store_cannot_be_written_and_is_kept_later() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    // Renewed, but not again and again.
    let proxy = edge.proxy(&format!("renew_after = \"4s\"\n{NAMES}")).await;
    let first = edge.is_trusted("a.example.org").await;
    is_kept(&edge).await;
    // Not even root can replace a folder by a file.
    let in_the_way =
        ["a.example.org.pem.tmp", "a.example.org.json.tmp"].map(|name| kept(&edge, name));
    for folder in &in_the_way {
        // A file may be on its way just now.
        until("a folder in the way", async || fs::create_dir(folder).ok()).await;
    }
    let root = edge.root();
    let second = until("another certificate", async || {
        let seen = edge.seen("a.example.org", &root).await;
        seen.filter(|seen| *seen != first)
    })
    .await;
    let loud = proxy
        .log_line("a loud error", |line| {
            line.text.contains("THE NEW CERTIFICATE IS NOT KEPT")
        })
        .await;
    let error = loud.field("error").unwrap();
    let place = kept(&edge, "a.example.org.pem").display().to_string();
    assert!(error.contains(&format!("cannot write {place}")), "{error}");
    let unkept = r#"tidegate_acme_unkept{name="a.example.org"}"#;
    proxy.metric_becomes(unkept, 1.0).await;
    for folder in &in_the_way {
        fs::remove_dir(folder).unwrap();
    }
    until("a certificate of after the first to be kept", async || {
        let pem = fs::read_to_string(kept(&edge, "a.example.org.pem")).ok()?;
        (!pem.contains(&first)).then_some(())
    })
    .await;
    proxy.metric_becomes(unkept, 0.0).await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn damaged_files_are_set_aside_and_got_anew() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let proxy = edge.proxy(NAMES).await;
    edge.is_trusted("a.example.org").await;
    is_kept(&edge).await;
    drop(proxy);
    let mut damaged: Vec<String> = Vec::new();
    for file in fs::read_dir(edge.store().join("ca")).unwrap() {
        let path = file.unwrap().path();
        // It was killed: a file may have been on its way.
        if path.extension().is_some_and(|end| end == "tmp") {
            continue;
        }
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        damaged.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    assert_eq!(damaged.len(), 3, "{damaged:?}");
    let proxy = edge.proxy(NAMES).await;
    edge.is_trusted("a.example.org").await;
    for name in damaged.iter().filter(|name| *name != "a.example.org.json") {
        assert!(kept(&edge, &format!("{name}.damaged")).is_file(), "{name}");
    }
    let written = proxy.written();
    for said in [
        "the certificate in the store is damaged",
        "the account in the store is damaged",
        "the file is damaged; what it held is forgotten",
    ] {
        assert!(written.contains(said), "{said}");
    }
}

#[tokio::test]
async fn a_store_of_another_key_stops_a_start_a_reload_and_a_check() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let configuration = encrypted(&edge, "0123456789abcdef");
    let proxy = Proxy::start(&configuration).await;
    let good = edge.is_trusted("a.example.org").await;
    is_kept(&edge).await;
    let file = edge.folder.path().join("check.toml");
    let file = file.display().to_string();
    fs::write(&file, &configuration).unwrap();
    assert!(tidegate(&["check", "--config", &file]).status.success());

    let another = encrypted(&edge, "another key, which is long enough");
    fs::write(&file, &another).unwrap();
    let opened = |said: &str| {
        let place = kept(&edge, "a").display().to_string();
        said.contains(&place)
            && said.contains("encrypted with another key")
            && said.contains("[acme.ca]")
    };
    let checked = tidegate(&["check", "--config", &file]);
    assert!(
        !checked.status.success() && opened(&checked.stderr),
        "{}",
        checked.stderr
    );
    let refused = proxy.reload_refused(&format!("{another}\n")).await;
    assert!(refused.contains("encrypted with another key"), "{refused}");
    let root = edge.root();
    assert_eq!(edge.seen("a.example.org", &root).await, Some(good));
    drop(proxy);
    let started = tidegate(&["run", "--config", &file]);
    assert!(
        !started.status.success() && opened(&started.stderr),
        "{}",
        started.stderr
    );

    fs::write(&file, edge.configuration(NAMES)).unwrap();
    let without = tidegate(&["check", "--config", &file]);
    assert!(
        without
            .stderr
            .contains("it is encrypted, and there is no key"),
        "{}",
        without.stderr
    );
}

/// What is encrypted cannot be read with another key, so the old one stays, and that is said.
#[tokio::test]
async fn a_key_that_changes_in_its_file_is_not_taken_over_while_files_need_the_old_one() {
    const KEY: &str = "0123456789abcdef";
    let Some(edge) = Edge::new().await else {
        return;
    };
    let proxy = Proxy::start(&encrypted(&edge, KEY)).await;
    let good = edge.is_trusted("a.example.org").await;
    is_kept(&edge).await;
    fs::write(key_file(&edge), "another key, which is long enough").unwrap();
    let said = "the keys of authorities are not taken over";
    let line = proxy.log_line(said, |line| line.text.contains(said)).await;
    let error = line.field("error").unwrap();
    assert!(error.contains("the key in `encryption` changed"), "{error}");
    assert!(
        error.contains(&edge.store().display().to_string()),
        "{error}"
    );
    proxy.signal("-HUP");
    let refused = |line: &Line| line.says("reload failed") && line.text.contains("`encryption`");
    proxy.log_line("a reload that is refused", refused).await;
    let root = edge.root();
    assert_eq!(edge.seen("a.example.org", &root).await, Some(good.clone()));

    fs::write(key_file(&edge), KEY).unwrap();
    proxy.signal("-HUP");
    proxy.has_logged("reloaded", 1).await;
    assert_eq!(edge.seen("a.example.org", &root).await, Some(good));
}

#[tokio::test]
async fn a_check_makes_no_store_and_says_where_none_can_be_made() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let file = edge.folder.path().join("check.toml");
    let file = file.display().to_string();
    fs::write(&file, edge.configuration(NAMES)).unwrap();
    let checked = tidegate(&["check", "--config", &file]);
    assert!(checked.status.success(), "{}", checked.stderr);
    assert!(!edge.store().exists());
    fs::write(edge.store(), "a file in its place").unwrap();
    let checked = tidegate(&["check", "--config", &file]);
    let place = edge.store().display().to_string();
    assert!(
        !checked.status.success() && checked.stderr.contains(&place),
        "{}",
        checked.stderr
    );
}
