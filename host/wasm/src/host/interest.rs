//! `interest`: what a plugin wants to see, said while it is being configured.

use super::Host;
use super::heads::EDITS_MAX;
use crate::wit::{WitBodyMode, WitDeclaredEdit, WitError, WitPart};
use http::{HeaderName, Method};
use std::time::Duration;
use tidegate_chain::{BodyMode, DeclaredEdit, Edit, Interest, Part, PathInterest};
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;

/// Entries of one list, however many calls make it.
const LIST_MAX: usize = 256;
/// The shortest period of `on-tick`.
const TICK_MIN: Duration = Duration::from_secs(1);
/// The longest.
const TICK_MAX: Duration = Duration::from_hours(24);
/// Bytes of one entry.
const TEXT_BYTES_MAX: usize = 8 * 1024;

pub(super) fn link(interest: &mut LinkerInstance<'_, Host>) -> Result<()> {
    interest.func_wrap(
        "methods",
        |mut host: Caller<'_>, (list,): (Vec<String>,)| {
            Ok((host.data_mut().narrow(
                &list,
                |i| i.methods.len(),
                |interest, text| {
                    let method = Method::from_bytes(text.as_bytes());
                    interest
                        .methods
                        .push(method.map_err(|_| WitError::InvalidArgument)?);
                    Ok(())
                },
            ),))
        },
    )?;
    interest.func_wrap("paths", |mut host: Caller<'_>, (list,): (Vec<String>,)| {
        Ok((host.data_mut().narrow(
            &list,
            |i| i.paths.len(),
            |interest, text| {
                interest.paths.push(PathInterest::parse(text)?);
                Ok(())
            },
        ),))
    })?;
    interest.func_wrap(
        "headers",
        |mut host: Caller<'_>, (list,): (Vec<String>,)| {
            Ok((host.data_mut().narrow(
                &list,
                |i| i.headers.len(),
                |interest, text| {
                    let name = HeaderName::from_bytes(text.as_bytes());
                    interest
                        .headers
                        .push(name.map_err(|_| WitError::InvalidName)?);
                    Ok(())
                },
            ),))
        },
    )?;
    interest.func_wrap(
        "request-body",
        |mut host: Caller<'_>, (mode,): (WitBodyMode,)| {
            Ok((host
                .data_mut()
                .body_mode(mode, |interest| &mut interest.request_body),))
        },
    )?;
    interest.func_wrap(
        "response-body",
        |mut host: Caller<'_>, (mode,): (WitBodyMode,)| {
            Ok((host
                .data_mut()
                .body_mode(mode, |interest| &mut interest.response_body),))
        },
    )?;
    interest.func_wrap("tick", |mut host: Caller<'_>, (period,): (u64,)| {
        Ok((host.data_mut().tick(Duration::from_nanos(period)),))
    })?;
    link_edits(interest, "edit-request", |interest| {
        &mut interest.request_edits
    })?;
    link_edits(interest, "edit-response", |interest| {
        &mut interest.response_edits
    })
}

/// Edits that are made in place of calls.
fn link_edits(
    interest: &mut LinkerInstance<'_, Host>,
    name: &str,
    slot: fn(&mut Interest) -> &mut Option<Box<[DeclaredEdit]>>,
) -> Result<()> {
    interest.func_wrap(
        name,
        move |mut host: Caller<'_>, (edits,): (Vec<WitDeclaredEdit>,)| {
            Ok((host.data_mut().declare_edits(edits, slot),))
        },
    )
}

impl Host {
    fn body_mode(
        &mut self,
        mode: WitBodyMode,
        slot: impl FnOnce(&mut Interest) -> &mut BodyMode,
    ) -> std::result::Result<(), WitError> {
        let most = self.body_bytes;
        let interest = self.interest.as_mut().ok_or(WitError::WrongPhase)?;
        let size = |size: u64| {
            let size = usize::try_from(size).ok().filter(|size| *size <= most);
            size.ok_or(WitError::LimitReached)
        };
        *slot(interest) = match mode {
            WitBodyMode::None => BodyMode::None,
            WitBodyMode::Streaming => BodyMode::Streaming,
            WitBodyMode::Buffer(most) => BodyMode::Buffer(size(most)?),
            WitBodyMode::Peek(most) => BodyMode::Peek(size(most)?),
        };
        Ok(())
    }

