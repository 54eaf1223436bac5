//! Bodies through chains of plugins with different modes, cut into pieces at random: what comes out, how
//! often each plugin is called, and whether the head waits, against a model that knows no pieces.

use super::*;
use crate::{Call, Event, Interest, Meters, OnFailure, PhaseSet, Plugin, Policy};
use crate::{VersionMeters, Waiting};
use proptest::prelude::*;
use std::sync::Mutex;

/// What a plugin does with the data that it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Passes,
    /// Every byte by the next one: the same, however the body is cut.
    Increments,
    Drops,
    /// `!` after the end.
    Appends,
    Fails,
    Replies,
}

struct Station {
    name: Arc<str>,
    interest: Interest,
    policy: Policy,
    meters: Arc<VersionMeters>,
    does: Does,
    calls: Mutex<Vec<(Vec<u8>, bool)>>,
}

impl Plugin for Station {
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
        false
    }
    fn call(&self, call: Call<'_>, exchange: &mut Box<Exchange>) -> Result<Action, Failure> {
        if !matches!(call.phase, Phase::RequestBody | Phase::ResponseBody) {
            return Ok(Action::Proceed);
        }
        let data = call.data.to_vec();
        self.calls.lock().unwrap().push((data.clone(), call.end));
        match self.does {
            Does::Passes => Ok(Action::Proceed),
            Does::Increments => {
                let more = data.iter().map(|byte| byte.wrapping_add(1));
                Ok(Action::Replace(more.collect()))
            }
            Does::Drops => Ok(Action::Replace(Bytes::new())),
            Does::Appends if call.end => Ok(Action::Append(Bytes::from_static(b"!"))),
            Does::Appends => Ok(Action::Proceed),
            Does::Fails => Err(Failure {
                kind: FailureKind::Trap,
                message: "x".into(),
            }),
            Does::Replies => {
                exchange.set_reply(403, [], b"no").unwrap();
                Ok(Action::Respond)
            }
        }
    }
    fn call_waiting<'a>(&'a self, call: Call<'a>, exchange: &'a mut Box<Exchange>) -> Waiting<'a> {
        Box::pin(async move { self.call(call, exchange) })
    }
}

fn station(mode: BodyMode, does: Does, on_failure: OnFailure) -> Arc<Station> {
    let meters = Meters::register(&prometheus::Registry::new()).unwrap();
    Arc::new(Station {
        name: "p".into(),
        interest: Interest {
            request_body: mode,
            ..Interest::default()
        },
        policy: Policy {
            trap: on_failure,
            over_limit: on_failure,
            ..Policy::default()
        },
        meters: meters.version(&"p".into(), &"1".into(), PhaseSet::default()),
        does,
        calls: Mutex::default(),
    })
}

/// Send pieces through; what came out, or the status of the answer instead, and after how many pieces the
/// head no longer waited.
fn send(stations: &[Arc<Station>], pieces: &[Vec<u8>]) -> (Result<Vec<u8>, u16>, Option<usize>) {
    send_within(stations, pieces, usize::MAX)
}

fn send_within(
    stations: &[Arc<Station>],
    pieces: &[Vec<u8>],
    budget: usize,
) -> (Result<Vec<u8>, u16>, Option<usize>) {
    let plugins = stations.iter().map(|s| s.clone() as Arc<dyn Plugin>);
    let chain = Chain::new(plugins.collect()).unwrap();
    let budget = Budget::new(budget);
    let before = budget.0.load(Ordering::Relaxed);
    let work = async {
        let (mut progress, mut exchange) = (Progress::default(), Box::<Exchange>::default());
        chain.request(&mut progress, &mut exchange).await;
        let Some(mut body) = chain.request_body(&progress, &budget) else {
            return (Ok(pieces.concat()), Some(0));
        };
        if body.waits() {
            exchange.stage.on(Event::HoldRequest).unwrap();
        }
        let mut released = (!body.waits()).then_some(0);
        let mut out = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let end = index + 1 == pieces.len();
            let data = Bytes::copy_from_slice(piece);
            let fed = chain.feed(&mut body, &mut progress, &mut exchange, data, end);
            match fed.await {
                Ok(data) => out.extend_from_slice(&data),
                Err(verdict) => return (Err(verdict.reply().unwrap().status.as_u16()), released),
            }
            if released.is_none() && !body.waits() {
                released = Some(index + 1);
            }
        }
        assert!(body.has_ended() && !body.waits());
        (Ok(out), released)
    };
    let runtime = tokio::runtime::Builder::new_current_thread();
    let done = { runtime }.build().unwrap().block_on(work);
    // Whatever happened, nothing of the budget is lost.
    assert_eq!(budget.0.load(Ordering::Relaxed), before);
    done
}

