//! The choice of the upstream, attempts, trailers, log and ticks, and what is too early or too late
//! in each phase.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Facts, Host, Instance};

/// Chooses what the request's fields name, and tells each attempt its number.
#[derive(Deserialize)]
struct Steer {}

#[plugin]
impl Plugin for Steer {
    fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        interest.paths(["/*"])?;
        interest.tick(Duration::from_secs(30))?;
        Ok(config)
    }

    fn on_upstream_choice(&self, request: &mut Request, upstream: &mut Upstream) -> Action {
        log::info!("{:?}", upstream.peer());
        if let Some(group) = request.header("x-group") {
            log::info!("{:?}", upstream.peers(&group.text()));
            log::info!("{:?}", upstream.choose_group(&group.text()));
        }
        if let Some(peer) = request.header("x-peer") {
            log::info!("{:?}", upstream.choose_peer(&peer.text()));
        }
        request.set_path("/chosen").unwrap();
        Action::Proceed
    }

    fn on_upstream_request(&self, request: &mut Request, upstream: &Upstream) -> Action {
        let attempt = upstream.attempt().unwrap().to_string();
        request.append_header("x-attempt", attempt).unwrap();
        request.set_host(&upstream.peer().unwrap()).unwrap();
        request.set_query(Some("a=b")).unwrap();
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        let upstream = response.upstream();
        let tag = format!("{} {:?}", upstream.group().unwrap(), upstream.attempt());
        response.set_header("x-upstream", tag).unwrap();
        Action::Proceed
    }

    fn on_response_trailers(&self, trailers: &mut Trailers) -> Action {
        let status = trailers.response().status().to_string();
        trailers.append_header("x-status", status).unwrap();
        trailers.remove_header("server-timing").unwrap();
        log::info!("{:?}", trailers.set_header("content-length", "1"));
        Action::Proceed
    }

    fn on_log(&self, outcome: &Outcome) {
        log::info!(
            "{} {} {} {:?} {:?} {:?}",
            outcome.request().path(),
            outcome.status(),
            outcome.response_bytes(),
            outcome.duration(),
            outcome.upstream_wait(),
            outcome.problem(),
        );
    }

    fn on_tick(&self) {
        metrics::count("ticks", &[], 1).unwrap();
        log::info!("{:?}", attributes::set("steer.late", true));
    }
}

fn steer() -> Instance<Steer> {
    Instance::configure("{}").unwrap()
}

fn lines<P: Plugin>(plugin: &Instance<P>) -> Vec<&str> {
    plugin.log().iter().map(|(_, line)| line.as_str()).collect()
}

#[test]
fn groups_are_chosen_where_they_exist_and_are_granted() {
    let mut host = Host::new();
    host.add_upstream("canary", &["192.0.2.20:80"]);
    host.add_upstream("inner", &["192.0.2.30:80"]);
    host.grant_upstream("canary");
    host.grant_upstream("gone");
    let mut plugin = host.configure::<Steer>("{}").unwrap();
    for (group, asked, answer) in [
        ("canary", "canary", "Ok(())"),
        ("inner", "app", "forbidden"),
        ("nowhere", "app", "forbidden"),
        ("gone", "app", "invalid-name"),
    ] {
        let mut exchange = Exchange::get("/").header("x-group", group);
        assert_eq!(plugin.on_upstream_choice(&mut exchange), Action::Proceed);
        assert_eq!(exchange.upstream(), asked);
        assert!(lines(&plugin).last().unwrap().contains(answer), "{group}");
    }
    let mut own = Exchange::get("/")
        .header("x-group", "inner")
        .route_upstream("inner");
    plugin.on_upstream_choice(&mut own);
    assert_eq!(own.upstream(), "inner");
}

#[test]
fn each_attempt_gets_a_fresh_copy_of_the_head_from_the_chosen_peer_on() {
    let mut plugin = steer();
    let mut exchange = Exchange::get("/first?x").header("x-peer", "192.0.2.11:80");
    plugin.on_upstream_choice(&mut exchange);
    assert!(lines(&plugin)[0].contains("wrong-phase"));
    assert_eq!(exchange.chosen_peer(), Some("192.0.2.11:80"));
    assert_eq!(exchange.request_target(), "/chosen?x");

    plugin.on_upstream_request(&mut exchange);
    plugin.on_upstream_request(&mut exchange);
    let [first, second] = exchange.attempts() else {
        panic!("two attempts")
    };
    assert_eq!(first.peer(), "192.0.2.11:80");
    assert_eq!(second.peer(), "192.0.2.10:80");
    assert_eq!(second.host(), "192.0.2.10:80");
    assert_eq!(second.target(), "/chosen?a=b");
    assert_eq!(first.header("x-attempt").as_deref(), Some("1"));
    assert_eq!(second.header("x-attempt").as_deref(), Some("2"));
    assert_eq!(exchange.request_header("x-attempt"), None);
    assert_eq!(exchange.request_host(), "example.com");

    plugin.on_response(&mut exchange);
    let upstream = exchange.response_header("x-upstream");
    assert_eq!(upstream.as_deref(), Some("app Ok(2)"));
}

