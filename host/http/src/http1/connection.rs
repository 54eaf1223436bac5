//! A connection to a peer that speaks HTTP/1.1: one request after another is written to it, and their responses are
//! read.

use super::body::{BadBody, Reader, Writer};
use super::deadline::Deadline;
use super::head::{self, BadHead, HEAD_BYTES_MAX};
use super::spelling::Spelling;
use crate::connect::{Connected, is_quiet};
use crate::own_fields::OwnFields;
use bytes::{Bytes, BytesMut};
use http::{Method, header};
use pingora::http::{RequestHeader, ResponseHeader};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

/// Room for what is read at once: of a head and a small body, and of a body of which more is there.
const FIRST_READ: usize = 4 * 1024;
const NEXT_READ: usize = 64 * 1024;
/// Room for a request's head; more is made where that is not enough.
const HEAD_USUAL: usize = 1024;
/// Pieces of a request's body below this size are copied beside what frames them.
const COPIED: usize = 8 * 1024;

/// How long to wait for a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// Between reads.
    pub(super) read: Duration,
    /// For a write.
    pub(super) write: Duration,
}

/// What went wrong with a peer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// It closed the connection where a response was to come, or go on.
    #[error("the connection was closed")]
    Closed,
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("cannot be written to: {0}")]
    Write(#[source] io::Error),
    #[error("nothing came in time")]
    ReadTimeout,
    #[error("it does not read")]
    WriteTimeout,
    #[error(transparent)]
    Head(#[from] BadHead),
    #[error("its head is too large")]
    HeadSize,
    #[error(transparent)]
    Body(#[from] BadBody),
}

/// What comes of a request.
#[derive(Debug)]
pub(super) enum Event {
    /// A head; the last but for informational ones. With `true` there is no body.
    Head(Box<ResponseHeader>, bool),
    /// Data of the body; with `true` it is the last.
    Body(Bytes, bool),
    /// All of the request that was there is written: there is room for more.
    Drained,
}

/// A connection, and what is under way on it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Connected,
    /// Read, and not taken yet.
    read: BytesMut,
    /// Whether the last read took all that it had room for: more is there.
    fills: bool,
    out: Out,
    reading: Deadline,
    writing: Deadline,
    patience: Patience,
    request: Request,
    /// `None` before the final head.
    response: Option<Reader>,
    /// Whether the peer, and our request, let it be used again.
    keeps: bool,
}

/// The request that is being sent.
#[derive(Debug)]
struct Request {
    /// Since the connection was new, or renewed.
    begun: bool,
    /// A head has come, be it an informational one.
    answered: bool,
    method: Method,
    body: Writer,
    /// Nothing of it comes any more.
    ended: bool,
    /// All of it went out.
    drained: bool,
    /// The peer does not read the rest: what it answers anyway is still to be had.
    failed: Option<io::Error>,
}

impl Request {
    /// Whether no more of it is to be written.
    fn is_sent(&self) -> bool {
        self.failed.is_some() || self.ended && self.drained
    }
}

/// What is to be written.
#[derive(Debug, Default)]
struct Out {
    first: BytesMut,
    data: Bytes,
    last: &'static [u8],
}

impl Out {
    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.data.is_empty() && self.last.is_empty()
    }

    fn advance(&mut self, mut written: usize) {
        let first = written.min(self.first.len());
        bytes::Buf::advance(&mut self.first, first);
        written -= first;
        let data = written.min(self.data.len());
        bytes::Buf::advance(&mut self.data, data);
        written -= data;
        self.last = self.last.get(written..).unwrap_or_default();
    }
}

impl Connection {
    pub(super) fn new(stream: Connected) -> Connection {
        Connection {
            stream,
            read: BytesMut::new(),
            fills: false,
            out: Out::default(),
            reading: Deadline::default(),
            writing: Deadline::default(),
            patience: Patience::default(),
            request: Request {
                begun: false,
                answered: false,
                method: Method::GET,
                body: Writer::Length(0),
                ended: true,
                drained: true,
                failed: None,
            },
            response: None,
            keeps: false,
        }
    }

