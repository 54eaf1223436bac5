//! `filesystem` in `allow`: folders that a plugin sees.

use std::path::PathBuf;

use crate::located::Located;
use crate::resolve::Resolver;
use schemars::JsonSchema;
use serde::Deserialize;

/// A folder that a plugin sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesystemGrant {
    /// The folder; absolute.
    pub host: PathBuf,
    /// Where the plugin sees it: absolute, without `.`, `..` and empty segments.
    pub guest: String,
    /// Whether the plugin may change what is in it.
    pub write: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFolder {
    /// The folder, relative to this file.
    host: PathBuf,
    /// Where the plugin sees it, such as "/data".
    guest: Located<String>,
    /// Whether the plugin may change what is in it.
    #[serde(default)]
    write: bool,
}

pub(crate) fn resolve_folders(
    raw: Vec<RawFolder>,
    resolver: &mut Resolver,
) -> Vec<FilesystemGrant> {
    let mut folders: Vec<FilesystemGrant> = Vec::with_capacity(raw.len());
    for RawFolder { host, guest, write } in raw {
        if !is_guest_path(&guest.value) {
            resolver.reject(
                guest.span,
                format!(
                    "`{}` is not an absolute path in its plain form",
                    guest.value
                ),
                "expected a path such as \"/data\", without `.`, `..` and a slash at its end",
            );
        }
        if folders.iter().any(|folder| folder.guest == guest.value) {
            resolver.reject(
                guest.span,
                format!("two folders are at `{}`", guest.value),
                "choose another path",
            );
        }
        folders.push(FilesystemGrant {
            host: resolver.source().resolve_path(host),
            guest: guest.value,
            write,
        });
    }
    folders
}

fn is_guest_path(path: &str) -> bool {
    let plain = |segment: &str| !["", ".", ".."].contains(&segment) && !segment.contains('\0');
    path.strip_prefix('/')
        .is_some_and(|rest| rest.is_empty() || rest.split('/').all(plain))
}
