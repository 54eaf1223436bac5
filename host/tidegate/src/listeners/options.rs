//! Options of sockets as the system takes them: users and groups as numbers.

use tidegate_config::{Account, Located, Span};
use tidegate_listen::SocketOptions;

/// # Errors
/// A user or group that the system does not know, and its place in the file.
pub(super) fn resolve(
    written: &tidegate_config::SocketOptions,
) -> Result<SocketOptions, (Span, String)> {
    Ok(SocketOptions {
        backlog: written.backlog,
        v6_only: written.v6_only,
        reuse_port: written.reuse_port,
        keepalive: written.keepalive,
        mode: written.mode,
        owner: number(written.owner.as_ref(), "user", |name| {
            uzers::get_user_by_name(name).map(|user| user.uid())
        })?,
        group: number(written.group.as_ref(), "group", |name| {
            uzers::get_group_by_name(name).map(|group| group.gid())
        })?,
    })
}

fn number(
    account: Option<&Located<Account>>,
    kind: &str,
    find: fn(&str) -> Option<u32>,
) -> Result<Option<u32>, (Span, String)> {
    let Some(Located { value, span }) = account else {
        return Ok(None);
    };
    match value {
        Account::Id(id) => Ok(Some(*id)),
        Account::Name(name) => find(name)
            .map(Some)
            .ok_or_else(|| (*span, format!("this system has no {kind} `{name}`"))),
    }
}
