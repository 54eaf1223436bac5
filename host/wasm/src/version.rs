//! One version of a plugin: a compiled component whose imports and exports were checked.

use crate::compiler::CompileError;
use crate::host::{CONTRACT, Linkers, Waits, interface, is_interface};
use crate::imports::Imports;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tidegate_chain::{Phase, PhaseSet, VersionMeters};
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex};

/// A compiled component, ready to be instantiated.
pub struct PluginVersion {
    pub(crate) name: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) digest: String,
    pub(crate) component: Component,
    pub(crate) configure: ComponentExportIndex,
    pub(crate) handlers: [Option<ComponentExportIndex>; Phase::ALL.len()],
    phases: PhaseSet,
    pub(crate) meters: Arc<VersionMeters>,
    imports: Imports,
}

/// Why bytes are not a plugin that this host can run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not WebAssembly.
    #[error("this is not WebAssembly: it does not begin with `\\0asm`")]
    NotWasm,
    /// The file is shorter than a WebAssembly header.
    #[error("the file is empty or cut short ({0} bytes)")]
    Short(usize),
    /// A core module, not a component.
    #[error(
        "this is a core WebAssembly module, not a component: build with `wasm-component-ld` as linker \
         (see the SDK), or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Damaged, or of a kind that the engine does not run.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// The compiler failed, which says nothing about the component.
    #[error("it could not be compiled: {0}")]
    Compiler(String),
    /// Imports something that is not offered.
    #[error(
        "it imports `{0}`, which plugins are not offered; offered are tidegate:plugin@{CONTRACT} and wasi 0.2 (cli, clocks, io, random, and filesystem and sockets as far as they are allowed)"
    )]
    Import(String),
    /// Does not fit the contract.
    #[error("it does not fit tidegate:plugin@{CONTRACT}: {0}")]
    Contract(String),
    /// For another version of the contract.
    #[error("it was built for `{0}`; this proxy speaks tidegate:plugin@{CONTRACT}")]
    Version(String),
    /// Exports no `configuration`.
    #[error("it exports no `{0}`: it is a component for another world than a Tidegate plugin's")]
    NotAPlugin(String),
    /// Exports no phase.
    #[error("it exports no phase, so there is nothing to call; phases are {0}")]
    NoPhase(String),
    /// The pinned digest differs.
    #[error("its sha256 is {found}, and the configuration pins {pinned}")]
    Pin {
        /// The digest of the file.
        found: String,
        /// The digest in the configuration.
        pinned: String,
    },
}

impl From<CompileError> for LoadError {
    fn from(error: CompileError) -> LoadError {
        match error {
            CompileError::Invalid(reason) => LoadError::Invalid(reason),
            CompileError::Failed(reason) => LoadError::Compiler(reason),
        }
    }
}

/// The SHA-256 of a component, in lower-case hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first twelve digits of the digest: what metrics and logs call a version.
pub(crate) fn short(digest: &str) -> Arc<str> {
    digest.get(..12).unwrap_or(digest).into()
}

/// Refuse what is not a component before any work is done on it.
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes {
        [b'\0', b'a', b's', b'm', 0x01, 0, 0, 0, ..] => Err(LoadError::CoreModule),
        [b'\0', b'a', b's', b'm', _, _, 0x01, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', _, _, _, _, ..] => Err(LoadError::Invalid(
            "an unknown version of WebAssembly".into(),
        )),
        _ if bytes.len() < 8 => Err(LoadError::Short(bytes.len())),
        _ => Err(LoadError::NotWasm),
    }
}

impl PluginVersion {
    /// Check a compiled component against the contract and resolve its imports.
    pub(crate) fn check(
        name: &Arc<str>,
        digest: String,
        component: &Component,
        linkers: &Linkers,
        meters: impl FnOnce(&Arc<str>, &Arc<str>, PhaseSet) -> Arc<VersionMeters>,
    ) -> Result<PluginVersion, LoadError> {
        let imports = Imports::of(component)?;
        let configure = handler(component, "configuration", "configure")
            .ok_or_else(|| not_a_plugin(component, component.engine()))?;
        let handlers = Phase::ALL.map(|phase| {
            let function = match phase {
                Phase::ReplyBody => "next",
                _ => "handle",
            };
            handler(component, &format!("on-{}", phase.name()), function)
        });
        let phases = exported(&handlers);
        if phases.iter().all(|phase| phase == Phase::ReplyBody) {
            let names = Phase::ALL.map(|phase| format!("`on-{}`", phase.name()));
            return Err(LoadError::NoPhase(names.join(", ")));
        }
        let waits = Waits {
            wasi: imports.wasi(),
            ..Waits::default()
        };
        linkers
            .get(waits)
            .and_then(|linker| linker.instantiate_pre(component))
            .map_err(|error| LoadError::Contract(format!("{error:#}")))?;
        let version = short(&digest);
        Ok(PluginVersion {
            meters: meters(name, &version, phases),
            name: name.clone(),
            version,
            digest,
            component: component.clone(),
            configure,
            handlers,
            phases,
            imports,
        })
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What metrics and logs call this version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The SHA-256 of the component.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The phases that it exports.
    pub fn phases(&self) -> PhaseSet {
        self.phases
    }

    /// What it imports: what it is able to do.
    pub fn imports(&self) -> &Imports {
        &self.imports
    }
}

impl std::fmt::Debug for PluginVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// Why there is no `configuration`: another contract, or another version of ours.
fn not_a_plugin(component: &Component, engine: &Engine) -> LoadError {
    let exports = component.component_type();
    let other = exports
        .exports(engine)
        .find(|(name, _)| name.starts_with("tidegate:plugin/configuration@"));
    match other {
        Some((name, _)) => LoadError::Version(name.to_owned()),
        None => LoadError::NotAPlugin(interface("configuration")),
    }
}

fn exported(handlers: &[Option<ComponentExportIndex>]) -> PhaseSet {
    let all = Phase::ALL.into_iter().zip(handlers);
    all.filter_map(|(phase, handler)| handler.as_ref().map(|_| phase))
        .collect()
}

/// A function of an exported interface, of whichever version that this host speaks.
fn handler(component: &Component, export: &str, function: &str) -> Option<ComponentExportIndex> {
    let engine = component.engine();
    let exports = component.component_type();
    let (name, _) = exports
        .exports(engine)
        .find(|(name, _)| is_interface(name, export))?;
    let instance = component.get_export_index(None, name)?;
    component.get_export_index(Some(&instance), function)
}
