//! Bodies through a plugin: the modes, the state of one body, replies from a body and streamed ones.

#![allow(clippy::unwrap_used)]

use proptest::prelude::{any, proptest};
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{BodyOutcome, Exchange, Host, Instance};

/// Appends to each body its length as the plugin counted it, over all pieces that it saw.
#[derive(Deserialize)]
struct Counting {
    mode: Mode,
    size: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Streaming,
    Buffer,
    Peek,
}

#[derive(Default)]
struct Seen {
    calls: usize,
    bytes: usize,
}

impl Seen {
    fn add(&mut self, data: &[u8]) -> String {
        self.calls += 1;
        self.bytes += data.len();
        format!("[{}/{}]", self.bytes, self.calls)
    }
}

#[plugin]
impl Plugin for Counting {
    type RequestBodyState = Seen;
    type ResponseBodyState = Seen;

    fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        let size = config.size.unwrap_or(10);
        let mode = match config.mode {
            Mode::Streaming => BodyMode::Streaming,
            Mode::Buffer => BodyMode::Buffer(size),
            Mode::Peek => BodyMode::Peek(size),
        };
        interest.request_body(mode)?;
        interest.response_body(mode)?;
        Ok(config)
    }

    fn on_request(&self, request: &mut Request) -> Action {
        if request.path() == "/skip" {
            request.skip_body().unwrap();
        }
        Action::Proceed
    }

    fn on_request_body(&self, body: &mut RequestBody<Seen>) -> BodyAction {
        let summary = body.state.add(&body.data);
        let edited = body.request.set_header("x-body", &summary);
        log::info!("{edited:?}");
        match (body.request.path().as_str(), body.state.calls) {
            ("/enough", 2) => {
                body.skip_rest().unwrap();
                BodyAction::Drop
            }
            ("/refuse", 2) => body.respond(Reply::new(403)),
            ("/empty-handed", _) => BodyAction::Respond,
            ("/shout", _) => BodyAction::replace(body.data.to_ascii_uppercase()),
            _ if body.end => BodyAction::append(summary),
            _ => BodyAction::Pass,
        }
    }

    fn on_response(&self, response: &mut Response) -> Action {
        if response
            .header("content-type")
            .is_some_and(|value| value == "image/png")
        {
            response.skip_body().unwrap();
        }
        Action::Proceed
    }

    fn on_response_body(&self, body: &mut ResponseBody<Seen>) -> BodyAction {
        let summary = body.state.add(&body.data);
        match body.request().path().as_str() {
            "/refuse" => body.respond(Reply::new(502)),
            _ if body.end => BodyAction::append(summary),
            _ => BodyAction::Pass,
        }
    }
}

fn counting(config: &str) -> Instance<Counting> {
    Instance::configure(config).unwrap()
}

