//! Generates the SDK's bindings from `wit/`, or checks that they are what it would generate:
//!
//! ```text
//! make bindings             after a change of wit/
//! ... -- --check            what `make test` does
//! ```
//!
//! Outside the workspace, because the generator brings a second copy of the component tools, and with
//! it features that would make Wasmtime be built twice.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::{Opts, WithOption};

/// One world for each phase, so that a component exports just the phases that its plugin has.
const WORLDS: &str = "
    package tidegate:sdk;
    world host { include tidegate:plugin/host@0.1.2; }
    world configuration { export tidegate:plugin/configuration@0.1.2; }
    world request-head { export tidegate:plugin/on-request-head@0.1.2; }
    world request-body { export tidegate:plugin/on-request-body@0.1.2; }
    world upstream-choice { export tidegate:plugin/on-upstream-choice@0.1.2; }
    world upstream-request { export tidegate:plugin/on-upstream-request@0.1.2; }
    world response-head { export tidegate:plugin/on-response-head@0.1.2; }
    world response-body { export tidegate:plugin/on-response-body@0.1.2; }
    world response-trailers { export tidegate:plugin/on-response-trailers@0.1.2; }
    world reply-body { export tidegate:plugin/on-reply-body@0.1.2; }
    world log { export tidegate:plugin/on-log@0.1.2; }
    world tick { export tidegate:plugin/on-tick@0.1.2; }
";

const GENERATED: [&str; 12] = [
    "host",
    "configuration",
    "request-head",
    "request-body",
    "upstream-choice",
    "upstream-request",
    "response-head",
    "response-body",
    "response-trailers",
    "reply-body",
    "log",
    "tick",
];

fn main() -> anyhow::Result<()> {
    let check = std::env::args().any(|argument| argument == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    resolve.push_dir(root.join("../../../wit"))?;
    let sdk = resolve.push_str("sdk.wit", WORLDS)?;

    for name in GENERATED {
        let world = resolve.select_world(&[sdk], Some(name))?;
        let mut files = Files::default();
        options(name)
            .build()
            .generate(&mut resolve.clone(), world, &mut files)?;
        let (_, generated) = files.iter().next().context("nothing was generated")?;

        let path = root.join(format!("../src/bindings/{}.rs", name.replace('-', "_")));
        if !check {
            fs::write(&path, generated)?;
        } else if fs::read(&path)? != generated {
            bail!("{} differs from wit/: run `make bindings`", path.display());
        }
    }
    Ok(())
}

fn options(world: &str) -> Opts {
    let module = world.replace('-', "_");
    let mut options = Opts {
        format: true,
        runtime_path: Some("::wit_bindgen::rt".into()),
        ..Opts::default()
    };
    if world == "host" {
        options.generate_all = true;
        options.generate_unused_types = true;
        options.additional_derive_attributes = vec!["PartialEq".into()];
    } else {
        options.pub_export_macro = true;
        options.export_macro_name = Some(format!("__export_{module}"));
        options.default_bindings_module = Some(format!("::tidegate_sdk::bindings::{module}"));
        // These name none of the shared types.
        if matches!(world, "reply-body" | "log" | "tick") {
            return options;
        }
        options.with = vec![(
            "tidegate:plugin/types@0.1.2".into(),
            WithOption::Path("crate::bindings::host::tidegate::plugin::types".into()),
        )];
    }
    options
}
