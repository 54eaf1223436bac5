//! `request`, `response`, `trailers`: the fields of the exchange, read lazily and edited in place.

use super::Host;
use crate::wit::{WitEdit, WitError};
use tidegate_chain::{CheckedEdit, Edit, EditNames, Refusal, Target, joined};
use wasmtime::component::{LinkerInstance, WasmList, WasmStr};
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;
type Answer<T> = Result<(std::result::Result<T, WitError>,)>;

/// Edits in one call.
pub(super) const EDITS_MAX: usize = 1024;

pub(super) fn link_request(request: &mut LinkerInstance<'_, Host>) -> Result<()> {
    request.func_wrap("method", |host: Caller<'_>, ()| {
        Ok((host.data().exchange.request.method().as_str().to_owned(),))
    })?;
    request.func_wrap("scheme", |host: Caller<'_>, ()| {
        Ok((host.data().exchange.facts.scheme,))
    })?;
    request.func_wrap("host", |host: Caller<'_>, ()| {
        Ok((String::from(&*host.data().exchange.facts.host),))
    })?;
    request.func_wrap("path", |host: Caller<'_>, ()| {
        Ok((host.data().exchange.request.uri().path().to_owned(),))
    })?;
    request.func_wrap("query", |host: Caller<'_>, ()| {
        let query = host.data().exchange.request.uri().query();
        Ok((query.map(str::to_owned),))
    })?;
    request.func_wrap("header", |host: Caller<'_>, (name,): (WasmStr,)| {
        let name = name.to_str(&host)?;
        Ok((joined(host.data().exchange.request.fields(), &name),))
    })?;
    request.func_wrap("header-values", |host: Caller<'_>, (name,): (WasmStr,)| {
        let name = name.to_str(&host)?;
        Ok((values(&host, Target::Request, &name).unwrap_or_default(),))
    })?;
    request.func_wrap("header-names", |host: Caller<'_>, ()| {
        Ok((names(&host, Target::Request).unwrap_or_default(),))
    })?;
    request.func_wrap(
        "set-path",
        |mut host: Caller<'_>, (path,): (WasmStr,)| -> Answer<()> {
            let path = path.to_str(&host)?.into_owned();
            let set = host.data_mut().exchange.set_path(&path);
            Ok((set.map_err(WitError::from),))
        },
    )?;
    request.func_wrap(
        "set-query",
        |mut host: Caller<'_>, (query,): (Option<String>,)| -> Answer<()> {
            let set = host.data_mut().exchange.set_query(query.as_deref());
            Ok((set.map_err(WitError::from),))
        },
    )?;
    request.func_wrap(
        "set-host",
        |mut host: Caller<'_>, (name,): (WasmStr,)| -> Answer<()> {
            let name = name.to_str(&host)?.into_owned();
            let set = host.data_mut().exchange.set_host(&name);
            Ok((set.map_err(WitError::from),))
        },
    )?;
    link_edits(request, Target::Request)
}

pub(super) fn link_response(response: &mut LinkerInstance<'_, Host>) -> Result<()> {
    response.func_wrap("status", |host: Caller<'_>, ()| -> Answer<u16> {
        let head = host.data().exchange.response.as_deref();
        Ok((head
            .map(|head| head.status().as_u16())
            .ok_or(WitError::WrongPhase),))
    })?;
    response.func_wrap(
        "set-status",
        |mut host: Caller<'_>, (status,): (u16,)| -> Answer<()> {
            let set = host.data_mut().exchange.set_status(status);
            Ok((set.map_err(WitError::from),))
        },
    )?;
    response.func_wrap(
        "prepare-edits",
        |mut host: Caller<'_>, (edits,): (Vec<WitEdit>,)| -> Answer<()> {
            if edits.len() > EDITS_MAX {
                return Ok((Err(WitError::LimitReached),));
            }
            let mut names = std::mem::take(&mut host.data_mut().names);
            let all = edits.iter().map(|edit| checked(&host, edit, &mut names));
            let all = all.collect::<Result<std::result::Result<_, Refusal>>>();
            host.data_mut().names = names;
            let prepared = all?.and_then(|all| host.data_mut().exchange.prepare_edits(all));
            Ok((prepared.map_err(WitError::from),))
        },
    )?;
    link_reads(response, Target::Response)?;
    link_edits(response, Target::Response)
}

