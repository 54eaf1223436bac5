//! `tidegate check`: everything that a start does, except to listen.

use crate::app::Parts;
use std::path::Path;
use tidegate_config::Config;

pub(super) fn run(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path, super::environment())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let parts = Parts::new(&config)?;
    let state = runtime.block_on(async {
        let state = parts.assemble(&config).await?;
        let secrets = parts.grants.secrets(&config).await?;
        crate::acme::check(&config, &secrets)?;
        anyhow::Ok(state)
    })?;
    for warning in crate::doubtful::warnings(&config, &parts, &state) {
        eprintln!("warning: {warning}\n");
    }
    super::print(&format!(
        "{}: ok ({}, {}, {})\n",
        path.display(),
        count(config.listeners.len(), "listener"),
        count(config.routes.len(), "route"),
        count(parts.library.in_use(&config), "plugin"),
    ))
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
