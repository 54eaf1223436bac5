//! What is allowed and works, and is probably not meant.

use ipnet::IpNet;

use crate::acme::Challenge;
use crate::upstream::retry_after;
use crate::{Config, Error, Listener, Timeouts, Upstream};

impl Config {
    /// What a careful reader would ask about, in the order of the file. `tidegate check` shows it, and every
    /// start and reload logs it.
    pub fn warnings(&self) -> Vec<Error> {
        let mut found = Vec::new();
        self.unverified_upstreams(&mut found);
        self.queues_without_a_limit(&mut found);
        self.idle_authorities(&mut found);
        self.trust_in_everybody(&mut found);
        found.sort_by_key(|warning| (warning.line, warning.column));
        found
    }

    fn unverified_upstreams(&self, found: &mut Vec<Error>) {
        for (name, upstream) in &self.upstreams {
            let Some(tls) = &upstream.tls else { continue };
            if tls.danger_accept_any_certificate {
                let what = format!(
                    "upstream `{name}`: certificates of its peers are not verified \
                     (danger_accept_any_certificate); anyone between can read and change what is sent"
                );
                found.push(self.error(tls.span, what));
            }
        }
    }

    /// Requests that nothing holds back do not wait.
    fn queues_without_a_limit(&self, found: &mut Vec<Error>) {
        for (name, upstream) in &self.upstreams {
            let idle = keys_without_effect(upstream);
            if idle.is_empty() {
                continue;
            }
            let span = upstream.peers.first().map(|peer| peer.span);
            let what = format!(
                "upstream `{name}`: of no effect without `requests`: {}",
                idle.join(", ")
            );
            let help = "add the most requests that it may get at once, such as `requests = 200`";
            found.push(self.error(span.unwrap_or_default(), what).with_help(help));
        }
    }

    /// Authorities that nobody needs, or that cannot reach us.
    fn idle_authorities(&self, found: &mut Vec<Error>) {
        for (name, authority) in &self.acme {
            let served = self.listeners.iter().filter_map(|one| one.tls.as_ref());
            let is_served = served.flat_map(|tls| &tls.acme).any(|acme| acme == name);
            let mut others = self.acme.values();
            let is_fallback = others.any(|other| other.fallback.contains(name));
            if !is_served && !is_fallback {
                let what = format!("no listener serves the certificates of `acme.{name}`");
                let help = format!("write `acme = \"{name}\"` into a [listener.tls]");
                found.push(self.error(authority.span, what).with_help(help));
            }
            let mut listeners = self.listeners.iter();
            let answers = listeners.any(|listener| listener.tls.is_none());
            if authority.challenge == Challenge::Http01 && !answers {
                let what = format!(
                    "`acme.{name}` answers challenges by http-01, and no listener speaks plaintext"
                );
                let help = "authorities ask on port 80: add a [[listener]] without tls, or take \
                            another `challenge`";
                found.push(self.error(authority.span, what).with_help(help));
            }
        }
    }

    fn trust_in_everybody(&self, found: &mut Vec<Error>) {
        for listener in &self.listeners {
            if is_everybody(&listener.trusted_proxies) {
                let what = "trusts everybody to say who the client is";
                found.push(self.about(listener, "trusted_proxies", what));
            }
            let headers = listener.proxy_protocol.as_ref();
            if headers.is_some_and(|headers| is_everybody(&headers.trust)) {
                let what = "takes PROXY headers from everybody";
                found.push(self.about(listener, "proxy_protocol.trust", what));
            }
        }
    }

    fn about(&self, listener: &Listener, key: &str, what: &str) -> Error {
        let span = listener.addresses.first().map(|address| address.span);
        let what = format!("listener `{}` {what} ({key})", listener.name);
        self.error(span.unwrap_or_default(), what).with_help(
            "name the networks of your load balancers alone, unless nobody else can reach this listener",
        )
    }
}

/// Keys for requests above a limit of an upstream that has none. One that is written as it is by default is
/// not among them.
fn keys_without_effect(upstream: &Upstream) -> Vec<&'static str> {
    if upstream.requests != 0 {
        return Vec::new();
    }
    let keys = [
        ("`queue`", upstream.queue != 0),
        (
            "`timeout.queue`",
            upstream.timeout.queue != Timeouts::default().queue,
        ),
        ("`retry_after`", upstream.retry_after != retry_after()),
    ];
    let written = keys.into_iter().filter(|(_, written)| *written);
    written.map(|(key, _)| key).collect()
}

fn is_everybody(networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.prefix_len() == 0)
}
