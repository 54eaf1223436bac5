//! Certificates for names that clients ask for: only after somebody said that they may be had, and not
//! more often than is allowed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::sync::watch;

use crate::authority::OnDemand;
use crate::name::Name;
use crate::rate::Limiter;
use crate::refused::Refused;
use crate::web::{RootsError, Web, WebError};

/// Between two lines of the log about somebody who does not answer. The metric counts them all.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Who is asked, and what came of it.
pub(crate) struct Permission {
    pub(crate) settings: OnDemand,
    web: Web,
    state: Mutex<State>,
}

struct State {
    questions: Limiter,
    orders: Limiter,
    refused: Refused,
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
        let now = Instant::now();
        Ok(Permission {
            web: Web::new(None, true).or_else(|error| match error {
                // Needed for https only, and then said by the connection.
                RootsError::NoSystem if settings.ask.starts_with("http:") => Web::without_roots(),
                error => Err(error),
            })?,
            state: Mutex::new(State {
                questions: Limiter::new(settings.ask_limit, now),
                orders: Limiter::new(settings.limit, now),
                refused: Refused::new(settings.remember, settings.remember_names),
                pending: HashMap::new(),
                complained: None,
            }),
            settings,
        })
    }

    /// Whether there may be a certificate for the name.
    pub(crate) async fn ask(&self, name: &Name) -> Result<bool, WebError> {
        // A name has no characters that mean something in a query.
        let url = format!("{}?domain={name}", self.settings.ask);
        let status = self.web.status(&url, self.settings.ask_timeout).await?;
        Ok(status == StatusCode::OK)
    }

    /// A client asks for a name.
    pub(crate) fn turn(self: &Arc<Self>, name: &Name, now: Instant) -> Turn {
        let mut state = self.lock();
        if let Some(pending) = state.pending.get(name) {
            return Turn::Wait(pending.clone());
        }
        if state.refused.contains(name, now) {
            return Turn::No("remembered");
        }
        if state.pending.len() >= self.settings.pending {
            return Turn::No("busy");
        }
        if !state.questions.take(now) {
            return Turn::No("ask-limited");
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
    pub(crate) fn may_order(&self, now: Instant) -> bool {
        self.lock().orders.take(now)
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

    /// The name is not asked for again for some time. Whether another one is forgotten too early for it.
    pub(crate) fn refuse(&self, name: &Name, now: Instant) -> bool {
        self.lock().refused.insert(name, now)
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
    use crate::rate::Rate;

    const SECOND: Duration = Duration::from_secs(1);

    fn permission() -> Arc<Permission> {
        let settings = OnDemand {
            ask: "http://127.0.0.1:1/may".to_owned(),
            ask_timeout: SECOND,
            ask_limit: Rate {
                count: 100,
                period: SECOND,
            },
            limit: Rate {
                count: 3,
                period: 60 * SECOND,
            },
            pending: 7,
            wait: SECOND,
            remember: 10 * SECOND,
            remember_names: 100,
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
    fn names_that_clients_make_up_are_asked_about_at_a_rate_and_so_many_at_once() {
        let permission = permission();
        let now = Instant::now();
        let mut held = Vec::new();
        for n in 0..7 {
            held.push(permission.turn(&name(&format!("n{n}.example")), now));
        }
        let more = permission.turn(&name("more.example"), now);
        assert!(matches!(more, Turn::No("busy")));
        drop(held);
        let turns = (0..1000).map(|n| permission.turn(&name(&format!("m{n}.example")), now));
        let asked = turns.filter(|turn| matches!(turn, Turn::First(_)));
        assert_eq!(asked.count(), 100 - 7);
        let more = permission.turn(&name("more.example"), now);
        assert!(matches!(more, Turn::No("ask-limited")));
        let later = permission.turn(&name("more.example"), now + SECOND / 100);
        assert!(matches!(later, Turn::First(_)));
    }
}
