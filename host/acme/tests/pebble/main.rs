//! The crate against a real authority, Let's Encrypt's Pebble, and a real DNS server, without a proxy. What
//! clients of the proxy see is tested in `tests/acme`.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod harness;
mod responder;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::Duration;

use harness::{Named, Pebble, Settings, free_port, until};
use prometheus::Registry;
use responder::{Served, answer_http};
use tempfile::TempDir;
use tidegate_acme::{
    Acme, Authority, Backoff, Challenge, Dns, ExternalAccount, Hook, Key, KeyType, Metrics, Names,
    OnDemand, Rate, Renew, Schedule, Secret, StoreKey, Update,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Setup {
    named: Named,
    pebble: Pebble,
    folder: TempDir,
    served: Arc<Served>,
    registry: Registry,
    acme: Acme,
}

impl Setup {
    async fn new(settings: impl FnOnce(Settings) -> Settings) -> Option<Setup> {
        let named = Named::start().await?;
        let http = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = http.local_addr().unwrap().port();
        let pebble = Pebble::start(settings(Settings::new(&named, port, free_port()))).await?;
        let (served, registry) = (Arc::new(Served::default()), Registry::new());
        let acme = Acme::new(served.clone(), Metrics::register(&registry).unwrap());
        tokio::spawn(answer_http(http, acme.tokens()));
        Some(Setup {
            named,
            pebble,
            folder: TempDir::new().unwrap(),
            served,
            registry,
            acme,
        })
    }

    fn authority(&self, names: &[&[&str]]) -> Authority {
        let names = names.iter();
        Authority {
            name: "ca".into(),
            directory: self.pebble.directory(),
            roots: Some(std::fs::read(self.pebble.ca()).unwrap()),
            contact: vec!["mailto:ops@example.org".to_owned()],
            external_account: None,
            fallback: Vec::new(),
            store: self.folder.path().join("acme"),
            store_key: None,
            challenge: Challenge::Http01,
            certificates: names
                .map(|n| Names::parse(n.iter().copied()).unwrap())
                .collect(),
            schedule: Schedule {
                renew: Renew::Before(30 * DAY),
                backoff: Backoff {
                    first: SECOND / 20,
                    most: SECOND / 10,
                },
            },
            key_type: KeyType::EcdsaP256,
            request_timeout: 30 * SECOND,
            order_timeout: 60 * SECOND,
            on_demand: None,
        }
    }

    fn start(&self, authorities: Vec<Authority>) {
        let prepared = self.acme.prepare(authorities).unwrap();
        self.acme.commit(prepared);
    }

    /// The certificate that the authority gave; what we signed ourselves is passed over.
    async fn issued(&self, main: &str) -> Vec<String> {
        until("a certificate", async || self.served.issued("ca", main)).await
    }

    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map_or(&[][..], |family| family.get_metric());
        let matching = metrics.iter().filter(|metric| {
            let values: Vec<&str> = metric
                .get_label()
                .iter()
                .map(|label| label.value())
                .collect();
            labels.iter().all(|label| values.contains(label))
        });
        matching
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }

    async fn fails(&self, kind: &str) {
        until(kind, async || {
            (self.metric("tidegate_acme_orders_total", &["ca", kind]) >= 1.0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn several_names_and_a_restart_with_an_authority_that_is_down() {
    let Some(mut setup) = Setup::new(|s| s).await else {
        return;
    };
    let names: &[&[&str]] = &[&["a.example.org", "b.example.org"], &["c.example.org"]];
    setup.start(vec![setup.authority(names)]);
    // From the first moment there is something to serve.
    assert_eq!(setup.served.all("ca").len(), 2);
    assert_eq!(
        setup.issued("a.example.org").await,
        ["a.example.org", "b.example.org"]
    );
    setup.issued("c.example.org").await;
    assert_eq!(
        setup.metric("tidegate_acme_orders_total", &["ca", "ok"]),
        2.0
    );

    until("the certificates to be kept", async || {
        let kept = setup.folder.path().join("acme/ca/c.example.org.pem");
        kept.is_file().then_some(())
    })
    .await;
    setup.pebble.stop();
    let authority = setup.authority(names);
    let (served, registry) = (Arc::new(Served::default()), Registry::new());
    setup.acme.commit(setup.acme.prepare(Vec::new()).unwrap());
    assert_eq!(setup.served.all("ca").len(), 0);
    let again = Acme::new(served.clone(), Metrics::register(&registry).unwrap());
    let prepared = until("the store to be free", async || {
        again.prepare(vec![authority.clone()]).ok()
    })
    .await;
    again.commit(prepared);
    assert_eq!(served.issued("ca", "a.example.org").unwrap().len(), 2);
}

#[tokio::test]
async fn renewal_while_bad_nonces_come_and_the_account_is_lost() {
    let Some(mut setup) = Setup::new(|s| s.with("PEBBLE_WFE_NONCEREJECT", "25")).await else {
        return;
    };
    let mut authority = setup.authority(&[&["a.example.org"]]);
    authority.schedule.renew = Renew::After(SECOND);
    setup.start(vec![authority]);
    setup.issued("a.example.org").await;
    let first = setup.served.serial("ca", "a.example.org");
    setup.pebble.restart().await;
    until("another certificate", async || {
        (setup.served.serial("ca", "a.example.org") != first).then_some(())
    })
    .await;
}

#[tokio::test]
async fn wildcards_by_updates_of_the_zone() {
    let Some(setup) = Setup::new(|s| s).await else {
        return;
    };
    let key = Key {
        name: Named::KEY_NAME.to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        secret: Secret::new(base64(Named::KEY)),
    };
    let update = Update::new(
        &setup.named.address(),
        Named::ZONE,
        Some(key),
        SECOND,
        10 * SECOND,
    );
    let mut authority = setup.authority(&[&["*.example.org", "example.org"]]);
    authority.challenge = Challenge::Dns01(Box::new(Dns::Update(update.unwrap())));
    setup.start(vec![authority]);
    assert_eq!(
        setup.issued("*.example.org").await,
        ["*.example.org", "example.org"]
    );
}

#[tokio::test]
async fn a_zone_that_refuses_the_key() {
    let Some(setup) = Setup::new(|s| s).await else {
        return;
    };
    let key = Key {
        name: Named::KEY_NAME.to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        secret: Secret::new("another key, long enough"),
    };
    let update = Update::new(
        &setup.named.address(),
        Named::ZONE,
        Some(key),
        SECOND,
        10 * SECOND,
    );
    let mut authority = setup.authority(&[&["*.example.org"]]);
    authority.challenge = Challenge::Dns01(Box::new(Dns::Update(update.unwrap())));
    setup.start(vec![authority]);
    setup.fails("dns").await;
}

#[tokio::test]
async fn records_by_a_program() {
    let Some(setup) = Setup::new(|s| s).await else {
        return;
    };
    let Some(nsupdate) = harness::tool("nsupdate") else {
        return;
    };
    let script = format!(
        r#"set -e; verb=$1; [ "$verb" = add ] || verb=delete
{} <<END
server 127.0.0.1 {}
zone {}
key hmac-sha256:{} {}
update $verb $2 1 TXT "$3"
send
END"#,
        nsupdate.display(),
        setup.named.address().rsplit(':').next().unwrap(),
        Named::ZONE,
        Named::KEY_NAME,
        Named::KEY,
    );
    let command = ["sh", "-c", &script, "hook"].map(str::to_owned).into();
    let timeout = 20 * SECOND;
    let mut authority = setup.authority(&[&["*.example.org"]]);
    authority.challenge = Challenge::Dns01(Box::new(Dns::Hook(Hook { command, timeout })));
    setup.start(vec![authority]);
    setup.issued("*.example.org").await;
}

#[tokio::test]
async fn external_accounts_and_an_encrypted_store() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let with_account = |s: Settings| Settings {
        external_account: Some(("kid-1", KEY)),
        ..s
    };
    let Some(setup) = Setup::new(with_account).await else {
        return;
    };
    let without = setup.authority(&[&["a.example.org"]]);
    setup.start(vec![without.clone()]);
    setup.fails("account").await;
    let key = StoreKey::new(Secret::new("0123456789abcdef")).unwrap();
    let with = Authority {
        external_account: Some(ExternalAccount {
            key_id: "kid-1".to_owned(),
            key: Secret::new(base64(KEY)),
        }),
        store_key: Some(key),
        ..without
    };
    setup.start(vec![with]);
    setup.issued("a.example.org").await;
    let sealed = |name: &str| {
        let bytes = std::fs::read(setup.folder.path().join("acme/ca").join(name)).ok()?;
        Some(bytes.starts_with(b"tidegate-sealed-1\n"))
    };
    until("the key to be kept", async || {
        sealed("a.example.org.pem").filter(|yes| *yes)
    })
    .await;
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_fails_and_says_so() {
    let Some(setup) = Setup::new(|s| s).await else {
        return;
    };
    // Nobody knows it: it is not in the zone.
    setup.start(vec![setup.authority(&[&["a.example.com"]])]);
    setup.fails("validation").await;
    until("failures to be remembered", async || {
        let file = setup.folder.path().join("acme/ca/a.example.com.json");
        let text = std::fs::read_to_string(file).ok()?;
        text.contains("was not validated: the authority says: ")
            .then_some(())
    })
    .await;
    until("failures to be counted", async || {
        (setup.metric("tidegate_acme_failures", &["a.example.com"]) >= 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn another_authority_where_the_first_is_down() {
    let Some(setup) = Setup::new(|s| s).await else {
        return;
    };
    let second = Authority {
        name: "second".into(),
        certificates: Vec::new(),
        ..setup.authority(&[])
    };
    let first = Authority {
        directory: format!("https://127.0.0.1:{}/dir", free_port()),
        fallback: vec!["second".into()],
        ..setup.authority(&[&["a.example.org"]])
    };
    setup.start(vec![first, second]);
    setup.issued("a.example.org").await;
    assert!(setup.metric("tidegate_acme_orders_total", &["ca", "unreachable"]) >= 1.0);
    assert_eq!(
        setup.metric("tidegate_acme_orders_total", &["second", "ok"]),
        1.0
    );
}

#[tokio::test]
async fn a_damaged_certificate_is_ordered_again() {
    let Some(setup) = Setup::new(|s| s).await else {
        return;
    };
    let folder = setup.folder.path().join("acme/ca");
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o700).create(&folder).unwrap();
    std::fs::write(folder.join("a.example.org.pem"), "damaged").unwrap();
    setup.start(vec![setup.authority(&[&["a.example.org"]])]);
    setup.issued("a.example.org").await;
    assert!(folder.join("a.example.org.pem.damaged").is_file());
}

#[tokio::test]
async fn on_demand_only_what_is_allowed() {
    let Some(setup) = Setup::new(|s| s).await else {
        return;
    };
    let ask = responder::allow_only("/may?domain=good.example.org").await;
    let rate = Rate {
        count: 10,
        period: 60 * SECOND,
    };
    let authority = Authority {
        on_demand: Some(OnDemand {
            ask: format!("http://{ask}/may"),
            ask_timeout: 5 * SECOND,
            ask_limit: rate,
            limit: rate,
            pending: 64,
            wait: 30 * SECOND,
            remember: 60 * SECOND,
            remember_names: 100,
        }),
        ..setup.authority(&[])
    };
    setup.start(vec![authority]);
    setup.acme.obtain("ca", "bad.example.org").await;
    setup.acme.obtain("ca", "bad.example.org").await;
    setup.acme.obtain("ca", "not a name").await;
    let on_demand = |result| setup.metric("tidegate_acme_on_demand_total", &["ca", result]);
    assert_eq!((on_demand("refused"), on_demand("remembered")), (1.0, 1.0));
    assert_eq!(setup.served.all("ca").len(), 0);
    let (first, second) = ("good.example.org", "good.example.org");
    tokio::join!(
        setup.acme.obtain("ca", first),
        setup.acme.obtain("ca", second)
    );
    assert_eq!(
        setup.served.issued("ca", "good.example.org").unwrap().len(),
        1
    );
    assert_eq!(
        setup.metric("tidegate_acme_orders_total", &["ca", "ok"]),
        1.0
    );
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let decoded = STANDARD.decode(text);
    decoded.or_else(|_| URL_SAFE_NO_PAD.decode(text)).unwrap()
}
