//! An authority at work: the account with it, and orders.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AccountCredentials, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier,
    ChallengeHandle, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use tokio::sync::{Mutex, Semaphore};

use crate::authority::{Authority, Challenge, KeyType};
use crate::certificate::{self, Certificate};
use crate::challenge::{Answer, Tokens};
use crate::dns::Dns;
use crate::failure::{Failure, Kind};
use crate::name::{Name, Names};
use crate::serve::Serve;
use crate::store::Shelf;
use crate::web::{RetryAfter, RootsError, Web};

/// Orders that one authority is asked for at one time.
const ORDERS: usize = 4;
/// How often an order is looked at: at first, and by what factor less often each time.
const POLL: (Duration, f32) = (Duration::from_millis(250), 1.5);

/// An authority with what is needed to talk to it.
pub(crate) struct Issuer {
    pub(crate) authority: Authority,
    pub(crate) shelf: Shelf,
    web: Web,
    orders: Semaphore,
    /// Held while the account is looked for, so that two orders do not make two.
    account: Mutex<()>,
}

/// Where answers to challenges are given.
#[derive(Clone)]
pub(crate) struct Answering {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) serve: Arc<dyn Serve>,
}

/// The answers that one order gives.
#[derive(Default)]
struct Answers {
    given: Vec<Answer>,
    records: Vec<(Dns, Name, String)>,
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
        // Closed by nobody.
        let _place = self.orders.acquire().await;
        let ordered = self.try_order(names, challenge, old, answering).await;
        match ordered {
            // One that was deleted, or an authority that was set up anew.
            Err(failure) if failure.kind == Kind::AccountGone => {
                tracing::warn!(issuer = &*self.authority.name, error = %failure, "making a new account");
                self.shelf.set_aside_account(&self.authority.directory);
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
        let session = self.web.session();
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
        let account = self.account(Box::new(self.web.session())).await?;
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

    /// The account that is kept, or a new one.
    async fn account(&self, http: Box<crate::web::Session>) -> Result<Account, Failure> {
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
                    self.shelf.set_aside_account(&self.authority.directory);
                }
            }
        }
        self.new_account(http).await
    }

    async fn new_account(&self, http: Box<crate::web::Session>) -> Result<Account, Failure> {
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

/// One order on its way.
struct Order<'a> {
    account: Account,
    names: &'a Names,
    challenge: &'a Challenge,
    answering: &'a Answering,
    key_type: KeyType,
    limit: Duration,
}

