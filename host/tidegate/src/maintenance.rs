//! Says in the log when maintenance begins and when it ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_http::State;

/// Compare the state that is in force from now on with the one before it, if there was one.
pub(crate) fn tell(before: Option<&State>, now: &State) {
    let before = before.map(routes).unwrap_or_default();
    let now = routes(now);
    let begins = list(now.difference(&before));
    if !begins.is_empty() {
        tracing::warn!(routes = begins, "maintenance begins");
    }
    let ends = list(before.difference(&now));
    if !ends.is_empty() {
        tracing::info!(routes = ends, "maintenance ends");
    }
}

fn list<'a>(routes: impl Iterator<Item = &'a Arc<str>>) -> String {
    let names: Vec<&str> = routes.map(|route| &**route).collect();
    names.join(", ")
}

/// The routes in maintenance.
fn routes(state: &State) -> BTreeSet<Arc<str>> {
    let routes = state.routes.values();
    let routes = routes.filter(|route| route.maintenance.is_some());
    routes.map(|route| route.name.clone()).collect()
}
