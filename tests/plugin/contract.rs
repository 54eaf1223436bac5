//! Components that are built for released versions of the contract (`tests/contract`, by `make released`)
//! still run, and do what their source says.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::harness::{Origin, Proxy, Request, get, repository, request, route_to, with_header};

use super::support::{start_with, target, uncached};

/// What the operator of a proxy adds to `[plugin.NAME]` for a plugin that uses all of 0.1.0.
const ALLOW: &str = r#"allow = ["log", "metrics", "clock", "attributes", "limiter"]"#;

/// The folders of the components for released versions.
fn versions() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(repository().join("tests/contract")).unwrap();
    folders
        .map(|folder| folder.unwrap())
        .filter(|folder| folder.path().join("wit").is_dir())
        .map(|folder| target().join("contract").join(folder.file_name()))
        .collect()
}

fn components(version: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(version);
    let files = files.unwrap_or_else(|error| {
        let folder = version.display();
        panic!("cannot read {folder}: {error} (`make released` builds it)")
    });
    files
        .map(|file| file.unwrap().path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect()
}

#[tokio::test]
async fn components_for_released_versions_work() {
    assert!(!versions().is_empty());
    for version in versions() {
        let components = components(&version);
        assert!(!components.is_empty(), "{}", version.display());
        for file in components {
            // Shown when one of them fails.
            eprintln!("{}", file.display());
            let bytes = std::fs::read(&file).unwrap();
            match file.file_stem().and_then(|name| name.to_str()).unwrap() {
                "every-function" | "every-function-wasi" => every_function(bytes).await,
                other => panic!("nothing here says what `{other}` does"),
            }
        }
    }
}

/// `tests/contract/0.1.0/src/lib.rs`.
async fn every_function(component: Vec<u8>) {
    let origin = Origin::answering(|_| {
        http::Response::builder()
            .header("x-in", "3")
            .header("x-in", "4")
            .header("x-unwanted", "1")
            .header("x-unedited", "1")
            .body(Bytes::from_static(b"origin").into())
            .unwrap()
    })
    .await;
    let config = every_config(&origin, "every");
    let proxy = start_with(&[("every-function.wasm", component)], &config).await;

    both_heads_are_read_and_edited(&proxy, &origin).await;
    what_it_logs_and_counts_is_there(&proxy).await;
    its_actions_are_followed(&proxy, &origin).await;
    its_interest_is_respected(&proxy).await;

    let nameless = uncached(&every_config(&origin, ""));
    let error = proxy.reload_refused(&nameless).await;
    assert!(error.contains("is empty, expected a name"), "{error}");
}

fn every_config(origin: &Origin, name: &str) -> String {
    let plugins =
        format!(r#"plugins = [{{ use = "every-function", config = {{ name = {name:?} }} }}]"#);
    let route = format!("name = \"all\"\n{plugins}");
    route_to(origin).replace("name = \"all\"", &route) + &granted("every-function")
}

fn granted(plugin: &str) -> String {
    format!("\n[plugin.{plugin}]\n{ALLOW}\n")
}

/// A request in which the plugin is interested.
fn every(query: &str) -> Request {
    let path = format!("/every/one{query}");
    let request = with_header(get(&path), "x-in", "1");
    let request = with_header(request, "x-in", "2");
    let request = with_header(request, "x-unwanted", "1");
    with_header(request, "x-unedited", "1")
}

async fn both_heads_are_read_and_edited(proxy: &Proxy, origin: &Origin) {
    let response = proxy.send(every("?a=b")).await;
    let seen = origin.seen().pop().unwrap();
    let refused = "wrong-phase invalid-name invalid-value invalid-argument forbidden limit-reached";
    let taken = "true 1 false true; true 1 false true; true 0 false true; false 0 false false";
    let expected = [
        ("x-head", "GET http test.example /every/one a=b"),
        ("x-fields", "2 1"),
        ("x-joined", "1, 2"),
        ("x-appended", "1|2"),
        ("x-edited", "a|b"),
        ("x-unwanted", ""),
        ("x-unedited", ""),
        ("x-refused", refused),
        ("x-attributes", r"every -7 true \xff"),
        ("x-limiter", taken),
        ("x-clock", "true true"),
        ("x-log", "false false true true true"),
    ];
    for (name, value) in expected {
        assert_eq!(all(&seen.headers, name), value, "{name} of the request");
    }

    assert_eq!((response.status, response.text()), (203, "origin"));
    let expected = [
        ("x-head", "200 2 1 -7"),
        ("x-joined", "3, 4"),
        ("x-appended", "1|2"),
        ("x-edited", "a|b"),
        ("x-unwanted", ""),
        ("x-unedited", ""),
    ];
    for (name, value) in expected {
        assert_eq!(
            all(&response.headers, name),
            value,
            "{name} of the response"
        );
    }
}

/// All values of a field.
fn all(headers: &http::HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter();
    let values: Vec<&str> = values.map(|value| value.to_str().unwrap()).collect();
    values.join("|")
}

async fn what_it_logs_and_counts_is_there(proxy: &Proxy) {
    proxy
        .log_line("the plugin's line", |line| {
            line.says("every saw /every/one")
        })
        .await;
    let prefix = "tidegate_plugin_every_function";
    for (series, value) in [
        ("requests_total{kind=\"every\"}", 2.0),
        ("level", 1.5),
        ("wait_seconds_sum", 0.25),
    ] {
        assert_eq!(
            proxy.metric(&format!("{prefix}_{series}")).await,
            value,
            "{series}"
        );
    }
}

async fn its_actions_are_followed(proxy: &Proxy, origin: &Origin) {
    let before = origin.seen().len();
    assert_eq!(proxy.send(every("?fail")).await.status, 503);
    let reply = proxy.send(every("?respond")).await;
    assert_eq!((reply.status, reply.text()), (418, "a reply\n"));
    assert_eq!(reply.header("x-name"), "every");
    assert_eq!(origin.seen().len(), before);

    let instead = proxy.send(every("?replace")).await;
    assert_eq!((instead.status, instead.text()), (418, "a reply\n"));
    assert_eq!(origin.seen().len(), before + 1);
}

async fn its_interest_is_respected(proxy: &Proxy) {
    let other_method = with_header(request("PUT", "/every/one", ""), "x-in", "1");
    let other_path = with_header(get("/other"), "x-in", "1");
    for request in [other_method, other_path, get("/every/one")] {
        let response = proxy.send(request).await;
        assert_eq!((response.status, response.header("x-head")), (200, ""));
    }
}
