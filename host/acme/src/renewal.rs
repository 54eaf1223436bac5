//! The life of one certificate: ordered, kept, served, renewed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::certificate::{Certificate, CertificateError};
use crate::failure::{Failure, Kind};
use crate::issuer::{Answering, Issuer, off_thread};
use crate::metrics::{CertificateMetrics, Metrics};
use crate::name::Names;
use crate::permission::Permission;
use crate::schedule::History;
use crate::store::StoreError;

/// The longest sleep: a clock that was set, or a machine that slept, is noticed after it.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// When an authority is asked again for its suggestion: after a failure, and where it has none.
const SUGGESTION: (Duration, Duration) =
    (Duration::from_secs(3600), Duration::from_secs(24 * 3600));

/// A certificate that is to be had at all times.
pub(crate) struct Renewal {
    pub(crate) names: Names,
    /// The authority whose certificate it is, then those that stand in for it.
    pub(crate) issuers: Arc<[Arc<Issuer>]>,
    pub(crate) answering: Answering,
    pub(crate) metrics: Metrics,
    pub(crate) history: History,
    /// The present one, if it is not one that we signed ourselves.
    pub(crate) certificate: Option<Certificate>,
    /// Who is asked before it is renewed, where a client caused it.
    pub(crate) permission: Option<Arc<Permission>>,
    chance: f64,
    of: CertificateMetrics,
}

impl Renewal {
    /// With what the store has of it.
    pub(crate) fn load(
        names: Names,
        issuers: Arc<[Arc<Issuer>]>,
        answering: Answering,
        metrics: &Metrics,
    ) -> Result<Renewal, StoreError> {
        let shelf = &issuers[0].shelf;
        let main = names.main();
        let history = shelf.history(main)?;
        let certificate = match shelf.certificate(main)? {
            None => None,
            Some(pem) => match Certificate::from_pem(&pem) {
                Ok(certificate) => Some(certificate),
                Err(error) => {
                    tracing::warn!(name = %main, %error, "the certificate in the store is damaged; ordering a new one");
                    shelf.set_aside_certificate(main);
                    None
                }
            },
        };
        if history.failures > 0 {
            tracing::warn!(
                name = %main,
                failures = history.failures,
                last = history.error.as_deref().unwrap_or_default(),
                "failures before the start count; remove the name's .json file from the store to try at once"
            );
        }
        Ok(Renewal {
            of: metrics.certificate(main),
            metrics: metrics.clone(),
            permission: None,
            chance: fastrand::f64(),
            names,
            issuers,
            answering,
            history,
            certificate,
        })
    }

    /// Serves what there is: the certificate of the store, else one that nobody vouches for.
    pub(crate) fn serve(&self) -> Result<(), CertificateError> {
        let authority = &self.primary().authority.name;
        let main = self.names.main();
        if let Some(certificate) = &self.certificate {
            self.answering.serve.put(authority, main, certificate);
            return Ok(());
        }
        tracing::warn!(
            issuer = &**authority,
            names = %self.names,
            "NO CERTIFICATE YET: serving one that we signed ourselves, which clients refuse, until the first arrives"
        );
        let stand_in = Certificate::self_signed(&self.names)?;
        self.answering.serve.put(authority, main, &stand_in);
        Ok(())
    }

    /// Reads again what the store has.
    pub(crate) async fn look_again(&mut self) {
        let (names, issuers) = (self.names.clone(), self.issuers.clone());
        let (answering, metrics) = (self.answering.clone(), self.metrics.clone());
        let load = move || Renewal::load(names, issuers, answering, &metrics);
        let Ok(fresh) = off_thread(load).await else {
            // What was read before is nearly as good.
            return;
        };
        let permission = self.permission.take();
        *self = Renewal {
            permission,
            ..fresh
        };
        if self.certificate.is_some() {
            // Nothing is made here that could fail.
            let _ = self.serve();
        }
    }

