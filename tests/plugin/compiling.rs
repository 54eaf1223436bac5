//! Components are compiled beside the proxy: what that needs does not stay, and what goes wrong is told.

use std::fs;
use std::path::Path;

use crate::harness::{Proxy, TWO_THREADS, repository, tidegate, until};

use super::support::{echo_route, folder, install, listed, problem, stamp, start, uncached};

const BUNDLED: [&str; 13] = [
    "api-key",
    "basic-auth",
    "body-rewrite",
    "canary",
    "cors",
    "ext-auth",
    "headers",
    "ip-access",
    "jwt",
    "rate-limit",
    "request-limits",
    "rewrite",
    "security-headers",
];

/// The processes that this one has started and not taken note of the end of.
fn children(of: u32) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats =
        processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    stats
        .filter(|stat| {
            // After the name in brackets come the state and the parent (proc_pid_stat(5)).
            let (_, fields) = stat.rsplit_once(") ").unwrap();
            fields.split(' ').nth(1) == Some(&of.to_string())
        })
        .collect()
}

async fn has_loaded(proxy: &Proxy, plugin: &str) {
    until(&format!("{plugin} to be loaded"), async || {
        listed(proxy, plugin).await
    })
    .await;
}

#[tokio::test]
async fn what_compiling_needs_does_not_stay() {
    let bundled = |name: &&str| {
        let file = format!("{name}.wasm");
        let bytes = fs::read(repository().join("config/plugins").join(&file)).unwrap();
        (file, bytes)
    };
    let files: Vec<_> = BUNDLED.iter().map(bundled).collect();
    let files: Vec<_> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    let config = uncached(&echo_route("all", "/*", "[]")) + TWO_THREADS;
    let proxy = Proxy::start_in(folder(&files), &config).await;
    for plugin in BUNDLED {
        has_loaded(&proxy, plugin).await;
    }
    // Code, what is known of it, and the proxy itself; compiling in the proxy leaves four times that.
    let anonymous = proxy.resident_bytes() >> 20;
    assert!(anonymous < 48, "{anonymous} MiB");
    assert_eq!(children(proxy.pid()), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_wrong_with_a_component_is_told_as_if_it_was_compiled_here() {
    let route = echo_route("all", "/*", "[\"stamp\"]");
    let proxy = start(&["stamp"], &route).await;
    let good = stamp(1);
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    for bad in [&good[..middle], &damaged] {
        install(&proxy, "stamp.wasm", bad);
        let file = proxy.folder().join("plugins/stamp.wasm");
        let reason = inspected(&file);
        assert!(reason.contains("the component is not valid: "), "{reason}");
        until("the same reason in the proxy", async || {
            let told = problem(&proxy, "stamp").await;
            told.split_whitespace()
                .eq(reason.split_whitespace())
                .then_some(())
        })
        .await;
        assert_eq!(proxy.get("/").await.status, 200);
    }
    assert_eq!(children(proxy.pid()), Vec::<String>::new());
}

/// What `plugin inspect` says, which compiles in its own process, on one line.
fn inspected(file: &Path) -> String {
    let said = tidegate(&["plugin", "inspect", file.to_str().unwrap()]);
    assert!(!said.status.success());
    said.stderr.trim_start_matches("error: ").trim().to_owned()
}
