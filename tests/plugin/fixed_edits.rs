//! Edits that a plugin declares in `configure`, or prepares for a response: made in its place, without a call.

use crate::harness::{Line, Origin, Proxy, get, with_header};

use super::support::{bundled, echo_route, echoed, start, start_with, uncached};

const EDITED: &str = "tidegate_plugin_edited_heads_total";
const CALLED: &str = "tidegate_plugin_call_seconds_count";

async fn proxy(config: &str) -> Proxy {
    let plugins = format!(r#"[{{ use = "interest", config = {{ {config} }} }}]"#);
    start(&["interest"], &echo_route("all", "/*", &plugins)).await
}

#[tokio::test]
async fn they_are_made_both_ways_without_a_call() {
    let config = r#"paths = ["/in"], edit_request = [["x-in", "1"]],
        edit_response = [["x-out", "2"], ["content-type", "text/x"]]"#;
    let proxy = proxy(config).await;
    let response = proxy.get("/in").await;
    assert_eq!(response.status, 200);
    assert_eq!(echoed(&response.json(), "x-in").as_deref(), Some("1"));
    assert_eq!(response.header("x-out"), "2");
    assert_eq!(response.header("content-type"), "text/x");
    // What it does when it is called.
    assert_eq!(response.header("x-seen"), "");
    let other = proxy.get("/out").await;
    assert_eq!(echoed(&other.json(), "x-in"), None);
    assert_eq!(other.header("x-out"), "");
    for phase in ["request-head", "response-head"] {
        let of = |name| format!(r#"{name}{{plugin="interest",phase="{phase}"}}"#);
        assert_eq!(proxy.metric(&of(EDITED)).await, 1.0, "{phase}");
        assert_eq!(proxy.metric(&of(CALLED)).await, 0.0, "{phase}");
    }
}

#[tokio::test]
async fn with_an_empty_list_nothing_is_done_in_that_phase_alone() {
    let proxy = proxy("edit_request = []").await;
    let response = proxy.get("/").await;
    assert_eq!(echoed(&response.json(), "x-seen"), None);
    assert_eq!(response.header("x-seen"), "response");
}

#[tokio::test]
async fn what_cannot_be_edited_is_an_error_in_the_configuration() {
    let proxy = proxy("edit_request = []").await;
    for (field, why) in [
        (r#"["x a", "1"]"#, "`x a`"),
        (r#"["content-length", "1"]"#, "`content-length`"),
        (r#"["x-a", "1\n2"]"#, "`x-a`"),
    ] {
        let plugins = format!(
            r#"[{{ use = "interest", config = {{ edit_response = [["x-b", "1"], {field}] }} }}]"#
        );
        let bad = uncached(&echo_route("all", "/*", &plugins));
        let error = proxy.reload_refused(&bad).await;
        assert!(
            error.contains(why) && error.contains("responses"),
            "{error}"
        );
    }
    let many = vec![r#"["x-a", "1"]"#; 1025].join(",");
    let plugins = format!(r#"[{{ use = "interest", config = {{ edit_request = [{many}] }} }}]"#);
    let error = proxy
        .reload_refused(&uncached(&echo_route("all", "/*", &plugins)))
        .await;
    assert!(error.contains("limit"), "{error}");
}

/// As for a call that fails: the policy decides, and what was done before is undone where it says so.
#[tokio::test]
async fn without_room_in_the_head_the_policy_decides() {
    let value = "x".repeat(5000);
    let fields: Vec<String> = (0..7).map(|n| format!(r#"["x-{n}", "{value}"]"#)).collect();
    let config = format!("edit_request = [{}]", fields.join(","));
    for (policy, status) in [("closed", 503), ("open", 200)] {
        let plugins = format!(r#"[{{ use = "interest", config = {{ {config} }} }}]"#);
        let policy = format!("\n[plugin.interest]\non_failure = {{ error = \"{policy}\" }}\n");
        let proxy = start(
            &["interest"],
            &(echo_route("all", "/*", &plugins) + &policy),
        )
        .await;
        let response = proxy.get("/").await;
        assert_eq!(response.status, status, "{policy}");
        if status == 200 {
            assert_eq!(echoed(&response.json(), "x-0"), None);
            assert_eq!(response.header("x-seen"), "");
        }
        let failures = r#"tidegate_plugin_failures_total{plugin="interest",phase="request-head",kind="error"}"#;
        assert_eq!(proxy.metric(failures).await, 1.0);
    }
}

#[tokio::test]
async fn values_are_put_together_from_attributes() {
    let config = r#"edit_request = [["x-route", "of $route"], ["x-nothing", "a$b.c"]],
        edit_response = [["x-id", "$request.id"]]"#;
    let proxy = proxy(config).await;
    let response = proxy.get("/").await;
    let json = response.json();
    assert_eq!(echoed(&json, "x-route").as_deref(), Some("of all"));
    assert_eq!(echoed(&json, "x-nothing").as_deref(), Some("a"));
    let id = echoed(&json, "x-request-id").unwrap();
    assert_eq!(response.header("x-id"), id);
    let called = r#"tidegate_plugin_call_seconds_count{plugin="interest"}"#;
    assert_eq!(proxy.metric(called).await, 0.0);
}

#[tokio::test]
async fn what_is_prepared_for_a_response_is_done_without_a_second_call() {
    let config =
        r#"prepare = [["x-a", "1"], ["content-type", "text/x"]], edit_response = [["x-b", "1"]]"#;
    let proxy = proxy(config).await;
    for _ in 0..2 {
        let response = proxy.get("/").await;
        assert_eq!(response.header("x-a"), "1");
        assert_eq!(response.header("content-type"), "text/x");
        // What is declared, and what is done when it is called.
        assert_eq!(
            (response.header("x-b"), response.header("x-seen")),
            ("", "")
        );
    }
    let of = |name, phase| format!(r#"{name}{{plugin="interest",phase="{phase}"}}"#);
    assert_eq!(proxy.metric(&of(CALLED, "request-head")).await, 2.0);
    assert_eq!(proxy.metric(&of(CALLED, "response-head")).await, 0.0);
    assert_eq!(proxy.metric(&of(EDITED, "response-head")).await, 2.0);
}

#[tokio::test]
async fn what_a_response_has_no_room_for_is_left_out() {
    let value = "x".repeat(20_000);
    // The second has its turn with the response first. Neither can know of the other.
    let plugins = format!(
        r#"[{{ use = "interest", config = {{ prepare = [["x-a", "{value}"], ["x-b", "1"]] }} }},
            {{ use = "interest", config = {{ prepare = [["x-c", "{value}"]] }} }}]"#
    )
    .replace('\n', " ");
    let proxy = start(&["interest"], &echo_route("all", "/*", &plugins)).await;
    let response = proxy.get("/").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("x-c"), value);
    assert_eq!((response.header("x-a"), response.header("x-b")), ("", "1"));
    let left_out = r#"tidegate_plugin_left_out_total{plugin="interest"}"#;
    assert_eq!(proxy.metric(left_out).await, 1.0);
    let failures = r#"tidegate_plugin_failures_total{plugin="interest"}"#;
    assert_eq!(proxy.metric(failures).await, 0.0);
    let fits = |line: &Line| line.text.contains("left out") && line.text.contains("`x-a`");
    proxy.log_line("what was left out", fits).await;
    let access = proxy.access_line("/").await;
    assert!(access.text.contains("interest:left-out"), "{}", access.text);

    // What no head can have is refused at once.
    for bad in [
        r#"["connection", "x"]"#.to_owned(),
        format!(r#"["x-a", "{value}{value}"]"#),
    ] {
        let bad = format!(r#"[{{ use = "interest", config = {{ prepare = [{bad}] }} }}]"#);
        let refused = start(&["interest"], &echo_route("all", "/*", &bad)).await;
        assert_eq!(refused.get("/").await.status, 503);
    }
}

#[tokio::test]
async fn attributes_have_to_be_granted_and_parts_are_few() {
    let proxy = proxy("edit_request = []").await;
    let with = |edits: &str, allow: &str| {
        let plugins =
            format!(r#"[{{ use = "interest", config = {{ edit_request = [{edits}] }} }}]"#);
        format!("[plugins]\nallow = [{allow}]\ncache = \"off\"\n")
            + &echo_route("all", "/*", &plugins)
    };
    let one = r#"["x-a", "of $route"]"#;
    let without = with(one, r#""metrics", "log""#);
    let error = proxy.reload_refused(&without).await;
    assert!(error.contains("attributes"), "{error}");
    let many = vec![one; 600].join(",");
    let granted = r#""metrics", "log", "attributes""#;
    let error = proxy.reload_refused(&with(&many, granted)).await;
    assert!(error.contains("limit"), "{error}");
    let error = proxy
        .reload_refused(&with(r#"["x-a", "$Route"]"#, granted))
        .await;
    assert!(error.contains("name"), "{error}");
}

/// Rules that read nothing but attributes need no call; one that does is called, in its direction.
#[tokio::test]
async fn headers_is_called_only_for_rules_that_read_something() {
    let origin = Origin::echo().await;
    let config = format!(
        r#"
[[route]]
name = "all"
plugins = [{{ use = "headers", config = {{
    request = [{{ set = "x-a", value = "1" }}, {{ append = "x-b", value = "2" }}, {{ remove = "x-c" }},
        {{ set = "x-route", value = "$$/${{route}}" }},
        {{ set = "x-id", value = "${{request.id}}", if_absent = "skip" }}],
    response = [{{ set = "x-path", value = "${{request.path}}" }}] }} }}]
upstream = "app"

[upstream.app]
peers = [{:?}]
"#,
        origin.address()
    );
    let proxy = start_with(&[("headers.wasm", bundled("headers"))], &config).await;
    let request = with_header(get("/here"), "x-b", "1");
    let response = proxy.send(with_header(request, "x-c", "1")).await;
    assert_eq!(response.header("x-path"), "/here");
    let seen = origin.seen().remove(0);
    assert_eq!(seen.header("x-a"), "1");
    let values: Vec<_> = seen.headers.get_all("x-b").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(seen.header("x-c"), "");
    assert_eq!(seen.header("x-route"), "$/all");
    assert_eq!(seen.header("x-id"), seen.header("x-request-id"));
    let of = |name, phase| format!(r#"{name}{{plugin="headers",phase="{phase}"}}"#);
    assert_eq!(proxy.metric(&of(EDITED, "request-head")).await, 1.0);
    assert_eq!(proxy.metric(&of(CALLED, "request-head")).await, 0.0);
    assert_eq!(proxy.metric(&of(CALLED, "response-head")).await, 1.0);
}
