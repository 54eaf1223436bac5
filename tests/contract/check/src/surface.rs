//! All that a version of the contract offers, as a list that can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, bail};
use semver::Version;
use wit_parser::{
    InterfaceId, PackageId, Resolve, Span, Stability, Type, TypeDef, TypeDefKind, TypeId,
    TypeOwner, World, WorldId, WorldItem, WorldKey,
};

use crate::signature::Signatures;

/// One version of the contract.
#[derive(Debug)]
pub(crate) struct Surface {
    pub(crate) version: Version,
    /// By place: `request`, `request.method`, `world plugin`, `world plugin, export configuration`.
    pub(crate) items: BTreeMap<String, Item>,
    /// The interfaces that worlds export: what plugins implement.
    pub(crate) exported: BTreeSet<String>,
}

/// An interface, a function, a type, a world, or what a world imports or exports.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    /// The place of the interface or world that this belongs to.
    pub(crate) parent: Option<String>,
    /// Of a function or a type.
    pub(crate) signature: String,
    /// Fields or cases, of a type that has them.
    pub(crate) members: Vec<String>,
    pub(crate) stability: Stability,
    /// File, line and column.
    pub(crate) location: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Interface,
    Function,
    Type,
    /// A type that an interface takes from another one.
    Use,
    World,
    Import,
    /// An import that need not be written, since others in the world use its types: its mark is theirs.
    Implied,
    Export,
}

impl Item {
    /// The version of its `@since`.
    pub(crate) fn since(&self) -> Option<&Version> {
        match &self.stability {
            Stability::Stable { since, .. } => Some(since),
            Stability::Unstable { .. } | Stability::Unknown => None,
        }
    }

    /// Whether both differ in nothing but comments and where they are written.
    pub(crate) fn is_same(&self, other: &Item) -> bool {
        self.kind == other.kind
            && self.signature == other.signature
            && self.members == other.members
            && self.stability == other.stability
    }
}

impl Surface {
    /// Of the `.wit` files in a folder.
    pub(crate) fn of_folder(folder: &Path) -> anyhow::Result<Surface> {
        let mut resolve = resolve();
        let (package, _) = resolve
            .push_dir(folder)
            .with_context(|| format!("cannot read {}", folder.display()))?;
        Surface::of_package(&resolve, package)
    }

    #[cfg(test)]
    pub(crate) fn of_text(file: &str, text: &str) -> anyhow::Result<Surface> {
        let mut resolve = resolve();
        let package = resolve.push_str(file, text)?;
        Surface::of_package(&resolve, package)
    }

    fn of_package(resolve: &Resolve, package: PackageId) -> anyhow::Result<Surface> {
        let found = &resolve.packages[package];
        let version = found.name.version.clone();
        let mut surface = Surface {
            version: version.with_context(|| format!("{} has no version", found.name))?,
            items: BTreeMap::new(),
            exported: BTreeSet::new(),
        };
        let mut reader = Reader {
            signatures: Signatures { resolve, package },
            surface: &mut surface,
        };
        for (name, &interface) in &found.interfaces {
            reader.interface(name, interface);
        }
        for &world in found.worlds.values() {
            reader.world(world)?;
        }
        Ok(surface)
    }
}

/// One that leaves nothing out: what is `@unstable` could otherwise hide what was released.
fn resolve() -> Resolve {
    Resolve {
        all_features: true,
        ..Resolve::default()
    }
}

struct Reader<'a> {
    signatures: Signatures<'a>,
    surface: &'a mut Surface,
}

impl Reader<'_> {
    fn interface(&mut self, place: &str, id: InterfaceId) {
        let interface = &self.signatures.resolve.interfaces[id];
        let item = self.item(Kind::Interface, None, &interface.stability, interface.span);
        self.add(place.to_owned(), item);
        for (name, &id) in &interface.types {
            self.type_definition(place, name, id);
        }
        for (name, function) in &interface.functions {
            let (stability, span) = (&function.stability, function.span);
            let mut item = self.item(Kind::Function, Some(place), stability, span);
            item.signature = self.signatures.function(function);
            self.add(format!("{place}.{name}"), item);
        }
    }

    fn type_definition(&mut self, interface: &str, name: &str, id: TypeId) {
        let definition = &self.signatures.resolve.types[id];
        let used = self.used_from(definition).is_some();
        let kind = if used { Kind::Use } else { Kind::Type };
        let (stability, span) = (&definition.stability, definition.span);
        let mut item = self.item(kind, Some(interface), stability, span);
        item.signature = self.signatures.definition(id);
        item.members = self.signatures.members(id);
        self.add(format!("{interface}.{name}"), item);
    }

    fn world(&mut self, id: WorldId) -> anyhow::Result<()> {
        let world = &self.signatures.resolve.worlds[id];
        let place = format!("world {}", world.name);
        let item = self.item(Kind::World, None, &world.stability, world.span);
        self.add(place.clone(), item);
        let used = self.used_within(world);
        for (key, entry) in &world.imports {
            let interface = interface_of(world, key)?;
            let kind = if used.contains(&interface) {
                Kind::Implied
            } else {
                Kind::Import
            };
            // The parser keeps no place of imports.
            let stability = entry.stability(self.signatures.resolve);
            let item = self.item(kind, Some(&place), stability, world.span);
            let name = self.signatures.interface(interface);
            self.add(format!("{place}, import {name}"), item);
        }
        for (key, entry) in &world.exports {
            let name = self.signatures.interface(interface_of(world, key)?);
            let stability = entry.stability(self.signatures.resolve);
            let item = self.item(Kind::Export, Some(&place), stability, entry.span());
            self.add(format!("{place}, export {name}"), item);
            self.surface.exported.insert(name);
        }
        Ok(())
    }

    /// The interfaces of which others in the world use types: the parser imports them by itself.
    fn used_within(&self, world: &World) -> BTreeSet<InterfaceId> {
        let resolve = self.signatures.resolve;
        let entries = world.imports.values().chain(world.exports.values());
        let interfaces = entries.filter_map(|entry| match entry {
            WorldItem::Interface { id, .. } => Some(&resolve.interfaces[*id]),
            WorldItem::Function(_) | WorldItem::Type { .. } => None,
        });
        let types = interfaces.flat_map(|interface| interface.types.values());
        types
            .filter_map(|id| self.used_from(&resolve.types[*id]))
            .collect()
    }

    /// The other interface from which a `use` took this type.
    fn used_from(&self, definition: &TypeDef) -> Option<InterfaceId> {
        let TypeDefKind::Type(Type::Id(origin)) = definition.kind else {
            return None;
        };
        match self.signatures.resolve.types[origin].owner {
            TypeOwner::Interface(interface) => {
                (definition.owner != TypeOwner::Interface(interface)).then_some(interface)
            }
            TypeOwner::World(_) | TypeOwner::None => None,
        }
    }

    fn item(&self, kind: Kind, parent: Option<&str>, stability: &Stability, span: Span) -> Item {
        Item {
            kind,
            parent: parent.map(str::to_owned),
            signature: String::new(),
            members: Vec::new(),
            stability: stability.clone(),
            location: self.signatures.resolve.render_location(span),
        }
    }

    fn add(&mut self, place: String, item: Item) {
        self.surface.items.insert(place, item);
    }
}

fn interface_of(world: &World, key: &WorldKey) -> anyhow::Result<InterfaceId> {
    match key {
        WorldKey::Interface(interface) => Ok(*interface),
        WorldKey::Name(name) => {
            let world = &world.name;
            bail!("world {world}: declare `{name}` in an interface; worlds only name those")
        }
    }
}
