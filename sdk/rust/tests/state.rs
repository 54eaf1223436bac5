//! State that belongs to the host: stores and limits.

#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::time::Duration;

use tidegate_sdk::limiter::{Scope, Window};
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Facts, Host, Instance};

/// Writes one line for each answer.
fn note(answer: impl Debug) {
    log::info!("{answer:?}");
}

/// The lines that were written since the last call.
fn run<P: Plugin>(plugin: &mut Instance<P>, exchange: &mut Exchange) -> Vec<String> {
    let before = plugin.log().len();
    plugin.on_request(exchange);
    let lines = plugin.log().iter().skip(before);
    lines.map(|(_, line)| line.clone()).collect()
}

fn get<P: Plugin>(plugin: &mut Instance<P>, path: &str) -> Vec<String> {
    run(plugin, &mut Exchange::get(path))
}

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Sessions {}

#[plugin]
impl Plugin for Sessions {
    fn on_request(&self, request: &mut Request) -> Action {
        let store = Store::open("sessions");
        match request.path().as_str() {
            "/set" => note(store.set("a", "1", Some(MINUTE))),
            "/get" => note(store.get("a")),
            "/delete" => note(store.delete("a")),
            "/swap" => note(store.compare_and_set("a", Some(b"1"), "2", None)),
            "/create" => note(store.compare_and_set("a", None, "1", None)),
            "/add" => note(store.increment("n", 5, Some(MINUTE))),
            "/overflow" => note(store.increment("n", i64::MAX, None)),
            "/text" => {
                note(store.set("n", "many", None));
                note(store.increment("n", 1, None));
            }
            "/sizes" => {
                note(store.get(""));
                note(store.get([0; 1025]));
                note(store.set("a", vec![0; (1 << 20) + 1], None));
            }
            _ => note(Store::open("other").get("a")),
        }
        Action::Proceed
    }
}

fn sessions() -> Instance<Sessions> {
    let mut host = Host::new();
    host.add_store("sessions");
    host.configure("{}").unwrap()
}

#[test]
fn a_value_lives_as_long_as_its_ttl() {
    let mut plugin = sessions();
    get(&mut plugin, "/set");
    assert_eq!(plugin.host().stored("sessions", "a"), Some(b"1".as_slice()));
    plugin.advance(MINUTE - Duration::from_nanos(1));
    assert_eq!(get(&mut plugin, "/get"), ["Ok(Some([49]))"]);
    plugin.advance(Duration::from_nanos(1));
    assert_eq!(get(&mut plugin, "/get"), ["Ok(None)"]);
    assert_eq!(plugin.host().stored("sessions", "a"), None);
}

#[test]
fn a_value_is_swapped_only_for_the_expected_one() {
    let mut plugin = sessions();
    assert_eq!(get(&mut plugin, "/swap"), ["Ok(false)"]);
    assert_eq!(get(&mut plugin, "/create"), ["Ok(true)"]);
    assert_eq!(get(&mut plugin, "/create"), ["Ok(false)"]);
    assert_eq!(get(&mut plugin, "/swap"), ["Ok(true)"]);
    assert_eq!(get(&mut plugin, "/get"), ["Ok(Some([50]))"]);
    assert_eq!(get(&mut plugin, "/delete"), ["Ok(true)"]);
    assert_eq!(get(&mut plugin, "/delete"), ["Ok(false)"]);
}

#[test]
fn a_counter_keeps_its_first_ttl_and_refuses_what_is_no_number() {
    let mut plugin = sessions();
    assert_eq!(get(&mut plugin, "/add"), ["Ok(5)"]);
    plugin.advance(MINUTE / 2);
    assert_eq!(get(&mut plugin, "/add"), ["Ok(10)"]);
    assert!(get(&mut plugin, "/overflow")[0].contains("invalid-value"));
    plugin.advance(MINUTE / 2);
    assert_eq!(get(&mut plugin, "/add"), ["Ok(5)"]);
    assert!(get(&mut plugin, "/text")[1].contains("invalid-value"));
}

