//! The order of calls, the reverse order, replies, failures and their undoing, with plugins made of
//! closures.

use super::*;
use crate::{
    Edit, Interest, Meters, PathInterest, PhaseSet, Policy, Refusal, Target, Value, VersionMeters,
};
use crate::{Facts, Waiting};

#[path = "fixed_tests.rs"]
mod fixed;

type Body = Box<dyn Fn(Phase, &mut Exchange) -> Result<Action, Failure> + Send + Sync>;

struct Scripted {
    name: Arc<str>,
    interest: Interest,
    policy: Policy,
    meters: Arc<VersionMeters>,
    body: Body,
}

impl Plugin for Scripted {
    fn name(&self) -> &Arc<str> {
        &self.name
    }
    fn phases(&self) -> PhaseSet {
        Phase::ALL.into_iter().collect()
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
        // Every second plugin goes through the other door.
        self.name.ends_with('b')
    }
    fn call(&self, call: Call<'_>, exchange: &mut Box<Exchange>) -> Result<Action, Failure> {
        trace(exchange, &self.name, call.phase);
        (self.body)(call.phase, exchange)
    }
    fn call_waiting<'a>(&'a self, call: Call<'a>, exchange: &'a mut Box<Exchange>) -> Waiting<'a> {
        Box::pin(async move { self.call(call, exchange) })
    }
}

fn trace(exchange: &mut Exchange, name: &str, phase: Phase) {
    let so_far = exchange
        .attributes
        .get("trace")
        .map(|v| v.text().into_owned());
    let mark = if phase == Phase::RequestHead {
        "<"
    } else {
        ">"
    };
    let text = format!("{}{name}{mark}", so_far.unwrap_or_default());
    exchange.attributes.set("trace", Value::Text(text)).unwrap();
}

fn plugin(
    name: &str,
    body: impl Fn(Phase, &mut Exchange) -> Result<Action, Failure> + Send + Sync + 'static,
) -> Scripted {
    let registry = prometheus::Registry::new();
    let meters = Meters::register(&registry).unwrap();
    Scripted {
        name: name.into(),
        interest: Interest::default(),
        policy: Policy::default(),
        meters: meters.version(&name.into(), &"1".into(), PhaseSet::default()),
        body: Box::new(body),
    }
}

fn passes(name: &str) -> Scripted {
    plugin(name, |_, _| Ok(Action::Proceed))
}

