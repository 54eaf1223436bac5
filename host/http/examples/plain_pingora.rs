//! The floor of the bench: a proxy on Pingora that does nothing but forward.
//!
//! `plain_pingora LISTEN UPSTREAM`, for example `plain_pingora 127.0.0.1:8080 127.0.0.1:9000`. One
//! thread, as the bench asks of every contender. Not for use: it checks nothing.

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;
use std::time::Duration;

struct Forward(HttpPeer);

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: plain_pingora LISTEN UPSTREAM";
    let listen = arguments.next().ok_or(usage)?;
    let upstream: std::net::SocketAddr = arguments.next().ok_or(usage)?.parse()?;
    let mut peer = HttpPeer::new(upstream, false, String::new());
    peer.options.idle_timeout = Some(Duration::from_secs(60));
    // More than any scenario has clients: with fewer, some requests would each open one.
    let configuration = ServerConf {
        upstream_keepalive_pool_size: 8192,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Forward(peer));
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever()
}
