//! `kv`: the plugin's part of named stores. In memory these functions never wait; where a store is in Redis
//! they do, and so another linker has them as functions that can.

use super::Host;
use crate::capabilities::Capabilities;
use crate::wit::WitError;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tidegate_capability::kv::{Error, Store};
use tidegate_capability::redis;
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower};
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;
type Answer<T> = std::result::Result<T, WitError>;
type Bytes = Vec<u8>;
/// Nanoseconds.
type Ttl = Option<u64>;

pub(super) fn link(kv: &mut LinkerInstance<'_, Host>, waits: bool) -> Result<()> {
    add(kv, waits, "get", |granted, (store, key)| {
        get(granted, store, key)
    })?;
    add(kv, waits, "set", |granted, (store, key, value, ttl)| {
        set(granted, store, key, value, ttl)
    })?;
    add(kv, waits, "delete", |granted, (store, key)| {
        delete(granted, store, key)
    })?;
    add(
        kv,
        waits,
        "compare-and-set",
        |granted, (store, key, expected, value, ttl)| {
            compare_and_set(granted, store, key, expected, value, ttl)
        },
    )?;
    add(kv, waits, "increment", |granted, (store, key, by, ttl)| {
        increment(granted, store, key, by, ttl)
    })
}

type Granted = Arc<Capabilities>;

async fn get(granted: Granted, store: String, key: Bytes) -> Answer<Option<Bytes>> {
    let value = open(&granted, &store)?.get(&key).await.map_err(refusal)?;
    Ok(value.map(|value| value.to_vec()))
}

async fn set(granted: Granted, store: String, key: Bytes, value: Bytes, ttl: Ttl) -> Answer<()> {
    let set = open(&granted, &store)?.set(&key, &value, time(ttl));
    set.await.map_err(refusal)
}

async fn delete(granted: Granted, store: String, key: Bytes) -> Answer<bool> {
    open(&granted, &store)?.delete(&key).await.map_err(refusal)
}

async fn compare_and_set(
    granted: Granted,
    store: String,
    key: Bytes,
    expected: Option<Bytes>,
    value: Bytes,
    ttl: Ttl,
) -> Answer<bool> {
    let store = open(&granted, &store)?;
    let set = store.compare_and_set(&key, expected.as_deref(), &value, time(ttl));
    set.await.map_err(refusal)
}

async fn increment(granted: Granted, store: String, key: Bytes, by: i64, ttl: Ttl) -> Answer<i64> {
    let sum = open(&granted, &store)?.increment(&key, by, time(ttl));
    sum.await.map_err(refusal)
}

fn open<'a>(granted: &'a Capabilities, store: &str) -> Answer<&'a Store> {
    granted.stores.get(store).ok_or(WitError::Forbidden)
}

fn time(ttl: Ttl) -> Option<Duration> {
    ttl.map(Duration::from_nanos)
}

fn refusal(error: Error) -> WitError {
    match error {
        Error::Key(_) | Error::Value(_) => WitError::InvalidArgument,
        Error::NotANumber | Error::Overflow => WitError::InvalidValue,
        Error::Redis(error) => unavailable(&error),
    }
}

pub(super) fn unavailable(error: &redis::Error) -> WitError {
    match error {
        redis::Error::Timeout { .. } => WitError::Timeout,
        redis::Error::Unavailable { .. } | redis::Error::Refused { .. } => WitError::Unavailable,
    }
}

/// Add a function, as one that waits or as one that does not.
pub(super) fn add<P, T, W>(
    instance: &mut LinkerInstance<'_, Host>,
    waits: bool,
    name: &str,
    work: impl Fn(Granted, P) -> W + Send + Sync + 'static,
) -> Result<()>
where
    P: ComponentNamedList + Lift + Send + 'static,
    T: Send + 'static,
    (Answer<T>,): ComponentNamedList + Lower,
    W: Future<Output = Answer<T>> + Send + 'static,
{
    if waits {
        return instance.func_wrap_async(name, move |host: Caller<'_>, params: P| {
            let work = work(host.data().capabilities.clone(), params);
            Box::new(async move { Ok((work.await,)) })
        });
    }
    instance.func_wrap(name, move |host: Caller<'_>, params: P| {
        let work = work(host.data().capabilities.clone(), params);
        Ok((at_once(work),))
    })
}

/// The outcome of what never waits.
fn at_once<T>(work: impl Future<Output = Answer<T>>) -> Answer<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(WitError::Internal),
    }
}
