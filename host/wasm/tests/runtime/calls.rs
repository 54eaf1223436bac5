//! Calls that fail, and those beside them.

use std::time::{Duration, Instant};

use tidegate_chain::{Failure, FailureKind, OnFailure, Policy, Verdict};
use tidegate_wasm::Settings;

use crate::support::{bound, chain, request, runtime, settings};

/// A guest, the field and the value that make it fail, how it fails, and what the log says.
const FAILURES: [(&str, &str, &str, FailureKind, &str); 5] = [
    (
        "trap",
        "x-trap",
        "request",
        FailureKind::Trap,
        "unreachable",
    ),
    (
        "deep",
        "x-deep",
        "memory",
        FailureKind::Trap,
        "out of bounds",
    ),
    (
        "deep",
        "x-deep",
        "engine",
        FailureKind::Trap,
        "call stack exhausted",
    ),
    (
        "bomb",
        "x-bomb",
        "1",
        FailureKind::Memory,
        "may have 33554432",
    ),
    (
        "spin",
        "x-spin",
        "request",
        FailureKind::Deadline,
        "deadline",
    ),
];

fn failure(verdict: Verdict) -> Failure {
    match verdict {
        Verdict::Refuse { failure, .. } => failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[tokio::test]
async fn each_failure_is_named_and_the_next_call_works() {
    let runtime = runtime(16);
    for (guest, field, value, kind, says) in FAILURES {
        let settings = Settings {
            deadline: Duration::from_millis(500),
            ..settings()
        };
        let chain = chain(&bound(&runtime, guest, &settings).await);
        let (verdict, _) = request(&chain, &[(field, value)]).await;
        let failure = failure(verdict);
        assert_eq!(failure.kind, kind, "{guest} {value}: {}", failure.message);
        assert!(
            failure.message.contains(says),
            "{guest}: {}",
            failure.message
        );
        assert!(!failure.message.contains('\n'), "{}", failure.message);
        let (verdict, _) = request(&chain, &[]).await;
        assert_eq!(verdict, Verdict::Proceed, "{guest} {value}");
    }
}

#[tokio::test]
async fn failures_give_their_instances_back() {
    // With four places, a fifth failure that kept its own would find none.
    let runtime = runtime(4);
    for (guest, field, value, kind, _) in FAILURES {
        let settings = Settings {
            deadline: Duration::from_millis(300),
            ..settings()
        };
        let chain = chain(&bound(&runtime, guest, &settings).await);
        for _ in 0..12 {
            let (verdict, _) = request(&chain, &[(field, value)]).await;
            assert_eq!(failure(verdict).kind, kind, "{guest} {value}");
        }
        let (verdict, _) = request(&chain, &[]).await;
        assert_eq!(verdict, Verdict::Proceed, "{guest} {value}");
    }
}

#[tokio::test]
async fn open_undoes_what_the_plugin_did() {
    let runtime = runtime(4);
    let open = Settings {
        policy: Policy {
            trap: OnFailure::Open,
            ..Policy::default()
        },
        ..settings()
    };
    let chain = chain(&bound(&runtime, "trap", &open).await);
    let fields = [("x-trap", "request"), ("x-keep", "1"), ("x-keep", "2")];
    let (verdict, exchange) = request(&chain, &fields).await;
    assert_eq!(verdict, Verdict::Proceed);
    let kept: Vec<_> = exchange.request.fields().get_all("x-keep").iter().collect();
    assert_eq!(kept, ["1", "2"]);
    assert!(!exchange.request.fields().contains_key("x-touched"));
    assert!(exchange.attribute("trap.touched").is_none());
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let runtime = runtime(4);
    let settings = Settings {
        deadline: Duration::from_millis(50),
        ..settings()
    };
    let chain = chain(&bound(&runtime, "spin", &settings).await);
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        let (verdict, _) = request(&chain, &[("x-spin", "request")]).await;
        times.push(start.elapsed());
        assert_eq!(failure(verdict).kind, FailureKind::Deadline);
    }
    times.sort();
    println!("deadline 50 ms, least {:?}, p50 {:?}", times[0], times[4]);
    assert!(times[0] >= Duration::from_millis(49), "{:?}", times[0]);
    // Generous, for machines that do other things.
    assert!(times[4] < Duration::from_millis(500), "{:?}", times[4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exchanges_do_not_see_each_other() {
    let runtime = runtime(16);
    let binding = bound(&runtime, "bytes", &settings()).await;
    let mut threads = tokio::task::JoinSet::new();
    for thread in 0..8 {
        let chain = chain(&binding);
        threads.spawn(async move {
            for call in 0..300 {
                let own = format!("{thread}-{call}");
                let (verdict, exchange) = request(&chain, &[("x-in", &own)]).await;
                assert_eq!(verdict, Verdict::Proceed);
                assert_eq!(exchange.request.fields()["x-out"], own);
            }
        });
    }
    threads.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn want_of_instances_is_an_error_that_passes() {
    let runtime = runtime(2);
    let settings = Settings {
        deadline: Duration::from_millis(50),
        ..settings()
    };
    let binding = bound(&runtime, "spin", &settings).await;
    let mut threads = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let chain = chain(&binding);
        threads.spawn(async move {
            for _ in 0..5 {
                let (verdict, _) = request(&chain, &[("x-spin", "request")]).await;
                let failure = failure(verdict);
                match failure.kind {
                    FailureKind::Deadline => {}
                    FailureKind::Error => assert!(failure.message.contains("`instances`")),
                    other => panic!("{other:?}: {}", failure.message),
                }
            }
        });
    }
    threads.join_all().await;
    let (verdict, _) = request(&chain(&binding), &[]).await;
    assert_eq!(verdict, Verdict::Proceed);
}

#[tokio::test]
async fn idle_instances_of_one_plugin_make_room_for_another() {
    let runtime = runtime(2);
    let mut chains = Vec::new();
    for guest in ["trap", "spin", "bytes"] {
        chains.push(chain(&bound(&runtime, guest, &settings()).await));
    }
    for _ in 0..3 {
        for chain in &chains {
            let (verdict, _) = request(chain, &[]).await;
            assert_eq!(verdict, Verdict::Proceed);
        }
    }
}
