//! Logging: the proxy's own log on standard error, the access log on standard output. Both are written
//! by threads of their own; a worker never waits for a terminal or a pipe. When they cannot keep up,
//! lines are lost rather than requests delayed.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts, Registry};
use std::io::Write;
use tidegate_config::{Format, Level, Log};
use tidegate_http::AccessLog;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The logs; dropping it writes what is left.
pub struct Logs {
    access: Option<(NonBlocking, tidegate_http::Format, Vec<String>)>,
    lost: Vec<(&'static str, ErrorCounter)>,
    _guards: Vec<WorkerGuard>,
}

/// Start logging, once per process.
pub fn start(log: &Log) -> Logs {
    let lines = usize::try_from(log.buffered_lines).unwrap_or(usize::MAX);
    let (stderr, stderr_guard) = writer(std::io::stderr(), lines);
    let mut lost = vec![("proxy", stderr.error_counter())];
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
        let (stdout, guard) = writer(std::io::stdout(), lines);
        guards.push(guard);
        lost.push(("access", stdout.error_counter()));
        let format = match log.format {
            Format::Json => tidegate_http::Format::Json,
            Format::Text => tidegate_http::Format::Text,
        };
        (stdout, format, log.access_attributes.clone())
    });
    Logs {
        access,
        lost,
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

    /// Count the lines that are lost.
    ///
    /// # Errors
    /// The registry has a metric of this name already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let options = Opts::new(
            "tidegate_log_lines_lost_total",
            "Lines that nobody read fast enough, by log: `proxy` on standard error, `access` on standard output.",
        );
        registry.register(Box::new(LostLines {
            logs: self.lost.clone(),
            counter: IntCounterVec::new(options, &["log"])?,
        }))
    }
}

/// The metric that counts lines that were lost, looked up when somebody asks.
struct LostLines {
    logs: Vec<(&'static str, ErrorCounter)>,
    counter: IntCounterVec,
}

impl Collector for LostLines {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.counter.reset();
        for (log, lost) in &self.logs {
            let lost = u64::try_from(lost.dropped_lines()).unwrap_or(u64::MAX);
            self.counter.with_label_values(&[log]).inc_by(lost);
        }
        self.counter.collect()
    }
}

fn writer<W: Write + Send + 'static>(to: W, lines: usize) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(lines)
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
