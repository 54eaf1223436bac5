//! The interface `reply`.

use super::super::call::{Current, with};
use super::super::fields;
use super::super::phase::Phase;
use crate::{Error, Reply};

pub(crate) fn set(status: u16, headers: &[(String, Vec<u8>)], body: &[u8]) -> Result<(), Error> {
    with(|current| {
        if body.len() > 1 << 20 {
            return Err(Error::InvalidArgument);
        }
        let mut reply = head(current, status, headers)?;
        reply.body = body.to_vec();
        current.exchange.reply = Some(reply);
        Ok(())
    })
}

/// The plugin's type says nothing of its exports here, so that `unavailable` does not happen.
pub(crate) fn begin(status: u16, headers: &[(String, Vec<u8>)]) -> Result<(), Error> {
    with(|current| {
        current.exchange.reply = Some(head(current, status, headers)?);
        Ok(())
    })
}

fn head(current: &mut Current, status: u16, headers: &[(String, Vec<u8>)]) -> Result<Reply, Error> {
    current.only(Phase::replies)?;
    if !(200..=599).contains(&status) {
        return Err(Error::InvalidArgument);
    }
    let mut reply = Reply::new(status);
    for (name, value) in headers {
        fields::check(name, value)?;
        reply = reply.header(name, value.clone());
    }
    Ok(reply)
}
