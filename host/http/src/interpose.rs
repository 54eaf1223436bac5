//! A session of ours in front of the client's, for requests whose bodies plugins want to see.
//!
//! Pingora has hooks for bodies, but its response hook cannot wait, and neither can hold a head back. What
//! it reads a request's body from and writes a response to, however, can be replaced: it gets the data
//! that was read while the head waited, and what it writes goes through the plugins, held back for as
//! long as one of them wants. Before the request is over, [`Interposed::remove`] puts the client's own
//! session back.
//!
//! The trait is hidden in Pingora's documentation, which is one of the reasons for its version being
//! pinned.

use crate::context::Context;
use crate::plugins::{Plugins, Shared, internal, unless_gone};
use crate::respond;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderMap, StatusCode};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::proxy::Session;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_chain::{Event, Verdict};

/// Where the client's session is left when ours is dropped.
pub(crate) type Back = Arc<Mutex<Option<Box<ServerSession>>>>;

/// A request's body as far as it was read, and what plugins made of it, while the head waited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) data: Bytes,
    /// Whether this is all.
    pub(crate) whole: bool,
}

/// The session that Pingora sees.
pub(crate) struct Interposed {
    inner: Box<ServerSession>,
    back: Back,
    plugins: Shared,
    /// Whether a plugin can wait.
    waits: bool,
    held: Option<Held>,
    /// Whether `held` was read by others than Pingora, which takes it from the retry buffer.
    read: bool,
    /// A response's head that waits, and the data that came through meanwhile.
    response: Option<(Box<ResponseHeader>, BytesMut)>,
}

impl Interposed {
    /// Put one in front of a session.
    pub(crate) fn put(session: &mut Session, context: &mut Context, held: Option<Held>) {
        let (Some(plugins), Some(route)) = (&context.plugins, &context.route) else {
            return;
        };
        let back = Back::default();
        let inner = mem::replace(&mut session.downstream_session, nobody());
        *session.downstream_session = ServerSession::new_custom(Box::new(Interposed {
            inner,
            back: back.clone(),
            plugins: plugins.clone(),
            waits: route.chain.waits(),
            held,
            read: false,
            response: None,
        }));
        context.interposed = Some(back);
    }

    /// Put the client's own session back, if there is one of ours.
    pub(crate) fn remove(session: &mut Session, context: &mut Context) {
        let Some(back) = context.interposed.take() else {
            return;
        };
        drop(mem::replace(&mut session.downstream_session, nobody()));
        let mut back = back.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = back.take() {
            session.downstream_session = inner;
        }
    }

    /// One thing that the upstream sent; what goes to the client for it is added to `out`.
    async fn pass(&mut self, task: HttpTask, out: &mut Vec<HttpTask>) -> Result<()> {
        let shared = self.plugins.clone();
        let mut plugins = shared.lock().await;
        match task {
            HttpTask::Header(head, end) if !head.status.is_informational() => {
                if plugins.response_body.is_none() {
                    plugins.on(Event::Begin)?;
                    plugins.put_response((*head).clone());
                    out.push(HttpTask::Header(head, end));
                    return Ok(());
                }
                plugins.on(Event::HoldResponse)?;
                self.response = Some((head, BytesMut::new()));
                self.release(&mut plugins, out)?;
                if end {
                    self.feed(&mut plugins, Bytes::new(), true, out).await?;
                }
            }
            HttpTask::Body(data, end) => {
                let data = data.unwrap_or_default();
                if plugins.response_body.is_none() {
                    out.push(HttpTask::Body(Some(data), end));
                } else {
                    self.feed(&mut plugins, data, end, out).await?;
                }
            }
            HttpTask::Trailer(trailers) => {
                self.end(&mut plugins, out, false).await?;
                let trailers = self.trailers(&mut plugins, trailers).await?;
                out.push(HttpTask::Trailer(trailers));
            }
            HttpTask::Done => {
                self.end(&mut plugins, out, true).await?;
                out.push(HttpTask::Done);
            }
            // Before its head was sent, a response that breaks off is a 502.
            HttpTask::Failed(error) if self.response.is_some() => return Err(error),
            other => out.push(other),
        }
        Ok(())
    }

    /// The body is over, whether or not anybody said so: before trailers nobody does.
    async fn end(
        &mut self,
        plugins: &mut Plugins,
        out: &mut Vec<HttpTask>,
        last: bool,
    ) -> Result<()> {
        let ended = plugins.response_body.as_ref().is_none_or(|b| b.has_ended());
        if ended {
            return Ok(());
        }
        let before = out.len();
        self.feed(plugins, Bytes::new(), true, out).await?;
        for task in out.iter_mut().skip(before) {
            match task {
                HttpTask::Header(_, end) | HttpTask::Body(_, end) => *end &= last,
                _ => {}
            }
        }
        Ok(())
    }

    /// Data of the body goes through the plugins.
    async fn feed(
        &mut self,
        plugins: &mut Plugins,
        data: Bytes,
        end: bool,
        out: &mut Vec<HttpTask>,
    ) -> Result<()> {
        let Some(mut body) = plugins.response_body.take() else {
            return Ok(());
        };
        // Who waits may edit the head.
        if let Some((head, _)) = &mut self.response {
            let head = mem::replace(&mut **head, respond::empty_response(StatusCode::OK));
            plugins.put_response(head);
        }
        plugins.lend(self.inner.req_header_mut());
        let fed = {
            let route = plugins.route.clone();
            let Plugins {
                progress, exchange, ..
            } = &mut *plugins;
            let work = route.chain.feed(&mut body, progress, exchange, data, end);
            unless_gone(&mut self.inner, self.waits, work).await
        };
        plugins.give_back(self.inner.req_header_mut());
        if let Some((slot, _)) = &mut self.response
            && let Some(head) = plugins.take_response()
        {
            **slot = head;
        }
        plugins.report(&Verdict::Proceed);
        plugins.response_body = Some(body);
        let data = fed?.map_err(|verdict| plugins.instead(verdict))?;
        match &mut self.response {
            Some((_, held)) => {
                held.extend_from_slice(&data);
                self.release(plugins, out)
            }
            None => {
                if end || !data.is_empty() {
                    out.push(HttpTask::Body(Some(data), end));
                }
                Ok(())
            }
        }
    }