fn chain(plugins: Vec<Scripted>) -> Chain {
    let plugins = plugins.into_iter().map(|p| Arc::new(p) as Arc<dyn Plugin>);
    Chain::new(plugins.collect()).unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// Run both phases as the data path does, and return the trace and the final status.
fn exchange_through(chain: &Chain) -> (String, u16, Box<Exchange>) {
    let (request, ()) = http::Request::get("/x").body(()).unwrap().into_parts();
    let exchange = Exchange {
        request: Box::new(request),
        ..Exchange::default()
    };
    through(chain, Box::new(exchange))
}

fn through(chain: &Chain, mut exchange: Box<Exchange>) -> (String, u16, Box<Exchange>) {
    let head = &exchange.request;
    let begun = chain.begin(head.method(), head.uri(), head.fields());
    let mut progress = begun.unwrap_or_default();
    let first = block_on(chain.request(&mut progress, &mut exchange));
    let mut status = 200;
    let mut next = Some(first);
    while let Some(verdict) = next.take() {
        if let Some(reply) = verdict.reply() {
            status = reply.status.as_u16();
        } else if exchange.response.is_some() {
            break;
        }
        let (head, ()) = http::Response::builder()
            .status(status)
            .body(())
            .unwrap()
            .into_parts();
        exchange.response = Some(Box::new(head));
        exchange.stage.on(crate::Event::Respond).unwrap();
        next = Some(block_on(chain.response(&mut progress, &mut exchange)));
    }
    let trace = exchange
        .attributes
        .get("trace")
        .map(|v| v.text().into_owned());
    (trace.unwrap_or_default(), status, exchange)
}

fn reply(status: u16) -> impl Fn(Phase, &mut Exchange) -> Result<Action, Failure> {
    move |phase, exchange| {
        if phase == Phase::RequestHead {
            exchange.set_reply(status, [], b"no").unwrap();
            return Ok(Action::Respond);
        }
        Ok(Action::Proceed)
    }
}

fn edit(exchange: &mut Exchange, target: Target, edit: Edit<'_>) -> Result<(), Refusal> {
    exchange.edit(target, edit.check()?)
}

fn failure(kind: FailureKind) -> Failure {
    Failure {
        kind,
        message: "x".into(),
    }
}

#[test]
fn forward_in_reverse_out() {
    let (trace, status, _) = exchange_through(&chain(vec![passes("a"), passes("b"), passes("c")]));
    assert_eq!((trace.as_str(), status), ("a<b<c<c>b>a>", 200));
}

#[test]
fn a_reply_is_seen_by_those_before_it_only() {
    let all = chain(vec![passes("a"), plugin("b", reply(403)), passes("c")]);
    let (trace, status, exchange) = exchange_through(&all);
    assert_eq!((trace.as_str(), status), ("a<b<a>", 403));
    assert_eq!(exchange.notes.len(), 1);
    assert_eq!(exchange.notes[0].what, "respond");
}

#[test]
fn a_reply_on_the_way_out_replaces_the_response() {
    let last = plugin("c", |phase, exchange| {
        if phase == Phase::ResponseHead {
            exchange.set_reply(502, [], b"").unwrap();
            return Ok(Action::Respond);
        }
        Ok(Action::Proceed)
    });
    let (trace, status, _) = exchange_through(&chain(vec![passes("a"), last]));
    assert_eq!((trace.as_str(), status), ("a<c<c>a>", 502));
}

#[test]
fn a_plugin_without_interest_is_not_called_at_all() {
    let mut other = passes("b");
    other.interest.paths = vec![PathInterest::parse("/y").unwrap()];
    let (trace, _, _) = exchange_through(&chain(vec![passes("a"), other]));
    assert_eq!(trace, "a<a>");
}

#[test]
fn nobody_is_asked_twice_and_each_skip_counts_once() {
    let of = |name: &str, path: &str| {
        let mut plugin = passes(name);
        plugin.interest.paths = vec![PathInterest::parse(path).unwrap()];
        plugin
    };
    let skips = |chain: &Chain| {
        let plugins = chain.plugins().iter();
        plugins.map(|p| p.meters().skips()).collect::<Vec<_>>()
    };
    let begin = |chain: &Chain, path: &str| {
        let head = http::Request::get(path).body(()).unwrap();
        chain.begin(head.method(), head.uri(), head.headers())
    };
    let all = chain(vec![of("a", "/y"), of("b", "/z*"), of("c", "/x")]);
    assert!(begin(&all, "/").is_none());
    assert_eq!(skips(&all), [1, 1, 1]);
    let (trace, ..) = exchange_through(&all);
    assert_eq!(trace, "c<c>");
    assert_eq!(skips(&all), [2, 2, 1]);
    assert!(begin(&Chain::default(), "/").is_none());
}

#[test]
fn what_an_earlier_plugin_did_to_the_head_decides_who_is_interested() {
    let first = plugin("a", |phase, exchange| {
        if phase == Phase::RequestHead {
            exchange.set_path("/y").unwrap();
        }
        Ok(Action::Proceed)
    });
    let [mut before, mut after] = [passes("b"), passes("c")];
    before.interest.paths = vec![PathInterest::parse("/x").unwrap()];
    after.interest.paths = vec![PathInterest::parse("/y").unwrap()];
    let (trace, ..) = exchange_through(&chain(vec![first, before, after]));
    assert_eq!(trace, "a<c<c>a>");
}

#[test]
fn closed_answers_503_for_every_kind() {
    let kinds = FailureKind::ALL.into_iter();
    for kind in kinds.filter(|kind| *kind != FailureKind::OverLimit) {
        let bad = plugin("b", move |_, _| Err(failure(kind)));
        let (trace, status, exchange) =
            exchange_through(&chain(vec![passes("a"), bad, passes("c")]));
        assert_eq!((trace.as_str(), status), ("a<b<a>", 503));
        assert_eq!(exchange.notes[0].what, kind.name());
    }
}

#[test]
fn open_goes_on_as_if_the_plugin_were_not_there() {
    let mut bad = plugin("b", |_, exchange| {
        let target = Target::Request;
        edit(exchange, target, Edit::Set("x-a", b"2")).unwrap();
        edit(exchange, target, Edit::Append("x-b", b"3")).unwrap();
        edit(exchange, target, Edit::Remove("x-c")).unwrap();
        exchange
            .set_attribute("left", Value::Boolean(true))
            .unwrap();
        Err(failure(FailureKind::Trap))
    });
    bad.policy.trap = OnFailure::Open;
    let first = plugin("a", |phase, exchange| {
        if phase == Phase::RequestHead {
            edit(exchange, Target::Request, Edit::Set("x-a", b"1")).unwrap();
            edit(exchange, Target::Request, Edit::Set("x-c", b"1")).unwrap();
        }
        Ok(Action::Proceed)
    });
    let (trace, status, exchange) = exchange_through(&chain(vec![first, bad, passes("c")]));
    assert_eq!((trace.as_str(), status), ("a<b<c<c>a>", 200));
    let fields = exchange.request.fields();
    assert_eq!(fields.get("x-a").unwrap(), "1");
    assert_eq!(fields.get("x-c").unwrap(), "1");
    assert!(!fields.contains_key("x-b"));
    assert_eq!(exchange.attribute("left"), None);
}

#[test]
fn respond_without_a_reply_is_a_failure() {
    let bad = plugin("a", |_, _| Ok(Action::Respond));
    let (_, status, exchange) = exchange_through(&chain(vec![bad]));
    assert_eq!(status, 503);
    assert_eq!(exchange.notes[0].what, "error");
}

#[test]
fn edits_are_for_their_phase_and_within_limits() {
    let mut exchange = Exchange::default();
    let set = Edit::Set("x-a", b"1");
    assert_eq!(
        edit(&mut exchange, Target::Request, set.clone()),
        Err(Refusal::WrongPhase)
    );
    exchange.phase = Some(Phase::RequestHead);
    assert_eq!(
        edit(&mut exchange, Target::Response, set.clone()),
        Err(Refusal::WrongPhase)
    );
    assert_eq!(edit(&mut exchange, Target::Request, set.clone()), Ok(()));
    let cases: [(&str, &[u8], Refusal); 5] = [
        ("x a", b"1", Refusal::InvalidName),
        ("", b"1", Refusal::InvalidName),
        ("x-a", b"a\r\nx-b: 2", Refusal::InvalidValue),
        ("Content-Length", b"1", Refusal::Forbidden),
        ("transfer-encoding", b"chunked", Refusal::Forbidden),
    ];
    for (name, value, refusal) in cases {
        let bad = Edit::Set(name, value);
        assert_eq!(
            edit(&mut exchange, Target::Request, bad),
            Err(refusal),
            "{name}"
        );
    }
    let long = vec![b'x'; exchange.limits.bytes];
    let long = Edit::Set("x-long", &long);
    assert_eq!(
        edit(&mut exchange, Target::Request, long),
        Err(Refusal::LimitReached)
    );
    let refused = (0..1000)
        .map(|n| format!("x-{n}"))
        .find(|name| edit(&mut exchange, Target::Request, Edit::Append(name, b"1")).is_err());
    assert_eq!(refused.as_deref(), Some("x-99"));
    assert_eq!(
        edit(&mut exchange, Target::Request, Edit::Set("x-98", b"2")),
        Ok(())
    );
}

#[test]
fn built_in_attributes_are_read_only() {
    let mut exchange = Exchange {
        facts: Arc::new(Facts {
            client: Some("[::ffff:192.0.2.1]:80".parse().unwrap()),
            route: "api".into(),
            ..Facts::default()
        }),
        ..Exchange::default()
    };
    let text = |name| exchange.attribute(name).map(|v| v.text().into_owned());
    assert_eq!(text("client.address").as_deref(), Some("192.0.2.1"));
    assert_eq!(text("client.port").as_deref(), Some("80"));
    assert_eq!(text("route").as_deref(), Some("api"));
    assert_eq!(text("upstream"), None);
    for name in [
        "client.address",
        "client.new",
        "route",
        "request.id",
        "peer.x",
    ] {
        let set = exchange.set_attribute(name, Value::Integer(1));
        assert_eq!(set, Err(Refusal::Forbidden), "{name}");
    }
}

#[test]
fn replies_are_checked() {
    let limits = Exchange::default().limits;
    let checked = |status, body: &[u8]| Reply::checked(status, [], body, limits).map(|r| r.status);
    assert!(checked(200, b"x").is_ok());
    for status in [0, 100, 199, 600, 999] {
        assert_eq!(checked(status, b""), Err(Refusal::InvalidArgument));
    }
    assert_eq!(checked(204, b"x"), Err(Refusal::InvalidArgument));
    let long = vec![0; Reply::BODY_BYTES_MAX + 1];
    assert_eq!(checked(200, &long), Err(Refusal::LimitReached));
}

#[test]
fn a_body_over_its_limit_undoes_no_edits() {
    let open = Policy {
        error: OnFailure::Open,
        over_limit: OnFailure::Open,
        ..Policy::default()
    };
    let editing = |name: &str| {
        let mut plugin = plugin(name, |phase, exchange| {
            if phase == Phase::RequestHead {
                edit(exchange, Target::Request, Edit::Append("x-turn", b"1")).unwrap();
            }
            Ok(Action::Proceed)
        });
        plugin.policy = open;
        plugin
    };
    let mut holding = editing("a");
    holding.interest.request_body = crate::BodyMode::Buffer(1);
    let all = chain(vec![holding, editing("c")]);
    let (mut progress, mut exchange) = (Progress::default(), Box::<Exchange>::default());
    let fed = block_on(async {
        all.request(&mut progress, &mut exchange).await;
        let budget = crate::Budget::new(usize::MAX);
        let mut body = all.request_body(&progress, &budget).unwrap();
        exchange.stage.on(crate::Event::HoldRequest).unwrap();
        let data = Bytes::from_static(b"too long");
        all.feed(&mut body, &mut progress, &mut exchange, data, true)
            .await
    });
    assert_eq!(fed.unwrap(), "too long");
    let turns = crate::joined(exchange.request.fields(), "x-turn");
    assert_eq!(turns.unwrap(), b"1, 1");
}
