//! How many files and sockets the process may have open (RLIMIT_NOFILE, getrlimit(2)).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// The most that may be open at once.
pub fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raise it as far as the system lets us. Systems keep the soft limit low for programs that use select(2), which
/// cannot count further; this one does not.
///
/// # Errors
/// The system does not let us.
pub fn raise_open_files_max() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}
