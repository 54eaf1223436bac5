//! The client of a request: the request as it is read from it, the response as it is written to it.

use super::again::Again;
use super::body::{Reader, Writer};
use super::client_head::{self, Closing};
use super::deadline::Deadline;
use super::head::BadHead;
use super::spelling::Spelling;
use crate::abuse::Refusal;
use crate::io::Io;
use crate::plugins::internal;
use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::date::get_cached_date;
use pingora::{Error, ErrorType};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Room for what is read at once: of a head, and of a body.
const HEAD_READ: usize = 2 * 1024;
const BODY_READ: usize = 32 * 1024;
/// With less of a body, which has come with its head, more of it is looked for at once.
const LITTLE: usize = 4 * 1024;

/// How often a client is looked after that may still send its body.
const GONE_INTERVAL: Duration = Duration::from_millis(25);

/// A connection with a client, and the request that is served on it.
pub(super) struct Client {
    io: Box<Io>,
    pub(super) head: Box<RequestHeader>,
    /// Of the head's fields, until somebody takes it.
    pub(super) spelling: Spelling,
    /// Read of the body, and not taken yet.
    read: BytesMut,
    body: Reader,
    again: Again,
    reading: Deadline,
    looking: Deadline,
    /// Between reads of the body.
    read_timeout: Duration,
    /// The last head that was written.
    written: Option<Box<ResponseHeader>>,
    response: Writer,
    /// All of the response was written.
    is_answered: bool,
    /// A write has begun and was not done: what follows would be taken for something else.
    is_cut: bool,
    /// A read has failed: so would what the client goes on with.
    is_lost: bool,
    keeps: bool,
    received: usize,
    sent: usize,
}

/// Why there is no request.
pub(super) enum NoRequest {
    /// The client is gone.
    Gone,
    /// It took too long, what it sent was refused (it has been told so), or it cannot be read.
    Refused(Box<Io>),
    /// What it sent is no head. The connection ends with the answer to it.
    Bad(Box<Io>, BadHead),
}

impl Client {
    /// Read a request's head. With `is_last` the connection ends with it.
    pub(super) async fn read(mut io: Box<Io>, is_last: bool) -> Result<Client, NoRequest> {
        let mut read = BytesMut::with_capacity(HEAD_READ);
        let (head, spelling) = loop {
            let filled = poll_fn(|cx| poll_read_buf(Pin::new(&mut io), cx, &mut read)).await;
            match filled {
                Ok(1..) if !io.has_head() => read.reserve(HEAD_READ),
                Ok(1..) => match client_head::take_request(&mut read) {
                    Ok(Some(head)) => break head,
                    Ok(None) => read.reserve(HEAD_READ),
                    Err(bad) => return Err(NoRequest::Bad(io, bad)),
                },
                Ok(0) => return Err(NoRequest::Gone),
                Err(_) => return Err(NoRequest::Refused(io)),
            }
        };
        let body = match client_head::request_body(&head) {
            Ok(body) => body,
            Err(bad) => return Err(NoRequest::Bad(io, bad)),
        };
        Ok(Client {
            io,
            keeps: !is_last && client_head::keeps_connection(&head),
            head,
            spelling,
            read,
            body,
            again: Again::default(),
            reading: Deadline::default(),
            looking: Deadline::default(),
            read_timeout: Duration::MAX,
            written: None,
            response: Writer::Length(0),
            is_answered: false,
            is_cut: false,
            is_lost: false,
            received: 0,
            sent: 0,
        })
    }

    pub(super) fn io(&self) -> &Io {
        &self.io
    }

    /// Whether the request has no body, or one that turned out to be empty.
    pub(super) fn has_no_body(&self) -> bool {
        self.is_read() && self.received == 0
    }

    /// Whether all of the request's body was taken.
    pub(super) fn is_read(&self) -> bool {
        self.body.is_over()
    }

    /// Bytes of the request's body that were taken.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// Bytes of the response's body that were written.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// The last head that was written.
    pub(super) fn written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    /// Whether the connection has left HTTP.
    pub(super) fn has_switched(&self) -> bool {
        let written = self.written.as_ref();
        written.is_some_and(|head| head.status == StatusCode::SWITCHING_PROTOCOLS)
    }

    pub(super) fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    pub(super) fn set_read_timeout(&mut self, timeout: Duration) {
        self.read_timeout = timeout;
    }

