//! What a plugin relies on, of both kinds of stores.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::time::Instant;

use super::memory::ENTRY_OVERHEAD;
use super::{Error, KEY_MAX, Limits, Memory, Shared, Store, Stores, VALUE_MAX};
use crate::redis::server::{Server, until};

const MINUTE: Duration = Duration::from_secs(60);

/// Room for all that the tests set.
const LIMITS: Limits = Limits {
    entries: 100_000,
    bytes: 64 * VALUE_MAX,
};

fn memory(entries: usize, bytes: usize) -> Arc<Memory> {
    Arc::new(Memory::new(Limits { entries, bytes }))
}

#[tokio::test]
async fn memory_behaves() {
    let stores = Stores::default();
    let [one, other] = ["one", "other"].map(|plugin| {
        let memory = stores.open("store", plugin, LIMITS);
        Store::Memory(memory)
    });
    assert!(!one.waits());
    behaves(&one, &other).await;
}

#[tokio::test]
async fn redis_behaves() {
    let Some(server) = Server::start().await else {
        return;
    };
    let connection = server.connect();
    let [one, other] = ["one", "other"]
        .map(|plugin| Store::Redis(Shared::new(connection.clone(), "store", plugin)));
    assert!(one.waits());
    behaves(&one, &other).await;

    // Keys in Redis end by themselves and are where operators are told to look.
    one.set(b"k", b"v", Some(MINUTE)).await.unwrap();
    let mut left = ::redis::cmd("PTTL");
    left.arg("tidegate:store:one:k");
    let left: u64 = connection.query(&left).await.unwrap();
    assert!((1..=60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_redis_that_is_gone_is_an_error() {
    let Some(mut server) = Server::start().await else {
        return;
    };
    let store = Shared::new(server.connect(), "store", "plugin");
    store.set(b"k", b"v", None).await.unwrap();
    server.stop().await;
    let error = until("an error", async || store.get(b"k").await.err()).await;
    assert!(matches!(error, Error::Redis(_)), "{error}");
}

/// The rules of the contract, on the stores of two plugins.
async fn behaves(store: &Store, other: &Store) {
    values_come_back(store, other).await;
    compare_and_set_is_one_step(store).await;
    numbers_are_exact(store).await;
    values_expire(store).await;
    bounds_hold(store).await;
}

async fn values_come_back(store: &Store, other: &Store) {
    assert_eq!(store.get(b"a").await.unwrap(), None);
    assert!(!store.delete(b"a").await.unwrap());
    let value = b"\0\xff\r\n";
    store.set(b"a", value, None).await.unwrap();
    assert_eq!(store.get(b"a").await.unwrap().unwrap(), &value[..]);
    assert_eq!(other.get(b"a").await.unwrap(), None);
    other.set(b"a", b"", None).await.unwrap();
    assert_eq!(store.get(b"a").await.unwrap().unwrap(), &value[..]);
    assert!(store.delete(b"a").await.unwrap());
    assert_eq!(store.get(b"a").await.unwrap(), None);
    assert_eq!(other.get(b"a").await.unwrap().unwrap(), &b""[..]);
}

async fn compare_and_set_is_one_step(store: &Store) {
    let set = async |expected: Option<&[u8]>, value: &[u8]| {
        let done = store.compare_and_set(b"cas", expected, value, None);
        done.await.unwrap()
    };
    assert!(!set(Some(b""), b"1").await, "absent is not empty");
    assert!(set(None, b"").await);
    assert!(!set(None, b"1").await, "empty is not absent");
    assert!(set(Some(b""), b"1").await);
    assert!(!set(Some(b"2"), b"3").await);
    assert_eq!(store.get(b"cas").await.unwrap().unwrap(), &b"1"[..]);

    let increment = async || loop {
        let old = store.get(b"cas").await.unwrap().unwrap();
        let sum = std::str::from_utf8(&old).unwrap().parse::<u32>().unwrap() + 1;
        if set(Some(&old), sum.to_string().as_bytes()).await {
            break;
        }
    };
    tokio::join!(increment(), increment(), increment());
    assert_eq!(store.get(b"cas").await.unwrap().unwrap(), &b"4"[..]);
}

async fn numbers_are_exact(store: &Store) {
    assert_eq!(store.increment(b"n", 5, None).await.unwrap(), 5);
    assert_eq!(store.increment(b"n", -7, None).await.unwrap(), -2);
    assert_eq!(store.get(b"n").await.unwrap().unwrap(), &b"-2"[..]);
    let most = i64::MAX;
    assert_eq!(
        store.increment(b"m", most - 1, None).await.unwrap(),
        most - 1
    );
    assert_eq!(store.increment(b"m", 1, None).await.unwrap(), most);
    assert_eq!(store.increment(b"m", 1, None).await, Err(Error::Overflow));
    assert_eq!(store.increment(b"m", i64::MIN, None).await.unwrap(), -1);
    for text in [
        "",
        "x",
        "+1",
        " 1",
        "01",
        "-0",
        "1.0",
        "9223372036854775808",
    ] {
        store.set(b"t", text.as_bytes(), None).await.unwrap();
        let sum = store.increment(b"t", 1, None).await;
        assert_eq!(sum, Err(Error::NotANumber), "{text:?}");
        assert_eq!(store.get(b"t").await.unwrap().unwrap(), text.as_bytes());
    }
}

async fn values_expire(store: &Store) {
    let soon = Some(Duration::from_millis(1));
    let gone = async |key: &'static [u8]| {
        let absent = async || store.get(key).await.unwrap().is_none().then_some(());
        until("the value expires", absent).await;
    };
    store.set(b"s", b"v", soon).await.unwrap();
    gone(b"s").await;
    assert!(!store.delete(b"s").await.unwrap());
    let set = store.compare_and_set(b"c", None, b"v", soon).await;
    assert!(set.unwrap());
    gone(b"c").await;
    store.increment(b"i", 1, soon).await.unwrap();
    gone(b"i").await;
    assert_eq!(store.increment(b"i", 1, None).await.unwrap(), 1);

    // A number that is there keeps its own end, or has none.
    store.increment(b"i", 1, soon).await.unwrap();
    let brief = Some(Duration::from_millis(200));
    until("two increments before the value expires", async || {
        store.increment(b"e", 1, brief).await.unwrap();
        let sum = store.increment(b"e", 1, Some(MINUTE)).await.unwrap();
        let in_time = sum > 1;
        if !in_time {
            store.delete(b"e").await.unwrap();
        }
        in_time.then_some(())
    })
    .await;
    gone(b"e").await;
    assert_eq!(store.get(b"i").await.unwrap().unwrap(), &b"2"[..]);

    // Setting it again takes the end away.
    store.set(b"again", b"1", Some(MINUTE)).await.unwrap();
    store.set(b"again", b"2", None).await.unwrap();
    for odd in [Duration::ZERO, Duration::MAX] {
        store.set(b"odd", b"v", Some(odd)).await.unwrap();
    }
    assert_eq!(store.get(b"odd").await.unwrap().unwrap(), &b"v"[..]);
}

async fn bounds_hold(store: &Store) {
    let longest = [7; KEY_MAX];
    let large = vec![7; VALUE_MAX + 1];
    store.set(&longest, &large[1..], None).await.unwrap();
    assert_eq!(store.get(&longest).await.unwrap().unwrap(), &large[1..]);
    let refused = store.set(b"k", &large, None).await;
    assert_eq!(refused, Err(Error::Value(VALUE_MAX + 1)));
    let refused = store.compare_and_set(b"k", None, &large, None).await;
    assert_eq!(refused, Err(Error::Value(VALUE_MAX + 1)));
    for key in [&[][..], &[7; KEY_MAX + 1]] {
        let refused = Error::Key(key.len());
        assert_eq!(store.get(key).await, Err(refused.clone()));
        assert_eq!(store.set(key, b"", None).await, Err(refused.clone()));
        assert_eq!(store.delete(key).await, Err(refused.clone()));
        let set = store.compare_and_set(key, None, b"", None).await;
        assert_eq!(set, Err(refused.clone()));
        assert_eq!(store.increment(key, 1, None).await, Err(refused));
    }
}

#[test]
fn a_store_is_kept_while_it_is_in_use_with_the_same_bounds() {
    let (stores, limits) = (Stores::default(), LIMITS);
    let first = stores.open("a", "p", limits);
    first.set(b"k", b"v", None).unwrap();
    let again = stores.open("a", "p", limits);
    assert!(again.get(b"k").unwrap().is_some());
    for (store, plugin) in [("a", "q"), ("b", "p")] {
        let another = stores.open(store, plugin, limits);
        assert_eq!(another.get(b"k").unwrap(), None);
    }
    let smaller = Limits {
        entries: 7,
        ..limits
    };
    assert_eq!(stores.open("a", "p", smaller).get(b"k").unwrap(), None);
    drop((first, again));
    assert_eq!(stores.open("a", "p", limits).get(b"k").unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_expired_make_room_first_then_the_least_recently_used() {
    let store = memory(3, VALUE_MAX);
    let there = |key: &[u8]| store.get(key).unwrap().is_some();
    store
        .set(b"brief", b"", Some(Duration::from_secs(1)))
        .unwrap();
    store.set(b"old", b"", None).unwrap();
    store.set(b"new", b"", None).unwrap();
    tokio::time::advance(MINUTE).await;
    store.set(b"newer", b"", None).unwrap();
    assert!(there(b"old") && there(b"newer") && !there(b"brief"));
    // `new` is now the one that was not used for longest.
    store.set(b"newest", b"", None).unwrap();
    assert!(there(b"old") && !there(b"new"));
    assert!(there(b"newer") && there(b"newest"));
}

#[test]
fn only_a_value_larger_than_the_store_is_refused() {
    let store = memory(10, ENTRY_OVERHEAD + 100);
    store.set(b"k", &[0; 99], None).unwrap();
    store.set(b"l", &[0; 99], None).unwrap();
    assert_eq!(store.get(b"k").unwrap(), None);
    assert_eq!(store.set(b"l", &[0; 100], None), Err(Error::Value(100)));
    assert_eq!(store.get(b"l").unwrap().unwrap().len(), 99);
}

#[test]
fn threads_lose_no_increment() {
    let store = memory(1000, 100 * VALUE_MAX);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..4000_u32 {
                    let key = (n % 40).to_be_bytes();
                    store.increment(&key, 1, None).unwrap();
                }
            });
        }
    });
    for n in 0..40_u32 {
        let sum = store.increment(&n.to_be_bytes(), 0, None).unwrap();
        assert_eq!(sum, 400);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Get(u8),
    Set(u8, Vec<u8>, Option<Duration>),
    Delete(u8),
    CompareAndSet(u8, Option<Vec<u8>>, Vec<u8>),
    Increment(u8, i64, Option<Duration>),
    Wait(Duration),
}