/// What one station makes of a whole body.
fn model(mode: BodyMode, does: Does, on_failure: OnFailure, body: Vec<u8>) -> Result<Vec<u8>, u16> {
    let (mut seen, rest) = match mode {
        BodyMode::None => return Ok(body),
        BodyMode::Streaming => (body, vec![]),
        BodyMode::Buffer(limit) if body.len() > limit => {
            return match on_failure {
                OnFailure::Open => Ok(body),
                OnFailure::Closed => Err(413),
            };
        }
        BodyMode::Buffer(_) => (body, vec![]),
        BodyMode::Peek(limit) => {
            let mut seen = body;
            let rest = seen.split_off(limit.min(seen.len()));
            (seen, rest)
        }
    };
    match does {
        Does::Passes => {}
        Does::Increments => seen
            .iter_mut()
            .for_each(|byte| *byte = byte.wrapping_add(1)),
        Does::Drops => seen.clear(),
        Does::Appends if rest.is_empty() => seen.push(b'!'),
        Does::Appends => {}
        Does::Fails if on_failure == OnFailure::Open => {}
        Does::Fails => return Err(503),
        Does::Replies => return Err(403),
    }
    seen.extend(rest);
    Ok(seen)
}

fn modes() -> impl Strategy<Value = BodyMode> {
    prop_oneof![
        Just(BodyMode::None),
        Just(BodyMode::Streaming),
        (0..40_usize).prop_map(BodyMode::Buffer),
        (0..40_usize).prop_map(BodyMode::Peek),
    ]
}

fn deeds() -> impl Strategy<Value = Does> {
    prop::sample::select(vec![
        Does::Passes,
        Does::Increments,
        Does::Drops,
        Does::Appends,
        Does::Fails,
        Does::Replies,
    ])
}

fn policies() -> impl Strategy<Value = OnFailure> {
    prop::sample::select(vec![OnFailure::Open, OnFailure::Closed])
}

proptest! {
    /// Deeds that do not depend on where the body is cut give the same, wherever it is cut.
    #[test]
    fn a_chain_is_its_plugins_one_after_the_other(
        stations in prop::collection::vec((modes(), deeds(), policies()), 0..5),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..8),
    ) {
        // Who answers first depends on the cuts where several would: the first may.
        let mut stations = stations;
        let mut free = true;
        for (mode, does, _) in &mut stations {
            let ends = matches!(does, Does::Fails | Does::Replies);
            if (ends || matches!(mode, BodyMode::Buffer(_))) && !std::mem::take(&mut free) {
                (*mode, *does) = (BodyMode::Streaming, Does::Increments);
            }
        }
        let real: Vec<_> = stations.iter().map(|(m, d, p)| station(*m, *d, *p)).collect();
        let expected = stations.iter().try_fold(pieces.concat(), |body, (m, d, p)| model(*m, *d, *p, body));
        let (got, _) = send(&real, &pieces);
        prop_assert_eq!(got, expected);
    }

    /// A whole body has exactly one call with its end for those that stream or buffer, at most one call
    /// for those that peek, and a plugin sees the bytes in order.
    #[test]
    fn every_plugin_sees_the_body_once(
        mode in modes(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..8),
    ) {
        let station = station(mode, Does::Passes, OnFailure::Open);
        let body = pieces.concat();
        let (got, released) = send(std::slice::from_ref(&station), &pieces);
        prop_assert_eq!(got, Ok(body.clone()));
        let calls = station.calls.lock().unwrap().clone();
        let ends = calls.iter().filter(|(_, end)| *end).count();
        let seen: Vec<u8> = calls.iter().flat_map(|(data, _)| data.clone()).collect();
        match mode {
            BodyMode::None => prop_assert!(calls.is_empty()),
            BodyMode::Streaming => {
                prop_assert_eq!((ends, released), (1, Some(0)));
                prop_assert_eq!(seen, body);
                let idle = calls.iter().any(|(data, end)| data.is_empty() && !end);
                prop_assert!(!idle && calls.last().unwrap().1);
            }
            BodyMode::Buffer(limit) if body.len() > limit => prop_assert!(calls.is_empty()),
            BodyMode::Buffer(_) => {
                prop_assert_eq!((calls.len(), ends, released), (1, 1, Some(pieces.len())));
                prop_assert_eq!(seen, body);
            }
            BodyMode::Peek(limit) => {
                prop_assert!(calls.len() == 1 && seen.len() <= limit && body.starts_with(&seen));
                prop_assert!(seen.len() == limit || calls[0].1);
            }
        }
    }
}

#[test]
fn what_all_hold_together_is_bounded() {
    let holds = station(BodyMode::Buffer(100), Does::Passes, OnFailure::Closed);
    let pieces = [vec![1; 6], vec![2; 6]];
    assert_eq!(send_within(&[holds], &pieces, 10).0, Err(413));
    let passes = station(BodyMode::Peek(100), Does::Drops, OnFailure::Open);
    assert_eq!(send_within(&[passes], &pieces, 10).0, Ok(pieces.concat()));
}

#[test]
fn an_empty_body_is_one_call() {
    for mode in [BodyMode::Streaming, BodyMode::Buffer(0), BodyMode::Peek(8)] {
        let station = station(mode, Does::Appends, OnFailure::Closed);
        let (got, _) = send(std::slice::from_ref(&station), &[vec![]]);
        assert_eq!(got, Ok(b"!".to_vec()), "{mode}");
        assert_eq!(*station.calls.lock().unwrap(), [(vec![], true)], "{mode}");
    }
}
