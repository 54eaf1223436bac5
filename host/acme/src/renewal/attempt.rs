//! One attempt to get a certificate, and what is kept of it.

use std::time::{Duration, SystemTime};

use super::Renewal;
use crate::blocking::off_thread;
use crate::certificate::Certificate;
use crate::failure::{Failure, Kind};
use crate::issuer::Issuer;

impl Renewal {
    /// Orders it: of the first authority that gives it.
    pub(crate) async fn attempt(&mut self) -> Result<(), Failure> {
        if let Err(failure) = self.note_start().await {
            self.failed(&self.primary().authority.name, &failure);
            if self.certificate.is_none() {
                return self.give_up(failure, None).await;
            }
            // One that serves clients is renewed all the same: it would expire while the disk is full.
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
    /// order again after each restart, until a limit is reached. So would one that cannot write, which is
    /// why a first certificate is not ordered then.
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
        self.put(&certificate);
        self.metrics.order(&issuer.authority.name, "ok");
        self.history.succeeded(&issuer.authority.directory);
        let expires = certificate.validity().expires;
        tracing::info!(
            issuer = &*issuer.authority.name,
            names = %self.names,
            expires = %httpdate::fmt_http_date(expires),
            "a new certificate is served"
        );
        self.certificate = Some(certificate);
        self.unkept = None;
        self.keep().await;
        Ok(())
    }

    /// Writes the present certificate to the store, or says when that is tried again. It is served all
    /// the same; a restart would have to order it again.
    pub(super) async fn keep(&mut self) {
        let Some(certificate) = &self.certificate else {
            return;
        };
        let (shelf, main) = (self.primary().shelf.clone(), self.names.main().clone());
        let pem = zeroize::Zeroizing::new(certificate.pem().to_vec());
        let kept = off_thread(move || shelf.keep_certificate(&main, &pem)).await;
        let kept = match kept {
            Ok(()) => self.keep_history().await,
            Err(failure) => Err(failure),
        };
        let failed = self.unkept.map_or(0, |(_, failed)| failed);
        let Err(failure) = kept else {
            if failed > 0 {
                tracing::info!(names = %self.names, "the certificate is kept now");
            }
            self.unkept = None;
            self.of.unkept(false);
            return;
        };
        let failed = failed.saturating_add(1);
        let backoff = self.primary().authority.schedule.backoff;
        let wait = backoff.after(failed, fastrand::f64());
        let again = SystemTime::now().checked_add(wait);
        self.unkept = again.map(|again| (again, failed));
        self.of.unkept(true);
        tracing::error!(
            names = %self.names,
            error = %failure,
            again_in = ?wait,
            "THE NEW CERTIFICATE IS NOT KEPT: it is served, and a restart would lose it"
        );
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

    pub(super) async fn keep_history(&self) -> Result<(), Failure> {
        let (shelf, main) = (self.primary().shelf.clone(), self.names.main().clone());
        let history = self.history.clone();
        off_thread(move || shelf.keep_history(&main, &history)).await
    }
}
