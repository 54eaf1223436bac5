//! `tidegate plugin`: what plugins are, and what is live.

use crate::library::FILE_BYTES_MAX;
use anyhow::{Context, bail};
use clap::Subcommand;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use tidegate_config::{Address, Config, read_file};
use tidegate_wasm::{Compiler, Imports, Options, Runtime};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The plugins of a running proxy: version, routes, and files that were refused.
    List {
        /// The admin address of the proxy, such as unix:/run/tidegate-admin.sock. Without it, the one in
        /// the configuration file; without that, 127.0.0.1:9901.
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<String>,
        /// The configuration file of the proxy, for its admin address.
        #[arg(short, long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
        config: Option<PathBuf>,
        /// Print the admin API's JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// One file: is it a plugin, which phases does it have, what can it do?
    Inspect {
        /// The component.
        file: PathBuf,
    },
}

pub(super) fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Inspect { file } => inspect(file),
        Verb::List {
            admin,
            config,
            json,
        } => {
            let address = admin_address(admin.as_deref(), config.as_deref())?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let body = runtime.block_on(get(&address, "/plugins"))?;
            if *json {
                return super::print(&body);
            }
            super::print(&table(&serde_json::from_str(&body)?))
        }
    }
}

fn inspect(file: &Path) -> anyhow::Result<()> {
    let bytes = read_file(file, FILE_BYTES_MAX)?;
    let options = Options {
        instances: 1,
        threads: 1,
        limiter_keys: 1,
        cache: None,
        compiler: Compiler::here(),
    };
    let (runtime, _) = Runtime::new(options, &prometheus::Registry::new())?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let version = runtime
        .load(&name.as_ref().into(), &bytes, None)
        .with_context(|| file.display().to_string())?;
    let imports = version.imports();
    let phases: Vec<_> = version.phases().iter().map(|phase| phase.name()).collect();
    let mut text = format!(
        "{name}\n  version  {}\n  sha256   {}\n  size     {} bytes\n  phases   {}\n  calls    {}\n  needs    {}\n  imports\n",
        version.version(),
        version.digest(),
        bytes.len(),
        phases.join(", "),
        calls(imports),
        needs(imports),
    );
    for import in imports.names() {
        text += &format!("    {import}\n");
    }
    super::print(&text)
}

/// How it is called.
fn calls(imports: &Imports) -> String {
    if imports.wasi() {
        return "asynchronous (it imports WASI, which can wait)".to_owned();
    }
    match imports.waiting() {
        Some(function) => format!("asynchronous (it imports {function}, which can wait)"),
        None => "synchronous (nothing that it imports can wait, unless its stores or limits are in Redis)".to_owned(),
    }
}

/// What it has to be allowed.
fn needs(imports: &Imports) -> String {
    let words: Vec<&str> = imports.capabilities().collect();
    match words.is_empty() {
        true => "no grant".to_owned(),
        false => format!("to be allowed {}", words.join(", ")),
    }
}

fn admin_address(admin: Option<&str>, config: Option<&Path>) -> anyhow::Result<Address> {
    if let Some(text) = admin {
        return text
            .parse()
            .with_context(|| format!("`{text}` is not an admin address"));
    }
    let Some(path) = config else {
        return Ok("127.0.0.1:9901".parse()?);
    };
    let config = Config::load(path, super::environment())?;
    let Some(address) = config.admin.address else {
        bail!(
            "{}: the admin address is off, so a running proxy cannot be asked",
            path.display()
        );
    };
    Ok(address)
}

/// One GET over TCP or a Unix socket.
async fn get(address: &Address, path: &str) -> anyhow::Result<String> {
    let nobody = || format!("no proxy answers at the admin address {address} (`tidegate run`?)");
    let (mut sender, done) = match address {
        Address::Socket(socket) => {
            let stream = tokio::net::TcpStream::connect(socket)
                .await
                .with_context(nobody)?;
            let (sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            (sender, tokio::spawn(connection))
        }
        Address::Unix(socket) => {
            let stream = tokio::net::UnixStream::connect(socket)
                .await
                .with_context(nobody)?;
            let (sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            (sender, tokio::spawn(connection))
        }
    };
    let request = hyper::Request::get(path)
        .header("host", "admin")
        .body(Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    done.await??;
    let body = String::from_utf8_lossy(&body).into_owned();
    if !status.is_success() {
        bail!("the admin address {address} answered {status}: {body}");
    }
    Ok(body)
}

/// The list for people; a plugin's problem is on a line of its own.
fn table(list: &serde_json::Value) -> String {
    let text = |plugin: &serde_json::Value, key: &str| match &plugin[key] {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::Array(items) if items.is_empty() => "-".to_owned(),
        serde_json::Value::Array(items) => {
            let items = items.iter().filter_map(|item| item.as_str());
            items.collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    let columns = ["name", "version", "state", "phases", "routes"];
    let header: Vec<String> = columns.iter().map(|c| c.to_uppercase()).collect();
    let empty = Vec::new();
    let plugins = list["plugins"].as_array().unwrap_or(&empty);
    let rows = plugins
        .iter()
        .map(|plugin| columns.iter().map(|c| text(plugin, c)).collect())
        .collect::<Vec<Vec<String>>>();
    let all = || std::iter::once(&header).chain(&rows);
    let width = |index: usize| {
        let cells = all().filter_map(|row| row.get(index));
        cells.map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for (index, row) in all().enumerate() {
        let cells = row.iter().zip(&widths).map(|(c, w)| format!("{c:w$}"));
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
        let problem = index
            .checked_sub(1)
            .and_then(|index| plugins.get(index)?["problem"].as_str());
        if let Some(problem) = problem {
            out += &format!("  ! {problem}\n");
        }
    }
    out
}
