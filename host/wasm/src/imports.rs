//! What a component imports: what it can do, what it has to be granted, and whether it can wait.

use crate::host::is_interface;
use crate::version::LoadError;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// The imports of a component.
#[derive(Clone, Debug, Default)]
pub struct Imports {
    interfaces: Vec<Interface>,
}

#[derive(Clone, Debug)]
struct Interface {
    name: String,
    functions: Vec<String>,
}

/// Interfaces of the contract that need no grant: what they give belongs to the exchange.
const FREE: [&str; 9] = [
    "types", "request", "response", "reply", "interest", "body", "trailers", "upstream", "outcome",
];

/// Functions of the contract that always can wait.
const WAITING: [(&str, &[&str]); 2] = [
    ("http-client", &["send", "write", "finish", "read"]),
    ("crypto", &["verify-password", "verify-jws-url"]),
];

impl Imports {
    /// Those of a component, each of which must be offered.
    pub(crate) fn of(component: &Component) -> Result<Imports, LoadError> {
        let engine = component.engine();
        let kind = component.component_type();
        let mut interfaces = Vec::new();
        for (name, item) in kind.imports(engine) {
            if !is_offered(name) {
                return Err(LoadError::Import(name.to_owned()));
            }
            let functions = match &item.ty {
                ComponentItem::ComponentInstance(instance) => instance
                    .exports(engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(name, _)| name.to_owned())
                    .collect(),
                _ => Vec::new(),
            };
            interfaces.push(Interface {
                name: name.to_owned(),
                functions,
            });
        }
        Ok(Imports { interfaces })
    }

    /// The names of the interfaces, with packages and versions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.interfaces.iter().map(|interface| &*interface.name)
    }

    /// The capabilities that it has to be granted, as `allow` names them.
    pub fn capabilities(&self) -> impl Iterator<Item = &str> {
        // One without functions is there for its types.
        let used = self.interfaces.iter().filter(|i| !i.functions.is_empty());
        let ours = used.filter_map(|interface| of_contract(&interface.name));
        ours.filter(|name| !FREE.contains(name)).map(word)
    }

    /// What in it can wait whatever the configuration, as `interface.function`.
    pub fn waiting(&self) -> Option<String> {
        WAITING.iter().find_map(|(interface, functions)| {
            let function = functions.iter().find(|f| self.has(interface, f))?;
            Some(format!("{interface}.{function}"))
        })
    }

    /// Whether it imports an interface of the contract, and in it any function.
    pub(crate) fn uses(&self, interface: &str) -> bool {
        let mut all = self.interfaces.iter();
        all.any(|i| is_interface(&i.name, interface) && !i.functions.is_empty())
    }

    fn has(&self, interface: &str, function: &str) -> bool {
        let mut all = self.interfaces.iter();
        all.any(|i| {
            is_interface(&i.name, interface) && i.functions.iter().any(|name| name == function)
        })
    }

    /// Whether it was built for WASI.
    pub fn wasi(&self) -> bool {
        self.names().any(|name| name.starts_with("wasi:"))
    }
}

/// The word in `allow` for an interface of the contract.
fn word(interface: &str) -> &str {
    match interface {
        "http-client" => "http",
        other => other,
    }
}

/// The name of an interface of the contract, without package and version.
fn of_contract(name: &str) -> Option<&str> {
    let name = name.strip_prefix("tidegate:plugin/")?;
    name.split_once('@').map(|(name, _)| name)
}

fn is_offered(name: &str) -> bool {
    let wasi = ["cli", "clocks", "io", "random", "filesystem", "sockets"];
    name.starts_with("tidegate:plugin/")
        || wasi.iter().any(|package| {
            name.strip_prefix("wasi:")
                .and_then(|rest| rest.strip_prefix(package))
                .is_some_and(|rest| rest.starts_with('/') && rest.contains("@0.2."))
        })
}
