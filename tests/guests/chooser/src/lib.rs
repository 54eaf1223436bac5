//! Chooses upstreams and edits what they get, as fields of the request say: `x-group`, `x-peer`,
//! `x-tenant`, and `x-set-path`, `x-set-query`, `x-set-host` in the phase that `x-edit-in` names. What the
//! host refuses becomes a reply.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Chooser {}

#[plugin]
impl Plugin for Chooser {
    fn on_request(&self, request: &mut Request) -> Action {
        if let Some(tenant) = text(request, "x-tenant") {
            attributes::set("chooser.tenant", tenant).ok();
        }
        let edited = edit_in(request, "head");
        answer(request, edited)
    }

    fn on_upstream_choice(&self, request: &mut Request, upstream: &mut Upstream) -> Action {
        let chosen = choose(request, upstream).and_then(|()| edit_in(request, "choice"));
        answer(request, chosen)
    }

    fn on_upstream_request(&self, request: &mut Request, upstream: &Upstream) -> Action {
        let told = tell(request, upstream).and_then(|()| edit_in(request, "attempt"));
        answer(request, told)
    }
}

/// Chooses, and tells the upstream what there was to choose from.
fn choose(request: &mut Request, upstream: &mut Upstream) -> Result<(), Error> {
    let group = upstream.group()?;
    request.set_header("x-own-group", &group)?;
    request.set_header("x-own-peers", upstream.peers(&group)?.join(","))?;
    if let Some(group) = text(request, "x-group") {
        upstream.choose_group(&group)?;
    }
    if let Some(peer) = text(request, "x-peer") {
        upstream.choose_peer(&peer)?;
    }
    Ok(())
}

/// Tells the peer which it is. Appended, so that a head that was told of before shows it.
fn tell(request: &mut Request, upstream: &Upstream) -> Result<(), Error> {
    let (group, peer, attempt) = (upstream.group()?, upstream.peer()?, upstream.attempt()?);
    metrics::count("attempts", &[("attempt", &attempt.to_string())], 1).ok();
    request.append_header("x-asked", format!("{group} {peer} {attempt}"))
}

/// The edits that the request asks for in this phase.
fn edit_in(request: &mut Request, phase: &str) -> Result<(), Error> {
    if text(request, "x-edit-in").is_none_or(|wanted| wanted != phase) {
        return Ok(());
    }
    if let Some(path) = text(request, "x-set-path") {
        request.set_path(&path)?;
    }
    if let Some(query) = text(request, "x-set-query") {
        // Nothing is no query.
        request.set_query(Some(query.as_str()).filter(|query| !query.is_empty()))?;
    }
    if let Some(host) = text(request, "x-set-host") {
        request.set_host(&host)?;
    }
    Ok(())
}

fn text(request: &Request, name: &str) -> Option<String> {
    Some(request.header(name)?.text().into_owned())
}

fn answer(request: &mut Request, done: Result<(), Error>) -> Action {
    match done {
        Ok(()) => Action::Proceed,
        Err(error) => request.respond(Reply::new(409).text(error.name())),
    }
}
