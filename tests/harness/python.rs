//! Python, with the modules from PyPI that `.ci/setup test` installs.

use std::path::PathBuf;

use super::{repository, skipped};

/// The interpreter, or `None` with a line that says so where it has no such module.
pub fn python(module: &str) -> Option<PathBuf> {
    let tools = std::env::var_os("TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| repository().join("target/tools"));
    let python = tools.join("bin/python");
    let imported = std::process::Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .output();
    if imported.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skipped(format_args!(
        "the Python module `{module}` is not installed"
    ));
    None
}