    /// Wait for so long from now on.
    pub(super) fn be_patient(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Begin a request. It is written while [`Connection::next`] is awaited.
    pub(super) fn begin(
        &mut self,
        head: &RequestHeader,
        spelling: &Spelling,
        mut own: OwnFields,
        has_body: bool,
    ) -> Result<(), BadHead> {
        let body = head::request_body(head, &mut own, has_body)?;
        // From here on, a mistake leaves half a head behind.
        self.request.begun = true;
        self.out.first.reserve(HEAD_USUAL);
        head::write_request(head, spelling, &own, &mut self.out.first)?;
        self.keeps = !own.has(&header::CONNECTION);
        self.request = Request {
            begun: true,
            answered: false,
            method: head.method.clone(),
            body,
            ended: !has_body,
            drained: false,
            failed: None,
        };
        Ok(())
    }

    /// Whether more of the request's body can be given.
    pub(super) fn has_room(&self) -> bool {
        self.request.drained && self.request.failed.is_none()
    }

    /// Whether a request was begun since it was new, or renewed.
    pub(super) fn has_begun(&self) -> bool {
        self.request.begun
    }

    /// Whether nothing has come of the request, not even an informational head.
    pub(super) fn is_unanswered(&self) -> bool {
        !self.request.answered && self.read.is_empty()
    }

    /// Whether the peer has stopped reading the request, or closes after its response.
    pub(super) fn is_left(&self) -> bool {
        self.request.failed.is_some() || !self.keeps
    }

    /// Whether all of a request and its response has passed, and another may follow. What it held is given back.
    pub(super) fn renew(&mut self) -> bool {
        let is_sent = self.request.is_sent() && self.request.failed.is_none();
        let is_over = self.response.take().is_some_and(|body| body.is_over());
        self.out = Out::default();
        let is_clean = self.read.is_empty();
        self.read = BytesMut::new();
        self.request.begun = false;
        is_sent && is_over && is_clean && self.keeps && self.request.body.is_whole()
    }

    /// Whether the peer has neither closed it nor sent anything since the last response.
    pub(super) fn is_quiet(&mut self) -> bool {
        is_quiet(&mut self.stream)
    }

    /// A piece of the request's body; with `end` it is the last.
    pub(super) fn give(&mut self, data: Bytes, end: bool) {
        if self.request.failed.is_some() {
            return;
        }
        let framed = self.request.body.frame(data.len(), end);
        self.request.ended |= end;
        self.request.drained = false;
        if let Some(before) = framed.before {
            self.out.first.extend_from_slice(before.as_bytes());
        }
        if framed.data < COPIED {
            let data = data.get(..framed.data).unwrap_or_default();
            self.out.first.extend_from_slice(data);
            self.out.first.extend_from_slice(framed.after);
        } else {
            self.out.data = data.slice(..framed.data);
            self.out.last = framed.after;
        }
    }

    /// Go on with the request, and wait for what comes of it. Nothing is lost where this is dropped.
    pub(super) async fn next(&mut self) -> Result<Event, Broken> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Write what there is of the request, after its response.
    pub(super) async fn drain(&mut self) -> Result<(), Broken> {
        match poll_fn(|cx| self.poll_write(cx)).await {
            Err(Broken::Write(error)) => self.request.failed = Some(error),
            Err(other) => return Err(other),
            Ok(()) => self.request.drained = true,
        }
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Broken>> {
        if !self.request.drained && self.request.failed.is_none() {
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => {
                    self.request.drained = true;
                    if !self.request.ended {
                        return Poll::Ready(Ok(Event::Drained));
                    }
                }
                Poll::Ready(Err(Broken::Write(error))) => self.request.failed = Some(error),
                // It answers already, and may have seen enough.
                Poll::Ready(Err(Broken::WriteTimeout)) if self.response.is_some() => {
                    self.request.failed = Some(io::ErrorKind::TimedOut.into());
                }
                Poll::Ready(Err(other)) => return Poll::Ready(Err(other)),
                Poll::Pending => {}
            }
        }
        loop {
            if let Some(event) = self.take()? {
                self.reading.clear();
                // Until the event has gone to the client, nobody writes.
                self.writing.clear();
                return Poll::Ready(Ok(event));
            }
            match ready!(self.poll_fill(cx))? {
                0 => return Poll::Ready(self.closed()),
                _ => self.reading.clear(),
            }
        }
    }

    /// What there is in what was read.
    fn take(&mut self) -> Result<Option<Event>, Broken> {
        if let Some(body) = &mut self.response {
            let data = body.take(&mut self.read)?;
            let is_over = body.is_over();
            let event = is_over || !data.is_empty();
            return Ok(event.then_some(Event::Body(data, is_over)));
        }
        if self.read.is_empty() {
            return Ok(None);
        }
        let Some(head) = head::take_response(&mut self.read)? else {
            return match self.read.len() > HEAD_BYTES_MAX {
                true => Err(Broken::HeadSize),
                false => Ok(None),
            };
        };
        self.request.answered = true;
        if head.status.is_informational() {
            return Ok(Some(Event::Head(head, false)));
        }
        let body = head::response_body(&self.request.method, &head)?;
        let is_over = body.is_over();
        self.keeps &= head::keeps_connection(&head) && body != Reader::Close;
        self.response = Some(body);
        Ok(Some(Event::Head(head, is_over)))
    }

    /// The peer has closed its side.
    fn closed(&mut self) -> Result<Event, Broken> {
        self.keeps = false;
        match &self.response {
            Some(Reader::Close) => {
                self.response = Some(Reader::NONE);
                Ok(Event::Body(Bytes::new(), true))
            }
            _ => Err(match self.request.failed.take() {
                Some(error) => Broken::Write(error),
                None => Broken::Closed,
            }),
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        // A body that comes in small pieces, for hours perhaps, is waited for with little.
        let room = match self.response {
            Some(_) if self.fills => NEXT_READ,
            _ => FIRST_READ,
        };
        self.read.reserve(room);
        let room = self.read.capacity() - self.read.len();
        match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.read) {
            Poll::Ready(Ok(read)) => {
                self.fills = read == room;
                Poll::Ready(Ok(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Broken::Read(error))),
            // As long as the request is on its way, its time is that of whoever sends it, and of our writes.
            Poll::Pending if !self.request.is_sent() => Poll::Pending,
            Poll::Pending => {
                ready!(self.reading.poll(cx, self.patience.read));
                Poll::Ready(Err(Broken::ReadTimeout))
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.out.is_empty() {
            let out = &self.out;
            let parts = [&out.first[..], &out.data[..], out.last].map(IoSlice::new);
            // To write nothing would look like a peer that takes nothing.
            let polled = match out.data.is_empty() && out.last.is_empty() {
                true => Pin::new(&mut self.stream).poll_write(cx, &out.first),
                false => Pin::new(&mut self.stream).poll_write_vectored(cx, &parts),
            };
            match polled {
                Poll::Ready(Ok(0)) => {
                    let nothing = io::ErrorKind::WriteZero.into();
                    return Poll::Ready(Err(Broken::Write(nothing)));
                }
                Poll::Ready(Ok(written)) => {
                    self.out.advance(written);
                    self.writing.clear();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Write(error))),
                Poll::Pending => return self.poll_late(cx),
            }
        }
        // TLS takes more than the socket does.
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.writing.clear();
                Poll::Ready(flushed.map_err(Broken::Write))
            }
            Poll::Pending => self.poll_late(cx),
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        ready!(self.writing.poll(cx, self.patience.write));
        Poll::Ready(Err(Broken::WriteTimeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Plain;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn a_write_may_end_anywhere() {
        let wire = b"2710\r\n".len() + 10_000 + b"\r\n0\r\n\r\n".len();
        for taken in [0, 1, 6, 7, 10_005, 10_006, 10_007, wire - 1] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let mut connection = Connection::new(Connected::Left(Plain::Right(ours)));
            connection.be_patient(Patience {
                read: Duration::from_secs(60),
                write: Duration::from_secs(60),
            });
            connection.request.body = Writer::Chunks;
            connection.give(Bytes::from(vec![b'x'; 10_000]), true);
            // As if the socket had taken so many before.
            connection.out.advance(taken);
            connection.drain().await.unwrap();
            assert!(connection.has_room(), "{taken}");
            drop(connection);
            let mut rest = Vec::new();
            theirs.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest.len(), wire - taken);
            assert!(rest.ends_with(b"\n"));
        }
    }
}
