//! WASI 0.2 for components that were built for it: clocks and random numbers work, standard output
//! and error go to the log, files and network are what was granted (nothing, by default), everything else
//! is empty.

use super::{Host, log};
use crate::capabilities::{Capabilities, Folder};
use crate::namespace::Namespace;
use crate::wit::WitLevel;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::AsyncWrite;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// Random bytes that a guest can ask for at once.
const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// Handles that a guest can hold.
const RESOURCES_MAX: usize = 1024;
/// Bytes that a guest can write at once.
const WRITE_BYTES_MAX: usize = 4096;

/// The WASI state of one instance.
pub(super) struct State {
    context: WasiCtx,
    table: ResourceTable,
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

impl State {
    pub(super) fn new(
        namespace: &Arc<Namespace>,
        version: &Arc<str>,
        start: Instant,
        granted: &Capabilities,
    ) -> State {
        let output = |level| LogStream {
            namespace: namespace.clone(),
            version: version.clone(),
            start,
            level,
        };
        let sockets = granted.sockets.clone();
        let mut context = WasiCtxBuilder::new();
        context
            .stdout(output(WitLevel::Info))
            .stderr(output(WitLevel::Warn))
            .allow_tcp(!sockets.is_empty())
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX);
        if !sockets.is_empty() {
            context.socket_addr_check(move |address, usage| {
                let granted = match usage {
                    SocketAddrUse::TcpConnect => sockets.contains(&address),
                    // A socket that connects is asked about the port that the system gives it. To
                    // listen there is another use.
                    SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
                    _ => false,
                };
                Box::pin(async move { granted })
            });
        }
        for folder in &granted.folders {
            if let Err(error) = preopen(&mut context, folder) {
                // It was there when the configuration was checked.
                let path = folder.host.display();
                tracing::error!("the folder {path} cannot be shown to a plugin: {error:#}");
            }
        }
        let context = context.build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        State { context, table }
    }
}

fn preopen(context: &mut WasiCtxBuilder, folder: &Folder) -> wasmtime::Result<()> {
    let may = match folder.write {
        true => FsPerms::ReadWrite,
        false => FsPerms::ReadOnly,
    };
    context.preopened_dir(&folder.host, &folder.guest, may)?;
    Ok(())
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Only components linked with WASI reach this, and they are made with a state. The fallback
        // keeps a mistake here from being a panic on a request.
        let state = self.wasi.get_or_insert_with(|| {
            State::new(
                &self.namespace,
                &self.version,
                self.start,
                &self.capabilities,
            )
        });
        WasiCtxView {
            ctx: &mut state.context,
            table: &mut state.table,
        }
    }
}

/// Standard output or error of a guest, as lines of the log.
#[derive(Clone)]
struct LogStream {
    namespace: Arc<Namespace>,
    version: Arc<str>,
    start: Instant,
    level: WitLevel,
}

impl LogStream {
    fn lines(&self, bytes: &[u8]) {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        for line in String::from_utf8_lossy(bytes).lines() {
            if !line.trim().is_empty() {
                log::write(&self.namespace, &self.version, "", now, self.level, line);
            }
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.lines(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
