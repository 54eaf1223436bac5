//! Replies with a body of so many pieces, in the phase of its configuration.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    when: When,
    pieces: u64,
    /// Bytes of each piece.
    size: usize,
    /// How many pieces come before it fails.
    fail_after: Option<u64>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum When {
    Request,
    RequestBody,
    UpstreamChoice,
    UpstreamRequest,
    Response,
    ResponseBody,
}

struct StreamReply(Settings);

#[plugin]
impl Plugin for StreamReply {
    type Config = Settings;
    /// How many pieces were given.
    type ReplyState = u64;

    fn configure(config: Settings, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        match config.when {
            When::RequestBody => interest.request_body(BodyMode::Buffer(1 << 10))?,
            When::ResponseBody => interest.response_body(BodyMode::Buffer(1 << 10))?,
            _ => {}
        }
        Ok(StreamReply(config))
    }

    fn on_request(&self, request: &mut Request) -> Action {
        self.reply_in(When::Request, request)
    }

    fn on_request_body(&self, body: &mut RequestBody) -> BodyAction {
        self.reply_in(When::RequestBody, &mut body.request).into()
    }

    fn on_upstream_choice(&self, request: &mut Request, _: &mut Upstream) -> Action {
        self.reply_in(When::UpstreamChoice, request)
    }

    fn on_upstream_request(&self, request: &mut Request, _: &Upstream) -> Action {
        self.reply_in(When::UpstreamRequest, request)
    }

    fn on_response(&self, response: &mut Response) -> Action {
        if self.0.when != When::Response {
            return Action::Proceed;
        }
        response.respond_streaming::<Self>(head(), 0)
    }

    fn on_response_body(&self, body: &mut ResponseBody) -> BodyAction {
        body.respond_streaming::<Self>(head(), 0)
    }

    fn on_reply_body(&self, given: &mut u64) -> Result<Option<Vec<u8>>, CutOff> {
        if self.0.fail_after == Some(*given) {
            return Err(CutOff);
        }
        if *given == self.0.pieces {
            return Ok(None);
        }
        // The letters of the alphabet in turn, so that no piece can stand for another.
        let letter = b'a' + (*given % 26) as u8;
        *given += 1;
        metrics::count("pieces", &[], 1).ok();
        Ok(Some(vec![letter; self.0.size]))
    }
}

impl StreamReply {
    fn reply_in(&self, phase: When, request: &mut Request) -> Action {
        if self.0.when != phase {
            return Action::Proceed;
        }
        request.respond_streaming::<Self>(head(), 0)
    }
}

fn head() -> ReplyHead {
    ReplyHead::new(200).header("x-streamed", "yes")
}