#[test]
fn a_peer_that_the_group_does_not_have_is_refused() {
    let mut plugin = steer();
    let mut exchange = Exchange::get("/").header("x-peer", "127.0.0.1:1");
    plugin.on_upstream_choice(&mut exchange);
    assert_eq!(exchange.chosen_peer(), None);
    assert!(lines(&plugin)[1].contains("invalid-name"));
}

#[test]
fn trailers_are_edited_by_the_rules_of_fields() {
    let mut plugin = steer();
    let mut exchange = Exchange::get("/")
        .response(201, &[])
        .trailers(&[("server-timing", "db;dur=1"), ("x-checksum", "1")]);
    assert_eq!(plugin.on_response_trailers(&mut exchange), Action::Proceed);
    assert_eq!(exchange.trailer("server-timing"), None);
    assert_eq!(exchange.trailer("x-checksum").as_deref(), Some("1"));
    assert_eq!(exchange.trailer("x-status").as_deref(), Some("201"));
    assert!(lines(&plugin)[0].contains("forbidden"));
}

#[test]
fn the_log_is_told_what_became_of_the_exchange() {
    let mut plugin = steer();
    let facts = Facts {
        status: 502,
        response_bytes: 7,
        duration: Duration::from_millis(3),
        problem: Some("refused".to_owned()),
        ..Facts::default()
    };
    plugin.on_log(&mut Exchange::get("/x"), facts);
    assert_eq!(lines(&plugin), ["/x 502 7 3ms None Some(\"refused\")"]);
}

#[test]
fn a_tick_is_outside_of_exchanges() {
    let mut plugin = steer();
    assert_eq!(plugin.tick_period(), Some(Duration::from_secs(30)));
    plugin.on_tick();
    assert_eq!(plugin.metric("ticks", &[]), 1.0);
    assert!(lines(&plugin)[0].contains("wrong-phase"));
}

/// Tries in one phase what belongs into others.
#[derive(Deserialize)]
struct Misplaced {
    #[serde(default)]
    tick: u64,
}

#[plugin]
impl Plugin for Misplaced {
    fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if config.tick > 0 {
            interest.tick(Duration::from_millis(config.tick))?;
        }
        Ok(config)
    }

    fn on_request(&self, request: &mut Request) -> Action {
        log::info!("{:?}", request.set_path("no-slash"));
        log::info!("{:?}", request.set_path("/a?b"));
        log::info!("{:?}", request.set_path("/a b"));
        log::info!("{:?}", request.set_query(Some("a#b")));
        log::info!("{:?}", request.set_host("a/b"));
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        log::info!("{:?}", response.upstream().peer());
        Action::Proceed
    }
}

#[test]
fn a_target_that_is_none_is_refused() {
    let mut plugin = Instance::<Misplaced>::configure("{}").unwrap();
    let mut exchange = Exchange::get("/kept?q");
    plugin.on_request(&mut exchange);
    assert_eq!(exchange.request_target(), "/kept?q");
    assert_eq!(exchange.request_host(), "example.com");
    assert!(lines(&plugin).iter().all(|line| line.contains("invalid")));
}

#[test]
fn there_is_no_peer_where_none_was_asked() {
    let mut plugin = Instance::<Misplaced>::configure("{}").unwrap();
    plugin.on_response(&mut Exchange::get("/"));
    assert!(lines(&plugin)[0].contains("wrong-phase"));
}

#[test]
fn a_period_under_a_second_is_a_configuration_error() {
    let errors = Instance::<Misplaced>::configure(r#"{"tick": 999}"#).unwrap_err();
    assert!(errors[0].message.contains("999ms"), "{errors:?}");
    let mut plugin = Instance::<Misplaced>::configure("{}").unwrap();
    plugin.on_tick();
    assert_eq!(plugin.tick_period(), None);
}
