//! Logging: the proxy's own log on standard error, the access log on standard output. Both are written
//! by threads of their own; a worker never waits for a terminal or a pipe. When they cannot keep up,
//! lines are lost rather than requests delayed.

use std::io::Write;
use tidegate_config::{Format, Level, Log};
use tidegate_http::AccessLog;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written.
const LINES_WAITING: usize = 64 * 1024;

/// The logs; dropping it writes what is left.
pub struct Logs {
    access: Option<(NonBlocking, tidegate_http::Format, Vec<String>)>,
    _guards: Vec<WorkerGuard>,
}

/// Start logging, once per process.
pub fn start(log: &Log) -> Logs {
    let (stderr, stderr_guard) = writer(std::io::stderr());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter(log.level))
        .with_writer(stderr);
    match log.format {
        Format::Json => subscriber.json().init(),
        Format::Text => subscriber
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
    }
    let mut guards = vec![stderr_guard];
    let access = log.access.then(|| {
        let (stdout, guard) = writer(std::io::stdout());
        guards.push(guard);
        let format = match log.format {
            Format::Json => tidegate_http::Format::Json,
            Format::Text => tidegate_http::Format::Text,
        };
        (stdout, format, log.access_attributes.clone())
    });
    Logs {
        access,
        _guards: guards,
    }
}

impl Logs {
    /// The access log, if it is on.
    pub fn access(&self) -> Option<AccessLog> {
        let (writer, format, attributes) = self.access.clone()?;
        let make = move || Box::new(writer.make_writer()) as Box<dyn Write>;
        Some(AccessLog::new(format, attributes, make))
    }
}

fn writer<W: Write + Send + 'static>(to: W) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_WAITING)
        .finish(to)
}

/// The level is for our own lines. Libraries stay at `warn` whatever is asked: at `trace` they write
/// whole request heads, and with them secrets.
fn filter(level: Level) -> EnvFilter {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    EnvFilter::new(format!(
        "warn,tidegate={level},pingora_proxy=off,pingora_core=off"
    ))
}
