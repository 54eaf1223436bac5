//! The interface `clock`.

use super::super::call::with;
use crate::time::nanoseconds;

pub(crate) fn now() -> u64 {
    nanoseconds(with(|current| current.host.epoch + current.host.elapsed))
}

pub(crate) fn monotonic() -> u64 {
    nanoseconds(with(|current| current.host.elapsed))
}
