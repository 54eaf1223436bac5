//! Certificates for names that clients ask for: only after somebody said that they may be had, and not
//! more often than is allowed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::sync::watch;

use crate::authority::OnDemand;
use crate::name::Name;
use crate::web::{RootsError, Web, WebError};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Names that are asked about or ordered at one time. Clients can make names up.
const PENDING: usize = 64;
/// Names that are remembered as refused.
const REFUSED: usize = 10_000;
/// Between two lines of the log about somebody who does not answer. The metric counts them all.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Who is asked, and what came of it.
pub(crate) struct Permission {
    pub(crate) settings: OnDemand,
    web: Web,
    state: Mutex<State>,
}

struct State {
    /// When the next order fits into the rate, had they come evenly (GCRA).
    next: Instant,
    refused: HashMap<Name, Instant>,
    pending: HashMap<Name, watch::Receiver<()>>,
    complained: Option<Instant>,
}

/// What is to be done for a client.
pub(crate) enum Turn {
    /// It is the first: ask and order. Others wait until this is dropped.
    First(Pending),
    /// Somebody is at it: wait.
    Wait(watch::Receiver<()>),
    /// The reason, as the metric has it.
    No(&'static str),
}

/// A name that is being ordered.
pub(crate) struct Pending {
    permission: Arc<Permission>,
    name: Name,
    done: watch::Sender<()>,
}

impl Permission {
    pub(crate) fn new(settings: OnDemand) -> Result<Permission, RootsError> {
        Ok(Permission {
            web: Web::new(None, true).or_else(|error| match error {
                // Needed for https only, and then said by the connection.
                RootsError::NoSystem if settings.ask.starts_with("http:") => Web::without_roots(),
                error => Err(error),
            })?,
            settings,
            state: Mutex::new(State {
                next: Instant::now(),
                refused: HashMap::new(),
                pending: HashMap::new(),
                complained: None,
            }),
        })
    }

    /// Whether there may be a certificate for the name.
    pub(crate) async fn ask(&self, name: &Name) -> Result<bool, WebError> {
        // A name has no characters that mean something in a query.
        let url = format!("{}?domain={name}", self.settings.ask);
        let status = self.web.status(&url, ANSWER).await?;
        Ok(status == StatusCode::OK)
    }

    /// A client asks for a name.
    pub(crate) fn turn(self: &Arc<Self>, name: &Name, now: Instant) -> Turn {
        let mut state = self.lock();
        if let Some(pending) = state.pending.get(name) {
            return Turn::Wait(pending.clone());
        }
        match state.refused.get(name) {
            Some(until) if *until > now => return Turn::No("remembered"),
            Some(_) => drop(state.refused.remove(name)),
            None => {}
        }
        if state.pending.len() >= PENDING {
            return Turn::No("busy");
        }
        let (done, receiver) = watch::channel(());
        state.pending.insert(name.clone(), receiver);
        Turn::First(Pending {
            permission: self.clone(),
            name: name.clone(),
            done,
        })
    }

    /// Whether one more order fits into the rate.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let OnDemand { orders, period, .. } = self.settings;
        let Some(interval) = period.checked_div(orders) else {
            return false;
        };
        let mut state = self.lock();
        let next = state.next.max(now);
        if next.duration_since(now) > period.saturating_sub(interval) {
            return false;
        }
        state.next = next + interval;
        true
    }

    /// Whether that there is no answer may be said in the log: clients can make it happen with every name
    /// that they make up.
    pub(crate) fn may_complain(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let recent = |last: Instant| now.saturating_duration_since(last) < COMPLAINT;
        if state.complained.is_some_and(recent) {
            return false;
        }
        state.complained = Some(now);
        true
    }

    /// The name is not asked for again for some time.
    pub(crate) fn refuse(&self, name: &Name, now: Instant) {
        let mut state = self.lock();
        if state.refused.len() >= REFUSED {
            state.refused.retain(|_, until| *until > now);
        }
        // Full of names that clients made up: those that come on top cost a question each.
        if state.refused.len() < REFUSED {
            state
                .refused
                .insert(name.clone(), now + self.settings.remember);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Is closed when it is over.
    pub(crate) fn done(&self) -> watch::Receiver<()> {
        self.done.subscribe()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.permission.lock().pending.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn permission() -> Arc<Permission> {
        let settings = OnDemand {
            ask: "http://127.0.0.1:1/may".to_owned(),
            orders: 3,
            period: 60 * SECOND,
            wait: SECOND,
            remember: 10 * SECOND,
        };
        Arc::new(Permission::new(settings).unwrap())
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn names_that_are_made_up_do_not_fill_the_log() {
        let (permission, now) = (permission(), Instant::now());
        let said = (0..1000).filter(|n| permission.may_complain(now + *n * SECOND / 100));
        assert_eq!(said.count(), 1);
        assert!(permission.may_complain(now + COMPLAINT));
    }

    #[test]
    fn one_order_per_name_at_a_time() {
        let permission = permission();
        let now = Instant::now();
        let Turn::First(first) = permission.turn(&name("a.example"), now) else {
            panic!("somebody was before");
        };
        let again = permission.turn(&name("a.example"), now);
        assert!(matches!(again, Turn::Wait(_)));
        let other = permission.turn(&name("b.example"), now);
        assert!(matches!(other, Turn::First(_)));
        drop(first);
        let again = permission.turn(&name("a.example"), now);
        assert!(matches!(again, Turn::First(_)));
    }

    #[test]
    fn a_name_that_was_refused_is_remembered_for_its_time() {
        let permission = permission();
        let now = Instant::now();
        permission.refuse(&name("a.example"), now);
        let soon = permission.turn(&name("a.example"), now + 9 * SECOND);
        assert!(matches!(soon, Turn::No("remembered")));
        let later = permission.turn(&name("a.example"), now + 10 * SECOND);
        assert!(matches!(later, Turn::First(_)));
    }

    #[test]
    fn names_that_clients_make_up_do_not_grow_without_bound() {
        let permission = permission();
        let now = Instant::now();
        let mut held = Vec::new();
        for n in 0..PENDING {
            held.push(permission.turn(&name(&format!("n{n}.example")), now));
        }
        let more = permission.turn(&name("more.example"), now);
        assert!(matches!(more, Turn::No("busy")));
        for n in 0..REFUSED + 10 {
            permission.refuse(&name(&format!("r{n}.example")), now);
        }
        assert_eq!(permission.lock().refused.len(), REFUSED);
        permission.refuse(&name("last.example"), now + 20 * SECOND);
        assert_eq!(permission.lock().refused.len(), 1);
    }

    #[test]
    fn orders_keep_to_their_rate() {
        let permission = permission();
        let start = Instant::now();
        let taken = |at: u32| permission.take(start + at * SECOND);
        assert_eq!(
            [taken(0), taken(0), taken(0), taken(0)],
            [true, true, true, false]
        );
        assert_eq!([taken(19), taken(20), taken(20)], [false, true, false]);
    }
}
