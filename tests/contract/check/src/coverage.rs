//! Whether the components that are built for a released version use all of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, bail};
use semver::Version;
use wit_parser::decoding::{self, DecodedWasm};
use wit_parser::{InterfaceId, Resolve, WorldItem};

use crate::surface::{Kind, Surface};

/// The package of the contract.
const PACKAGE: (&str, &str) = ("tidegate", "plugin");

/// The functions of a version that none of its components imports or exports. The folder has one for each
/// version.
pub(crate) fn gaps(released: &Surface, components: &Path) -> anyhow::Result<Vec<String>> {
    let folder = components.join(released.version.to_string());
    let files = folder.read_dir();
    let files = files.with_context(|| format!("{}: run `make released`", folder.display()))?;
    let mut used = BTreeSet::new();
    for file in files {
        let file = file?.path();
        if file.extension() == Some(OsStr::new("wasm")) {
            let functions = functions(&file, &released.version);
            used.extend(functions.with_context(|| file.display().to_string())?);
        }
    }
    let functions = released.items.iter();
    let functions = functions.filter(|(_, item)| item.kind == Kind::Function);
    Ok(functions
        .filter(|(place, _)| !used.contains(*place))
        .map(|(place, _)| format!("{}: no component uses `{place}`", folder.display()))
        .collect())
}

/// The functions of the contract that a component imports or exports, as `request.method`.
fn functions(file: &Path, version: &Version) -> anyhow::Result<BTreeSet<String>> {
    let DecodedWasm::Component(resolve, world) = decoding::decode(&std::fs::read(file)?)? else {
        bail!("is not a component");
    };
    let world = &resolve.worlds[world];
    let mut found = BTreeSet::new();
    for item in world.imports.values().chain(world.exports.values()) {
        if let WorldItem::Interface { id, .. } = item {
            found.extend(of_contract(&resolve, *id, version)?);
        }
    }
    Ok(found)
}

fn of_contract(
    resolve: &Resolve,
    interface: InterfaceId,
    version: &Version,
) -> anyhow::Result<Vec<String>> {
    let interface = &resolve.interfaces[interface];
    let (Some(package), Some(name)) = (interface.package, &interface.name) else {
        return Ok(Vec::new());
    };
    let package = &resolve.packages[package].name;
    if (package.namespace.as_str(), package.name.as_str()) != PACKAGE {
        return Ok(Vec::new());
    }
    if package.version.as_ref() != Some(version) {
        bail!("is built for {package}, expected {version}");
    }
    let functions = interface.functions.keys();
    Ok(functions
        .map(|function| format!("{name}.{function}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first released version.
    fn released() -> Surface {
        let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../0.1.0/wit");
        Surface::of_folder(Path::new(wit)).unwrap()
    }

    #[test]
    fn a_function_that_no_component_uses() {
        let mut surface = released();
        let method = surface.items.remove("request.method").unwrap();
        surface.items.insert("request.trailers".to_owned(), method);
        let gaps = gaps(&surface, &crate::components().unwrap()).unwrap();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert!(
            gaps[0].ends_with("no component uses `request.trailers`"),
            "{gaps:?}"
        );
    }

    #[test]
    fn a_component_for_another_version() {
        let component = crate::components()
            .unwrap()
            .join("0.1.0/every-function.wasm");
        let error = functions(&component, &Version::new(0, 1, 1)).unwrap_err();
        let expected = "is built for tidegate:plugin@0.1.0, expected 0.1.1";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_version_without_components() {
        let mut surface = released();
        surface.version = Version::new(0, 1, 99);
        let error = gaps(&surface, &crate::components().unwrap()).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("0.1.99: run `make released`"), "{error}");
    }
}
