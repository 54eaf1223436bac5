//! What a request costs, in instructions: much the same on every machine, however busy it is, so that a change
//! that makes the way of a request longer is seen. How long they take is for `make bench` to say.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Origin, Proxy, binary, repository, route_to, tool};
use crate::plugin::support::{bundled, folder};

/// Requests before the count begins: buffers have their sizes, connections are open.
const WARM: usize = 100;
const COUNTED: u64 = 500;
/// For a start at a fiftieth of the usual speed, on a busy machine.
const START: Duration = Duration::from_secs(180);
/// Timers and the kernel's cuts of what is read move the figure by a fifth of this.
const TOLERANCE: f64 = 0.06;

/// With few instances: valgrind has less address space to give than a process has by itself.
const SETTINGS: &str = r#"
[server]
threads = 1
[log]
format = "json"
access = false
[plugins]
instances = 12
cache = "off"
deadline = "1s"
allow = ["attributes", "log", "metrics", "clock", "limiter"]
"#;

/// In the order of the chain; the first two need no calls, the others are called with the request.
const PLUGINS: [(&str, &str); 5] = [
    (
        "headers",
        r#"config = { request = [{ set = "x-a", value = "1" }], response = [{ set = "x-b", value = "1" }] }"#,
    ),
    (
        "headers",
        r#"config = { request = [{ set = "x-route", value = "${route}" }], response = [{ remove = "server" }] }"#,
    ),
    ("ip-access", r#"config = { allow = ["127.0.0.0/8"] }"#),
    ("rate-limit", r#"config = { rate = "1000000/s" }"#),
    ("security-headers", ""),
];

/// The first of them, with values that it has to look up: it is called with each head.
const CALLED: [(&str, &str); 1] = [(
    "headers",
    r#"config = { request = [{ set = "x-a", value = "${request.path}" }], response = [{ set = "x-b", value = "${request.path}" }] }"#,
)];

#[tokio::test]
async fn of_a_proxy_without_plugins() {
    stays_within_its_budget("plain", &[]).await;
}

#[tokio::test]
async fn with_one_plugin() {
    stays_within_its_budget("one", &PLUGINS[..1]).await;
}

#[tokio::test]
async fn with_one_plugin_that_is_called() {
    stays_within_its_budget("called", &CALLED).await;
}

#[tokio::test]
async fn with_five_plugins() {
    stays_within_its_budget("five", &PLUGINS).await;
}

/// The thousands of others that a route may stand behind cost its requests nothing.
#[tokio::test]
async fn with_ten_routes_and_ten_thousand() {
    let mut counts = Vec::new();
    for routes in [10, 10_000] {
        let origin = Origin::echo().await;
        let config = configuration_of_routes(&origin, routes);
        let Some(each) = instructions(folder_of(&[]), &config, &format!("/r{routes}/x")).await
        else {
            return;
        };
        counts.push(each as f64);
    }
    let off = counts[1] / counts[0] - 1.0;
    assert!(off.abs() < TOLERANCE, "{counts:?}: {:+.1} %", off * 100.0);
}

async fn stays_within_its_budget(name: &str, plugins: &[(&str, &str)]) {
    let origin = Origin::echo().await;
    let config = configuration(&origin, plugins);
    if let Some(each) = instructions(folder_of(plugins), &config, "/").await {
        compare(name, each);
    }
}

/// Of each request for this path.
async fn instructions(folder: TempDir, config: &str, path: &str) -> Option<u64> {
    let (valgrind, control) = (tool("valgrind")?, tool("callgrind_control")?);
    let counts = folder.path().join("counts");
    let mut command = Command::new(valgrind);
    command
        .args(["--tool=callgrind", "--instr-atstart=no"])
        .arg(joined("--callgrind-out-file=", &counts))
        .arg(joined("--log-file=", &folder.path().join("valgrind.log")))
        .arg(binary());
    let mut proxy = Proxy::start_within(START, command, folder, config).await;
    let mut client = proxy.client().await;
    for _ in 0..WARM {
        assert_eq!(client.get(path).await.status, 200);
    }
    let counting = |state| {
        let mut command = Command::new(&control);
        let done = command
            .args(["-i", state, &proxy.pid().to_string()])
            .output();
        assert!(done.unwrap().status.success(), "counting {state}");
    };
    counting("on");
    for _ in 0..COUNTED {
        assert_eq!(client.get(path).await.status, 200);
    }
    counting("off");
    drop(client);
    proxy.signal("-TERM");
    assert!(proxy.wait().await.success());
    Some(total(&std::fs::read_to_string(counts).unwrap()) / COUNTED)
}

fn compare(name: &str, each: u64) {
    let file = "bench/instructions.json";
    let budgets = std::fs::read(repository().join(file)).unwrap();
    let budgets: Value = serde_json::from_slice(&budgets).unwrap();
    let budget = budgets[name].as_f64().unwrap();
    let off = each as f64 / budget - 1.0;
    assert!(
        off.abs() < TOLERANCE,
        "`{name}` takes {each} instructions for each request, {:+.1} % of what {file} says. If that is worth it, or an \
         improvement, put the new figure there, and say why in the commit",
        off * 100.0
    );
}

fn folder_of(plugins: &[(&str, &str)]) -> TempDir {
    let file = |(name, _): &(&str, &str)| (format!("{name}.wasm"), bundled(name));
    let files: Vec<_> = plugins.iter().map(file).collect();
    let files: Vec<_> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    folder(&files)
}

fn configuration(origin: &Origin, plugins: &[(&str, &str)]) -> String {
    let plugins: String = plugins
        .iter()
        .map(|(name, config)| format!("[[route.plugins]]\nuse = \"{name}\"\n{config}\n"))
        .collect();
    format!("{SETTINGS}{}\n{plugins}", route_to(origin))
}

/// So many routes: the last of them is `/rCOUNT/`.
fn configuration_of_routes(origin: &Origin, count: usize) -> String {
    let route = |n| format!("[[route]]\nupstream = \"app\"\nmatch = {{ path = \"/r{n}/*\" }}\n");
    let routes: String = (1..=count).map(route).collect();
    let upstream = format!("[upstream.app]\npeers = [{:?}]\n", origin.address());
    format!("{SETTINGS}{upstream}{routes}")
}

fn joined(option: &str, path: &Path) -> String {
    format!("{option}{}", path.display())
}

/// What callgrind counted in all.
fn total(counts: &str) -> u64 {
    let mut lines = counts.lines();
    let total = lines.find_map(|line| line.strip_prefix("totals: "));
    total.unwrap().trim().parse().unwrap()
}
