//! A deadline that is set for each thing that is waited for, and hardly ever passes. A timer costs more than the wait
//! for a peer that is near, so there is one for all of them: it is not moved when a deadline is, but when it goes off
//! too early.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug, Default)]
pub(super) struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Called with every wait: ready, once that has lasted for so long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, timeout: Duration) -> Poll<()> {
        let Some(at) = self.at.or_else(|| Instant::now().checked_add(timeout)) else {
            // Later than there is time.
            return Poll::Pending;
        };
        self.at = Some(at);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }

    /// What was waited for has come.
    pub(super) fn clear(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn it_passes_when_it_is_due_however_often_it_was_moved() {
        let mut deadline = Deadline::default();
        let second = Duration::from_secs(1);
        let began = Instant::now();
        for _ in 0..5 {
            let early = poll_fn(|cx| deadline.poll(cx, 10 * second));
            assert!(tokio::time::timeout(second, early).await.is_err());
            deadline.clear();
        }
        poll_fn(|cx| deadline.poll(cx, 10 * second)).await;
        assert_eq!(began.elapsed(), 15 * second);
        deadline.clear();
        let endless = poll_fn(|cx| deadline.poll(cx, Duration::MAX));
        assert!(tokio::time::timeout(second, endless).await.is_err());
        poll_fn(|cx| deadline.poll(cx, second)).await;
        assert_eq!(began.elapsed(), 17 * second);
    }
}
