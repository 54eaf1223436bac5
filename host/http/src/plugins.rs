//! The plugins of one request: the exchange as they see it, how far it came, and how they are called.
//!
//! Shared between the request's context and the session that [`crate::interpose`] puts in front of the
//! client's. One task drives both, so that the lock is waited for only where a plugin waits with one body while the
//! other comes. It costs little when it is free, which Tokio's does not.

use crate::context::Context;
use crate::head::{Request, Response};
use crate::state::Route;
use crate::throttle::Throttle;
use futures_util::lock::Mutex;
use http::StatusCode;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType};
use std::any::Any;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use tidegate_chain::{Body, Event, Exchange, Note, Progress, Reply, Verdict};

/// The plugins of a request.
pub(crate) type Shared = Arc<Mutex<Plugins>>;

/// What a request that a plugin is interested in carries.
pub(crate) struct Plugins {
    pub(crate) route: Arc<Route>,
    pub(crate) exchange: Box<Exchange>,
    pub(crate) progress: Progress,
    /// The request's body on its way through them.
    pub(crate) request_body: Option<Body>,
    /// The response's.
    pub(crate) response_body: Option<Body>,
    /// Whether the next data of the request's body has gone that way already, while the head waited.
    pub(crate) primed: bool,
    /// Whether that is so at the beginning of every attempt.
    pub(crate) primes: bool,
    /// Whether a plugin was shown data of the request's body that an attempt took from the client: it
    /// cannot be shown again.
    pub(crate) streamed: bool,
    /// What is to be sent instead of what was to come.
    pub(crate) instead: Option<Reply>,
    /// What went wrong, for the access log.
    pub(crate) problem: Option<String>,
    /// Whether the exchange has the request's head at the moment, and the session an empty one.
    lent: bool,
}

impl Plugins {
    pub(crate) fn new(route: Arc<Route>, exchange: Exchange, progress: Progress) -> Plugins {
        Plugins {
            route,
            exchange: Box::new(exchange),
            progress,
            request_body: None,
            response_body: None,
            primed: false,
            primes: false,
            streamed: false,
            instead: None,
            problem: None,
            lent: false,
        }
    }

    /// Move the request's head from where Pingora has it to the exchange.
    pub(crate) fn lend(&mut self, head: &mut RequestHeader) {
        if !self.lent {
            self.swap(head);
            self.lent = true;
        }
    }

    /// Move it back. A call that is given up in the middle leaves it behind, so that whoever needs the
    /// head next says this first.
    pub(crate) fn give_back(&mut self, head: &mut RequestHeader) {
        if self.lent {
            self.swap(head);
            self.lent = false;
        }
    }

    fn swap(&mut self, head: &mut RequestHeader) {
        let request: &mut dyn Any = &mut *self.exchange.request;
        if let Some(request) = request.downcast_mut::<Request>() {
            mem::swap(head, &mut request.0);
        }
    }

    /// Move a response's head to the exchange.
    pub(crate) fn put_response(&mut self, head: ResponseHeader) {
        self.exchange.response = Some(Box::new(Response(head)));
    }

    /// Take it back.
    pub(crate) fn take_response(&mut self) -> Option<ResponseHeader> {
        let response: Box<dyn Any> = self.exchange.response.take()?;
        let response = response.downcast::<Response>().ok()?;
        Some(response.0)
    }

    /// The exchange moves on.
    ///
    /// # Errors
    /// It cannot: a mistake of the data path, which ends the request instead of going on with plugins
    /// that are not where they believe to be.
    pub(crate) fn on(&mut self, event: Event) -> pingora::Result<()> {
        let moved = self.exchange.stage.on(event);
        moved.map_err(|problem| Error::explain(ErrorType::InternalError, problem.to_string()))
    }

    /// Say in the log which plugins failed since the last call, and what that means for the request. What
    /// is to be sent instead, if anything.
    pub(crate) fn settle(&mut self, verdict: Verdict) -> Option<Reply> {
        if let Verdict::Refuse {
            plugin, failure, ..
        } = &verdict
        {
            self.problem = Some(format!("plugin {plugin}: {}", failure.kind.name()));
        }
        self.report(&verdict);
        match verdict {
            // Which plugin failed, and how, is for the operator's log, not for the client.
            Verdict::Refuse { status, .. } => Some(self.route.error_pages.of_status(status)),
            verdict => verdict.reply(),
        }
    }