    /// Whether it is to be ordered now.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        self.next(now) <= now
    }

    /// Whether the present certificate is one for the names, of one of the authorities.
    fn is_wanted(&self) -> bool {
        let issuer = self.history.issuer.as_deref();
        let known = |directory: &str| {
            let mut all = self.issuers.iter();
            all.any(|issuer| issuer.authority.directory == directory)
        };
        let fits = |certificate: &Certificate| certificate.is_for(&self.names);
        // Where nobody knows any more who issued it, it is taken for what it is.
        self.certificate.as_ref().is_some_and(fits) && issuer.is_none_or(known)
    }

    fn next(&self, now: SystemTime) -> SystemTime {
        let wanted = self.certificate.as_ref().filter(|_| self.is_wanted());
        let validity = wanted.map(Certificate::validity);
        let schedule = &self.primary().authority.schedule;
        schedule.next(now, validity, &self.history, self.chance)
    }

    /// Renews it again and again, until it is stopped. An order that is on its way is finished.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let now = SystemTime::now();
            let next = self.next(now);
            self.of.next_attempt(next);
            self.of.failures(self.history.failures);
            let check = self.check_at(now);
            if next <= now {
                if !self.is_allowed().await {
                    return;
                }
                // What went wrong was logged, and counts for the next time.
                let _ = self.attempt().await;
            } else if check.is_some_and(|check| check <= now) {
                self.ask_when().await;
            } else {
                let until = check.map_or(next, |check| check.min(next));
                let wait = until.duration_since(now).unwrap_or_default();
                tokio::select! {
                    () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
                    () = stop.cancelled() => {}
                }
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    async fn is_allowed(&self) -> bool {
        let Some(permission) = &self.permission else {
            return true;
        };
        match permission.ask(self.names.main()).await {
            Ok(true) => true,
            Ok(false) => {
                tracing::info!(names = %self.names, "not renewed: it is not allowed any more");
                false
            }
            Err(error) => {
                // Whoever allowed it before may be restarting. The authority decides in the end.
                tracing::warn!(names = %self.names, %error, "renewing without being allowed again");
                true
            }
        }
    }

    /// Orders it: of the first authority that gives it.
    pub(crate) async fn attempt(&mut self) -> Result<(), Failure> {
        if let Err(failure) = self.note_start().await {
            let name = self.primary().authority.name.clone();
            self.failed(&name, &failure);
            return self.give_up(failure, None).await;
        }
        let mut again: Option<SystemTime> = None;
        let mut last = None;
        for issuer in self.issuers.clone().iter() {
            let now = SystemTime::now();
            let directory = &issuer.authority.directory;
            if let Some(until) = self.history.blocked_until(now, directory) {
                again = Some(again.map_or(until, |again| again.min(until)));
                continue;
            }
            match self.order(issuer).await {
                Ok(certificate) => return self.arrived(issuer, certificate).await,
                Err(failure) => {
                    self.failed(&issuer.authority.name, &failure);
                    if let Some(until) = failure.again {
                        self.history.block(now, directory, until);
                        again = Some(again.map_or(until, |again| again.min(until)));
                    } else {
                        // This one can be asked again whenever we like.
                        again = Some(now);
                    }
                    let is_ours = failure.kind.is_ours();
                    last = Some(failure);
                    if is_ours {
                        break;
                    }
                }
            }
        }
        let blocked = || Failure::new(Kind::RateLimited, "all authorities said to come back later");
        self.give_up(last.unwrap_or_else(blocked), again).await
    }

    /// An attempt counts as failed until it is over: a process that ends in the middle of each would
    /// order again after each restart, until a limit is reached. So would one that cannot write.
    async fn note_start(&mut self) -> Result<(), Failure> {
        let backoff = self.primary().authority.schedule.backoff;
        let before = self.history.clone();
        let interrupted = "it was interrupted".to_owned();
        self.history
            .failed(SystemTime::now(), &backoff, None, interrupted, 0.0);
        let noted = self.keep_history().await;
        self.history = before;
        noted
    }

    async fn order(&self, issuer: &Issuer) -> Result<Certificate, Failure> {
        tracing::info!(issuer = &*issuer.authority.name, names = %self.names, "ordering a certificate");
        let ours = self.history.issuer.as_deref() == Some(&*issuer.authority.directory);
        let old = self.certificate.as_ref().filter(|_| ours);
        let challenge = &self.primary().authority.challenge;
        issuer
            .order(&self.names, challenge, old, &self.answering)
            .await
    }

    async fn arrived(&mut self, issuer: &Issuer, certificate: Certificate) -> Result<(), Failure> {
        let main = self.names.main().clone();
        let of = &self.primary().authority.name;
        self.answering.serve.put(of, &main, &certificate);
        self.metrics.order(&issuer.authority.name, "ok");
        self.history.succeeded(&issuer.authority.directory);
        let expires = certificate.validity().expires;
        tracing::info!(
            issuer = &*issuer.authority.name,
            names = %self.names,
            expires = %httpdate::fmt_http_date(expires),
            "a new certificate is served"
        );
        let pem = zeroize::Zeroizing::new(certificate.pem().to_vec());
        self.certificate = Some(certificate);
        let shelf = self.primary().shelf.clone();
        let kept = off_thread(move || shelf.keep_certificate(&main, &pem)).await;
        let kept = match kept {
            Ok(()) => self.keep_history().await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = kept {
            // It is served all the same; a restart would have to order it again.
            tracing::error!(names = %self.names, error = %failure, "the new certificate is not kept");
        }
        Ok(())
    }

    fn failed(&self, issuer: &str, failure: &Failure) {
        self.metrics.order(issuer, failure.kind.label());
        let kind = failure.kind.label();
        tracing::error!(issuer, names = %self.names, kind, error = %failure, "no certificate");
    }

    async fn give_up(
        &mut self,
        failure: Failure,
        again: Option<SystemTime>,
    ) -> Result<(), Failure> {
        let now = SystemTime::now();
        let backoff = self.primary().authority.schedule.backoff;
        let error = failure.to_string();
        self.history
            .failed(now, &backoff, again, error, fastrand::f64());
        let wait = self.next(now).duration_since(now).unwrap_or_default();
        let serves = match &self.certificate {
            Some(certificate) if certificate.validity().expires <= now => "one that expired",
            Some(_) => "the last good one",
            None => "one that we signed ourselves",
        };
        tracing::warn!(
            names = %self.names,
            failures = self.history.failures,
            again_in = ?Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            serves,
            "trying again later"
        );
        // Where it cannot be kept, it counts until the next restart.
        let _ = self.keep_history().await;
        Err(failure)
    }

    async fn keep_history(&self) -> Result<(), Failure> {
        let (shelf, main) = (self.primary().shelf.clone(), self.names.main().clone());
        let history = self.history.clone();
        off_thread(move || shelf.keep_history(&main, &history)).await
    }

    /// When the authority is asked when to renew; `None` for what cannot be asked.
    fn check_at(&self, now: SystemTime) -> Option<SystemTime> {
        self.certificate.as_ref().filter(|_| self.is_wanted())?;
        self.issued_by()?;
        Some(self.history.check_at.unwrap_or(now))
    }

    fn issued_by(&self) -> Option<&Arc<Issuer>> {
        let directory = self.history.issuer.as_deref()?;
        let mut all = self.issuers.iter();
        all.find(|issuer| issuer.authority.directory == directory)
    }

    async fn ask_when(&mut self) {
        let now = SystemTime::now();
        let (Some(issuer), Some(certificate)) = (self.issued_by(), &self.certificate) else {
            return;
        };
        match issuer.renewal_window(certificate).await {
            Ok(Some((window, check_after))) => {
                self.history.suggest(now, window, check_after, self.chance);
            }
            Ok(None) => self.history.check_after(now, SUGGESTION.1),
            Err(failure) => {
                tracing::warn!(names = %self.names, error = %failure, "going by the certificate's age");
                self.history.check_after(now, SUGGESTION.0);
            }
        }
        // Where it cannot be kept, it is asked again after a restart.
        let _ = self.keep_history().await;
    }

    /// The authority whose certificate it is.
    fn primary(&self) -> &Arc<Issuer> {
        &self.issuers[0]
    }
}
