//! Who passes, and what the others are told.

use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Instance};

use crate::IpAccess;

fn access(json: &str) -> Instance<IpAccess> {
    Instance::configure(json).unwrap()
}

fn passes(access: &mut Instance<IpAccess>, address: &str) -> bool {
    let mut exchange = Exchange::get("/").attribute("client.address", address);
    access.on_request(&mut exchange) == Action::Proceed
}

fn mistake(json: &str) -> (String, String) {
    let error = Instance::<IpAccess>::configure(json).unwrap_err().remove(0);
    (error.path, error.message)
}

#[test]
fn with_an_allow_list_only_its_members_pass() {
    let mut access = access(r#"{"allow": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]}"#);
    for address in [
        "10.0.0.0",
        "10.255.255.255",
        "192.0.2.7",
        "2001:db8:ffff::1",
    ] {
        assert!(passes(&mut access, address), "{address}");
    }
    for address in [
        "9.255.255.255",
        "11.0.0.0",
        "192.0.2.6",
        "192.0.2.8",
        "2001:db9::",
        "::1",
    ] {
        assert!(!passes(&mut access, address), "{address}");
    }
}

#[test]
fn with_a_deny_list_only_its_members_do_not_pass() {
    let mut access = access(r#"{"deny": ["192.0.2.0/24"]}"#);
    assert!(!passes(&mut access, "192.0.2.200"));
    assert!(passes(&mut access, "192.0.3.0"));
    assert!(passes(&mut access, "::1"));
}

#[test]
fn deny_wins() {
    let mut access = access(r#"{"allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"]}"#);
    assert!(passes(&mut access, "10.2.0.1"));
    assert!(!passes(&mut access, "10.1.0.1"));
}

#[test]
fn an_empty_allow_list_lets_nobody_pass() {
    assert!(!passes(&mut access(r#"{"allow": []}"#), "127.0.0.1"));
}

#[test]
fn ipv4_inside_ipv6_is_ipv4() {
    let mut access = access(r#"{"deny": ["10.0.0.0/8", "::ffff:192.0.2.0/120"]}"#);
    assert!(!passes(&mut access, "::ffff:10.1.2.3"));
    assert!(!passes(&mut access, "192.0.2.9"));
    assert!(passes(&mut access, "192.0.3.9"));
}

#[test]
fn overlapping_and_neighbouring_networks_are_no_trouble() {
    let mut access = access(
        r#"{"deny": ["10.0.0.0/9", "10.0.0.0/8", "10.128.0.0/9", "10.3.0.0/16", "0.0.0.0/32"]}"#,
    );
    for address in [
        "10.0.0.0",
        "10.3.3.3",
        "10.200.0.1",
        "10.255.255.255",
        "0.0.0.0",
    ] {
        assert!(!passes(&mut access, address), "{address}");
    }
    assert!(passes(&mut access, "0.0.0.1"));
    assert!(passes(&mut access, "11.0.0.0"));
}

#[test]
fn a_long_list_decides_as_a_scan_would() {
    let networks: Vec<String> = (0..2000u32)
        .map(|n| format!("\"10.{}.{}.0/25\"", n / 250, n % 250))
        .collect();
    let mut access = access(&format!(r#"{{"deny": [{}]}}"#, networks.join(",")));
    for n in (0..2000u32).step_by(7) {
        let inside = format!("10.{}.{}.127", n / 250, n % 250);
        let outside = format!("10.{}.{}.128", n / 250, n % 250);
        assert!(!passes(&mut access, &inside), "{inside}");
        assert!(passes(&mut access, &outside), "{outside}");
    }
}

#[test]
fn the_peer_counts_where_asked_for() {
    let mut access = access(r#"{"allow": ["10.0.0.1"], "address": "peer"}"#);
    let mut exchange = Exchange::get("/")
        .attribute("client.address", "203.0.113.5")
        .attribute("peer.address", "10.0.0.1");
    assert_eq!(access.on_request(&mut exchange), Action::Proceed);
}

#[test]
fn without_an_address_nobody_passes() {
    let mut access = access(r#"{"deny": ["10.0.0.0/8"]}"#);
    let mut exchange = Exchange::get("/").without_attribute("client.address");
    assert_eq!(access.on_request(&mut exchange), Action::Respond);
}

#[test]
fn the_answer_can_be_chosen() {
    let mut plain = access(r#"{"allow": []}"#);
    let mut exchange = Exchange::get("/");
    plain.on_request(&mut exchange);
    let reply = exchange.reply().unwrap();
    assert_eq!(
        (reply.status(), reply.body_text().as_str()),
        (403, "forbidden\n")
    );
    assert_eq!(plain.metric("denied", &[]), 1.0);

    let mut hidden = access(r#"{"allow": [], "status": 404, "body": "nothing here"}"#);
    hidden.on_request(&mut exchange);
    let reply = exchange.reply().unwrap();
    assert_eq!(
        (reply.status(), reply.body_text().as_str()),
        (404, "nothing here")
    );
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(mistake("{}").1, "expected `allow`, `deny` or both");
    assert_eq!(mistake(r#"{"deny": ["::1", "10.0.0.0/33"]}"#).0, "deny.1");
    assert_eq!(
        mistake(r#"{"deny": [], "allow": [], "status": 99}"#).0,
        "status"
    );
    let (path, message) = mistake(r#"{"allow": ["10.0.0.1/8"]}"#);
    assert_eq!(path, "allow.0");
    assert!(message.ends_with("did you mean `10.0.0.0/8`"), "{message}");
}
