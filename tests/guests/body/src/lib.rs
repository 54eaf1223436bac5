//! Looks at bodies in the mode of its configuration, and does to them what that says. What it saw is
//! marked in the heads where they wait, and counted.

#![forbid(unsafe_code)]

use tidegate_sdk::bindings::host::tidegate::plugin::reply;
use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    name: String,
    #[serde(default)]
    request: Watch,
    #[serde(default)]
    response: Watch,
}

/// What to do with the bodies of one direction.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Watch {
    mode: Mode,
    /// The most bytes to buffer or to peek at.
    size: u64,
    action: Doing,
    /// How many bytes have to be seen before it is done.
    after: u64,
    /// What is put into the body, or replied.
    text: String,
    /// Say in the head's phase that the body is of no interest.
    skip: bool,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    None,
    Streaming,
    Buffer,
    Peek,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Doing {
    #[default]
    Pass,
    /// Upper case, piece by piece.
    Upper,
    /// The text instead of the whole.
    Replace,
    Append,
    Drop,
    Respond,
    Fail,
    Trap,
    /// Let the rest pass unseen.
    SkipRest,
}

/// What was seen of one body.
#[derive(Default)]
struct Seen {
    bytes: u64,
    calls: u64,
}

struct Body(Settings);

#[plugin]
impl Plugin for Body {
    type Config = Settings;
    type RequestBodyState = Seen;
    type ResponseBodyState = Seen;

    fn configure(config: Settings, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        interest.request_body(config.request.mode())?;
        interest.response_body(config.response.mode())?;
        Ok(Body(config))
    }

    fn on_request(&self, request: &mut Request) -> Action {
        if self.0.request.skip {
            request.skip_body().ok();
        }
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        if self.0.response.skip {
            response.skip_body().ok();
        }
        Action::Proceed
    }

    fn on_request_body(&self, body: &mut RequestBody<Seen>) -> BodyAction {
        body.state.see("request", &body.data, body.end);
        if body.state.calls == 1 {
            let mark = self.mark(&body.data);
            let marked = body.request.append_header("x-request-body", mark);
            note("request", "edit", marked);
        }
        let watch = &self.0.request;
        match watch.turn(&body.state) {
            Doing::SkipRest => {
                note("request", "skip", body.skip_rest());
                BodyAction::Pass
            }
            doing => watch.act(doing, "request", &body.data, body.end),
        }
    }

    fn on_response_body(&self, body: &mut ResponseBody<Seen>) -> BodyAction {
        body.state.see("response", &body.data, body.end);
        if body.state.calls == 1 {
            let mark = self.mark(&body.data);
            let marked = body.response.append_header("x-response-body", mark);
            note("response", "edit", marked);
        }
        let watch = &self.0.response;
        match watch.turn(&body.state) {
            Doing::SkipRest => {
                note("response", "skip", body.skip_rest());
                BodyAction::Pass
            }
            doing => watch.act(doing, "response", &body.data, body.end),
        }
    }
}

impl Body {
    /// Its name, and how much it saw.
    fn mark(&self, data: &[u8]) -> String {
        format!("{}={}", self.0.name, data.len())
    }
}

impl Watch {
    fn mode(&self) -> BodyMode {
        match self.mode {
            Mode::None => BodyMode::None,
            Mode::Streaming => BodyMode::Streaming,
            Mode::Buffer => BodyMode::Buffer(self.size),
            Mode::Peek => BodyMode::Peek(self.size),
        }
    }

    /// What to do now.
    fn turn(&self, seen: &Seen) -> Doing {
        if seen.bytes < self.after {
            return Doing::Pass;
        }
        self.action
    }

    fn act(&self, doing: Doing, direction: &str, data: &[u8], end: bool) -> BodyAction {
        let last = end || self.mode != Mode::Streaming;
        match doing {
            Doing::Pass | Doing::SkipRest => BodyAction::Pass,
            Doing::Upper => BodyAction::replace(data.to_ascii_uppercase()),
            Doing::Replace if last => BodyAction::replace(self.text.as_str()),
            Doing::Append if last => BodyAction::append(self.text.as_str()),
            Doing::Append => BodyAction::Pass,
            Doing::Replace | Doing::Drop => BodyAction::Drop,
            Doing::Respond => self.respond(direction),
            Doing::Fail => BodyAction::Fail,
            Doing::Trap => unreachable!("as configured"),
        }
    }

    /// Without the SDK's own function, which does not tell why it is refused.
    fn respond(&self, direction: &str) -> BodyAction {
        let replied = reply::set(403, &[], self.text.as_bytes());
        note(direction, "reply", replied);
        match replied {
            Ok(()) => BodyAction::Respond,
            Err(_) => BodyAction::Pass,
        }
    }
}

impl Seen {
    fn see(&mut self, direction: &str, data: &[u8], end: bool) {
        self.bytes += data.len() as u64;
        self.calls += 1;
        let end = if end { "true" } else { "false" };
        let labels = [("direction", direction), ("end", end)];
        metrics::count("calls", &labels, 1).ok();
        let labels = [("direction", direction)];
        metrics::count("bytes", &labels, data.len() as u64).ok();
    }
}

/// Count what the host refused, and why.
fn note(direction: &str, what: &str, answer: Result<(), Error>) {
    if let Err(error) = answer {
        let labels = [
            ("direction", direction),
            ("what", what),
            ("error", error.name()),
        ];
        metrics::count("refused", &labels, 1).ok();
    }
}
