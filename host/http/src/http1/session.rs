//! The client of a request as phases and Pingora see it.
//!
//! The trait is hidden in Pingora's documentation, which is one of the reasons for its version being pinned.

use super::client::Client;
use crate::io::Io;
use crate::plugins::internal;
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where a connection's client is left when the session that had it is dropped. Sessions cannot be asked what they
/// are; so whoever wants the client itself drops its session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    client: Mutex<Option<Box<Client>>>,
    /// Whether Pingora's loop has the session: it does not always wait for the client when it waits.
    is_pingoras: AtomicBool,
}

impl Left {
    /// A session with this client.
    pub(super) fn session(&self, client: Box<Client>) -> ServerSession {
        ServerSession::new_custom(Box::new(Session {
            client: Some(client),
            left: self.clone(),
        }))
    }

    /// Pingora goes on with the session from here on, to the end of its request.
    pub(super) fn hand_over(&self) {
        self.0.is_pingoras.store(true, Ordering::Relaxed);
    }

    /// The client that was left at the end of its request, if one was.
    pub(super) fn take(&self) -> Option<Box<Client>> {
        self.0.is_pingoras.store(false, Ordering::Relaxed);
        self.client().take()
    }

    /// Look at the bytes of a session's client.
    pub(crate) fn look<T>(
        &self,
        session: &mut ServerSession,
        look: impl FnOnce(&Io) -> T,
    ) -> Option<T> {
        let nobody = ServerSession::new_custom(Box::new(()));
        drop(mem::replace(session, nobody));
        let client = self.client().take()?;
        let seen = look(client.io());
        *session = self.session(client);
        Some(seen)
    }

    fn client(&self) -> MutexGuard<'_, Option<Box<Client>>> {
        let client = self.0.client.lock();
        client.unwrap_or_else(PoisonError::into_inner)
    }
}

struct Session {
    /// There until it is dropped.
    client: Option<Box<Client>>,
    left: Left,
}

impl Drop for Session {
    fn drop(&mut self) {
        *self.left.client() = self.client.take();
    }
}

impl Session {
    fn client(&self) -> &Client {
        match &self.client {
            Some(client) => client,
            None => unreachable!("a session that was dropped"),
        }
    }

    fn client_mut(&mut self) -> &mut Client {
        match &mut self.client {
            Some(client) => client,
            None => unreachable!("a session that was dropped"),
        }
    }
}

#[async_trait]
impl CustomSession for Session {
    fn req_header(&self) -> &RequestHeader {
        &self.client().head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.client_mut().head
    }

    fn is_body_done(&mut self) -> bool {
        self.client().is_read()
    }

    fn is_body_empty(&mut self) -> bool {
        self.client().has_no_body()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.client_mut().read_body().await
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        self.client_mut().read_body_or_wait(no_body_expected).await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        while self.client_mut().read_body().await?.is_some() {}
        Ok(())
    }

    fn enable_retry_buffering(&mut self) {
        self.client_mut().keep_body();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.client().is_kept_body_cut()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.client().kept_body()
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _: bool) -> Result<()> {
        self.client_mut().write_head(head).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, _: bool) -> Result<()> {
        self.client_mut().write_head(Box::new(head.clone())).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.client_mut().write_body(data, end).await
    }

    /// None are sent in HTTP/1.1: the body ends here.
    async fn write_trailers(&mut self, _: HeaderMap) -> Result<()> {
        self.client_mut().end().await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let is_pingoras = self.left.0.is_pingoras.load(Ordering::Relaxed);
        let client = self.client_mut();
        let mut is_over = false;
        for task in tasks {
            is_over = match task {
                HttpTask::Header(head, end) => {
                    client.write_head(head).await.map_err(|e| e.into_down())?;
                    end
                }
                HttpTask::Body(data, end) => {
                    let data = data.unwrap_or_default();
                    let written = client.write_body(data, end).await;
                    written.map_err(|e| e.into_down())?;
                    end
                }
                HttpTask::Trailer(_) | HttpTask::Done => true,
                HttpTask::Failed(error) => return Err(error),
                HttpTask::UpgradedBody(..) => return Err(internal("a tunnel is not Pingora's")),
            };
        }
        if is_over {
            client.end().await.map_err(|e| e.into_down())?;
        } else if is_pingoras {
            client.flush().await.map_err(|e| e.into_down())?;
        }
        Ok(client.is_answered())
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.client().written()
    }

    async fn finish(&mut self) -> Result<()> {
        self.client_mut().end().await
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.client_mut().close().await;
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        let timeout = timeout.unwrap_or(Duration::MAX);
        self.client_mut().set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        Some(self.client().read_timeout())
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        let timeout = timeout.unwrap_or(Duration::MAX);
        self.client_mut().set_write_timeout(timeout);
    }

    /// The connection itself sees to it.
    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    // A connection on which a request was not read to its end has no next one.

    fn set_total_drain_timeout(&mut self, _: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        let head = &self.client().head;
        format!("{} {}", head.method, head.uri.path())
    }

    fn body_bytes_sent(&self) -> usize {
        self.client().sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.client().received()
    }

    fn was_upgraded(&self) -> bool {
        self.client().has_switched()
    }

    // Tunnels are not Pingora's: to it, nothing asks for one.
    fn is_upgrade_req(&self) -> bool {
        false
    }

    // What is known of the connection is in the request's context.

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        let head = &self.client().head;
        let mut raw = format!("{} {} HTTP/1.1\r\n", head.method, head.uri).into_bytes();
        head.header_to_h1_wire(&mut raw);
        raw.extend_from_slice(b"\r\n");
        raw.into()
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
