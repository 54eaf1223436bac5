//! When a certificate is renewed: pure reckoning, with the clock and the chance passed in.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// How long a `Retry-After` is believed. One that is longer is a mistake, or would be for ever.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far apart renewal information is asked for (RFC 9773 §4.3.2).
const ARI_CHECK: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));

/// When to renew where the authority does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renew {
    /// So long before it expires.
    Before(Duration),
    /// So long after it was issued.
    After(Duration),
}

/// How long to wait after failures: `first`, then three times as long each time, up to `most`. With the
/// defaults, four attempts fall into the first hour; Let's Encrypt allows five failed validations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

/// The rules of one authority's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When to renew.
    pub renew: Renew,
    /// How long to wait after failures.
    pub backoff: Backoff,
}

/// From when to when a certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`.
    pub issued: SystemTime,
    /// `notAfter`.
    pub expires: SystemTime,
}

/// What is remembered from attempt to attempt, and over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The directory of the authority that issued the present certificate.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Attempts that failed since the last success.
    #[serde(default)]
    pub failures: u32,
    /// No attempt before this time.
    #[serde(default)]
    pub retry_at: Option<SystemTime>,
    /// What went wrong last.
    #[serde(default)]
    pub error: Option<String>,
    /// Directories that said when they may be asked again (`Retry-After`).
    #[serde(default)]
    pub blocked: BTreeMap<String, SystemTime>,
    /// What the authority suggests.
    #[serde(default)]
    pub suggestion: Option<Suggestion>,
    /// When it is asked again what it suggests.
    #[serde(default)]
    pub check_at: Option<SystemTime>,
}

/// A time for the renewal, chosen once within what the authority suggests (RFC 9773, ARI).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The window that was suggested.
    pub start: SystemTime,
    /// Its end.
    pub end: SystemTime,
    /// The chosen time.
    pub at: SystemTime,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_secs(60),
            most: Duration::from_secs(6 * 3600),
        }
    }
}

impl Backoff {
    /// The wait after so many failures. `chance` (0 to 1) makes it up to a quarter longer, so that what
    /// failed together is not tried together.
    pub fn after(&self, failures: u32, chance: f64) -> Duration {
        let Some(exponent) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 3u32.checked_pow(exponent).unwrap_or(u32::MAX);
        let wait = self.first.saturating_mul(factor).min(self.most);
        wait.saturating_add((wait / 4).mul_f64(chance.clamp(0.0, 1.0)))
    }
}

impl Schedule {
    /// When the certificate is due, as far as its age goes. `chance` (0 to 1, the same for one
    /// certificate) takes up to a tenth of the time off, so that what was issued together is not renewed
    /// together.
    pub fn due(&self, validity: &Validity, chance: f64) -> SystemTime {
        let lifetime = validity
            .expires
            .duration_since(validity.issued)
            .unwrap_or_default();
        let age = match self.renew {
            Renew::After(age) if age < lifetime => age,
            Renew::Before(left) if left < lifetime => lifetime - left,
            // The key was meant for longer lives; without this, it would be due for ever.
            _ => lifetime / 3 * 2,
        };
        let early = (age / 10).mul_f64(chance.clamp(0.0, 1.0));
        add(validity.issued, age.saturating_sub(early))
    }

    /// When the next attempt is made: not before failures and the authority allow it. `validity` is that
    /// of the present certificate, if it is one for the names that are wanted.
    pub fn next(
        &self,
        now: SystemTime,
        validity: Option<&Validity>,
        history: &History,
        chance: f64,
    ) -> SystemTime {
        let due = match (validity, &history.suggestion) {
            (None, _) => now,
            (Some(validity), None) => self.due(validity, chance),
            // Whatever is suggested, a tenth of the life stays to get the next one.
            (Some(validity), Some(suggestion)) => suggestion.at.min(latest(validity)),
        };
        // A clock that was set back must not make a short wait a long one.
        let most = add(now, self.backoff.after(u32::MAX, 1.0).max(RETRY_AFTER_MAX));
        match history.retry_at {
            Some(retry_at) => due.max(retry_at.min(most)),
            None => due,
        }
    }
}

impl History {
    /// An attempt failed. `again` is what all authorities that were asked said of when to come back.
    pub fn failed(
        &mut self,
        now: SystemTime,
        backoff: &Backoff,
        again: Option<SystemTime>,
        error: String,
        chance: f64,
    ) {
        self.failures = self.failures.saturating_add(1);
        let wait = add(now, backoff.after(self.failures, chance));
        let again = again.map(|again| again.min(add(now, RETRY_AFTER_MAX)));
        self.retry_at = Some(again.map_or(wait, |again| wait.max(again)));
        self.error = Some(error);
    }

