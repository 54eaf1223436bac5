//! The interface `body`.

use super::super::call::with;
use super::super::phase::Phase;
use crate::Error;

pub(crate) fn skip_request() -> Result<(), Error> {
    with(|current| {
        let current = current.only(Phase::skips_request_body)?;
        current.exchange.skips_request_body = true;
        Ok(())
    })
}

pub(crate) fn skip_response() -> Result<(), Error> {
    with(|current| {
        let current = current.only(Phase::skips_response_body)?;
        current.exchange.skips_response_body = true;
        Ok(())
    })
}
