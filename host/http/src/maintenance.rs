//! Maintenance: clients of a route get a page instead of what they asked for, except those who do the work.

use crate::context::Context;
use crate::error_pages::Page;
use http::{HeaderValue, StatusCode, header};
use ipnet::IpNet;
use std::net::SocketAddr;
use tidegate_chain::Reply;

/// What is answered meanwhile, and who is not concerned.
#[derive(Clone, Debug)]
pub struct Maintenance {
    /// The status, usually 503.
    pub status: StatusCode,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
    /// What is shown; else the error page of the status, or a line of text.
    pub page: Option<Page>,
    /// Clients who get through.
    pub allow: Vec<IpNet>,
}

impl Maintenance {
    fn allows(&self, client: Option<SocketAddr>) -> bool {
        // Who comes through a Unix socket is nobody in particular.
        client.is_some_and(|client| {
            let address = client.ip().to_canonical();
            self.allow.iter().any(|network| network.contains(&address))
        })
    }
}

/// What a request gets instead of what it asks for, if its route is in maintenance; without a route, if all
/// are.
pub(crate) fn reply(context: &Context) -> Option<Reply> {
    let maintenance = match &context.route {
        Some(route) => route.maintenance.as_ref()?,
        None => context.state.maintenance.as_ref()?,
    };
    if maintenance.allows(context.facts.client) {
        return None;
    }
    let mut reply = match &maintenance.page {
        Some(page) => page.reply(maintenance.status),
        None => {
            let pages = context.error_pages();
            pages.reply(maintenance.status, "down for maintenance")
        }
    };
    if let Some(seconds) = maintenance.retry_after {
        let seconds = HeaderValue::from(seconds);
        reply.headers.insert(header::RETRY_AFTER, seconds);
    }
    Some(reply)
}