    /// A certificate came from this directory.
    pub fn succeeded(&mut self, directory: &str) {
        *self = History {
            issuer: Some(directory.to_owned()),
            blocked: std::mem::take(&mut self.blocked),
            ..History::default()
        };
        self.blocked.remove(directory);
    }

    /// A directory said when it may be asked again.
    pub fn block(&mut self, now: SystemTime, directory: &str, until: SystemTime) {
        let until = until.min(add(now, RETRY_AFTER_MAX));
        self.blocked.insert(directory.to_owned(), until);
    }

    /// Until when a directory must not be asked.
    pub fn blocked_until(&self, now: SystemTime, directory: &str) -> Option<SystemTime> {
        let until = *self.blocked.get(directory)?;
        (until > now && until <= add(now, RETRY_AFTER_MAX)).then_some(until)
    }

    /// The authority suggests a window. The chosen time stays where the window does (RFC 9773 §4.2).
    pub fn suggest(
        &mut self,
        now: SystemTime,
        window: (SystemTime, SystemTime),
        check_after: Duration,
        chance: f64,
    ) {
        let (start, end) = window;
        self.check_after(now, check_after);
        let at = match self.suggestion {
            Some(old) if (old.start, old.end) == window => old.at,
            _ => {
                let length = end.duration_since(start).unwrap_or_default();
                add(start, length.mul_f64(chance.clamp(0.0, 1.0)))
            }
        };
        self.suggestion = Some(Suggestion { start, end, at });
    }

    /// When the authority is asked (again) what it suggests: within a minute to a day (RFC 9773 §4.3).
    pub fn check_after(&mut self, now: SystemTime, wait: Duration) {
        self.check_at = Some(add(now, wait.clamp(ARI_CHECK.0, ARI_CHECK.1)));
    }
}

/// The last moment at which there is time enough for attempts.
fn latest(validity: &Validity) -> SystemTime {
    let lifetime = validity.expires.duration_since(validity.issued);
    let spare = lifetime.unwrap_or_default() / 10;
    validity
        .expires
        .checked_sub(spare)
        .unwrap_or(validity.issued)
}

