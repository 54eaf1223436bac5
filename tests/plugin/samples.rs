//! The sample configuration in each plugin's folder starts a proxy that does what its first lines promise,
//! and the example plugin loads from each way to build it.

use std::path::PathBuf;

use crate::harness::{Proxy, get, repository, skipped, with_header};

use super::support::{echo_route, echoed, start_with, target, uncached};

/// A plugin's sample, with its ports and its folder replaced.
async fn sample(plugin: &str) -> Proxy {
    let file = repository()
        .join("plugins")
        .join(plugin)
        .join("tidegate.toml");
    let config = std::fs::read_to_string(file).unwrap();
    let bundled = repository().join("config/plugins");
    let config = config.replace("127.0.0.1:8080", "127.0.0.1:0").replace(
        "\"../../config/plugins\"",
        &format!("{bundled:?}\ncache = \"off\"\ndeadline = \"2s\""),
    );
    Proxy::start(&config).await
}

#[tokio::test]
async fn every_plugin_has_a_sample_that_starts() {
    let folders = std::fs::read_dir(repository().join("plugins")).unwrap();
    let mut started = 0;
    for folder in folders
        .flatten()
        .filter(|folder| folder.path().join("Cargo.toml").exists())
    {
        let proxy = sample(folder.file_name().to_str().unwrap()).await;
        assert!(proxy.get("/").await.status < 500);
        started += 1;
    }
    assert!(started >= 4, "{started} plugins");
}

#[tokio::test]
async fn headers() {
    let proxy = sample("headers").await;
    let response = proxy
        .send(with_header(get("/"), "x-internal-user", "root"))
        .await;
    let seen = response.json();
    assert_eq!(echoed(&seen, "x-internal-user"), None);
    assert_eq!(echoed(&seen, "x-from").as_deref(), Some("127.0.0.1 on all"));
    assert_eq!(response.header("x-frame-options"), "DENY");
    assert_eq!(response.header("x-served"), "GET / 200");
}

#[tokio::test]
async fn api_key() {
    let proxy = sample("api-key").await;
    let alice = proxy
        .send(with_header(get("/"), "x-api-key", "alice"))
        .await;
    assert_eq!(alice.status, 200);
    assert_eq!(echoed(&alice.json(), "x-plan").as_deref(), Some("gold"));
    assert_eq!(echoed(&alice.json(), "x-api-key"), None);
    assert_eq!(proxy.get("/").await.status, 401);
    let bob = proxy.send(with_header(get("/"), "x-api-key", "bob")).await;
    assert_eq!(bob.status, 401);
}

#[tokio::test]
async fn ip_access() {
    let proxy = sample("ip-access").await;
    assert_eq!(proxy.get("/").await.status, 200);
    let admin = proxy.get("/admin/").await;
    assert_eq!((admin.status, admin.text()), (404, "not found\n"));
}

#[tokio::test]
async fn rate_limit() {
    let proxy = sample("rate-limit").await;
    for _ in 0..5 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    assert_eq!(proxy.get("/").await.status, 429);
    assert_eq!(proxy.get("/elsewhere").await.status, 200);
}

/// What `make examples` has built of the example plugin.
fn builds() -> Vec<PathBuf> {
    let targets = std::fs::read_dir(target().join("examples"));
    targets
        .into_iter()
        .flatten()
        .flatten()
        .map(|target| target.path().join("release/hello_plugin.wasm"))
        .filter(|built| built.is_file())
        .collect()
}

#[tokio::test]
async fn the_example_plugin_answers_in_each_way_to_build_it() {
    if builds().is_empty() {
        let folder = target().join("examples");
        skipped(format_args!(
            "nothing is built in {folder:?} (`make examples`)"
        ));
    }
    for built in builds() {
        let bytes = std::fs::read(&built).unwrap();
        let plugins = r#"[{ use = "hello", config = { greeting = "hi" } }]"#;
        let config = echo_route("all", "/*", plugins);
        let proxy = start_with(&[("hello.wasm", bytes)], &uncached(&config)).await;
        let response = proxy.get("/").await;
        assert_eq!(response.status, 200, "{}", built.display());
        let hello = echoed(&response.json(), "x-hello");
        assert_eq!(hello.as_deref(), Some("hi"), "{}", built.display());
    }
}