fn steps(ttl: impl Strategy<Value = Option<Duration>> + Clone) -> impl Strategy<Value = Vec<Step>> {
    let key = 0..4_u8;
    let value = prop_oneof![
        (-3..3_i64).prop_map(|n| n.to_string().into_bytes()),
        Just(i64::MAX.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..3),
    ];
    let expected = proptest::option::of(value.clone());
    let by = prop_oneof![-3..3_i64, any::<i64>()];
    let step = prop_oneof![
        key.clone().prop_map(Step::Get),
        (key.clone(), value.clone(), ttl.clone()).prop_map(|(k, v, t)| Step::Set(k, v, t)),
        key.clone().prop_map(Step::Delete),
        (key.clone(), expected, value).prop_map(|(k, e, v)| Step::CompareAndSet(k, e, v)),
        (key, by, ttl).prop_map(|(k, b, t)| Step::Increment(k, b, t)),
        (0..30_u64).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Does a step, and says what a plugin would see of it.
async fn apply(store: &Store, step: &Step) -> String {
    match step {
        Step::Get(k) => format!("{:?}", store.get(&[*k]).await),
        Step::Set(k, v, ttl) => format!("{:?}", store.set(&[*k], v, *ttl).await),
        Step::Delete(k) => format!("{:?}", store.delete(&[*k]).await),
        Step::CompareAndSet(k, expected, v) => {
            let key = [*k];
            let set = store.compare_and_set(&key, expected.as_deref(), v, None);
            format!("{:?}", set.await)
        }
        Step::Increment(k, by, ttl) => format!("{:?}", store.increment(&[*k], *by, *ttl).await),
        Step::Wait(_) => String::new(),
    }
}

/// The same in a few lines: a map of values and the times at which they end.
#[derive(Default)]
struct Model(HashMap<u8, (Vec<u8>, Option<Instant>)>);

impl Model {
    fn apply(&mut self, step: &Step) -> String {
        let now = Instant::now();
        self.0.retain(|_, (_, end)| end.is_none_or(|end| end > now));
        let end = |ttl: &Option<Duration>| ttl.map(|ttl| now + ttl);
        match step {
            Step::Get(k) => {
                let value = self.0.get(k).map(|(v, _)| bytes::Bytes::from(v.clone()));
                format!("{:?}", Ok::<_, Error>(value))
            }
            Step::Set(k, v, ttl) => {
                self.0.insert(*k, (v.clone(), end(ttl)));
                "Ok(())".to_owned()
            }
            Step::Delete(k) => format!("Ok({})", self.0.remove(k).is_some()),
            Step::CompareAndSet(k, expected, v) => {
                let fits = self.0.get(k).map(|(v, _)| v) == expected.as_ref();
                if fits {
                    self.0.insert(*k, (v.clone(), None));
                }
                format!("Ok({fits})")
            }
            Step::Increment(k, by, ttl) => {
                let new = (b"0".to_vec(), end(ttl));
                let (value, end) = self.0.get(k).cloned().unwrap_or(new);
                let text = String::from_utf8(value).unwrap_or_default();
                let number = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
                let sum = match number.map(|n| n.checked_add(*by)) {
                    None => Err(Error::NotANumber),
                    Some(None) => Err(Error::Overflow),
                    Some(Some(sum)) => Ok(sum),
                };
                if let Ok(sum) = sum {
                    self.0.insert(*k, (sum.to_string().into_bytes(), end));
                }
                format!("{sum:?}")
            }
            Step::Wait(_) => String::new(),
        }
    }
}

/// Runs a future on a clock that moves only when it is told to.
fn on_a_still_clock<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #[test]
    fn memory_does_what_a_map_with_times_does(
        steps in steps(proptest::option::of((1..40_u64).prop_map(Duration::from_millis)))
    ) {
        on_a_still_clock(async {
            let store = Store::Memory(memory(100, VALUE_MAX));
            let mut model = Model::default();
            for step in &steps {
                if let Step::Wait(time) = step {
                    tokio::time::advance(*time).await;
                }
                prop_assert_eq!(apply(&store, step).await, model.apply(step), "{:?}", step);
            }
            Ok(())
        })?;
    }

    #[test]
    fn memory_stays_within_its_bounds_and_keeps_what_was_set_last(
        entries in 1..200_usize,
        bytes in 1_000..100_000_usize,
        sets in proptest::collection::vec((0..500_u16, 0..600_usize, any::<bool>()), 1..400),
    ) {
        let store = memory(entries, bytes);
        let mut sizes = HashMap::new();
        for (key, length, brief) in sets {
            let ttl = brief.then_some(MINUTE);
            store.set(&key.to_be_bytes(), &vec![1; length], ttl).unwrap();
            sizes.insert(key, length);
            let got = store.get(&key.to_be_bytes()).unwrap();
            prop_assert_eq!(got.map(|v| v.len()), Some(length));
        }
        let kept = sizes.iter().filter_map(|(key, length)| {
            let value = store.get(&key.to_be_bytes()).unwrap()?;
            assert_eq!(value.len(), *length);
            Some(ENTRY_OVERHEAD + 2 + length)
        });
        let kept: Vec<usize> = kept.collect();
        prop_assert!(kept.len() <= entries);
        prop_assert!(kept.iter().sum::<usize>() <= bytes);
    }
}

#[test]
fn both_stores_answer_alike() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(server) = runtime.block_on(Server::start()) else {
        return;
    };
    let connection = server.connect();
    let mut runner = TestRunner::new(Config::with_cases(64));
    let number = std::sync::atomic::AtomicU32::new(0);
    // Long times only: the two clocks are not the same.
    let steps = steps(proptest::option::of(Just(MINUTE)));
    let tested = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let case = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let redis = Shared::new(connection.clone(), "store", &case.to_string());
            let redis = Store::Redis(redis);
            let memory = Store::Memory(memory(100, VALUE_MAX));
            for step in &steps {
                let (a, b) = (apply(&memory, step).await, apply(&redis, step).await);
                prop_assert_eq!(a, b, "{:?}", step);
            }
            Ok(())
        })
    });
    tested.unwrap();
}
