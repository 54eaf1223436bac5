//! The life of one certificate: ordered, kept, served, renewed.

mod attempt;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::blocking::off_thread;
use crate::certificate::{Certificate, CertificateError};
use crate::issuer::Issuer;
use crate::metrics::{CertificateMetrics, Metrics};
use crate::name::{Name, Names};
use crate::order::Answering;
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
    /// When the present one is written to the store again, after that failed so often.
    unkept: Option<(SystemTime, u32)>,
    chance: f64,
    of: CertificateMetrics,
}

/// A certificate that is to be had, and what is served until it is there.
pub(crate) struct Loaded {
    pub(crate) renewal: Renewal,
    /// Where the store has none.
    stand_in: Option<Certificate>,
}

impl Loaded {
    /// Makes a key where there is none.
    pub(crate) fn new(renewal: Renewal) -> Result<Loaded, CertificateError> {
        let stand_in = match &renewal.certificate {
            Some(_) => None,
            None => Some(Certificate::self_signed(&renewal.names)?),
        };
        Ok(Loaded { renewal, stand_in })
    }

    /// What is to be served: the certificate of the store, else one that nobody vouches for, with a warning.
    pub(crate) fn to_serve(&self) -> Option<(&Name, &Certificate)> {
        let main = self.renewal.names.main();
        let Some(stand_in) = &self.stand_in else {
            return self.renewal.certificate.as_ref().map(|of| (main, of));
        };
        tracing::warn!(
            issuer = &*self.renewal.primary().authority.name,
            names = %self.renewal.names,
            "NO CERTIFICATE YET: serving one that we signed ourselves, which clients refuse, until the first arrives"
        );
        Some((main, stand_in))
    }
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
            unkept: None,
            chance: fastrand::f64(),
            names,
            issuers,
            answering,
            history,
            certificate,
        })
    }

    /// Serves the certificate that there is, if there is one.
    pub(crate) fn serve(&self) {
        if let Some(certificate) = &self.certificate {
            self.put(certificate);
        }
    }

    fn put(&self, certificate: &Certificate) {
        let authority = &self.primary().authority.name;
        let main = self.names.main();
        self.answering.serve.put(authority, &[(main, certificate)]);
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
        self.serve();
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
            let keep = self.unkept.map(|(at, _)| at);
            if keep.is_some_and(|at| at <= now) {
                self.keep().await;
            } else if next <= now {
                if !self.is_allowed().await {
                    return;
                }
                // What went wrong was logged, and counts for the next time.
                let _ = self.attempt().await;
            } else if check.is_some_and(|check| check <= now) {
                self.ask_when().await;
            } else {
                let until = [check, keep]
                    .into_iter()
                    .flatten()
                    .fold(next, SystemTime::min);
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
