//! What an operator relies on, rule by rule.

use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Instance};

use crate::Headers;

fn request(rules: &str, mut exchange: Exchange) -> Exchange {
    let mut headers =
        Instance::<Headers>::configure(&format!(r#"{{"request": {rules}}}"#)).unwrap();
    assert_eq!(headers.on_request(&mut exchange), Action::Proceed);
    exchange
}

fn response(rules: &str, mut exchange: Exchange) -> Exchange {
    let mut headers =
        Instance::<Headers>::configure(&format!(r#"{{"response": {rules}}}"#)).unwrap();
    assert_eq!(headers.on_response(&mut exchange), Action::Proceed);
    exchange
}

fn names(exchange: &Exchange) -> Vec<String> {
    let headers = exchange.request_headers().into_iter();
    headers.map(|(name, _)| name).collect()
}

#[test]
fn set_replaces_and_append_adds() {
    let exchange = Exchange::get("/").header("a", "1").header("b", "1");
    let rules = r#"[{"set": "A", "value": "2"}, {"append": "b", "value": "2"}]"#;
    let exchange = request(rules, exchange);
    assert_eq!(exchange.request_header("a").as_deref(), Some("2"));
    assert_eq!(exchange.request_header("b").as_deref(), Some("1, 2"));
}

#[test]
fn remove_by_name_glob_and_regex() {
    let exchange = Exchange::get("/")
        .header("cookie", "a=b")
        .header("x-internal-user", "1")
        .header("X-Internal-Id", "2")
        .header("not-x-internal-id", "3")
        .header("x-debug-17", "4")
        .header("x-debug-on", "5");
    let rules =
        r#"[{"remove": "Cookie"}, {"remove": "x-Internal-*"}, {"remove": "~^x-debug-[0-9]+$"}]"#;
    assert_eq!(
        names(&request(rules, exchange)),
        ["not-x-internal-id", "x-debug-on"]
    );
}

#[test]
fn a_pattern_leaves_the_proxys_own_fields_alone() {
    let exchange = Exchange::get("/")
        .header("content-length", "3")
        .header("x-a", "1");
    assert_eq!(
        names(&request(r#"[{"remove": "*"}]"#, exchange)),
        ["content-length"]
    );
}

#[test]
fn a_pattern_sees_what_earlier_rules_added() {
    let rules =
        r#"[{"set": "x-a", "value": "1"}, {"remove": "x-*"}, {"set": "x-b", "value": "1"}]"#;
    assert_eq!(names(&request(rules, Exchange::get("/"))), ["x-b"]);
}

#[test]
fn values_take_parts_of_the_request_and_attributes() {
    let exchange = Exchange::new("POST", "/a/b?c=d")
        .host("api.example.com")
        .scheme("https")
        .header("user-agent", "test")
        .attribute("api-key.plan", "gold");
    let rules = r#"[
        {"set": "x-1", "value": "${request.method} ${request.scheme}://${request.host}${request.path}?${request.query}"},
        {"set": "x-2", "value": "${request.header.user-agent}; ${client.address}; ${request.id}; ${route}"},
        {"set": "x-3", "value": "${api-key.plan}, 100$$"}
    ]"#;
    let exchange = request(rules, exchange);
    let header = |name| exchange.request_header(name).unwrap();
    assert_eq!(header("x-1"), "POST https://api.example.com/a/b?c=d");
    assert_eq!(header("x-2"), "test; 192.0.2.1; test-request; test");
    assert_eq!(header("x-3"), "gold, 100$");
}

#[test]
fn bytes_that_are_not_utf8_are_copied_unchanged() {
    let mut headers = Instance::<Headers>::configure(
        r#"{"request": [{"set": "b", "value": "${request.header.a}"}, {"remove": "a"}]}"#,
    )
    .unwrap();
    let mut exchange = Exchange::get("/").header("a", b"\xff");
    headers.on_request(&mut exchange);
    assert_eq!(exchange.request_header("b").as_deref(), Some("\u{fffd}"));
    assert_eq!(exchange.request_header("a"), None);
}

#[test]
fn what_is_absent_is_empty_or_skips_the_rule() {
    let rules = r#"[
        {"set": "x-1", "value": "[${no.such}]"},
        {"set": "x-2", "value": "[${no.such}]", "if_absent": "skip"},
        {"set": "x-3", "value": "[${request.header.none}]", "if_absent": "skip"}
    ]"#;
    assert_eq!(
        request(rules, Exchange::get("/")).request_headers(),
        [("x-1".to_owned(), "[]".to_owned())]
    );
}

#[test]
fn rules_for_the_response_see_request_and_response() {
    let exchange = Exchange::get("/x").response(404, &[("server", "nginx"), ("age", "7")]);
    let rules = r#"[
        {"remove": "server"},
        {"set": "x-seen", "value": "${request.path} ${response.status} ${response.header.age}"}
    ]"#;
    let exchange = response(rules, exchange);
    assert_eq!(exchange.response_header("server"), None);
    assert_eq!(
        exchange.response_header("x-seen").as_deref(),
        Some("/x 404 7")
    );
}

#[test]
fn a_refused_edit_fails_so_that_the_operators_policy_decides() {
    let mut headers =
        Instance::<Headers>::configure(r#"{"request": [{"set": "a", "value": "${x.y}"}]}"#)
            .unwrap();
    let mut exchange = Exchange::get("/").attribute("x.y", "1\n2");
    assert_eq!(headers.on_request(&mut exchange), Action::Fail);
    assert_eq!(exchange.request_header("a"), None);
    // The proxy's log says why; where the plugin is called, its own does.
    let rules = r#"{"request": [{"set": "a", "value": "${request.path}${x.y}"}]}"#;
    let mut headers = Instance::<Headers>::configure(rules).unwrap();
    assert_eq!(headers.on_request(&mut exchange), Action::Fail);
    assert!(headers.log()[0].1.contains("refused"));
}

#[test]
fn mistakes_have_a_place_and_all_are_reported() {
    let errors = |json: &str| -> Vec<(String, String)> {
        let errors = Instance::<Headers>::configure(json).unwrap_err();
        errors
            .into_iter()
            .map(|error| (error.path, error.message))
            .collect()
    };
    let all = errors(
        r#"{"request": [
            {"set": "a b", "value": "1"},
            {"set": "a"},
            {"set": "a", "append": "b", "value": "1"},
            {"remove": "~("},
            {"set": "a", "value": "${response.status}"},
            {"set": "content-length", "value": "1"},
            {"set": "a", "value": "1$"}
        ], "response": [{"set": "a", "value": "${request.size}"}, {"remove": "a", "value": "b"}]}"#,
    );
    let places: Vec<&str> = all.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        places,
        [
            "request.0.set",
            "request.1",
            "request.2",
            "request.3.remove",
            "request.4.value",
            "request.5.set",
            "request.6.value",
            "response.0.value",
            "response.1.value",
        ]
    );
    let unknown = errors(r#"{"request": [{"sett": "a"}]}"#);
    assert_eq!(unknown[0].0, "request.0.sett");
}
