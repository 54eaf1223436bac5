//! Edits that are declared are as good as edits that are made in a call.

use super::*;
use crate::{CheckedEdit, DeclaredEdit, Facts, Fields, HeadLimits, Note, Part, Value};
use proptest::prelude::*;

fn checked(edits: &[Edit<'_>]) -> Box<[CheckedEdit]> {
    edits.iter().map(|edit| edit.check().unwrap()).collect()
}

fn fixed(edits: Box<[CheckedEdit]>) -> Option<Box<[DeclaredEdit]>> {
    Some(edits.into_iter().map(DeclaredEdit::Fixed).collect())
}

/// A plugin that declares these edits, and would fail if it were called for them.
fn declares(name: &str, request: &[Edit<'_>], response: &[Edit<'_>]) -> Scripted {
    let mut plugin = plugin(name, |phase, _| match phase {
        Phase::RequestHead | Phase::ResponseHead => Err(failure(FailureKind::Trap)),
        _ => Ok(Action::Proceed),
    });
    plugin.interest.request_edits = fixed(checked(request));
    plugin.interest.response_edits = fixed(checked(response));
    plugin
}

fn value<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    fields.get(name).map(|value| value.as_bytes())
}

#[test]
fn they_are_made_at_the_plugins_turn() {
    let mark = |name: &str, value: &'static [u8]| {
        plugin(name, move |phase, exchange| {
            let target = match phase {
                Phase::RequestHead => Target::Request,
                _ => Target::Response,
            };
            edit(exchange, target, Edit::Append("x-turn", value)).unwrap();
            Ok(Action::Proceed)
        })
    };
    let append = [Edit::Append("x-turn", b"b")];
    let set = [Edit::Set("x-turn", b"b")];
    let all = chain(vec![
        mark("a", b"a"),
        declares("b", &append, &set),
        mark("c", b"c"),
    ]);
    let (trace, status, exchange) = exchange_through(&all);
    assert_eq!((trace.as_str(), status), ("a<c<c>a>", 200));
    let turns = |target| crate::joined(exchange.fields(target).unwrap(), "x-turn").unwrap();
    assert_eq!(turns(Target::Request), b"a, b, c");
    assert_eq!(turns(Target::Response), b"b, a");
}

#[test]
fn an_empty_list_is_no_call_and_no_edit() {
    let (trace, status, exchange) = exchange_through(&chain(vec![declares("a", &[], &[])]));
    assert_eq!((trace.as_str(), status), ("", 200));
    assert!(exchange.request.fields().is_empty());
}

#[test]
fn they_are_made_of_requests_that_match_and_of_replies() {
    let edits = [Edit::Set("x-a", b"1")];
    let mut other = declares("a", &edits, &edits);
    other.interest.paths = vec![PathInterest::parse("/y").unwrap()];
    let all = chain(vec![
        other,
        declares("b", &[], &edits),
        plugin("c", reply(403)),
    ]);
    let (_, status, exchange) = exchange_through(&all);
    assert_eq!(status, 403);
    assert_eq!(value(exchange.request.fields(), "x-a"), None);
    let response = exchange.fields(Target::Response).unwrap();
    assert_eq!(value(response, "x-a"), Some(&b"1"[..]));
}

