//! Whether the system lets the process have as many sockets as the configuration lets it accept.

use tidegate_config::Config;
use tidegate_listen::{open_files_max, raise_open_files_max};

/// What a connection may need: its own socket, and one to an upstream.
const PER_CONNECTION: u64 = 2;
/// Everything else: listeners, the admin address, connections of plugins, files that are read.
const OTHERS: u64 = 200;

/// Raise the limit as far as it can be.
pub fn raise() {
    if let Err(error) = raise_open_files_max() {
        tracing::warn!(%error, "cannot raise the number of files that may be open at once (RLIMIT_NOFILE)");
    }
}

/// Say so if the limit is reached before the caps of the listeners are.
pub fn warn_if_few(config: &Config) {
    let (needed, limit) = (needed(config), open_files_max());
    if needed > limit {
        tracing::warn!(
            needed,
            limit,
            "the system does not let the process open as many sockets as `connections` of all listeners may need: \
             raise the limit (`LimitNOFILE=` of systemd, `ulimit -Hn`), or lower `connections`"
        );
    }
}

fn needed(config: &Config) -> u64 {
    let listeners = u64::try_from(config.listeners.len()).unwrap_or(u64::MAX);
    let connections = listeners.saturating_mul(config.limits.connections.into());
    connections
        .saturating_mul(PER_CONNECTION)
        .saturating_add(OTHERS)
}
