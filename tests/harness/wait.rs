//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for what has to happen. Long, because the machine may be busy; a test that
/// passes does not wait that long.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer.
pub async fn until<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, check).await
}

/// As [`until`], for what takes its time.
pub async fn until_within<T>(
    time: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let give_up = Instant::now() + time;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < give_up, "waited in vain for: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for what has to end within the deadline.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited in vain for: {what}"),
    }
}

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);
