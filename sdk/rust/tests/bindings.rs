//! The checked-in bindings in `src/bindings` are what the generator makes of `wit/` today.
//!
//! After a change of `wit/`, run `BLESS=1 cargo test -p tidegate-sdk --test bindings`.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::{Opts, WithOption};

/// One world for each phase, so that a component exports just the phases that its plugin has.
const WORLDS: &str = "
    package tidegate:sdk;
    world host { include tidegate:plugin/host@0.1.0; }
    world configuration { export tidegate:plugin/configuration@0.1.0; }
    world request-head { export tidegate:plugin/on-request-head@0.1.0; }
    world response-head { export tidegate:plugin/on-response-head@0.1.0; }
";

#[test]
fn bindings_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    resolve.push_dir(root.join("../../wit")).unwrap();
    let sdk = resolve.push_str("sdk.wit", WORLDS).unwrap();

    for name in ["host", "configuration", "request-head", "response-head"] {
        let world = resolve.select_world(&[sdk], Some(name)).unwrap();
        let mut files = Files::default();
        options(name)
            .build()
            .generate(&mut resolve.clone(), world, &mut files)
            .unwrap();
        let (_, generated) = files.iter().next().unwrap();

        let path = root.join(format!("src/bindings/{}.rs", name.replace('-', "_")));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, generated).unwrap();
        }
        let checked_in = fs::read(&path).unwrap_or_default();
        assert!(
            checked_in == generated,
            "{} differs from wit/: run `BLESS=1 cargo test -p tidegate-sdk --test bindings`",
            path.display()
        );
    }
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
        options.with = vec![(
            "tidegate:plugin/types@0.1.0".into(),
            WithOption::Path("crate::bindings::host::tidegate::plugin::types".into()),
        )];
    }
    options
}
