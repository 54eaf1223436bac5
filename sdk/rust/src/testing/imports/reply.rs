//! The interface `reply`.

use super::super::call::{Current, with};
use super::super::phase::Phase;
use super::response::is_bodiless;
use crate::field_name::check;
use crate::log::Level;
use crate::{Error, Reply};

/// The most bytes of a body that is not streamed.
const BODY_BYTES_MAX: usize = 1 << 20;

pub(crate) fn set(status: u16, headers: &[(String, Vec<u8>)], body: &[u8]) -> Result<(), Error> {
    give(|current| {
        let mut reply = head(current, status, headers)?;
        if body.len() > BODY_BYTES_MAX {
            return Err(Error::LimitReached);
        }
        if !body.is_empty() && (is_bodiless(status) || status == 205) {
            return Err(Error::InvalidArgument);
        }
        reply.body = body.to_vec();
        Ok(reply)
    })
}

/// The plugin's type says nothing of its exports here, so that `unavailable` does not happen.
pub(crate) fn begin(status: u16, headers: &[(String, Vec<u8>)]) -> Result<(), Error> {
    give(|current| {
        if is_bodiless(status) {
            return Err(Error::InvalidArgument);
        }
        head(current, status, headers)
    })
}

fn head(current: &mut Current, status: u16, headers: &[(String, Vec<u8>)]) -> Result<Reply, Error> {
    current.only(Phase::replies)?;
    if !(200..=599).contains(&status) {
        return Err(Error::InvalidArgument);
    }
    let mut reply = Reply::new(status);
    for (name, value) in headers {
        check(name, value)?;
        reply = reply.header(name, value.clone());
    }
    Ok(reply)
}

/// Keep the reply, or say in the log why not: the plugin may have no grant for that.
fn give(make: impl FnOnce(&mut Current) -> Result<Reply, Error>) -> Result<(), Error> {
    with(|current| match make(current) {
        Ok(reply) => {
            current.exchange.reply = Some(reply);
            Ok(())
        }
        Err(error) => {
            let line = format!("the reply is refused: {error}");
            current.host.log.push((Level::Error, line));
            Err(error)
        }
    })
}