    /// As [`Plugins::settle`], where the data path is in the middle of something: an error that ends up
    /// in [`crate::phase::failure`], which sends the reply.
    pub(crate) fn instead(&mut self, verdict: Verdict) -> Box<Error> {
        let reply = self.settle(verdict);
        let status = reply
            .as_ref()
            .map_or(StatusCode::SERVICE_UNAVAILABLE, |r| r.status);
        self.instead = reply;
        let kind = ErrorType::HTTPStatus(status.as_u16());
        Error::explain(kind, "a plugin decided otherwise")
    }

    pub(crate) fn report(&mut self, verdict: &Verdict) {
        let facts = &self.exchange.facts;
        for note in &mut self.exchange.notes {
            let Some(message) = note.message.take() else {
                continue;
            };
            let edit_left_out = note.what == Note::LEFT_OUT;
            let throttle = if edit_left_out { &EDITS } else { &FAILURES };
            let Some(left_out) = throttle.pass() else {
                continue;
            };
            let refuses =
                matches!(verdict, Verdict::Refuse { plugin, .. } if *plugin == note.plugin);
            let outcome = match (edit_left_out, refuses) {
                (true, _) => "an edit that a plugin had prepared is left out",
                (false, true) => "plugin failed, the request is refused",
                (false, false) => "plugin failed, going on without it",
            };
            tracing::warn!(
                plugin = &*note.plugin,
                phase = note.phase.name(),
                kind = note.what,
                route = &*facts.route,
                request = &*facts.request_id,
                left_out = (left_out > 0).then_some(left_out),
                "{outcome}: {message}",
            );
        }
    }
}

/// A plugin that fails with every request does not fill the log.
static FAILURES: Throttle = Throttle::new();

/// Nor does an upstream with heads that have no room.
static EDITS: Throttle = Throttle::new();

/// Let plugins work, unless the client goes away meanwhile: nobody would read what they wait for.
///
/// # Errors
/// The client is gone.
///
/// `work` is pinned where it was made: a chain's future is large enough that moving it costs more than what it does.
pub(crate) async fn unless_gone<T>(
    session: &mut ServerSession,
    waits: bool,
    work: Pin<&mut impl Future<Output = T>>,
) -> pingora::Result<T> {
    if !waits {
        return Ok(work.await);
    }
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = gone(session) => {
            let error = Error::explain(ErrorType::ConnectionClosed, "while a plugin waited");
            Err(error.into_down())
        }
    }
}

async fn gone(session: &mut ServerSession) {
    if session.is_http2() {
        if let Some(closed) = session.watch_h2_stream_close() {
            let _ = closed.await;
        }
        return;
    }
    // What it sends of its body waits meanwhile.
    let _ = session.read_body_or_idle(true).await;
}

impl Context {
    /// Give the session its head back, wherever a call was given up.
    pub(crate) fn give_back(&self, session: &mut ServerSession) {
        if let Some(shared) = &self.plugins
            && let Some(mut plugins) = shared.try_lock()
        {
            plugins.give_back(session.req_header_mut());
        }
    }

    /// Take note of what plugins left to be sent, and of what went wrong with them.
    pub(crate) fn take_verdict(&mut self) {
        let Some(shared) = &self.plugins else { return };
        let Some(mut plugins) = shared.try_lock() else {
            return;
        };
        if let Some(reply) = plugins.instead.take() {
            self.instead = Some(crate::context::Instead::Reply(reply));
        }
        if self.problem.is_none() {
            self.problem = plugins.problem.take();
        }
    }
}

/// An error of the proxy itself.
pub(crate) fn internal(text: &'static str) -> Box<Error> {
    let mut error = Error::explain(ErrorType::InternalError, text);
    error.esource = ErrorSource::Internal;
    error
}
