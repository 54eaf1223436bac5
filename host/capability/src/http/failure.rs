//! Why there is no response.

use std::error::Error;
use std::io;

/// Why a call has no response, or no more of it. Messages name the origin, and never a path, a query or a
/// field: those may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The origin is not granted, or not for the address that its name stands for.
    #[error("{0}")]
    Forbidden(String),
    /// Not a URL, method or field that can be sent.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The name has no address.
    #[error("{0}: the name has no address")]
    Unresolved(String),
    /// Nobody answers at the address, or the connection broke.
    #[error("{0}: {1}")]
    Unreachable(String, String),
    /// The server's certificate is not valid, or there is no common version or cipher.
    #[error("{0}: TLS: {1}")]
    Tls(String, String),
    /// It took longer than was allowed.
    #[error("{0}: no {1} in time")]
    Timeout(String, &'static str),
    /// The response is larger than was allowed.
    #[error("{0}: the response is larger than allowed")]
    TooLarge(String),
    /// The server does not speak HTTP as it should.
    #[error("{0}: {1}")]
    Protocol(String, String),
    /// Too many calls, connections or look-ups at one time.
    #[error("too many {0} at one time")]
    LimitReached(&'static str),
    /// The call has ended.
    #[error("the call has ended")]
    Closed,
}

impl Failure {
    /// What an error of the HTTP engine means. The connector's own failures pass through it.
    pub(super) fn of(origin: &str, error: &(dyn Error + 'static)) -> Failure {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(failure) = error.downcast_ref::<Failure>() {
                return failure.clone();
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                if error.is_parse_too_large() {
                    return Failure::TooLarge(origin.into());
                }
                if error.is_parse() {
                    return Failure::Protocol(origin.into(), error.to_string());
                }
                if error.is_incomplete_message() || error.is_closed() {
                    return Failure::Unreachable(origin.into(), error.to_string());
                }
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Failure::Unreachable(origin.into(), error.to_string());
            }
            cause = error.source();
        }
        Failure::Protocol(origin.into(), innermost(error))
    }
}

/// What the error at the end of the chain says, which is most. A server can put a text into it.
fn innermost(mut error: &(dyn Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string().chars().take(WHY_CHARS_MAX).collect()
}

/// Characters of a reason that a server may have had a part in.
const WHY_CHARS_MAX: usize = 200;
