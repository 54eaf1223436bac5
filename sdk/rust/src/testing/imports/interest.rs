//! The interface `interest`.

use std::time::Duration;

use super::super::Exchange;
use super::super::call::with;
use super::super::fields::Fields;
use super::super::phase::Phase;
use crate::bindings::host::tidegate::plugin::interest::DeclaredEdit;
use crate::bindings::host::tidegate::plugin::types::Edit;
use crate::declared::known;
use crate::{BodyMode, Error};

pub(crate) fn methods(methods: &[String]) -> Result<(), Error> {
    declare(|interest| interest.methods = methods.to_vec())
}

pub(crate) fn paths(paths: &[String]) -> Result<(), Error> {
    let star_inside = |path: &String| path.strip_suffix('*').unwrap_or(path).contains('*');
    if paths
        .iter()
        .any(|path| !path.starts_with('/') || star_inside(path))
    {
        return Err(Error::InvalidArgument);
    }
    declare(|interest| interest.paths = paths.to_vec())
}

pub(crate) fn headers(names: &[String]) -> Result<(), Error> {
    declare(|interest| interest.headers = names.to_vec())
}

pub(crate) fn request_body(mode: BodyMode) -> Result<(), Error> {
    within_limit(mode)?;
    declare(|interest| interest.request_body = mode)
}

pub(crate) fn response_body(mode: BodyMode) -> Result<(), Error> {
    within_limit(mode)?;
    declare(|interest| interest.response_body = mode)
}

pub(crate) fn tick(period: u64) -> Result<(), Error> {
    let period = Duration::from_nanos(period);
    if period < Duration::from_secs(1) {
        return Err(Error::InvalidArgument);
    }
    declare(|interest| interest.tick = Some(period))
}

pub(crate) fn edit_request(edits: &[DeclaredEdit]) -> Result<(), Error> {
    check_all(edits)?;
    declare(|interest| interest.request_edits = Some(edits.to_vec()))
}

pub(crate) fn edit_response(edits: &[DeclaredEdit]) -> Result<(), Error> {
    check_all(edits)?;
    declare(|interest| interest.response_edits = Some(edits.to_vec()))
}

/// As far as they are known.
fn check_all(edits: &[DeclaredEdit]) -> Result<(), Error> {
    let parts = edits.iter().map(|edit| match edit {
        DeclaredEdit::Set((_, parts)) | DeclaredEdit::Append((_, parts)) => parts.len(),
        DeclaredEdit::Remove(_) => 0,
    });
    if parts.sum::<usize>() > 1024 {
        return Err(Error::LimitReached);
    }
    let edits = edits.iter().cloned().map(|edit| match edit {
        DeclaredEdit::Set((name, parts)) => Edit::Set((name, known(&parts))),
        DeclaredEdit::Append((name, parts)) => Edit::Append((name, known(&parts))),
        DeclaredEdit::Remove(name) => Edit::Remove(name),
    });
    Fields::check_all(&edits.collect::<Vec<_>>())
}

fn within_limit(mode: BodyMode) -> Result<(), Error> {
    let limit = with(|current| current.host.body_bytes);
    match mode {
        BodyMode::Buffer(bytes) | BodyMode::Peek(bytes) if bytes > limit => {
            Err(Error::LimitReached)
        }
        BodyMode::None | BodyMode::Streaming | BodyMode::Buffer(_) | BodyMode::Peek(_) => Ok(()),
    }
}

fn declare(work: impl FnOnce(&mut Interests)) -> Result<(), Error> {
    with(|current| {
        work(&mut current.only(Phase::is_configure)?.host.interest);
        Ok(())
    })
}

/// What `configure` declared; an empty list does not narrow.
#[derive(Debug)]
pub(in crate::testing) struct Interests {
    methods: Vec<String>,
    paths: Vec<String>,
    headers: Vec<String>,
    pub(in crate::testing) request_body: BodyMode,
    pub(in crate::testing) response_body: BodyMode,
    pub(in crate::testing) tick: Option<Duration>,
    request_edits: Option<Vec<DeclaredEdit>>,
    response_edits: Option<Vec<DeclaredEdit>>,
}

impl Default for Interests {
    fn default() -> Self {
        Self {
            methods: Vec::new(),
            paths: Vec::new(),
            headers: Vec::new(),
            request_body: BodyMode::None,
            response_body: BodyMode::None,
            tick: None,
            request_edits: None,
            response_edits: None,
        }
    }
}

impl Interests {
    /// What is done in a phase in place of a call.
    pub(in crate::testing) fn fixed_edits(&self, phase: Phase) -> Option<&[DeclaredEdit]> {
        match phase {
            Phase::RequestHead => self.request_edits.as_deref(),
            Phase::ResponseHead => self.response_edits.as_deref(),
            _ => None,
        }
    }

    pub(in crate::testing) fn matches(&self, exchange: &Exchange) -> bool {
        let one_of = |list: &[String], matches: &dyn Fn(&String) -> bool| {
            list.is_empty() || list.iter().any(matches)
        };
        one_of(&self.methods, &|method| *method == exchange.request.method)
            && one_of(&self.headers, &|name| {
                !exchange.request.fields.values(name).is_empty()
            })
            && one_of(&self.paths, &|path| match path.strip_suffix('*') {
                Some(prefix) => exchange.request.path.starts_with(prefix),
                None => *path == exchange.request.path,
            })
    }
}