/// Times of certificates come from the network: a sum beyond what the clock can say stays where it was.
fn add(time: SystemTime, duration: Duration) -> SystemTime {
    time.checked_add(duration).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(duration: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + duration
    }

    fn of(renew: Renew) -> Schedule {
        let backoff = Backoff::default();
        Schedule { renew, backoff }
    }

    fn life(days: u32) -> Validity {
        Validity {
            issued: at(DAY),
            expires: at(DAY * (days + 1)),
        }
    }

    #[test]
    fn days_until_and_days_since() {
        assert_eq!(
            of(Renew::Before(30 * DAY)).due(&life(90), 0.0),
            at(61 * DAY)
        );
        assert_eq!(of(Renew::After(60 * DAY)).due(&life(90), 0.0), at(61 * DAY));
        // Spread over a tenth, always earlier.
        assert_eq!(of(Renew::After(60 * DAY)).due(&life(90), 1.0), at(55 * DAY));
        // Meant for 90 days, given 6: not due at once, again and again.
        assert_eq!(of(Renew::Before(30 * DAY)).due(&life(6), 0.0), at(5 * DAY));
        assert_eq!(of(Renew::After(60 * DAY)).due(&life(6), 0.0), at(5 * DAY));
    }

    #[test]
    fn without_a_certificate_it_is_due_unless_it_failed() {
        let schedule = of(Renew::Before(DAY));
        let now = at(100 * DAY);
        let mut history = History::default();
        assert_eq!(schedule.next(now, None, &history, 0.5), now);
        history.failed(now, &schedule.backoff, None, "no".into(), 0.0);
        assert_eq!(schedule.next(now, None, &history, 0.5), now + HOUR / 60);
        history.failed(now, &schedule.backoff, None, "no".into(), 0.0);
        assert_eq!(schedule.next(now, None, &history, 0.5), now + HOUR / 20);
        history.succeeded("ca");
        assert_eq!(schedule.next(now, None, &history, 0.5), now);
        assert_eq!(history.issuer.as_deref(), Some("ca"));
    }

    #[test]
    fn what_the_authority_says_counts_where_it_is_later() {
        let schedule = of(Renew::Before(DAY));
        let now = at(100 * DAY);
        let mut history = History::default();
        let again = Some(now + 3 * HOUR);
        history.failed(now, &schedule.backoff, again, "rate".into(), 0.0);
        assert_eq!(schedule.next(now, None, &history, 0.0), now + 3 * HOUR);
        let again = Some(now + 1000 * DAY);
        history.failed(now, &schedule.backoff, again, "rate".into(), 0.0);
        assert_eq!(schedule.next(now, None, &history, 0.0), now + 7 * DAY);
    }

    #[test]
    fn a_directory_is_blocked_for_its_time() {
        let now = at(DAY);
        let mut history = History::default();
        history.block(now, "ca", now + HOUR);
        assert_eq!(history.blocked_until(now, "ca"), Some(now + HOUR));
        assert_eq!(history.blocked_until(now, "other"), None);
        assert_eq!(history.blocked_until(now + HOUR, "ca"), None);
        history.succeeded("other");
        assert_eq!(history.blocked_until(now, "ca"), Some(now + HOUR));
        history.succeeded("ca");
        assert_eq!(history.blocked_until(now, "ca"), None);
    }

    #[test]
    fn a_suggestion_goes_before_and_is_chosen_once() {
        let schedule = of(Renew::Before(30 * DAY));
        let mut history = History::default();
        let window = (at(20 * DAY), at(24 * DAY));
        history.suggest(at(10 * DAY), window, HOUR, 0.5);
        let next = |history: &History| schedule.next(at(10 * DAY), Some(&life(90)), history, 0.0);
        assert_eq!(next(&history), at(22 * DAY));
        history.suggest(at(11 * DAY), window, Duration::ZERO, 0.9);
        assert_eq!(next(&history), at(22 * DAY));
        assert_eq!(history.check_at, Some(at(11 * DAY) + ARI_CHECK.0));
        // The authority wants it back: the window moves into the past.
        history.suggest(at(12 * DAY), (at(DAY), at(2 * DAY)), HOUR, 1.0);
        assert_eq!(next(&history), at(2 * DAY));
        // One that lies behind the end is not believed.
        history.suggest(at(12 * DAY), (at(500 * DAY), at(600 * DAY)), HOUR, 1.0);
        assert_eq!(next(&history), at(82 * DAY));
        // A failure counts for a suggestion too.
        let now = at(85 * DAY);
        history.failed(now, &schedule.backoff, None, "no".into(), 0.0);
        let next = schedule.next(now, Some(&life(90)), &history, 0.0);
        assert_eq!(next, now + HOUR / 60);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_renewal() {
        let schedule = of(Renew::Before(DAY));
        let mut history = History::default();
        history.failed(at(5000 * DAY), &schedule.backoff, None, "no".into(), 0.0);
        let next = schedule.next(at(100 * DAY), None, &history, 0.0);
        assert!(next <= at(107 * DAY));
    }

    #[test]
    fn a_history_survives_a_restart() {
        let mut history = History::default();
        history.failed(at(DAY), &Backoff::default(), None, "no".into(), 0.3);
        history.block(at(DAY), "ca", at(2 * DAY));
        history.suggest(at(DAY), (at(DAY), at(2 * DAY)), HOUR, 0.7);
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
        let empty = serde_json::from_str::<History>("{}").unwrap();
        assert_eq!(empty, History::default());
    }

    fn duration() -> impl Strategy<Value = Duration> {
        (0..u64::MAX, 0..1_000_000_000u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
    }

    fn time() -> impl Strategy<Value = SystemTime> {
        (0..u64::from(u32::MAX) * 4).prop_map(|secs| at(Duration::from_secs(secs)))
    }

    proptest! {
        #[test]
        fn due_lies_within_the_life(issued in time(), expires in time(), d in duration(), after: bool, chance in -1.0..2.0f64) {
            let renew = if after { Renew::After(d) } else { Renew::Before(d) };
            let due = of(renew).due(&Validity { issued, expires }, chance);
            prop_assert!(due >= issued);
            prop_assert!(due <= expires.max(issued));
        }

        #[test]
        fn backoff_grows_to_its_bound(first in 1..100_000u64, more in 0..1_000_000u64, n: u32, chance in 0.0..1.0f64) {
            let first = Duration::from_millis(first);
            let backoff = Backoff { first, most: first + Duration::from_millis(more) };
            let wait = backoff.after(n, chance);
            prop_assert!(n == 0 || wait >= backoff.first);
            prop_assert!(wait <= backoff.most + backoff.most / 4);
            prop_assert!(backoff.after(n.saturating_add(1), 0.0) >= backoff.after(n, 0.0));
        }

        #[test]
        fn a_failure_is_never_followed_at_once(now in time(), failures in 0..1000u32, again in proptest::option::of(time()), chance in 0.0..1.0f64) {
            let schedule = of(Renew::Before(DAY));
            let mut history = History { failures, ..History::default() };
            history.failed(now, &schedule.backoff, again, String::new(), chance);
            let next = schedule.next(now, None, &history, chance);
            prop_assert!(next >= now + schedule.backoff.first);
            prop_assert!(next <= now + RETRY_AFTER_MAX);
        }
    }
}
