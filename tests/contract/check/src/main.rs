//! Compares `wit/` with each released version of the contract in `tests/contract`: what was released is
//! still there, unchanged, and what came since only adds to it. `make contract` builds the components of
//! those versions, says in `CONTRACT_COMPONENTS` where they are, and runs this.
//!
//! Outside the workspace, because the parser brings a second copy of the component tools, and with it
//! features that would make Wasmtime be built twice.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod compare;
#[cfg(test)]
mod compare_tests;
mod coverage;
mod signature;
mod surface;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use semver::Version;

use surface::Surface;

/// Relative to the repository, as in what is reported.
const CONTRACT: &str = "wit";
const RELEASED: &str = "tests/contract";

fn main() -> anyhow::Result<ExitCode> {
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.."))?;
    let current = Surface::of_folder(Path::new(CONTRACT))?;
    let components = components()?;
    let mut violations = Vec::new();
    for (version, folder) in released()? {
        let released = Surface::of_folder(&folder.join("wit"))?;
        ensure!(
            released.version == version,
            "{} has version {}",
            folder.display(),
            released.version
        );
        let found = compare::violations(&released, &current);
        violations.extend(found.iter().map(|one| format!("since {version}: {one}")));
        violations.extend(coverage::gaps(&released, &components)?);
    }
    if violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for violation in &violations {
        eprintln!("{violation}");
    }
    eprintln!("what wit/README.md promises in its section Versions would not hold");
    Ok(ExitCode::FAILURE)
}

/// The folder of the components that were built for released versions: `VERSION/*.wasm`.
fn components() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("CONTRACT_COMPONENTS").map(PathBuf::from);
    let folder = folder.context("CONTRACT_COMPONENTS is not set: run `make contract`")?;
    ensure!(
        folder.is_absolute() && folder.is_dir(),
        "CONTRACT_COMPONENTS={} is not the absolute path of a folder: run `make contract`",
        folder.display()
    );
    Ok(folder)
}

/// The released versions, oldest first, and their folders: those whose name is a version.
fn released() -> anyhow::Result<Vec<(Version, PathBuf)>> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(RELEASED).context(RELEASED)? {
        let folder = folder?;
        let name = folder.file_name();
        let version = name.to_str().and_then(|name| Version::parse(name).ok());
        found.extend(version.map(|version| (version, folder.path())));
    }
    ensure!(!found.is_empty(), "{RELEASED} has no released version");
    found.sort();
    Ok(found)
}
