//! What the chain itself costs (`make microbench`): order, interests, policies and meters around plugins
//! that are made of closures. Each case is one request with its response.

#![allow(clippy::print_stdout, reason = "what a bench is for")]
#![allow(clippy::unwrap_used, reason = "nothing here comes from outside")]

#[path = "../../../bench/micro.rs"]
mod micro;

use std::sync::Arc;

use micro::{measure, now};
use prometheus::Registry;
use tidegate_chain::{
    Action, Call, Chain, Edit, Event, Exchange, Failure, Interest, Meters, OnFailure, PathInterest,
    Phase, PhaseSet, Plugin, Policy, Progress, Stage, Target, VersionMeters, Waiting,
};

type Body = fn(Phase, &mut Exchange);

struct Native {
    name: Arc<str>,
    interest: Interest,
    policy: Policy,
    meters: Arc<VersionMeters>,
    waits: bool,
    body: Body,
}

impl Plugin for Native {
    fn name(&self) -> &Arc<str> {
        &self.name
    }
    fn phases(&self) -> PhaseSet {
        [Phase::RequestHead, Phase::ResponseHead]
            .into_iter()
            .collect()
    }
    fn interest(&self) -> &Interest {
        &self.interest
    }
    fn policy(&self) -> &Policy {
        &self.policy
    }
    fn meters(&self) -> &Arc<VersionMeters> {
        &self.meters
    }
    fn waits(&self) -> bool {
        self.waits
    }
    fn call(&self, call: Call<'_>, exchange: &mut Box<Exchange>) -> Result<Action, Failure> {
        (self.body)(call.phase, exchange);
        Ok(Action::Proceed)
    }
    fn call_waiting<'a>(&'a self, call: Call<'a>, exchange: &'a mut Box<Exchange>) -> Waiting<'a> {
        Box::pin(async move { self.call(call, exchange) })
    }
}

fn plugin(body: Body) -> Native {
    let meters = Meters::register(&Registry::new()).unwrap();
    let name: Arc<str> = "native".into();
    let phases = [Phase::RequestHead, Phase::ResponseHead];
    Native {
        meters: meters.version(&name, &"1".into(), phases.into_iter().collect()),
        name,
        interest: Interest::default(),
        policy: Policy::default(),
        waits: false,
        body,
    }
}

fn passes(_: Phase, _: &mut Exchange) {}

/// Sets a field each way.
fn edits(phase: Phase, exchange: &mut Exchange) {
    let target = match phase {
        Phase::RequestHead => Target::Request,
        _ => Target::Response,
    };
    let edit = Edit::Set("x-bench", b"1").check().unwrap();
    exchange.edit(target, edit).unwrap();
}

fn main() {
    run("no plugin", Vec::new());
    run("one that passes", vec![plugin(passes)]);
    run("five that pass", (0..5).map(|_| plugin(passes)).collect());
    let mut elsewhere = plugin(passes);
    elsewhere.interest.paths = vec![PathInterest::parse("/another/*").unwrap()];
    run("one for another path", vec![elsewhere]);
    let mut waiting = plugin(passes);
    waiting.waits = true;
    run("one that could wait", vec![waiting]);
    run("one that sets a field each way", vec![plugin(edits)]);
    let mut open = plugin(edits);
    open.policy.trap = OnFailure::Open;
    run("the same, which can be undone", vec![open]);
}

fn run(name: &str, plugins: Vec<Native>) {
    let plugins = plugins
        .into_iter()
        .map(|one| Arc::new(one) as Arc<dyn Plugin>);
    let chain = Chain::new(plugins.collect()).unwrap();
    let mut exchange = exchange();
    measure(&format!("chain: {name}"), || {
        exchange.stage = Stage::default();
        let mut progress = Progress::default();
        now(chain.request(&mut progress, &mut exchange));
        exchange.stage.on(Event::Respond).unwrap();
        now(chain.response(&mut progress, &mut exchange))
    });
}

/// One that serves for all requests, so that its making is not timed.
fn exchange() -> Box<Exchange> {
    let request = http::Request::get("/v1/users/42")
        .header("host", "example.com")
        .header("user-agent", "bench");
    let (request, ()) = request.body(()).unwrap().into_parts();
    let (response, ()) = http::Response::new(()).into_parts();
    let mut exchange = Exchange::default();
    exchange.request = Box::new(request);
    exchange.response = Some(Box::new(response));
    Box::new(exchange)
}