#[test]
fn a_store_that_is_not_granted_or_away_says_so() {
    let mut plugin = sessions();
    assert!(get(&mut plugin, "/other")[0].contains("forbidden"));
    for line in get(&mut plugin, "/sizes") {
        assert!(line.contains("invalid-argument"), "{line}");
    }
    plugin.host().set_kv_unavailable(true);
    assert!(get(&mut plugin, "/get")[0].contains("unavailable"));
}

#[derive(Deserialize)]
struct Limit {}

#[plugin]
impl Plugin for Limit {
    fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        interest.tick(MINUTE)?;
        Ok(config)
    }

    fn on_request(&self, request: &mut Request) -> Action {
        match request.path().as_str() {
            "/acquire" => note(limiter::acquire(Scope::Route, b"k", 1, MINUTE)),
            "/release" => note(limiter::release(Scope::Route, b"k")),
            "/zero" => {
                note(limiter::acquire(Scope::Route, b"k", 0, MINUTE));
                note(limiter::take_window(
                    Scope::Route,
                    b"k",
                    &Window::new(1, MINUTE),
                    2,
                ));
                note(limiter::take_window(
                    Scope::Route,
                    b"k",
                    &Window::new(0, MINUTE),
                    0,
                ));
            }
            _ => {
                let window = Window::new(2, MINUTE);
                let outcome = limiter::take_window(Scope::Plugin, b"k", &window, 1).unwrap();
                note((outcome.allowed, outcome.remaining, outcome.retry_after));
            }
        }
        Action::Proceed
    }

    fn on_tick(&self) {
        note(limiter::acquire(Scope::Route, b"k", 1, MINUTE));
    }
}

fn limit() -> Instance<Limit> {
    Instance::configure("{}").unwrap()
}

#[test]
fn a_window_slides() {
    let mut plugin = limit();
    assert_eq!(get(&mut plugin, "/"), ["(true, 1, 0ns)"]);
    assert_eq!(get(&mut plugin, "/"), ["(true, 0, 0ns)"]);
    // Both leave the window one after the other, over the next minute.
    assert_eq!(get(&mut plugin, "/"), ["(false, 0, 90s)"]);
    plugin.advance(Duration::from_secs(90));
    assert_eq!(get(&mut plugin, "/"), ["(true, 0, 0ns)"]);
    assert_eq!(get(&mut plugin, "/"), ["(false, 0, 30s)"]);
    plugin.advance(2 * MINUTE);
    assert_eq!(get(&mut plugin, "/"), ["(true, 1, 0ns)"]);
}

#[test]
fn a_place_is_given_back_at_the_end_or_before() {
    let mut plugin = limit();
    let mut first = Exchange::get("/acquire");
    assert_eq!(run(&mut plugin, &mut first), ["Ok(true)"]);
    assert_eq!(get(&mut plugin, "/acquire"), ["Ok(false)"]);
    // Nobody gives back what another exchange took.
    assert_eq!(get(&mut plugin, "/release"), ["Ok(())"]);
    assert_eq!(get(&mut plugin, "/acquire"), ["Ok(false)"]);
    plugin.on_log(&mut first, Facts::default());
    let mut second = Exchange::get("/acquire");
    assert_eq!(run(&mut plugin, &mut second), ["Ok(true)"]);
    plugin.end(&mut second);
    assert_eq!(get(&mut plugin, "/acquire"), ["Ok(true)"]);
    plugin.advance(MINUTE);
    assert_eq!(get(&mut plugin, "/acquire"), ["Ok(true)"]);
}

#[test]
fn limits_of_zero_and_limits_without_an_exchange_are_refused() {
    let mut plugin = limit();
    for line in get(&mut plugin, "/zero") {
        assert!(line.contains("invalid-argument"), "{line}");
    }
    plugin.on_tick();
    assert!(plugin.log().last().unwrap().1.contains("wrong-phase"));
    plugin.set_limiter_unavailable(true);
    assert!(get(&mut plugin, "/acquire")[0].contains("unavailable"));
}