    fn tick(&mut self, period: Duration) -> std::result::Result<(), WitError> {
        let interest = self.interest.as_mut().ok_or(WitError::WrongPhase)?;
        if !(TICK_MIN..=TICK_MAX).contains(&period) {
            return Err(WitError::InvalidArgument);
        }
        interest.tick = Some(period);
        Ok(())
    }

    fn declare_edits(
        &mut self,
        edits: Vec<WitDeclaredEdit>,
        slot: fn(&mut Interest) -> &mut Option<Box<[DeclaredEdit]>>,
    ) -> std::result::Result<(), WitError> {
        if edits.len() > EDITS_MAX {
            return Err(WitError::LimitReached);
        }
        let parts = edits.iter().map(|edit| match edit {
            WitDeclaredEdit::Set((_, parts)) | WitDeclaredEdit::Append((_, parts)) => parts.len(),
            WitDeclaredEdit::Remove(_) => 0,
        });
        if parts.sum::<usize>() > EDITS_MAX {
            return Err(WitError::LimitReached);
        }
        let edits = edits.into_iter().map(|edit| match edit {
            WitDeclaredEdit::Set((name, parts)) => self.declared(
                &name,
                parts,
                |name, value| Edit::Set(name, value),
                DeclaredEdit::Set,
            ),
            WitDeclaredEdit::Append((name, parts)) => self.declared(
                &name,
                parts,
                |name, value| Edit::Append(name, value),
                DeclaredEdit::Append,
            ),
            WitDeclaredEdit::Remove(name) => Ok(DeclaredEdit::Fixed(Edit::Remove(&name).check()?)),
        });
        let edits = edits.collect::<std::result::Result<_, WitError>>()?;
        let interest = self.interest.as_mut().ok_or(WitError::WrongPhase)?;
        *slot(interest) = Some(edits);
        Ok(())
    }

    /// An edit with a value: put together now, if that is possible.
    fn declared(
        &self,
        name: &str,
        parts: Vec<WitPart>,
        fixed: for<'a> fn(&'a str, &'a [u8]) -> Edit<'a>,
        put_together: fn(HeaderName, Box<[Part]>) -> DeclaredEdit,
    ) -> std::result::Result<DeclaredEdit, WitError> {
        let mut bytes = Vec::new();
        let mut kept = Vec::with_capacity(parts.len());
        let mut varies = false;
        for part in parts {
            kept.push(match part {
                WitPart::Bytes(part) => {
                    bytes.extend_from_slice(&part);
                    Part::Bytes(part.into())
                }
                WitPart::Attribute(_) if !self.capabilities.allows("attributes") => {
                    return Err(WitError::Forbidden);
                }
                WitPart::Attribute(name) => {
                    varies = true;
                    Part::attribute(&name)?
                }
            });
        }
        // Checks the name, and the bytes that are known.
        let edit = fixed(name, &bytes).check()?;
        Ok(if varies {
            put_together(edit.name().clone(), kept.into())
        } else {
            DeclaredEdit::Fixed(edit)
        })
    }

    fn narrow(
        &mut self,
        list: &[String],
        so_far: impl FnOnce(&Interest) -> usize,
        mut add: impl FnMut(&mut Interest, &str) -> std::result::Result<(), WitError>,
    ) -> std::result::Result<(), WitError> {
        let interest = self.interest.as_mut().ok_or(WitError::WrongPhase)?;
        let too_long = list.iter().any(|text| text.len() > TEXT_BYTES_MAX);
        if so_far(interest) + list.len() > LIST_MAX || too_long {
            return Err(WitError::LimitReached);
        }
        list.iter().try_for_each(|text| add(interest, text))
    }
}
