//! Authorities that answer, but not as they should.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Response;
use tokio::net::TcpListener;

use super::front::{Asked, Change, Front, problem};
use super::{Edge, unix_time};
use crate::harness::{Authority, Named, Proxy, until};

/// An authority that has trouble for as long as a test says so.
struct Troubled {
    edge: Edge,
    front: Front,
    on: Arc<AtomicBool>,
}

impl Troubled {
    async fn new(trouble: impl Fn(&Asked) -> Change + Send + Sync + 'static) -> Option<Troubled> {
        let edge = Edge::new().await?;
        let on = Arc::new(AtomicBool::new(true));
        let switch = on.clone();
        let change = move |asked: &Asked| match switch.load(Ordering::SeqCst) {
            true => trouble(asked),
            false => Change::Pass,
        };
        Some(Troubled {
            front: Front::start(&edge.pebble, change).await,
            edge,
            on,
        })
    }

    async fn proxy(&self, keys: &str) -> Proxy {
        let keys = format!("certificates = [[\"a.example.org\"]]\n{keys}");
        Proxy::start(&self.edge.configuration_at(&self.front.directory(), &keys)).await
    }

    fn set(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    /// Waits for a failure of this kind; gives what the log says of it.
    async fn fails(&self, proxy: &Proxy, kind: &str) -> String {
        let what = format!("a failure: {kind}");
        let line = proxy.log_line(&what, |line| {
            line.says("no certificate") && line.field("kind").as_deref() == Some(kind)
        });
        let error = line.await.field("error").unwrap();
        let series = format!("tidegate_acme_orders_total{{issuer=\"ca\",result=\"{kind}\"}}");
        assert!(proxy.metric(&series).await >= 1.0);
        error
    }

    /// The trouble is over, and the certificate comes.
    async fn recovers(&self) {
        self.set(false);
        self.edge.is_trusted("a.example.org").await;
    }
}

#[tokio::test]
async fn the_last_good_certificate_serves_while_the_authority_is_slow() {
    let slow = |asked: &Asked| match asked.path.starts_with("/finalize-order/") {
        true => Change::Silence,
        false => Change::Pass,
    };
    let Some(troubled) = Troubled::new(slow).await else {
        return;
    };
    troubled.set(false);
    let proxy = troubled
        .proxy("renew_after = \"1s\"\norder_timeout = \"3s\"")
        .await;
    troubled.edge.is_trusted("a.example.org").await;
    troubled.set(true);
    let error = troubled.fails(&proxy, "timeout").await;
    assert_eq!(error, "the order took longer than 3s");
    let line = proxy
        .log_line("what comes next", |line| line.says("trying again later"))
        .await;
    assert_eq!(line.field("serves").as_deref(), Some("the last good one"));
    let root = troubled.edge.root();
    let good = troubled.edge.seen("a.example.org", &root).await.unwrap();
    troubled.set(false);
    until("another certificate", async || {
        let seen = troubled.edge.seen("a.example.org", &root).await;
        seen.filter(|seen| *seen != good)
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_not_answered_in_its_time_fails() {
    let Some(troubled) = Troubled::new(|_| Change::Silence).await else {
        return;
    };
    let proxy = troubled.proxy("request_timeout = \"1s\"").await;
    let error = troubled.fails(&proxy, "timeout").await;
    assert_eq!(error, "cannot make an account: no answer within 1s");
    troubled.recovers().await;
}

#[tokio::test]
async fn a_dns_server_that_does_not_answer_in_its_time_fails() {
    let Some(troubled) = Troubled::new(|_| Change::Pass).await else {
        return;
    };
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = silent.local_addr().unwrap();
    let zone = Named::ZONE;
    let keys = format!(
        "challenge = \"dns-01\"\n\
         dns = {{ server = \"{server}\", zone = \"{zone}\", question_timeout = \"500ms\" }}"
    );
    let proxy = troubled.proxy(&keys).await;
    let error = troubled.fails(&proxy, "dns").await;
    let late = format!("the DNS server {server} did not answer within 500ms");
    assert!(error.contains(&late), "{error}");
}

#[tokio::test]
async fn an_authority_that_says_when_is_not_asked_before_not_even_after_a_restart() {
    let limited = |asked: &Asked| match &*asked.path {
        "/order-plz" => {
            let mut answer = problem(429, "rateLimited", "too many certificates for example.org");
            let wait = "3600".try_into().unwrap();
            answer.headers_mut().insert("retry-after", wait);
            Change::Instead(answer)
        }
        _ => Change::Pass,
    };
    let Some(troubled) = Troubled::new(limited).await else {
        return;
    };
    let start = unix_time();
    let proxy = troubled.proxy("").await;
    let error = troubled.fails(&proxy, "rate-limited").await;
    assert_eq!(
        error,
        "cannot order: the authority says: too many certificates for example.org \
         (urn:ietf:params:acme:error:rateLimited). It is asked again when it allows it. \
         Fewer, larger orders help"
    );
    let waits = async |proxy: &Proxy| {
        until("a time for the next attempt", async || {
            let next = proxy.metric("tidegate_acme_next_attempt_seconds").await;
            let wanted = start + 3600.0..=unix_time() + 3600.0;
            wanted.contains(&next).then_some(())
        })
        .await;
    };
    waits(&proxy).await;
    drop(proxy);
    let proxy = troubled.proxy("").await;
    waits(&proxy).await;
    assert_eq!(troubled.front.asked("/order-plz").len(), 1);
}

#[tokio::test]
async fn a_rate_limit_without_a_time_is_answered_by_waiting_longer_each_time() {
    let limited = |asked: &Asked| match &*asked.path {
        "/order-plz" => Change::Instead(problem(429, "rateLimited", "slow down")),
        _ => Change::Pass,
    };
    let Some(troubled) = Troubled::new(limited).await else {
        return;
    };
    let proxy = troubled.proxy("").await;
    troubled.fails(&proxy, "rate-limited").await;
    until("a second attempt", async || {
        (troubled.front.asked("/order-plz").len() >= 2).then_some(())
    })
    .await;
    troubled.recovers().await;
}

#[tokio::test]
async fn nothing_is_ordered_that_could_not_be_kept() {
    let Some(troubled) = Troubled::new(|_| Change::Pass).await else {
        return;
    };
    let kept = troubled.edge.store().join("ca");
    let in_the_way = kept.join("a.example.org.json.tmp");
    let mut folders = DirBuilder::new();
    let made = folders.recursive(true).mode(0o700).create(&in_the_way);
    made.unwrap();
    let proxy = troubled.proxy("").await;
    let error = troubled.fails(&proxy, "store").await;
    let place = kept.join("a.example.org.json").display().to_string();
    assert!(error.contains(&format!("cannot write {place}")), "{error}");
    assert!(troubled.front.asked("/order-plz").is_empty());
    std::fs::remove_dir(in_the_way).unwrap();
    troubled.recovers().await;
}

#[tokio::test]
async fn a_directory_that_is_none_is_said() {
    let page = |asked: &Asked| match &*asked.path {
        "/dir" => Change::Instead(Response::new(Bytes::from_static(b"<html>It works!</html>"))),
        _ => Change::Pass,
    };
    let Some(troubled) = Troubled::new(page).await else {
        return;
    };
    let proxy = troubled.proxy("").await;
    let error = troubled.fails(&proxy, "invalid").await;
    assert!(error.starts_with("cannot make an account: "), "{error}");
    troubled.recovers().await;
}

#[tokio::test]
async fn an_answer_that_is_a_page_is_said_with_its_status() {
    let page = |_: &Asked| {
        let page = Response::builder().status(503).body("<html>".into());
        Change::Instead(page.unwrap())
    };
    let Some(troubled) = Troubled::new(page).await else {
        return;
    };
    let proxy = troubled.proxy("").await;
    let error = troubled.fails(&proxy, "unreachable").await;
    assert!(error.contains("503 Service Unavailable"), "{error}");
    troubled.recovers().await;
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_not_served() {
    let others = Authority::new().issue(&["a.example.org"]).cert;
    let chains = [
        ("the key does not belong", others.clone()),
        ("it is not PEM", "-----BEGIN CERTIFICATE-----\n?".to_owned()),
        ("it is not PEM", String::new()),
    ];
    for (reason, chain) in chains {
        is_refused(reason, move |response| *response = chain.clone()).await;
    }
    let leads_elsewhere = "the next one of the chain is that of";
    is_refused(leads_elsewhere, move |response| {
        let leaf = response
            .split_inclusive("-----END CERTIFICATE-----\n")
            .next();
        *response = format!("{}{others}", leaf.unwrap());
    })
    .await;
}

async fn is_refused(reason: &str, change: impl Fn(&mut String) + Clone + Send + Sync + 'static) {
    let other_chain = move |asked: &Asked| {
        if !asked.path.starts_with("/certZ/") {
            return Change::Pass;
        }
        let change = change.clone();
        Change::After(Box::new(move |response| {
            let mut chain = String::from_utf8(response.body().to_vec()).unwrap();
            change(&mut chain);
            *response.body_mut() = chain.into();
        }))
    };
    let Some(troubled) = Troubled::new(other_chain).await else {
        return;
    };
    let proxy = troubled.proxy("").await;
    let error = troubled.fails(&proxy, "invalid").await;
    assert!(
        error.starts_with("what the authority gave: ") && error.contains(reason),
        "{error}"
    );
    troubled.recovers().await;
}

/// Such a time is beyond all clocks.
#[tokio::test]
async fn a_retry_after_that_never_comes_does_not_stop_renewal() {
    let never = |_: &Asked| {
        Change::After(Box::new(|response: &mut Response<Bytes>| {
            let value = u64::MAX.to_string().try_into().unwrap();
            response.headers_mut().insert("retry-after", value);
        }))
    };
    let Some(troubled) = Troubled::new(never).await else {
        return;
    };
    let _proxy = troubled
        .proxy("order_timeout = \"3s\"\nrenew_after = \"1s\"")
        .await;
    until("an order that is looked at", async || {
        (!troubled.front.asked("/my-order/").is_empty()).then_some(())
    })
    .await;
    troubled.recovers().await;
}
