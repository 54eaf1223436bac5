//! What a plugin that was built for a released version would miss.

use semver::{Op, Version};

use crate::surface::{Item, Kind, Surface};

/// Each way in which the current contract is more, less or other than the released one plus additions:
/// `file:line:column: place: what is wrong`.
pub(crate) fn violations(released: &Surface, current: &Surface) -> Vec<String> {
    let mut found: Vec<String> = version(released, current).into_iter().collect();
    for (place, old) in &released.items {
        match current.items.get(place) {
            Some(new) => found.extend(changes(old, new).iter().map(|what| at(new, place, what))),
            // What is in an interface that is gone goes without saying.
            None if has_parent(old, current) => {
                found.push(at(old, place, "was released and is not there any more"));
            }
            None => {}
        }
    }
    for (place, new) in &current.items {
        if !released.items.contains_key(place) {
            let what = addition(new, released);
            found.extend(what.map(|what| at(new, place, &what)));
        }
    }
    found
}

fn at(item: &Item, place: &str, what: &str) -> String {
    format!("{}: {place}: {what}", item.location)
}

fn has_parent(item: &Item, surface: &Surface) -> bool {
    let parent = item.parent.as_ref();
    parent.is_none_or(|parent| surface.items.contains_key(parent))
}

/// Wasmtime matches imports and exports by compatible versions, as Cargo does.
fn version(released: &Surface, current: &Surface) -> Option<String> {
    let (old, new) = (&released.version, &current.version);
    if !compatible(old, new) {
        return Some(format!(
            "the package's version {new} is not compatible with {old}: what cannot be added goes into a \
             package beside this one"
        ));
    }
    let same = released.items.len() == current.items.len()
        && released.items.iter().all(|(place, item)| {
            let other = current.items.get(place);
            other.is_some_and(|other| other.is_same(item))
        });
    (new == old && !same).then(|| {
        format!("{old} is released, and this differs from it: the package's version must be higher")
    })
}

fn compatible(released: &Version, current: &Version) -> bool {
    let comparator = semver::Comparator {
        op: Op::Caret,
        major: released.major,
        minor: Some(released.minor),
        patch: Some(released.patch),
        pre: released.pre.clone(),
    };
    comparator.matches(current)
}

fn changes(old: &Item, new: &Item) -> Vec<String> {
    let mut found = Vec::new();
    if old.signature != new.signature {
        let (old, new) = (&old.signature, &new.signature);
        found.push(format!("was `{old}`, is `{new}`"));
    }
    let lost = old.members.iter().filter(|one| !new.members.contains(one));
    found.extend(lost.map(|one| format!("`{one}` is not there any more")));
    let more = new.members.iter().filter(|one| !old.members.contains(one));
    found.extend(more.map(|one| format!("`{one}` is new; a released type cannot grow")));
    if found.is_empty() && old.members != new.members {
        let members = old.members.join(", ");
        found.push(format!("the order was {members}"));
    }
    if old.since() != new.since() && ![old.kind, new.kind].contains(&Kind::Implied) {
        let (old, new) = (since(old), since(new));
        found.push(format!("was marked {old}, is marked {new}"));
    }
    found
}

fn since(item: &Item) -> String {
    let version = item.since();
    version.map_or("without @since".to_owned(), |version| {
        format!("@since {version}")
    })
}

/// What is wrong with an item that the released version did not have.
fn addition(new: &Item, released: &Surface) -> Option<String> {
    let parent = new.parent.as_deref();
    let grown = parent.filter(|parent| released.items.contains_key(*parent));
    match (new.kind, grown) {
        (Kind::Export, Some(_)) => {
            return Some(
                "is a new export of a released world, which plugins do not have".to_owned(),
            );
        }
        (Kind::Function, Some(interface)) if released.exported.contains(interface) => {
            return Some(
                "is new in an interface that plugins export, and they do not have it".to_owned(),
            );
        }
        (Kind::Implied, _) => return None,
        // The mark of a new world or interface stands for what it names of others.
        (Kind::Import | Kind::Export | Kind::Use, None) => return None,
        _ => {}
    }
    match new.since() {
        None => Some(format!(
            "is new and has no @since; it is not in {}",
            released.version
        )),
        Some(since) if *since <= released.version => Some(format!(
            "is new but marked @since {since}; it is not in {}",
            released.version
        )),
        Some(_) => None,
    }
}