fn streaming() -> Instance<Counting> {
    counting(r#"{"mode": "streaming"}"#)
}

fn passed(text: &str) -> BodyOutcome {
    BodyOutcome::Passed(text.as_bytes().to_vec())
}

#[test]
fn a_streamed_body_has_one_state_and_the_next_one_begins_anew() {
    let mut plugin = streaming();
    for _ in 0..2 {
        let mut exchange = Exchange::new("POST", "/");
        let outcome = plugin.on_request_body(&mut exchange, "abcdef".as_bytes().chunks(4));
        assert_eq!(outcome, passed("abcdef[6/2]"));
        let outcome = plugin.on_response_body(&mut exchange, ["abc", "", "d", "ef"]);
        assert_eq!(outcome, passed("abcdef[6/3]"));
    }
}

#[test]
fn an_empty_body_is_one_call_with_its_end() {
    for mode in ["streaming", "buffer", "peek"] {
        let mut plugin = counting(&format!(r#"{{"mode": "{mode}"}}"#));
        let outcome = plugin.on_request_body(&mut Exchange::get("/"), [""; 0]);
        assert_eq!(outcome, passed("[0/1]"), "{mode}");
    }
}

#[test]
fn after_a_body_that_ended_early_the_next_one_begins_anew() {
    for (path, outcome) in [
        ("/enough", passed("abef")),
        ("/refuse", BodyOutcome::Responded),
        ("/empty-handed", BodyOutcome::Failed),
    ] {
        let mut plugin = streaming();
        let mut exchange = Exchange::new("POST", path);
        assert_eq!(
            plugin.on_request_body(&mut exchange, ["ab", "cd", "ef"]),
            outcome,
            "{path}"
        );
        let next = plugin.on_request_body(&mut Exchange::new("POST", "/"), ["a"]);
        assert_eq!(next, passed("a[1/1]"), "{path}");
    }
}

#[test]
fn a_buffered_body_is_whole_and_the_head_waits() {
    let mut plugin = counting(r#"{"mode": "buffer"}"#);
    let mut exchange = Exchange::new("POST", "/");
    assert_eq!(
        plugin.on_request_body(&mut exchange, ["ab", "cd"]),
        passed("abcd[4/1]")
    );
    assert_eq!(exchange.request_header("x-body").as_deref(), Some("[4/1]"));

    let mut longer = Exchange::new("POST", "/");
    assert_eq!(
        plugin.on_request_body(&mut longer, ["0123456789", "0"]),
        BodyOutcome::TooLong
    );
}

#[test]
fn a_peek_sees_the_beginning_and_keeps_no_state_of_it() {
    let mut plugin = counting(r#"{"mode": "peek", "size": 3}"#);
    for _ in 0..2 {
        let mut exchange = Exchange::new("POST", "/shout");
        assert_eq!(
            plugin.on_request_body(&mut exchange, ["ab", "cdef"]),
            passed("ABCdef")
        );
        assert_eq!(exchange.request_header("x-body").as_deref(), Some("[3/1]"));
    }
    let outcome = plugin.on_request_body(&mut Exchange::new("POST", "/"), ["abc"]);
    assert_eq!(outcome, passed("abc[3/1]"));
}

#[test]
fn a_streamed_body_leaves_the_head_alone_and_a_response_cannot_be_replaced() {
    let mut plugin = streaming();
    let mut exchange = Exchange::new("POST", "/refuse");
    plugin.on_request_body(&mut exchange, ["a"]);
    assert_eq!(exchange.request_header("x-body"), None);
    assert!(plugin.log()[0].1.contains("wrong-phase"));
    assert_eq!(
        plugin.on_response_body(&mut exchange, ["a"]),
        BodyOutcome::Failed
    );

    let mut plugin = counting(r#"{"mode": "buffer"}"#);
    let mut exchange = Exchange::get("/refuse");
    assert_eq!(
        plugin.on_response_body(&mut exchange, ["a"]),
        BodyOutcome::Responded
    );
    assert_eq!(exchange.reply().unwrap().status(), 502);
}

#[test]
fn a_skipped_or_missing_body_has_no_call() {
    let mut plugin = streaming();
    let mut skipped = Exchange::new("POST", "/skip");
    plugin.on_request(&mut skipped);
    assert_eq!(plugin.on_request_body(&mut skipped, ["a"]), passed("a"));

    let mut image = Exchange::get("/").response(200, &[("content-type", "image/png")]);
    plugin.on_response(&mut image);
    assert_eq!(plugin.on_response_body(&mut image, ["a"]), passed("a"));

    let mut head = Exchange::new("HEAD", "/");
    assert_eq!(plugin.on_response_body(&mut head, [""; 0]), passed(""));
    let mut not_modified = Exchange::get("/").response(304, &[]);
    assert_eq!(
        plugin.on_response_body(&mut not_modified, [""; 0]),
        passed("")
    );
}

#[test]
fn more_than_the_operator_allows_is_a_configuration_error() {
    let mut host = Host::new();
    host.set_body_bytes(100);
    let errors = host
        .configure::<Counting>(r#"{"mode": "buffer", "size": 101}"#)
        .unwrap_err();
    assert!(errors[0].message.contains("request body"), "{errors:?}");
    assert!(errors[0].message.contains("limit-reached"), "{errors:?}");
}

proptest! {
    /// However a body is cut, the plugin sees all of it, once.
    #[test]
    fn pieces_do_not_matter(body in any::<Vec<u8>>(), size in 1_usize..50) {
        let outcome = streaming().on_request_body(&mut Exchange::get("/"), body.chunks(size));
        let calls = body.chunks(size).len().max(1);
        let mut expected = body.clone();
        expected.extend(format!("[{}/{calls}]", body.len()).bytes());
        assert_eq!(outcome, BodyOutcome::Passed(expected));
    }
}

/// Replies with a countdown, from the phase that the path names.
#[derive(Deserialize)]
struct Countdown {}

#[plugin]
impl Plugin for Countdown {
    type ReplyState = u32;

    fn configure(config: Self, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        interest.request_body(BodyMode::Streaming)?;
        Ok(config)
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let head = ReplyHead::new(200).header("x-from", "3");
        match request.path().as_str() {
            "/" => request.respond_streaming::<Self>(head, 3),
            "/length" => request.respond_streaming::<Self>(head.header("content-length", "3"), 3),
            "/no-content" => request.respond_streaming::<Self>(ReplyHead::new(204), 3),
            "/changed-mind" => {
                request.respond_streaming::<Self>(head, 3);
                request.respond(Reply::new(204))
            }
            _ => Action::Proceed,
        }
    }

    fn on_request_body(&self, body: &mut RequestBody) -> BodyAction {
        body.respond_streaming::<Self>(ReplyHead::new(202), 1)
    }

    fn on_response(&self, response: &mut Response) -> Action {
        response.respond_streaming::<Self>(ReplyHead::new(203), 200)
    }

    fn on_reply_body(&self, left: &mut u32) -> Result<Option<Vec<u8>>, CutOff> {
        if *left == 0 {
            return Ok(None);
        }
        *left -= 1;
        if *left > 99 {
            return Err(CutOff);
        }
        Ok(Some(left.to_string().into_bytes()))
    }
}

fn pieces(plugin: &mut Instance<Countdown>, exchange: &mut Exchange) -> Result<String, CutOff> {
    let mut text = String::new();
    while let Some(piece) = plugin.on_reply_body(exchange)? {
        text.push_str(&String::from_utf8(piece).unwrap());
    }
    Ok(text)
}

#[test]
fn a_streamed_reply_is_made_from_the_state_that_it_was_begun_with() {
    let mut plugin = Instance::<Countdown>::configure("{}").unwrap();
    for _ in 0..2 {
        let mut exchange = Exchange::get("/");
        assert_eq!(plugin.on_request(&mut exchange), Action::Respond);
        assert_eq!(
            exchange.reply().unwrap().field("x-from").as_deref(),
            Some("3")
        );
        assert_eq!(pieces(&mut plugin, &mut exchange).unwrap(), "210");
        // It has ended.
        assert_eq!(plugin.on_reply_body(&mut exchange), Err(CutOff));
    }
}

#[test]
fn a_body_phase_can_begin_a_streamed_reply() {
    let mut plugin = Instance::<Countdown>::configure("{}").unwrap();
    let mut exchange = Exchange::new("POST", "/other");
    assert_eq!(
        plugin.on_request_body(&mut exchange, ["a", "b"]),
        BodyOutcome::Responded
    );
    assert_eq!(exchange.reply().unwrap().status(), 202);
    assert_eq!(pieces(&mut plugin, &mut exchange).unwrap(), "0");
}

#[test]
fn a_reply_that_is_cut_off_has_ended() {
    let mut plugin = Instance::<Countdown>::configure("{}").unwrap();
    let mut exchange = Exchange::get("/other");
    assert_eq!(plugin.on_response(&mut exchange), Action::Respond);
    assert_eq!(plugin.on_reply_body(&mut exchange), Err(CutOff));
    assert_eq!(plugin.on_reply_body(&mut exchange), Err(CutOff));
}

#[test]
fn a_reply_that_streams_has_no_length_and_a_whole_one_replaces_it() {
    let mut plugin = Instance::<Countdown>::configure("{}").unwrap();
    for path in ["/length", "/no-content"] {
        assert_eq!(plugin.on_request(&mut Exchange::get(path)), Action::Fail);
    }

    let mut exchange = Exchange::get("/changed-mind");
    assert_eq!(plugin.on_request(&mut exchange), Action::Respond);
    assert_eq!(exchange.reply().unwrap().status(), 204);
    assert_eq!(plugin.on_reply_body(&mut exchange), Err(CutOff));
}
