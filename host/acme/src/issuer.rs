//! An authority at work: the account with it, and orders.

use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AccountCredentials, CertificateIdentifier, Error, ExternalAccountKey, NewAccount,
};
use tokio::sync::{Mutex, Semaphore};

use crate::authority::{Authority, Challenge};
use crate::blocking::off_thread;
use crate::certificate::Certificate;
use crate::failure::{Failure, Kind};
use crate::name::Names;
use crate::order::{Answering, Answers, Order};
use crate::store::{Shelf, StoreError};
use crate::web::{RetryAfter, RootsError, Session, Web};

/// Orders that one authority is asked for at one time.
const ORDERS: usize = 4;
/// An authority with what is needed to talk to it.
pub(crate) struct Issuer {
    pub(crate) authority: Authority,
    pub(crate) shelf: Shelf,
    web: Web,
    orders: Semaphore,
    /// Held while the account is looked for, so that two orders do not make two.
    account: Mutex<()>,
}

impl Issuer {
    pub(crate) fn new(authority: Authority, shelf: Shelf) -> Result<Issuer, RootsError> {
        Ok(Issuer {
            web: Web::new(authority.roots.as_deref(), false)?,
            authority,
            shelf,
            orders: Semaphore::new(ORDERS),
            account: Mutex::default(),
        })
    }

    /// Orders a certificate for these names, within the time that orders may take. `challenge` is how
    /// control of them is shown; `old` is the certificate that the new one replaces.
    pub(crate) async fn order(
        &self,
        names: &Names,
        challenge: &Challenge,
        old: Option<&Certificate>,
        answering: &Answering,
    ) -> Result<Certificate, Failure> {
        // Before the place: who has a place waits for nobody.
        let _claim = answering.claims.claim(names).await;
        // Closed by nobody.
        let _place = self.orders.acquire().await;
        let ordered = self.try_order(names, challenge, old, answering).await;
        match ordered {
            // One that was deleted, or an authority that was set up anew.
            Err(failure) if failure.kind == Kind::AccountGone => {
                tracing::warn!(issuer = &*self.authority.name, error = %failure, "making a new account");
                self.set_account_aside().await?;
                self.try_order(names, challenge, old, answering).await
            }
            ordered => ordered,
        }
    }

    async fn try_order(
        &self,
        names: &Names,
        challenge: &Challenge,
        old: Option<&Certificate>,
        answering: &Answering,
    ) -> Result<Certificate, Failure> {
        let session = self.session();
        let told = session.retry_after();
        let mut answers = Answers::default();
        let limit = self.authority.order_timeout;
        let order = async {
            let account = self.account(Box::new(session)).await?;
            let order = Order {
                account,
                names,
                challenge,
                answering,
                key_type: self.authority.key_type,
                limit,
            };
            order.run(old, &mut answers).await
        };
        let ordered = tokio::time::timeout(limit, order).await;
        answers.take_back().await;
        let late = || {
            let text = format!("the order took longer than {limit:?}");
            Failure::new(Kind::Timeout, text)
        };
        let ordered = ordered.unwrap_or_else(|_| Err(late()));
        ordered.map_err(|failure| with_retry_after(failure, &told))
    }

    /// When the authority would have this certificate renewed, and after what time it is asked again;
    /// `None` where it does not say (RFC 9773).
    pub(crate) async fn renewal_window(
        &self,
        certificate: &Certificate,
    ) -> Result<Option<((SystemTime, SystemTime), Duration)>, Failure> {
        let failed = |error: Error| Failure::of("cannot ask when to renew", &error);
        let Some(id) = identifier(certificate) else {
            return Ok(None);
        };
        let account = self.account(Box::new(self.session())).await?;
        match account.renewal_info(&id).await {
            Ok((info, check_after)) => {
                let window = info.suggested_window;
                Ok(Some((
                    (window.start.into(), window.end.into()),
                    check_after,
                )))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn session(&self) -> Session {
        self.web.session(self.authority.request_timeout)
    }

    /// The account that is kept, or a new one.
    async fn account(&self, http: Box<Session>) -> Result<Account, Failure> {
        let _one_at_a_time = self.account.lock().await;
        let directory = self.authority.directory.clone();
        let shelf = self.shelf.clone();
        let kept = off_thread(move || shelf.account(&directory)).await?;
        if let Some(kept) = kept {
            match serde_json::from_slice::<AccountCredentials>(&kept) {
                Ok(credentials) => {
                    let account = Account::builder_with_http(http)
                        .from_credentials(credentials)
                        .await;
                    return account
                        .map_err(|error| Failure::of("cannot ask for the directory", &error));
                }
                Err(error) => {
                    tracing::warn!(issuer = &*self.authority.name, %error, "the account in the store is damaged; making a new one");
                    self.set_account_aside().await?;
                }
            }
        }
        self.new_account(http).await
    }

    async fn set_account_aside(&self) -> Result<(), Failure> {
        let (shelf, directory) = (self.shelf.clone(), self.authority.directory.clone());
        let set_aside = move || {
            shelf.set_aside_account(&directory);
            Ok::<_, StoreError>(())
        };
        off_thread(set_aside).await
    }

    async fn new_account(&self, http: Box<Session>) -> Result<Account, Failure> {
        let authority = &self.authority;
        let contact: Vec<&str> = authority.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = authority.external_account.as_ref();
        let external =
            external.map(|of| ExternalAccountKey::new(of.key_id.clone(), of.key.expose()));
        let (account, credentials) = Account::builder_with_http(http)
            .create(&new, authority.directory.clone(), external.as_ref())
            .await
            .map_err(|error| Failure::of("cannot make an account", &error))?;
        let text = serde_json::to_vec(&credentials).map(zeroize::Zeroizing::new);
        let text = text.map_err(|error| Failure::new(Kind::Store, error))?;
        let (shelf, directory) = (self.shelf.clone(), authority.directory.clone());
        off_thread(move || shelf.keep_account(&directory, &text)).await?;
        tracing::info!(
            issuer = &*authority.name,
            account = account.id(),
            "made an account"
        );
        Ok(account)
    }
}

/// What an authority calls a certificate (RFC 9773 §4.1).
pub(crate) fn identifier(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    let leaf = certificate.chain().first()?;
    let id = CertificateIdentifier::try_from(leaf).ok()?;
    Some(id.into_owned())
}

fn with_retry_after(mut failure: Failure, told: &RetryAfter) -> Failure {
    let may_be_for_all = [Kind::RateLimited, Kind::Unreachable, Kind::Refused];
    if may_be_for_all.contains(&failure.kind) {
        failure.again = told.get();
    }
    failure
}
