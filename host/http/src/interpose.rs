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

mod response;

use crate::context::Context;
use crate::plugins::{Shared, internal};
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
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where the client's session is left when ours is dropped.
pub(crate) type Back = Arc<Mutex<Option<ServerSession>>>;

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
    pub(crate) fn put(
        session: &mut ServerSession,
        context: &mut Context,
        plugins: Shared,
        held: Option<Held>,
    ) {
        let back = Back::default();
        let inner = mem::replace(session, nobody());
        *session = ServerSession::new_custom(Box::new(Interposed {
            inner: Box::new(inner),
            back: back.clone(),
            plugins,
            waits: context
                .route
                .as_ref()
                .is_some_and(|route| route.chain.waits()),
            held,
            read: false,
            response: None,
        }));
        context.interposed = Some(back);
    }

    /// Put the client's own session back, if there is one of ours.
    pub(crate) fn remove(session: &mut ServerSession, context: &mut Context) {
        let Some(back) = context.interposed.take() else {
            return;
        };
        drop(mem::replace(session, nobody()));
        let mut back = back.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = back.take() {
            *session = inner;
        }
    }
}

/// Whether a response to this method with this status has a body (RFC 9110 §6.4.1).
pub(crate) fn has_body(method: &http::Method, status: StatusCode) -> bool {
    *method != http::Method::HEAD && !respond::is_bodiless(status)
}

fn nobody() -> ServerSession {
    ServerSession::new_custom(Box::new(()))
}

impl Drop for Interposed {
    fn drop(&mut self) {
        let inner = mem::replace(&mut *self.inner, nobody());
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(inner);
    }
}

#[async_trait]
impl CustomSession for Interposed {
    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let plugins = self.plugins.clone();
        let mut out = Vec::with_capacity(tasks.len() + 1);
        for task in tasks {
            let mut plugins = plugins.lock().await;
            if let Err(error) = self.pass(&mut plugins, task, &mut out).await {
                drop(plugins);
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