#[test]
fn heads_and_failures_are_counted_and_no_call_is() {
    let registry = prometheus::Registry::new();
    let meters = Meters::register(&registry).unwrap();
    let long = vec![b'x'; Exchange::default().limits.bytes];
    let mut bad = declares("b", &[Edit::Set("x-a", b"1")], &[Edit::Set("x-b", &long)]);
    // It need not export the phases.
    bad.meters = meters.version(&"b".into(), &"1".into(), PhaseSet::default());
    let all = chain(vec![bad]);
    let (_, status, exchange) = exchange_through(&all);
    assert_eq!((status, exchange.notes[0].what), (503, "error"));
    let message = exchange.notes[0].message.as_deref().unwrap();
    assert!(message.contains("`x-b`"), "{message}");
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    for line in [
        r#"tidegate_plugin_edited_heads_total{phase="request-head",plugin="b",version="1"} 1"#,
        r#"tidegate_plugin_edited_heads_total{phase="response-head",plugin="b",version="1"} 1"#,
        r#"tidegate_plugin_failures_total{kind="error",phase="response-head",plugin="b",version="1"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("call_seconds"), "{text}");
}

fn put_together(name: &'static str, parts: &[Part]) -> Option<Box<[DeclaredEdit]>> {
    let name = http::HeaderName::from_static(name);
    Some([DeclaredEdit::Set(name, parts.into())].into())
}

fn with_route(route: &str) -> Box<Exchange> {
    let (request, ()) = http::Request::get("/x").body(()).unwrap().into_parts();
    Box::new(Exchange {
        request: Box::new(request),
        facts: Arc::new(Facts {
            route: route.into(),
            ..Facts::default()
        }),
        ..Exchange::default()
    })
}

#[test]
fn values_are_put_together_from_attributes_as_they_are_then() {
    let sets = plugin("a", |phase, exchange| {
        let value = match phase {
            Phase::RequestHead => Value::Integer(7),
            _ => Value::Text("late".into()),
        };
        exchange.set_attribute("a.count", value).unwrap();
        Ok(Action::Proceed)
    });
    let parts = [
        Part::Bytes(b"of ".as_slice().into()),
        Part::Attribute("route".into()),
        Part::Bytes(b": ".as_slice().into()),
        Part::Attribute("a.count".into()),
        Part::Attribute("a.nothing".into()),
    ];
    let mut tells = declares("b", &[], &[]);
    tells.interest.request_edits = put_together("x-a", &parts);
    tells.interest.response_edits = put_together("x-b", &parts);
    let (trace, status, exchange) = through(&chain(vec![sets, tells]), with_route("shop"));
    assert_eq!((trace.as_str(), status), ("a<a>", 200));
    let request = exchange.request.fields();
    assert_eq!(value(request, "x-a"), Some(&b"of shop: 7"[..]));
    // On the way back its turn is before the one that changes the attribute then.
    let response = exchange.fields(Target::Response).unwrap();
    assert_eq!(value(response, "x-b"), Some(&b"of shop: 7"[..]));
}

#[test]
fn parts_name_attributes_and_their_values_are_bounded() {
    for bad in ["", "A", "a b", &"a".repeat(65)] {
        assert_eq!(Part::attribute(bad), Err(Refusal::InvalidName));
    }
    assert!(Part::attribute("proxy.tlv.ea").is_ok());
    let mut tells = declares("b", &[], &[]);
    let part = Part::attribute("route").unwrap();
    tells.interest.request_edits = put_together("x-a", &vec![part; 100]);
    let (_, status, exchange) = through(&chain(vec![tells]), with_route(&"r".repeat(1000)));
    assert_eq!(status, 503);
    let message = exchange.notes[0].message.as_deref().unwrap();
    assert!(message.contains("limit"), "{message}");
}

#[test]
fn a_value_that_comes_to_no_field_value_fails_by_the_policy() {
    for (on_error, status) in [(OnFailure::Open, 200), (OnFailure::Closed, 503)] {
        let mut tells = declares("b", &[], &[]);
        tells.policy.error = on_error;
        tells.interest.request_edits = put_together("x-a", &[Part::Attribute("route".into())]);
        let (_, got, exchange) = through(&chain(vec![tells]), with_route("a\nb"));
        assert_eq!((got, exchange.notes[0].what), (status, "error"));
        assert_eq!(value(exchange.request.fields(), "x-a"), None);
    }
}

/// A plugin that prepares these edits at the request's head, and would fail if it were called for them.
fn prepares(name: &str, edits: &'static [Edit<'static>]) -> Scripted {
    plugin(name, move |phase, exchange| match phase {
        Phase::RequestHead => {
            // The last counts.
            exchange.prepare_edits(Box::default()).unwrap();
            exchange.prepare_edits(checked(edits)).unwrap();
            Ok(Action::Proceed)
        }
        _ => Err(failure(FailureKind::Trap)),
    })
}

