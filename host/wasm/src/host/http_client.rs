//! `http-client`: calls of other servers, to granted origins.

use super::Host;
use crate::wit::{WitField, WitHttpFailure, WitHttpRequest, WitHttpResponse};
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;
use tidegate_capability::http::{Call, Client, Failure, RequestHead, ResponseHead, Timeouts};
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;
type Answer<T> = std::result::Result<T, WitHttpFailure>;

/// Bytes of a response body that are read at once.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The calls that an instance has under way.
#[derive(Default)]
pub(super) struct Calls {
    open: HashMap<u32, Call>,
    last: u32,
}

impl Calls {
    pub(super) fn end(&mut self) {
        // Nearly always there is none.
        if !self.open.is_empty() {
            self.open.clear();
        }
    }
}

pub(super) fn link(http: &mut LinkerInstance<'_, Host>) -> Result<()> {
    http.func_wrap_async(
        "send",
        |host: Caller<'_>, (request, body, limit): (WitHttpRequest, Vec<u8>, u32)| {
            let client = host.data().client();
            let limit = usize::try_from(limit).unwrap_or(BODY_BYTES_MAX);
            Box::new(async move {
                let sent: Answer<_> = async {
                    let (head, timeouts) = checked(&request)?;
                    let limit = limit.min(BODY_BYTES_MAX);
                    let sent = client?.send(head, body.into(), limit, timeouts).await;
                    let response = sent.map_err(failure)?;
                    Ok((WitHttpResponse::from(response.head), response.body.to_vec()))
                }
                .await;
                Ok((sent,))
            })
        },
    )?;
    http.func_wrap(
        "begin",
        |mut host: Caller<'_>, (request,): (WitHttpRequest,)| {
            Ok((host.data_mut().begin(&request),))
        },
    )?;
    http.func_wrap_async("write", |host: Caller<'_>, (call, data): (u32, Vec<u8>)| {
        on(host, call, move |mut call| async move {
            let written = call.write(data.into()).await;
            (call, written)
        })
    })?;
    http.func_wrap_async("finish", |host: Caller<'_>, (call,): (u32,)| {
        on(host, call, |mut call| async move {
            let head = call.finish().await;
            (call, head.map(WitHttpResponse::from))
        })
    })?;
    http.func_wrap_async("read", |host: Caller<'_>, (call,): (u32,)| {
        on(host, call, |mut call| async move {
            let data = call.read().await;
            (call, data.map(|data| data.map(|data| data.to_vec())))
        })
    })?;
    http.func_wrap("close", |mut host: Caller<'_>, (call,): (u32,)| {
        host.data_mut().calls.open.remove(&call);
        Ok(())
    })
}

type Waiting<'a, T> = Box<dyn Future<Output = Result<(Answer<T>,)>> + Send + 'a>;

/// Work on a call of this instance. It is gone afterwards if it failed, or if the work was given up.
fn on<'a, T: Send + 'a, W>(
    mut host: Caller<'a>,
    handle: u32,
    work: impl FnOnce(Call) -> W + Send + 'a,
) -> Waiting<'a, T>
where
    W: Future<Output = (Call, std::result::Result<T, Failure>)> + Send + 'a,
{
    let call = host.data_mut().calls.open.remove(&handle);
    Box::new(async move {
        let Some(call) = call else {
            return Ok((Err(WitHttpFailure::Closed),));
        };
        let (call, done) = work(call).await;
        if done.is_ok() {
            host.data_mut().calls.open.insert(handle, call);
        }
        Ok((done.map_err(failure),))
    })
}

impl Host {
    fn client(&self) -> Answer<Client> {
        if self.exchange.phase.is_none() {
            return Err(WitHttpFailure::WrongPhase);
        }
        let client = self.capabilities.http.clone();
        client.ok_or(WitHttpFailure::Forbidden)
    }

    fn begin(&mut self, request: &WitHttpRequest) -> Answer<u32> {
        let (head, timeouts) = checked(request)?;
        let call = self.client()?.start(head, timeouts).map_err(failure)?;
        self.calls.last = self.calls.last.wrapping_add(1);
        self.calls.open.insert(self.calls.last, call);
        Ok(self.calls.last)
    }
}

fn checked(request: &WitHttpRequest) -> Answer<(RequestHead, Timeouts)> {
    let fields = request.headers.iter();
    let fields = fields.map(|(name, value): &WitField| (name.as_str(), value.as_slice()));
    let head = RequestHead::new(&request.method, &request.url, fields).map_err(failure)?;
    let timeouts = match request.timeout {
        Some(timeout) => Timeouts {
            response: Duration::from_nanos(timeout),
            ..Timeouts::default()
        },
        None => Timeouts::default(),
    };
    Ok((head, timeouts))
}

impl From<ResponseHead> for WitHttpResponse {
    fn from(head: ResponseHead) -> WitHttpResponse {
        let fields = head.headers.iter();
        WitHttpResponse {
            status: head.status.as_u16(),
            headers: fields
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect(),
        }
    }
}

fn failure(failure: Failure) -> WitHttpFailure {
    // The plugin gets the kind; what it was, the operator may want to know.
    tracing::debug!("a plugin's HTTP call failed: {failure}");
    match failure {
        Failure::Forbidden(_) => WitHttpFailure::Forbidden,
        Failure::InvalidRequest(_) => WitHttpFailure::InvalidRequest,
        Failure::Unresolved(_) => WitHttpFailure::Unresolved,
        Failure::Unreachable(..) => WitHttpFailure::Unreachable,
        Failure::Tls(..) => WitHttpFailure::Tls,
        Failure::Timeout(..) => WitHttpFailure::Timeout,
        Failure::TooLarge(_) => WitHttpFailure::TooLarge,
        Failure::Protocol(..) => WitHttpFailure::Protocol,
        Failure::LimitReached(_) => WitHttpFailure::LimitReached,
        Failure::Closed => WitHttpFailure::Closed,
    }
}
