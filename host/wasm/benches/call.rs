//! What a call of a plugin costs (`make microbench`): the bundled `headers` in Wasmtime's pool, behind a
//! chain. Each case is one request with its response, which are two calls.

#![allow(clippy::print_stdout, reason = "what a bench is for")]
#![allow(clippy::unwrap_used, reason = "nothing here comes from outside")]

#[path = "../../../bench/micro.rs"]
mod micro;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use micro::{measure, now};
use prometheus::Registry;
use tidegate_chain::{Chain, Event, Exchange, Plugin, Policy, Progress, Stage, Verdict};
use tidegate_wasm::{Capabilities, Compiler, Options, PluginVersion, Runtime, Settings};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/plugins/headers.wasm");
    let bytes = std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error} (`make plugins` builds it)", file.display()));
    let runtime = runtime();
    let version = runtime.load(&"headers".into(), &bytes, None).unwrap();
    let bench = Bench { runtime, version };
    bench.run("edits nothing", &["{}".to_owned()], true).await;
    let sets: Vec<_> = (0..5).map(sets_a_field_each_way).collect();
    bench.run("sets a field each way", &sets[..1], true).await;
    bench.run("five that do so", &sets, true).await;
    let name = "sets them with an instance for each exchange";
    bench.run(name, &sets[..1], false).await;
}

fn sets_a_field_each_way(number: usize) -> String {
    let edits = format!(r#"[{{ "set": "x-bench-{number}", "value": "1" }}]"#);
    format!(r#"{{ "request": {edits}, "response": {edits} }}"#)
}

struct Bench {
    runtime: Arc<Runtime>,
    version: Arc<PluginVersion>,
}

impl Bench {
    /// With one plugin for each configuration.
    async fn run(&self, name: &str, configs: &[String], reuse: bool) {
        let settings = settings(reuse);
        let mut plugins: Vec<Arc<dyn Plugin>> = Vec::new();
        for config in configs {
            let bound = self.runtime.bind(&self.version, config, &settings).await;
            plugins.push(bound.unwrap());
        }
        let chain = Chain::new(plugins).unwrap();
        let mut exchange = exchange();
        measure(&format!("headers: {name}"), || {
            exchange.stage = Stage::default();
            let mut progress = Progress::default();
            let verdict = now(chain.request(&mut progress, &mut exchange));
            assert!(matches!(verdict, Verdict::Proceed));
            exchange.stage.on(Event::Respond).unwrap();
            let verdict = now(chain.response(&mut progress, &mut exchange));
            assert!(matches!(verdict, Verdict::Proceed));
            // What an exchange keeps ends with it.
            (0..configs.len()).for_each(|place| drop(exchange.take_kept(place)));
        });
    }
}

fn runtime() -> Arc<Runtime> {
    let options = Options {
        instances: 100,
        threads: 1,
        limiter_keys: 16,
        cache: None,
        compiler: Compiler::here(),
    };
    Runtime::new(options, &Registry::new()).unwrap().0
}

fn settings(reuse: bool) -> Settings {
    let words = ["log", "attributes"];
    Settings {
        deadline: Duration::from_secs(1),
        wait: Duration::from_secs(1),
        memory: 32 << 20,
        body_bytes: 1 << 20,
        reuse,
        policy: Policy::default(),
        capabilities: Arc::new(Capabilities {
            words: words.into_iter().map(str::to_owned).collect(),
            ..Capabilities::default()
        }),
    }
}

/// One that serves for all requests, so that its making is not timed.
fn exchange() -> Box<Exchange> {
    let request = http::Request::get("/v1/users/42")
        .header("host", "example.com")
        .header("user-agent", "bench");
    let (request, ()) = request.body(()).unwrap().into_parts();
    let (response, ()) = http::Response::new(()).into_parts();
    let mut exchange = Exchange::default();
    exchange.request = Box::new(request);
    exchange.response = Some(Box::new(response));
    Box::new(exchange)
}