#[test]
fn what_a_plugin_prepared_is_made_at_its_turn() {
    let mark = |name: &str, value: &'static [u8]| {
        plugin(name, move |phase, exchange| {
            if phase == Phase::ResponseHead {
                edit(exchange, Target::Response, Edit::Append("x-turn", value)).unwrap();
                let late = exchange.prepare_edits(Box::default());
                assert_eq!(late, Err(Refusal::WrongPhase));
            }
            Ok(Action::Proceed)
        })
    };
    let all = chain(vec![
        mark("a", b"a"),
        prepares("b", &[Edit::Append("x-turn", b"b")]),
        mark("c", b"c"),
        prepares("d", &[]),
        plugin("e", reply(403)),
    ]);
    let (trace, status, exchange) = exchange_through(&all);
    assert_eq!((trace.as_str(), status), ("a<b<c<d<e<c>a>", 403));
    let response = exchange.fields(Target::Response).unwrap();
    assert_eq!(crate::joined(response, "x-turn").unwrap(), b"c, b, a");
}

#[test]
fn what_was_prepared_takes_the_place_of_what_is_declared_and_is_left_out_where_it_is_refused() {
    let edits = |name| [Edit::Set(name, &[b'x'; 40])].map(|edit| edit.check().unwrap());
    let turn = |name: &str, edits: Vec<CheckedEdit>| {
        plugin(name, move |phase, exchange| {
            if phase == Phase::RequestHead {
                exchange.prepare_edits(edits.clone().into()).unwrap();
            }
            Ok(Action::Proceed)
        })
    };
    let last = [Edit::Set("x-c", b"1"), Edit::Remove("x-d")].map(|edit| edit.check().unwrap());
    let first = turn("a", [&edits("x-a")[..], &last].concat());
    let mut second = turn("b", edits("x-b").into());
    second.interest.response_edits = fixed(checked(&[Edit::Set("x-e", b"1")]));
    let third = turn("c", vec![Edit::Set("x-d", b"1").check().unwrap()]);

    let registry = prometheus::Registry::new();
    let meters = Meters::register(&registry).unwrap();
    let first = Scripted {
        meters: meters.version(&"a".into(), &"1".into(), PhaseSet::default()),
        ..first
    };
    let exchange = Exchange {
        limits: HeadLimits {
            count: 10,
            bytes: 64,
        },
        ..Exchange::default()
    };
    let all = chain(vec![first, second, third]);
    let (_, status, exchange) = through(&all, Box::new(exchange));
    let response = exchange.fields(Target::Response).unwrap();
    let mut names: Vec<_> = response.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!((status, names), (200, vec!["x-b", "x-c"]));
    let note = &exchange.notes[0];
    assert_eq!((&*note.plugin, note.what), ("a", Note::LEFT_OUT));
    assert!(note.message.as_deref().unwrap().contains("`x-a`"));
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    let line = r#"tidegate_plugin_left_out_total{plugin="a",version="1"} 1"#;
    assert!(text.contains(line), "{text}");
    assert!(!text.contains("failures"), "{text}");
}

#[test]
fn more_than_a_head_may_have_cannot_be_prepared() {
    let all = plugin("a", |phase, exchange| {
        if phase == Phase::RequestHead {
            let half = vec![b'x'; exchange.limits.bytes / 2];
            let edits = checked(&[Edit::Append("x-a", &half), Edit::Append("x-a", &half)]);
            let refused = exchange.prepare_edits(edits);
            assert_eq!(refused, Err(Refusal::LimitReached));
        }
        Ok(Action::Proceed)
    });
    let (trace, _, _) = exchange_through(&chain(vec![all]));
    assert_eq!(trace, "a<a>");
}

