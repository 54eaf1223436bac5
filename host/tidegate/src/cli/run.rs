//! `tidegate run`: serve.

use crate::shutdown::Signals;
use crate::{app, open_files, trace};
use std::path::Path;
use tidegate_config::Config;
use tidegate_listen::Inherited;

pub(super) fn run(path: &Path) -> anyhow::Result<()> {
    // First of all, because there are no threads yet.
    let inherited = Inherited::from_environment()?;
    let config = Config::load(path, super::environment())?;
    let log = trace::start(&config.log);
    open_files::raise();
    let threads = app::threads(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("worker")
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        // Before anything is made, so that a signal during the start is not lost.
        let signals = Signals::new()?;
        let app = app::App::start(path, config, &log, inherited).await?;
        app.run_until_stopped(signals).await
    });
    // Tasks that are still there after the drain are of no use to anybody.
    runtime.shutdown_background();
    drop(log);
    done
}
