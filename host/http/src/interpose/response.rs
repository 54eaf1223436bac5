//! A response on its way to the client: its head waits for as long as a plugin wants, its body and trailers go
//! through plugins.

use super::Interposed;
use crate::plugins::{Plugins, unless_gone};
use crate::respond;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use pingora::Result;
use pingora::protocols::http::HttpTask;
use std::mem;
use std::pin::pin;
use tidegate_chain::{Event, Verdict};

impl Interposed {
    /// One thing that the upstream sent; what goes to the client for it is added to `out`.
    pub(super) async fn pass(
        &mut self,
        plugins: &mut Plugins,
        task: HttpTask,
        out: &mut Vec<HttpTask>,
    ) -> Result<()> {
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
                self.release(plugins, out)?;
                if end {
                    self.feed(plugins, Bytes::new(), true, out).await?;
                }
            }
            HttpTask::Body(data, end) => {
                let data = data.unwrap_or_default();
                if plugins.response_body.is_none() {
                    out.push(HttpTask::Body(Some(data), end));
                } else {
                    self.feed(plugins, data, end, out).await?;
                }
            }
            HttpTask::Trailer(trailers) => {
                self.end(plugins, out, false).await?;
                let trailers = self.trailers(plugins, trailers).await?;
                out.push(HttpTask::Trailer(trailers));
            }
            HttpTask::Done => {
                self.end(plugins, out, true).await?;
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
            let work = pin!(route.chain.feed(&mut body, progress, exchange, data, end));
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
            let work = pin!(route.chain.trailers(progress, exchange));
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