pub(super) fn link_trailers(trailers: &mut LinkerInstance<'_, Host>) -> Result<()> {
    link_reads(trailers, Target::Trailers)?;
    link_edits(trailers, Target::Trailers)
}

/// Reads of what is not there in every phase.
fn link_reads(head: &mut LinkerInstance<'_, Host>, target: Target) -> Result<()> {
    head.func_wrap(
        "header",
        move |host: Caller<'_>, (name,): (WasmStr,)| -> Answer<Option<Vec<u8>>> {
            let name = name.to_str(&host)?;
            let fields = host.data().exchange.fields(target);
            Ok((fields
                .map(|fields| joined(fields, &name))
                .ok_or(WitError::WrongPhase),))
        },
    )?;
    head.func_wrap(
        "header-values",
        move |host: Caller<'_>, (name,): (WasmStr,)| -> Answer<Vec<Vec<u8>>> {
            let name = name.to_str(&host)?;
            Ok((values(&host, target, &name),))
        },
    )?;
    head.func_wrap(
        "header-names",
        move |host: Caller<'_>, ()| -> Answer<Vec<String>> { Ok((names(&host, target),)) },
    )
}

/// The four edits, which heads and trailers have.
fn link_edits(head: &mut LinkerInstance<'_, Host>, target: Target) -> Result<()> {
    head.func_wrap(
        "set-header",
        move |mut host: Caller<'_>, field: (WasmStr, WasmList<u8>)| -> Answer<()> {
            edit(&mut host, target, &WitEdit::Set(field))
        },
    )?;
    head.func_wrap(
        "append-header",
        move |mut host: Caller<'_>, field: (WasmStr, WasmList<u8>)| -> Answer<()> {
            edit(&mut host, target, &WitEdit::Append(field))
        },
    )?;
    head.func_wrap(
        "remove-header",
        move |mut host: Caller<'_>, (name,): (WasmStr,)| -> Answer<()> {
            edit(&mut host, target, &WitEdit::Remove(name))
        },
    )?;
    head.func_wrap(
        "edit-headers",
        move |mut host: Caller<'_>, (edits,): (Vec<WitEdit>,)| -> Answer<()> {
            if edits.len() > EDITS_MAX {
                return Ok((Err(WitError::LimitReached),));
            }
            for one in &edits {
                if let (Err(error),) = edit(&mut host, target, one)? {
                    return Ok((Err(error),));
                }
            }
            Ok((Ok(()),))
        },
    )
}

fn edit(host: &mut Caller<'_>, target: Target, edit: &WitEdit) -> Answer<()> {
    let mut names = std::mem::take(&mut host.data_mut().names);
    let checked = checked(host, edit, &mut names);
    host.data_mut().names = names;
    let checked = checked?;
    let edited = checked.and_then(|edit| host.data_mut().exchange.edit(target, edit));
    Ok((edited.map_err(WitError::from),))
}

/// The edit, out of the guest's memory.
fn checked(
    host: &Caller<'_>,
    edit: &WitEdit,
    names: &mut EditNames,
) -> Result<std::result::Result<CheckedEdit, Refusal>> {
    Ok(match edit {
        WitEdit::Set((name, value)) => {
            Edit::Set(&name.to_str(host)?, value.as_le_slice(host)).check_with(names)
        }
        WitEdit::Append((name, value)) => {
            Edit::Append(&name.to_str(host)?, value.as_le_slice(host)).check_with(names)
        }
        WitEdit::Remove(name) => Edit::Remove(&name.to_str(host)?).check_with(names),
    })
}

fn values(
    host: &Caller<'_>,
    target: Target,
    name: &str,
) -> std::result::Result<Vec<Vec<u8>>, WitError> {
    let fields = host.data().exchange.fields(target);
    let fields = fields.ok_or(WitError::WrongPhase)?;
    let values = fields.get_all(name).iter();
    Ok(values.map(|value| value.as_bytes().to_vec()).collect())
}

fn names(host: &Caller<'_>, target: Target) -> std::result::Result<Vec<String>, WitError> {
    let fields = host.data().exchange.fields(target);
    let fields = fields.ok_or(WitError::WrongPhase)?;
    Ok(fields.keys().map(|name| name.as_str().to_owned()).collect())
}
