//! `log`: lines of plugins in the proxy's log, cut to size and number.

use super::Host;
use crate::wit::WitLevel;
use std::borrow::Cow;
use tracing::Level;
use wasmtime::component::{LinkerInstance, WasmStr};
use wasmtime::{Result, StoreContextMut};

/// The target of plugins' lines, for filters.
const TARGET: &str = "tidegate::plugin";
const MESSAGE_BYTES_MAX: usize = 4096;

pub(super) fn link(log: &mut LinkerInstance<'_, Host>) -> Result<()> {
    log.func_wrap(
        "write",
        |host: StoreContextMut<'_, Host>, (level, message): (WitLevel, WasmStr)| {
            if enabled(level) {
                host.data().write_log(level, &message.to_str(&host)?);
            }
            Ok(())
        },
    )?;
    log.func_wrap(
        "enabled",
        |_: StoreContextMut<'_, Host>, (level,): (WitLevel,)| Ok((enabled(level),)),
    )
}

impl Host {
    fn write_log(&self, level: WitLevel, message: &str) {
        let id = &*self.exchange.facts.request_id;
        write(
            &self.namespace,
            &self.version,
            id,
            self.monotonic(),
            level,
            message,
        );
    }
}

/// Write one line of a plugin, within its budget.
pub(super) fn write(
    namespace: &crate::namespace::Namespace,
    version: &str,
    request: &str,
    now: u64,
    level: WitLevel,
    message: &str,
) {
    let Some(left_out) = namespace.may_log(now) else {
        return;
    };
    let plugin = &*namespace.name;
    let message = clean(message);
    if left_out > 0 {
        tracing::warn!(target: TARGET, plugin, left_out, "too many log lines, some were left out");
    }
    // The level of an event is part of its static description, hence one arm each.
    match level {
        WitLevel::Trace => tracing::trace!(target: TARGET, plugin, version, request, "{message}"),
        WitLevel::Debug => tracing::debug!(target: TARGET, plugin, version, request, "{message}"),
        WitLevel::Info => tracing::info!(target: TARGET, plugin, version, request, "{message}"),
        WitLevel::Warn => tracing::warn!(target: TARGET, plugin, version, request, "{message}"),
        WitLevel::Error => tracing::error!(target: TARGET, plugin, version, request, "{message}"),
    }
}

fn enabled(level: WitLevel) -> bool {
    match level {
        WitLevel::Trace => tracing::enabled!(target: TARGET, Level::TRACE),
        WitLevel::Debug => tracing::enabled!(target: TARGET, Level::DEBUG),
        WitLevel::Info => tracing::enabled!(target: TARGET, Level::INFO),
        WitLevel::Warn => tracing::enabled!(target: TARGET, Level::WARN),
        WitLevel::Error => tracing::enabled!(target: TARGET, Level::ERROR),
    }
}

/// Cut to size, and with control characters escaped: a plugin cannot forge lines.
pub(crate) fn clean(message: &str) -> Cow<'_, str> {
    let cut = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    let message = message.get(..cut).unwrap_or_default();
    if message.contains(char::is_control) {
        let escaped = message.chars().map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        });
        return Cow::Owned(escaped.collect());
    }
    Cow::Borrowed(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_cannot_forge_others() {
        assert_eq!(
            clean("a\nlevel=error\u{1b}[31m"),
            "a\\nlevel=error\\u{1b}[31m"
        );
        assert_eq!(clean(&"ä".repeat(4096)).len(), MESSAGE_BYTES_MAX);
        assert!(matches!(clean("fine"), Cow::Borrowed("fine")));
    }
}