impl Order<'_> {
    async fn run(
        &self,
        old: Option<&Certificate>,
        answers: &mut Answers,
    ) -> Result<Certificate, Failure> {
        let names = self.names;
        let mut order = self.open(old).await?;
        self.authorize(&mut order, answers).await?;
        let (key, request) = certificate::request(names, self.key_type)
            .map_err(|error| Failure::new(Kind::Invalid, error))?;
        let failed = |error: Error| Failure::of("cannot finish the order", &error);
        order.finalize_csr(&request).await.map_err(failed)?;
        let chain = order.poll_certificate(&self.polling()).await;
        let chain = chain.map_err(|error| Failure::of("no certificate came", &error))?;
        Certificate::issued(&key, &chain, names, SystemTime::now()).map_err(|error| {
            Failure::new(Kind::Invalid, format!("what the authority gave: {error}"))
        })
    }

    async fn open(&self, old: Option<&Certificate>) -> Result<instant_acme::Order, Failure> {
        let identifiers = self.names.iter();
        let identifiers = identifiers.map(|name| Identifier::Dns(name.as_str().to_owned()));
        let identifiers: Vec<Identifier> = identifiers.collect();
        if let Some(id) = old.and_then(identifier) {
            let order = NewOrder::new(&identifiers).replaces(id);
            match self.account.new_order(&order).await {
                Ok(order) => return Ok(order),
                // An authority that knows no replacements, or that of another one's certificate.
                Err(error) if may_be_the_replacement(&error) => {
                    tracing::debug!(%error, "ordering without saying what is replaced");
                }
                Err(error) => return Err(Failure::of("cannot order", &error)),
            }
        }
        let order = self.account.new_order(&NewOrder::new(&identifiers)).await;
        order.map_err(|error| Failure::of("cannot order", &error))
    }

    /// Show control of all names: give all answers, then say that they are given.
    async fn authorize(
        &self,
        order: &mut instant_acme::Order,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        let failed = |error: Error| Failure::of("cannot read what is to be shown", &error);
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(failed)?;
            if let Some(challenge) = self.open_challenge(&mut authorization)? {
                self.answer(&challenge, answers).await?;
            }
        }
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(failed)?;
            if let Some(mut challenge) = self.open_challenge(&mut authorization)? {
                let ready = challenge.set_ready().await;
                ready
                    .map_err(|error| Failure::of("cannot say that the answer is there", &error))?;
            }
        }
        match order.poll_ready(&self.polling()).await {
            Ok(OrderStatus::Ready | OrderStatus::Valid) => Ok(()),
            Ok(_) => Err(why(order, None).await),
            Err(error) if order.state().status == OrderStatus::Invalid => {
                Err(why(order, Some(&error)).await)
            }
            Err(error) => Err(Failure::of("no answer to what was shown", &error)),
        }
    }

    /// The challenge to be answered, unless the authority knows already.
    fn open_challenge<'h>(
        &self,
        authorization: &'h mut AuthorizationHandle<'h>,
    ) -> Result<Option<ChallengeHandle<'h>>, Failure> {
        match authorization.status {
            AuthorizationStatus::Valid => return Ok(None),
            AuthorizationStatus::Pending => {}
            other => {
                let name = authorization.identifier();
                let text = format!("the authorization of {name} is {other:?}");
                return Err(Failure::new(Kind::Invalid, text));
            }
        }
        let (kind, called) = match self.challenge {
            Challenge::Http01 => (ChallengeType::Http01, "http-01"),
            Challenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
            Challenge::Dns01(_) => (ChallengeType::Dns01, "dns-01"),
        };
        if !authorization.challenges.iter().any(|of| of.r#type == kind) {
            let offered = authorization.challenges.iter().map(|of| &of.r#type);
            let offered: Vec<&ChallengeType> = offered.collect();
            let text = format!(
                "the authority does not offer {called} for {}, only {offered:?}; set `challenge`",
                authorization.identifier()
            );
            return Err(Failure::new(Kind::Refused, text));
        }
        Ok(authorization.challenge(kind))
    }

    async fn answer(
        &self,
        challenge: &ChallengeHandle<'_>,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        let name = self.own(challenge)?;
        let authorization = challenge.key_authorization();
        match self.challenge {
            Challenge::Http01 => {
                let tokens = &self.answering.tokens;
                let answer = Answer::token(tokens, &challenge.token, authorization.as_str());
                answers.given.push(answer);
            }
            Challenge::TlsAlpn01 => {
                let hash = authorization.digest();
                let hash = <&[u8; 32]>::try_from(hash.as_ref());
                let hash = hash.map_err(|error| Failure::new(Kind::Invalid, error))?;
                let answer = Answer::handshake(&self.answering.serve, &name, hash);
                let answer = answer.map_err(|error| Failure::new(Kind::Invalid, error))?;
                answers.given.push(answer);
            }
            Challenge::Dns01(dns) => {
                let value = authorization.dns_value();
                // First noted, so that half a success is taken back, too.
                let record = (dns.clone(), name.clone(), value.clone());
                answers.records.push(record);
                let set = dns.add(&name, &value).await;
                set.map_err(|error| Failure::new(Kind::Dns, error))?;
            }
        }
        Ok(())
    }

    /// The name of a challenge, if it is one that was asked for: nothing is answered for others.
    fn own(&self, challenge: &ChallengeHandle<'_>) -> Result<Name, Failure> {
        let asked = challenge.identifier().to_string();
        let own = Name::parse(&asked).ok();
        own.filter(|name| self.names.iter().any(|of| of == name))
            .ok_or_else(|| {
                let text = format!("the authority asks about {asked}, which was not ordered");
                Failure::new(Kind::Invalid, text)
            })
    }

    fn polling(&self) -> RetryPolicy {
        RetryPolicy::new()
            .initial_delay(POLL.0)
            .backoff(POLL.1)
            .timeout(self.limit)
    }
}

impl Answers {
    /// Stop answering. A record that stays does no harm; that it does is said.
    async fn take_back(&mut self) {
        self.given.clear();
        for (dns, name, value) in self.records.drain(..) {
            if let Err(error) = dns.remove(&name, &value).await {
                tracing::warn!(%name, %error, "cannot remove the record of a challenge");
            }
        }
    }
}

/// Why an order is invalid: the errors of its challenges say more than its own.
async fn why(order: &mut instant_acme::Order, own: Option<&Error>) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else {
            continue;
        };
        if authorization.refresh().await.is_err() {
            continue;
        }
        let errors = authorization.challenges.iter();
        if let Some(problem) = errors.filter_map(|of| of.error.as_ref()).next() {
            let doing = format!("{} was not validated", authorization.identifier());
            let mut failure = Failure::problem(&doing, problem);
            // Whatever type it has: authorities differ in what they call a name that is not found.
            failure.kind = Kind::Validation;
            return failure;
        }
    }
    match own {
        Some(error) => Failure::of("the order failed", error),
        None => Failure::new(
            Kind::Validation,
            "the authority did not say why the order failed",
        ),
    }
}

/// What an authority calls a certificate (RFC 9773 §4.1).
fn identifier(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    let leaf = certificate.chain().first()?;
    let id = CertificateIdentifier::try_from(leaf).ok()?;
    Some(id.into_owned())
}

fn may_be_the_replacement(error: &Error) -> bool {
    match error {
        Error::Api(problem) => {
            let of = ["alreadyReplaced", "malformed", "unauthorized", "conflict"];
            let kind = problem.r#type.as_deref().unwrap_or_default();
            of.iter().any(|of| kind.ends_with(of))
        }
        Error::Unsupported(_) | Error::Other(_) => true,
        _ => false,
    }
}

fn with_retry_after(mut failure: Failure, told: &RetryAfter) -> Failure {
    let may_be_for_all = [Kind::RateLimited, Kind::Unreachable, Kind::Refused];
    if may_be_for_all.contains(&failure.kind) {
        failure.again = told.get();
    }
    failure
}

/// What waits for the disk is done where nothing else waits.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::store::StoreError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Failure::new(Kind::Store, error)),
        Err(error) => Err(Failure::new(Kind::Store, error)),
    }
}
