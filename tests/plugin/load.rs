//! Clients that send one request after the other while a test does something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::{Client, Proxy, Request, Response, until};

/// Clients with a connection each, which they keep.
pub struct Load {
    clients: JoinSet<Report>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

/// How the exchanges went.
#[derive(Debug, Default)]
pub struct Report {
    /// What went wrong, in words.
    pub failures: Vec<String>,
    /// The time of each exchange.
    pub times: Vec<Duration>,
}

impl Load {
    /// Starts so many clients. `check` says what is wrong with a response, if anything.
    pub fn start(
        proxy: &Proxy,
        clients: usize,
        request: impl Fn() -> Request + Clone + Send + Sync + 'static,
        check: impl Fn(&Response) -> Result<(), String> + Clone + Send + Sync + 'static,
    ) -> Load {
        let mut load = Load {
            clients: JoinSet::new(),
            stop: Arc::default(),
            done: Arc::default(),
        };
        for _ in 0..clients {
            let address = proxy.address().to_owned();
            let (stop, done) = (load.stop.clone(), load.done.clone());
            let (request, check) = (request.clone(), check.clone());
            load.clients.spawn(async move {
                let mut client = Client::h1(&address).await;
                let mut report = Report::default();
                while !stop.load(Ordering::Relaxed) {
                    report.add(&mut client, request(), &check).await;
                    done.fetch_add(1, Ordering::Relaxed);
                    if client.is_closed() {
                        client = Client::h1(&address).await;
                    }
                }
                report
            });
        }
        load
    }

    /// Waits until so many more exchanges are done.
    pub async fn goes_on(&self, count: usize) {
        let goal = self.done.load(Ordering::Relaxed) + count;
        until(&format!("{count} more exchanges"), async || {
            (self.done.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Lets the clients finish.
    pub async fn end(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Report::default();
        for report in self.clients.join_all().await {
            all.failures.extend(report.failures);
            all.times.extend(report.times);
        }
        all.times.sort();
        all
    }
}

impl Report {
    /// Asserts that nothing failed.
    pub fn assert_whole(&self) {
        let shown = &self.failures[..self.failures.len().min(5)];
        let (failed, all) = (self.failures.len(), self.times.len());
        assert!(failed == 0, "{failed} of {all} exchanges failed: {shown:?}");
        assert!(all > 0, "there was no exchange");
    }

    /// The time that this share of the exchanges took at most.
    pub fn quantile(&self, share: f64) -> Duration {
        quantile(&self.times, share)
    }

    async fn add(
        &mut self,
        client: &mut Client,
        request: Request,
        check: &impl Fn(&Response) -> Result<(), String>,
    ) {
        let start = Instant::now();
        let answer = client.try_send(request).await;
        self.times.push(start.elapsed());
        let outcome = match answer {
            Ok(response) => check(&response),
            Err(error) => Err(format!("{error:?}")),
        };
        self.failures.extend(outcome.err());
    }
}

/// Of sorted times, the one that this share of them is not above.
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted[(last as f64 * share).round() as usize]
}

/// The response is a 200.
pub fn ok(response: &Response) -> Result<(), String> {
    match response.status {
        200 => Ok(()),
        status => Err(format!("status {status}: {}", response.text())),
    }
}