#[test]
fn what_a_plugin_prepared_before_it_failed_does_not_count() {
    for (on_trap, status) in [(OnFailure::Open, 200), (OnFailure::Closed, 503)] {
        let mut fails = plugin("a", |phase, exchange| match phase {
            Phase::RequestHead => {
                let edits = checked(&[Edit::Set("x-a", b"1")]);
                exchange.prepare_edits(edits).unwrap();
                Ok(Action::Proceed)
            }
            Phase::UpstreamChoice => Err(failure(FailureKind::Trap)),
            _ => Ok(Action::Proceed),
        });
        fails.policy.trap = on_trap;
        let (all, mut exchange) = (chain(vec![fails, passes("b")]), with_route("r"));
        let head = &exchange.request;
        let begun = all.begin(head.method(), head.uri(), head.fields());
        let mut progress = begun.unwrap();
        block_on(all.request(&mut progress, &mut exchange));
        assert_eq!(exchange.prepared.len(), 1);
        exchange.stage.on(crate::Event::Choose).unwrap();
        let verdict = block_on(all.upstream(Phase::UpstreamChoice, &mut progress, &mut exchange));
        let got = verdict.reply().map_or(200, |reply| reply.status.as_u16());
        assert_eq!(got, status);
        let (head, ()) = http::Response::new(()).into_parts();
        exchange.response = Some(Box::new(head));
        exchange.stage.on(crate::Event::Respond).unwrap();
        block_on(all.response(&mut progress, &mut exchange));
        assert!(exchange.fields(Target::Response).unwrap().is_empty());
        assert!(exchange.prepared.is_empty());
    }
}

fn edits() -> impl Strategy<Value = Vec<CheckedEdit>> {
    let name = || prop::sample::select(&["x-a", "x-b", "x-c", "x-d"][..]);
    let bytes = || prop::collection::vec(b'0'..b'z', 0..40);
    let one = prop_oneof![
        (name(), bytes()).prop_map(|(name, value)| Edit::Set(name, &value).check()),
        (name(), bytes()).prop_map(|(name, value)| Edit::Append(name, &value).check()),
        name().prop_map(|name| Edit::Remove(name).check()),
    ];
    prop::collection::vec(one.prop_map(|edit| edit.unwrap()), 0..8)
}

proptest! {
    /// Whatever the edits, the head and its limits: the same comes of them as of a call in which they are made.
    #[test]
    fn they_are_as_if_made_in_a_call(
        before in edits(),
        request in edits(),
        response in edits(),
        count in 2..8usize,
        bytes in 20..200usize,
        open in any::<bool>(),
    ) {
        let policy = Policy {
            error: if open { OnFailure::Open } else { OnFailure::Closed },
            ..Policy::default()
        };
        let declared = Scripted {
            policy,
            interest: Interest {
                request_edits: fixed(request.clone().into()),
                response_edits: fixed(response.clone().into()),
                ..Interest::default()
            },
            ..passes("b")
        };
        let called = plugin("b", move |phase, exchange| {
            let (target, edits) = match phase {
                Phase::RequestHead => (Target::Request, &request),
                _ => (Target::Response, &response),
            };
            let refused = |_| failure(FailureKind::Error);
            let mut all = edits.iter().cloned();
            all.try_for_each(|edit| exchange.edit(target, edit)).map_err(refused)?;
            Ok(Action::Proceed)
        });
        let called = Scripted { policy, ..called };
        let run = |plugin: Scripted| {
            let (mut head, ()) = http::Request::get("/x").body(()).unwrap().into_parts();
            for edit in before.clone() {
                match edit {
                    CheckedEdit::Set(name, value) => head.set(name, value),
                    CheckedEdit::Append(name, value) => Fields::append(&mut head, name, value),
                    CheckedEdit::Remove(name) => Fields::remove(&mut head, &name),
                }
            }
            let exchange = Exchange {
                request: Box::new(head),
                limits: HeadLimits { count, bytes },
                ..Exchange::default()
            };
            let all = chain(vec![passes("a"), plugin, passes("c")]);
            let (trace, status, exchange) = through(&all, Box::new(exchange));
            let fields = [Target::Request, Target::Response]
                .map(|target| exchange.fields(target).cloned());
            let notes: Vec<_> = exchange.notes.iter().map(|n| (n.phase, n.what)).collect();
            (trace.replace("b<", "").replace("b>", ""), status, fields, notes)
        };
        prop_assert_eq!(run(declared), run(called));
    }
}
