//! A plugin against the fake host: the rules of the contract that a plugin's author runs into.

#![allow(clippy::unwrap_used)]

use tidegate_sdk::attributes::Value;
use tidegate_sdk::log::Level;
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Instance};

/// Does what the request's path says, and tells the result in the log.
#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    headers: Vec<String>,
}

#[plugin]
impl Plugin for Probe {
    fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        interest.methods(&config.methods)?;
        interest.paths(&config.paths)?;
        interest.headers(&config.headers)?;
        Ok(config)
    }

    fn on_request(&self, request: &mut Request) -> Action {
        match request.path().as_str() {
            "/edits" => {
                log::info!("{:?}", request.set_header("a b", "1"));
                log::info!("{:?}", request.set_header("a", "1\r\nb: 2"));
                log::info!("{:?}", request.append_header("Content-Length", "1"));
                log::info!("{:?}", request.set_header("x", b"\xff".as_slice()));
            }
            "/several" => {
                let mut edits = Edits::new();
                edits
                    .set("first", "1")
                    .set("bad name", "2")
                    .set("third", "3");
                log::info!("{:?}", request.edit(&edits));
            }
            "/attributes" => {
                log::info!("{:?}", attributes::set("route", "mine"));
                log::info!("{:?}", attributes::set("Probe", true));
                log::info!("{:?}", attributes::set("probe.count", 7));
                log::info!("{:?}", attributes::text("probe.count"));
            }
            "/read" => {
                let cookie = request.header("cookie").unwrap_or_else(|| vec![].into());
                log::info!(
                    "{} {:?} {:?}",
                    cookie.text(),
                    request.header("x"),
                    request.query()
                );
                log::info!("{:?}", request.header_names());
                log::info!("{:?}", request.header_values("COOKIE"));
            }
            "/refused" => return request.respond(Reply::new(99)),
            "/reply" => return request.respond(Reply::new(403).header("x-why", "test").text("no")),
            "/panic" => panic!("as a plugin may"),
            _ => {}
        }
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        log::info!("{} {:?}", response.status(), response.header("set-cookie"));
        log::info!("{:?}", response.set_status(100));
        response.set_status(404).ok();
        response
            .append_header("x-path", response.request().path())
            .ok();
        Action::Proceed
    }
}

fn probe() -> Instance<Probe> {
    Instance::configure("{}").unwrap()
}

/// The log after a request for this path.
fn log_of(target: &str) -> Vec<String> {
    let mut probe = probe();
    assert_eq!(
        probe.on_request(&mut Exchange::get(target)),
        Action::Proceed
    );
    probe.log().iter().map(|(_, line)| line.clone()).collect()
}

#[test]
fn what_http_or_the_proxy_forbids_is_refused_and_bytes_are_not() {
    let outcomes = log_of("/edits");
    let expected = ["invalid-name", "invalid-value", "forbidden", "Ok(())"];
    for (outcome, expected) in outcomes.iter().zip(expected) {
        assert!(outcome.contains(expected), "{outcomes:?}");
    }
}

#[test]
fn the_first_refused_edit_ends_the_call_and_earlier_ones_stay() {
    let mut exchange = Exchange::get("/several");
    probe().on_request(&mut exchange);
    assert_eq!(
        exchange.request_headers(),
        [("first".to_owned(), "1".to_owned())]
    );
}

#[test]
fn attributes_keep_their_type_and_built_in_ones_are_read_only() {
    let mut exchange = Exchange::get("/attributes");
    probe().on_request(&mut exchange);
    assert_eq!(exchange.attribute_value("route"), Some(&"test".into()));
    assert_eq!(exchange.attribute_value("Probe"), None);
    assert_eq!(
        exchange.attribute_value("probe.count"),
        Some(&Value::Integer(7))
    );
}

#[test]
fn reads_are_case_insensitive_and_cookies_are_joined_by_semicolons() {
    let mut probe = probe();
    let mut exchange = Exchange::get("/read?q")
        .header("Cookie", "a=1")
        .header("cookie", "b=2");
    probe.on_request(&mut exchange);
    let lines: Vec<&str> = probe.log().iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "a=1; b=2 None Some(\"q\")",
            "[\"cookie\"]",
            "[\"a=1\", \"b=2\"]"
        ]
    );
}

#[test]
fn a_reply_is_kept_and_one_that_the_host_refuses_fails() {
    let mut probe = probe();
    let mut exchange = Exchange::get("/reply");
    assert_eq!(probe.on_request(&mut exchange), Action::Respond);
    let reply = exchange.reply().unwrap();
    assert_eq!((reply.status(), reply.body_text().as_str()), (403, "no"));
    assert_eq!(reply.field("X-Why").as_deref(), Some("test"));

    assert_eq!(
        probe.on_request(&mut Exchange::get("/refused")),
        Action::Fail
    );
    assert_eq!(probe.log().last().unwrap().0, Level::Error);
}

#[test]
fn the_response_phase_sees_both_heads() {
    let mut probe = probe();
    let cookies = [("set-cookie", "a=1"), ("set-cookie", "b=2")];
    let mut exchange = Exchange::get("/other").response(200, &cookies);
    assert_eq!(probe.on_response(&mut exchange), Action::Proceed);
    assert_eq!(exchange.response_status(), 404);
    assert_eq!(
        exchange.response_header("x-path").as_deref(),
        Some("/other")
    );
    assert_eq!(probe.log()[0].1, "200 Some(\"a=1\")");
}

#[test]
fn interests_are_all_needed_and_one_of_each_is_enough() {
    let probe = Instance::<Probe>::configure(
        r#"{"methods": ["GET", "PUT"], "paths": ["/a", "/b/*"], "headers": ["x", "y"]}"#,
    )
    .unwrap();
    let asks = |method, target, field| {
        probe.is_interested(&Exchange::new(method, target).header(field, "1"))
    };
    assert!(asks("GET", "/a", "x"));
    assert!(asks("PUT", "/b/c", "Y"));
    assert!(!asks("POST", "/a", "x"));
    assert!(!asks("GET", "/a/", "x"));
    assert!(!asks("GET", "/b", "x"));
    assert!(!asks("GET", "/a", "z"));
}

#[test]
fn an_interest_that_the_host_refuses_is_a_configuration_error() {
    let errors = Instance::<Probe>::configure(r#"{"paths": ["no-slash"]}"#).unwrap_err();
    assert!(errors[0].message.contains("`no-slash`"), "{errors:?}");
}

#[test]
fn a_panic_leaves_the_test_with_its_exchange() {
    let mut probe = probe();
    let mut exchange = Exchange::get("/panic").header("x", "1");
    let run = std::panic::AssertUnwindSafe(|| probe.on_request(&mut exchange));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(exchange.request_header("x").as_deref(), Some("1"));
    assert_eq!(probe.on_request(&mut Exchange::get("/")), Action::Proceed);
}
