//! The interface `log`.

use super::super::call::with;
use crate::log::Level;

pub(crate) fn write(level: Level, message: &str) {
    with(|current| current.host.log.push((level, message.to_owned())));
}

pub(crate) fn enabled(_level: Level) -> bool {
    true
}