    /// Let the head go, with what was held back, unless somebody still waits.
    fn release(&mut self, plugins: &mut Plugins, out: &mut Vec<HttpTask>) -> Result<()> {
        let Some(body) = &plugins.response_body else {
            return Ok(());
        };
        let (waits, ended) = (body.waits(), body.has_ended());
        if waits {
            return Ok(());
        }
        let Some((mut head, held)) = self.response.take() else {
            return Ok(());
        };
        if ended {
            let version = self.inner.req_header().version;
            respond::frame(&mut head, version, Some(held.len()))?;
        }
        plugins.on(Event::Begin)?;
        // To be read while the body comes.
        plugins.put_response((*head).clone());
        out.push(HttpTask::Header(head, ended && held.is_empty()));
        if !held.is_empty() {
            out.push(HttpTask::Body(Some(held.freeze()), ended));
        }
        Ok(())
    }

    async fn trailers(
        &mut self,
        plugins: &mut Plugins,
        trailers: Option<Box<HeaderMap>>,
    ) -> Result<Option<Box<HeaderMap>>> {
        let Some(trailers) = trailers else {
            return Ok(None);
        };
        if !plugins.route.chain.wants_trailers(&plugins.progress) {
            return Ok(Some(trailers));
        }
        plugins.exchange.trailers = Some(*trailers);
        plugins.lend(self.inner.req_header_mut());
        let verdict = {
            let route = plugins.route.clone();
            let Plugins {
                progress, exchange, ..
            } = &mut *plugins;
            let work = route.chain.trailers(progress, exchange);
            unless_gone(&mut self.inner, self.waits, work).await
        };
        plugins.give_back(self.inner.req_header_mut());
        let trailers = plugins.exchange.trailers.take();
        match verdict? {
            Verdict::Proceed => {
                plugins.report(&Verdict::Proceed);
                Ok(trailers.map(Box::new))
            }
            verdict => Err(plugins.instead(verdict)),
        }
    }
}

/// Whether a response to this method with this status has a body (RFC 9110 §6.4.1).
pub(crate) fn has_body(method: &http::Method, status: StatusCode) -> bool {
    *method != http::Method::HEAD && !respond::is_bodiless(status)
}

fn nobody() -> Box<ServerSession> {
    Box::new(ServerSession::new_custom(Box::new(())))
}

impl Drop for Interposed {
    fn drop(&mut self) {
        let inner = mem::replace(&mut self.inner, nobody());
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(inner);
    }
}

#[async_trait]
impl CustomSession for Interposed {
    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut out = Vec::with_capacity(tasks.len() + 1);
        for task in tasks {
            if let Err(error) = self.pass(task, &mut out).await {
                // What was let go is sent, so that the client sees a response that breaks off.
                if !out.is_empty() {
                    self.inner.response_duplex_vec(out).await?;
                }
                return Err(error);
            }
        }
        if out.is_empty() {
            return Ok(false);
        }
        self.inner.response_duplex_vec(out).await
    }

    fn is_body_done(&mut self) -> bool {
        self.inner.is_body_done()
    }

    fn is_body_empty(&mut self) -> bool {
        match &self.held {
            Some(held) if held.whole => held.data.is_empty(),
            Some(_) => false,
            None => self.inner.is_body_empty(),
        }
    }

    /// What Pingora sends first in every attempt.
    fn get_retry_buffer(&self) -> Option<Bytes> {
        let later = self.inner.get_retry_buffer();
        let Some(held) = &self.held else {
            return later;
        };
        if self.inner.retry_buffer_truncated() {
            return None;
        }
        let all = match later {
            Some(later) => Bytes::from([&held.data[..], &later[..]].concat()),
            None => held.data.clone(),
        };
        (!all.is_empty()).then_some(all)
    }

    /// For those who answer by themselves.
    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        if let Some(held) = self.held.as_ref().filter(|_| !self.read) {
            self.read = true;
            if !held.data.is_empty() {
                return Ok(Some(held.data.clone()));
            }
        }
        self.inner.read_request_body().await
    }

    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner.drain_request_body().await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _: bool) -> Result<()> {
        self.inner.write_response_header(head).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, _: bool) -> Result<()> {
        self.inner.write_response_header_ref(head).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.inner.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner.write_response_trailers(trailers).await
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.inner.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.inner.shutdown().await;
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner.finish_body().await
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        self.inner.read_body_or_idle(no_body_expected).await
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.to_h1_raw()
    }

    fn enable_retry_buffering(&mut self) {
        self.inner.enable_retry_buffering();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.inner.retry_buffer_truncated()
    }

    fn is_upgrade_req(&self) -> bool {
        self.inner.is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.inner.was_upgraded()
    }

    // Messages beside bodies are of protocols that we do not speak.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Err(internal("there are no messages"))
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Err(internal("there are no messages"))
    }
}