    pub(super) fn set_write_timeout(&mut self, timeout: Duration) {
        self.io.set_write_time(timeout);
    }

    /// Keep the beginning of the request's body, from now on.
    pub(super) fn keep_body(&mut self) {
        self.again.want();
    }

    /// What was kept of it, unless more was taken since than is kept.
    pub(super) fn kept_body(&self) -> Option<Bytes> {
        self.again.kept()
    }

    /// Whether more was taken than is kept.
    pub(super) fn is_kept_body_cut(&self) -> bool {
        self.again.is_cut()
    }

    /// The next data of the request's body; `None` at its end. Nothing is lost where this is dropped.
    pub(super) async fn read_body(&mut self) -> pingora::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_body(cx)).await
    }

    /// As [`Client::read_body`]; without an end, or where no body is expected, until the client is gone.
    pub(super) async fn read_body_or_wait(
        &mut self,
        no_body: bool,
    ) -> pingora::Result<Option<Bytes>> {
        if no_body || self.is_read() {
            return Err(poll_fn(|cx| self.poll_gone(cx)).await);
        }
        self.read_body().await
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<pingora::Result<Option<Bytes>>> {
        let read = ready!(self.poll_data(cx));
        self.reading.clear();
        self.is_lost |= read.is_err();
        if let Ok(Some(data)) = &read {
            self.received += data.len();
            self.again.keep(data);
        }
        Poll::Ready(read)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<pingora::Result<Option<Bytes>>> {
        let failed = |kind| Poll::Ready(Err(Error::explain(kind, READING)));
        let broken = |error: io::Error| {
            let error = Error::because(ErrorType::ReadError, READING, error);
            Poll::Ready(Err(error))
        };
        let mut gathers = self.body.is_longer_than(self.read.len());
        loop {
            gathers &= (1..LITTLE).contains(&self.read.len());
            let taken = match gathers {
                true => Ok(Bytes::new()),
                false => self.body.take(&mut self.read),
            };
            match taken {
                Ok(data) if !data.is_empty() => return Poll::Ready(Ok(Some(data))),
                Ok(_) if self.body.is_over() => return Poll::Ready(Ok(None)),
                Ok(_) => {}
                Err(bad) => {
                    self.io.count_refused(Refusal::Framing);
                    return broken(io::Error::new(io::ErrorKind::InvalidData, bad));
                }
            }
            self.read.reserve(BODY_READ);
            match poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read) {
                Poll::Ready(Ok(1..)) => self.reading.clear(),
                // What there is goes first.
                Poll::Ready(Ok(0)) | Poll::Pending if gathers => gathers = false,
                Poll::Ready(Ok(0)) => return failed(ErrorType::ConnectionClosed),
                Poll::Ready(Err(error)) => return broken(error),
                Poll::Pending => {
                    ready!(self.reading.poll(cx, self.read_timeout));
                    return failed(ErrorType::ReadTimedout);
                }
            }
        }
    }

    /// Ready once the client is gone. What it sends meanwhile waits.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Box<Error>> {
        let gone = || Error::explain(ErrorType::ConnectionClosed, "while its response is awaited");
        while !self.body.is_over() {
            if self.io.is_gone() {
                return Poll::Ready(gone());
            }
            ready!(self.looking.poll(cx, GONE_INTERVAL));
            self.looking.clear();
        }
        let mut nothing = [MaybeUninit::uninit(); 1];
        let mut nothing = ReadBuf::uninit(&mut nothing);
        let read = ready!(Pin::new(&mut *self.io).poll_read(cx, &mut nothing));
        Poll::Ready(match read {
            Ok(()) => gone(),
            Err(error) => Error::because(ErrorType::ReadError, "after a request", error),
        })
    }

    /// Write a head: the final one, or an informational one before it. What goes beyond that is not written.
    pub(super) async fn write_head(
        &mut self,
        mut head: Box<ResponseHeader>,
    ) -> pingora::Result<()> {
        if self.is_cut {
            return Err(internal("a response after one that was cut"));
        }
        let has_final = self.written.as_ref().is_some_and(|head| is_final(head));
        let is_unknown = !is_final(&head) && self.head.version == Version::HTTP_10;
        if has_final || is_unknown {
            tracing::debug!(
                status = head.status.as_u16(),
                "a head that nobody waits for"
            );
            return Ok(());
        }
        if head.status.is_informational() || head.status == StatusCode::NO_CONTENT {
            // They have no body, and may not look as if they had (RFC 9110 §8.6, RFC 9112 §6.1).
            head.remove_header(&header::CONTENT_LENGTH);
            head.remove_header(&header::TRANSFER_ENCODING);
        }
        if is_final(&head) {
            self.response = client_head::response_body(&self.head.method, &head);
            if self.response == Writer::Chunks && self.head.version == Version::HTTP_10 {
                // It knows no chunks (RFC 9112 §6.1).
                head.remove_header(&header::TRANSFER_ENCODING);
                self.response = Writer::Close;
            }
            // Whoever is answered early may not send the rest of the request, or send it for long.
            self.keeps &= self.is_read() && !self.io.is_last_response();
            self.keeps &= self.response != Writer::Close;
            self.is_answered = self.response == Writer::Length(0);
        }
        let closing = (!head.status.is_informational()).then(|| Closing {
            date: get_cached_date(),
            keeps_connection: self.keeps,
        });
        self.io
            .gather(|out| client_head::write_response(&head, closing.as_ref(), out));
        // Others go out once there is much, or while the client is waited for, which is not so before all is read.
        let goes_now = head.status.is_informational() || self.is_answered || !self.is_read();
        if goes_now {
            self.flush().await?;
        }
        self.written = Some(head);
        Ok(())
    }

    /// Write data of the body; with `end` it is the last. Of a body with a length, no more is written than that.
    pub(super) async fn write_body(&mut self, data: Bytes, end: bool) -> pingora::Result<()> {
        if self.is_answered {
            return Ok(());
        }
        if self.is_cut {
            return Err(internal("a response that was cut"));
        }
        let framed = self.response.frame(data.len(), end);
        let data = data.get(..framed.data).unwrap_or_default();
        if let Some(before) = framed.before {
            self.io
                .gather(|out| out.extend_from_slice(before.as_bytes()));
        }
        // Where this fails, or is given up, nobody knows how much of it went out.
        self.is_cut = true;
        let written = self.io.write_data(data, framed.after).await;
        written.map_err(unwritten)?;
        self.is_cut = false;
        self.sent += data.len();
        self.is_answered = end && self.response.is_whole() || self.response == Writer::Length(0);
        // Where more is waited for, the client is waited for as well, and what there is goes out; unless that waits
        // for the rest of the request.
        match self.is_answered || !self.is_read() {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// The response ends here.
    ///
    /// # Errors
    /// It was said to be longer, or the client does not take it.
    pub(super) async fn end(&mut self) -> pingora::Result<()> {
        if !self.is_answered && self.written.as_ref().is_some_and(|head| is_final(head)) {
            self.write_body(Bytes::new(), true).await?;
            if !self.is_answered {
                let kind = ErrorType::new("PrematureBodyEnd");
                return Err(Error::explain(
                    kind,
                    "the response is shorter than its length",
                ));
            }
        }
        self.flush().await
    }

    /// Send what there is.
    pub(super) async fn flush(&mut self) -> pingora::Result<()> {
        let flushed = self.io.flush().await;
        self.is_cut |= flushed.is_err();
        flushed.map_err(unwritten)
    }

    /// Close the connection.
    pub(super) async fn close(&mut self) {
        self.io.close().await;
    }

    /// Whether all of the response was written.
    pub(super) fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// The connection, if another request may come on it.
    pub(super) async fn renew(mut self) -> Option<Box<Io>> {
        if !self.is_answered || self.is_cut {
            // The client sees that it broke off, also where the end of the connection would end it. One that does not
            // read is not waited for once more.
            if self.response == Writer::Close && !self.has_switched() {
                self.io.break_off();
            }
            return None;
        }
        if !self.keeps || self.is_lost {
            self.close().await;
            return None;
        }
        Some(self.io)
    }
}

const READING: &str = "reading the request's body";

fn unwritten(error: io::Error) -> Box<Error> {
    Error::because(ErrorType::WriteError, "writing a response", error).into_down()
}

/// A 101 is the last head of HTTP on its connection.
fn is_final(head: &ResponseHeader) -> bool {
    !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("io", &self.io)
            .field("body", &self.body)
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}
