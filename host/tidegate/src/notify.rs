//! What the service manager is told (sd_notify(3)). Without `NOTIFY_SOCKET` in the environment, nothing.

use sd_notify::NotifyState;

/// How the proxy is when nothing is wrong.
pub const SERVING: &str = "serving";

/// Everything listens; `status` says how it is, for people.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] ends it, whether it succeeds or not.
pub fn reloading() {
    // systemd compares the time with that of its own request (`Type=notify-reload`).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[
            NotifyState::Reloading,
            now,
            NotifyState::Status("reloading"),
        ]),
        Err(error) => tracing::warn!(%error, "cannot read the clock for the service manager"),
    }
}

/// No connection is accepted any more; those that are open are finished.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Say regularly that the proxy lives, where `WATCHDOG_USEC` asks for it. From a task, so that it stops when the
/// runtime hangs, and the service manager starts the proxy anew.
pub fn keep_alive() {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    tokio::spawn(async move {
        // Half of the limit is what sd_watchdog_enabled(3) recommends.
        let mut ticks = tokio::time::interval(limit / 2);
        loop {
            ticks.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    });
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
