//! One order: what is to be shown is shown, and the certificate fetched (RFC 8555 §7.4).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeHandle, ChallengeType, Error,
    Identifier, NewOrder, OrderStatus, RetryPolicy,
};

use crate::authority::{Challenge, KeyType};
use crate::blocking::off_thread;
use crate::certificate::{self, Certificate};
use crate::challenge::{Answer, Tokens};
use crate::claim::Claims;
use crate::dns::Dns;
use crate::failure::{Failure, Kind};
use crate::issuer::identifier;
use crate::name::{Name, Names};
use crate::serve::Serve;

/// How often an order is looked at: at first, and by what factor less often each time.
const POLL: (Duration, f32) = (Duration::from_millis(250), 1.5);

/// Where answers to challenges are given.
#[derive(Clone)]
pub(crate) struct Answering {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) serve: Arc<dyn Serve>,
    pub(crate) claims: Arc<Claims>,
}

/// The answers that one order gives.
#[derive(Default)]
pub(crate) struct Answers {
    given: Vec<Answer>,
    records: Vec<(Dns, Name, String)>,
}

/// One order on its way.
pub(crate) struct Order<'a> {
    pub(crate) account: Account,
    pub(crate) names: &'a Names,
    pub(crate) challenge: &'a Challenge,
    pub(crate) answering: &'a Answering,
    pub(crate) key_type: KeyType,
    /// How long it may take.
    pub(crate) limit: Duration,
}

impl Order<'_> {
    /// From the order to the certificate. `old` is what it replaces; `answers` are given until their
    /// owner takes them back.
    pub(crate) async fn run(
        &self,
        old: Option<&Certificate>,
        answers: &mut Answers,
    ) -> Result<Certificate, Failure> {
        let names = self.names;
        let mut order = self.open(old).await?;
        self.authorize(&mut order, answers).await?;
        let (of, key_type) = (names.clone(), self.key_type);
        let (key, request) = off_thread(move || certificate::request(&of, key_type)).await?;
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
                let hash = <[u8; 32]>::try_from(hash.as_ref());
                let hash = hash.map_err(|error| Failure::new(Kind::Invalid, error))?;
                let of = name.clone();
                let certificate = off_thread(move || Certificate::challenge(&of, &hash)).await?;
                let answer = Answer::handshake(&self.answering.serve, name, &certificate);
                answers.given.push(answer);
            }
            Challenge::Dns01(dns) => {
                let value = authorization.dns_value();
                // First noted, so that half a success is taken back, too.
                let record = (Dns::clone(dns), name.clone(), value.clone());
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
    pub(crate) async fn take_back(&mut self) {
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
