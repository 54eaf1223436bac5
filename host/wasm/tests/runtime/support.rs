//! A runtime, bindings and exchanges for tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tidegate_chain::{Chain, Exchange, HeadLimits, Policy, Progress, Verdict};
use tidegate_wasm::{Binding, Capabilities, Compiler, Options, Runtime, Settings};

/// A component from `tests/guests`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    // Cargo makes this folder inside the one that it builds in.
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = temporary
        .with_file_name("guests")
        .join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| {
        panic!(
            "cannot read {}: {error} (`make guests` builds it)",
            file.display()
        )
    })
}

/// A runtime for so many instances, which keeps no compiled code.
pub(crate) fn runtime(instances: u32) -> Arc<Runtime> {
    let options = Options {
        instances,
        threads: 2,
        limiter_keys: 16,
        cache: None,
        compiler: Compiler::here(),
    };
    let (runtime, problem) = Runtime::new(options, &Registry::new()).unwrap();
    assert!(problem.is_none());
    runtime
}

/// What a test that is not about limits uses.
pub(crate) fn settings() -> Settings {
    let words = ["log", "metrics", "clock", "random", "attributes", "limiter"];
    Settings {
        deadline: Duration::from_secs(2),
        wait: Duration::from_secs(5),
        memory: 32 << 20,
        body_bytes: 1 << 20,
        reuse: true,
        policy: Policy::default(),
        capabilities: Arc::new(Capabilities {
            words: words.into_iter().map(str::to_owned).collect(),
            ..Capabilities::default()
        }),
    }
}

/// A guest with an empty configuration.
pub(crate) async fn bound(runtime: &Runtime, name: &str, settings: &Settings) -> Arc<Binding> {
    let version = runtime.load(&name.into(), &guest(name), None).unwrap();
    runtime.bind(&version, "{}", settings).await.unwrap()
}

/// A chain of one plugin.
pub(crate) fn chain(binding: &Arc<Binding>) -> Chain {
    Chain::new(vec![binding.clone()]).unwrap()
}

/// A request with these fields.
pub(crate) fn exchange(fields: &[(&str, &str)]) -> Box<Exchange> {
    let mut request = http::Request::new(());
    for (name, value) in fields {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let (head, ()) = request.into_parts();
    let limits = HeadLimits {
        count: 100,
        bytes: 32 << 10,
    };
    Box::new(Exchange::new(
        Box::new(head),
        Exchange::default().facts,
        limits,
    ))
}

/// Runs the request phase of a chain on a new exchange with these fields.
pub(crate) async fn request(chain: &Chain, fields: &[(&str, &str)]) -> (Verdict, Box<Exchange>) {
    let mut exchange = exchange(fields);
    let mut progress = Progress::default();
    let verdict = chain.request(&mut progress, &mut exchange).await;
    (verdict, exchange)
}
