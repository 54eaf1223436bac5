//! A file that cannot take over changes nothing, says why wherever an operator looks, and is forgotten as
//! soon as a good one comes.

use crate::harness::{Exit, Proxy, tidegate, until};

use super::support::{echo_route, guest, install, listed, no_problem, problem, stamp, start_with};

/// Its configuration is one that other plugins do not accept.
const USE: &str = r#"[{ use = "p", config = { refuse = ["limit"], limit = 1, spin = true } }]"#;

async fn proxy_with_version(version: usize) -> Proxy {
    let config = echo_route("all", "/*", USE);
    start_with(&[("p.wasm", stamp(version))], &config).await
}

async fn serves(proxy: &Proxy, version: usize) {
    let response = proxy.get("/").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("x-version"), format!("{version:08}"));
}

async fn comes_to_serve(proxy: &Proxy, version: usize) {
    let wanted = format!("{version:08}");
    until(&format!("version {wanted}"), async || {
        (proxy.get("/").await.header("x-version") == wanted).then_some(())
    })
    .await;
}

fn plugin_list(proxy: &Proxy) -> Exit {
    tidegate(&["plugin", "list", "--admin", proxy.admin_address()])
}

/// Bad files, and what is said of them.
fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = stamp(9);
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    vec![
        ("truncated", good[..middle].to_vec(), "is not valid"),
        (
            "cut in its header",
            good[..5].to_vec(),
            "cut short (5 bytes)",
        ),
        ("empty", Vec::new(), "cut short (0 bytes)"),
        ("damaged", damaged, "is not valid"),
        ("text", b"not a plugin at all\n".to_vec(), "not WebAssembly"),
        (
            "core module",
            b"\0asm\x01\0\0\0".to_vec(),
            "core WebAssembly module",
        ),
        (
            "empty component",
            b"\0asm\x0d\0\x01\0".to_vec(),
            "another world",
        ),
        ("command", guest("wrong-world"), "another world"),
        (
            "refuses its configuration",
            guest("bad-configure"),
            "`limit` is refused",
        ),
        (
            "configuration never ends",
            guest("slow-configure"),
            "deadline",
        ),
    ]
}

#[tokio::test]
async fn each_bad_file_is_refused_and_a_good_one_heals() {
    let proxy = proxy_with_version(0).await;
    for (round, (what, bytes, reason)) in bad_files().into_iter().enumerate() {
        install(&proxy, "p.wasm", &bytes);
        let said = problem(&proxy, "p").await;
        assert!(said.contains(reason), "{what}: {said}");
        serves(&proxy, round).await;

        let plugin = listed(&proxy, "p").await.unwrap();
        assert_eq!(plugin["state"], "live", "{what}: the old version is");
        assert_eq!(
            proxy.metric(r#"tidegate_plugin_refused{plugin="p"}"#).await,
            1.0
        );
        let line = proxy
            .log_line("the refusal", |line| {
                line.text.contains("plugin file refused")
            })
            .await;
        assert_eq!(line.field("plugin").as_deref(), Some("p"));
        assert!(line.text.contains("p.wasm") || line.text.contains("tidegate.toml:"));
        let list = plugin_list(&proxy);
        assert!(list.status.success());
        assert!(list.stdout.contains(reason), "{what}: {}", list.stdout);

        install(&proxy, "p.wasm", &stamp(round + 1));
        comes_to_serve(&proxy, round + 1).await;
        no_problem(&proxy, "p").await;
        assert_eq!(
            proxy.metric(r#"tidegate_plugin_refused{plugin="p"}"#).await,
            0.0
        );
    }
    let refused = r#"tidegate_plugin_swaps_total{plugin="p",result="refused"}"#;
    assert_eq!(proxy.metric(refused).await, bad_files().len() as f64);
}

#[tokio::test]
async fn a_refused_configuration_has_a_place_in_the_file() {
    let proxy = proxy_with_version(1).await;
    install(&proxy, "p.wasm", &guest("bad-configure"));
    let said = problem(&proxy, "p").await;
    let file = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
    let (line, text) = (1..)
        .zip(file.lines())
        .find(|(_, text)| text.contains("limit = 1"))
        .unwrap();
    let column = text.find("limit = 1").unwrap() + 1;
    let place = format!("tidegate.toml:{line}:{column}:");
    assert!(said.contains(&place), "{place} in {said}");
}

#[tokio::test]
async fn a_file_that_is_not_the_pinned_one_is_refused() {
    let config = echo_route("all", "/*", "[\"p\"]");
    let first = start_with(&[("p.wasm", stamp(1))], &config).await;
    let plugin = listed(&first, "p").await.unwrap();
    let digest = plugin["sha256"].as_str().unwrap();
    let pinned = format!("{config}\n[plugin.p]\nsha256 = {digest:?}\n");
    let proxy = start_with(&[("p.wasm", stamp(1))], &pinned).await;
    serves(&proxy, 1).await;
    install(&proxy, "p.wasm", &stamp(2));
    let said = problem(&proxy, "p").await;
    assert!(said.contains("the configuration pins"), "{said}");
    assert!(said.contains(digest), "{said}");
    serves(&proxy, 1).await;
    install(&proxy, "p.wasm", &stamp(1));
    no_problem(&proxy, "p").await;
    serves(&proxy, 1).await;
}

#[tokio::test]
async fn a_bad_file_at_the_start_is_an_error_with_a_place() {
    for (what, bytes, reason) in bad_files() {
        let folder = super::support::folder(&[("p.wasm", bytes)]);
        let file = folder.path().join("tidegate.toml");
        let config = "[plugins]\nallow = [\"log\", \"metrics\", \"clock\", \"random\", \"attributes\", \"limiter\", \"crypto\"]\ncache = \"off\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n"
            .to_owned()
            + &echo_route("all", "/*", USE);
        std::fs::write(&file, config).unwrap();
        for verb in ["check", "run"] {
            let exit = tidegate(&[verb, "--config", file.to_str().unwrap()]);
            assert_eq!(exit.status.code(), Some(1), "{what}");
            assert!(exit.stderr.contains(reason), "{what}: {}", exit.stderr);
            assert!(
                exit.stderr.contains("tidegate.toml:10:"),
                "{what}: {}",
                exit.stderr
            );
        }
    }
}

#[tokio::test]
async fn a_refused_file_does_not_stop_a_reload() {
    let proxy = proxy_with_version(1).await;
    install(&proxy, "p.wasm", b"nonsense");
    problem(&proxy, "p").await;
    let file = proxy.folder().join("tidegate.toml");
    let config = std::fs::read_to_string(file).unwrap();
    proxy.reload(&format!("{config}\n# another line\n")).await;
    serves(&proxy, 1).await;
    let said = problem(&proxy, "p").await;
    assert!(said.contains("not WebAssembly"), "{said}");
}
