//! `tidegate explain`: what would become of a request, without sending it.

use crate::app::Parts;
use crate::grants;
use anyhow::{Context as _, bail};
use clap::Args;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use std::fmt::Write as _;
use tidegate_chain::{BodyMode, FailureKind, OnFailure, Phase, Plugin};
use tidegate_config::Config;
use tidegate_http::{Route, State, Target};
use tidegate_route::ListenerIndex;

/// The request to explain.
#[derive(Debug, Args)]
pub struct Question {
    /// The method, such as GET.
    method: String,
    /// The URL, such as https://api.example.com/v1/items?page=2. The host decides together with the path.
    url: String,
    /// A header field, as `name: value`; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// The name of the listener on which it comes; needed where routes are for single listeners.
    #[arg(short, long, value_name = "NAME")]
    listener: Option<String>,
    #[command(flatten)]
    config: super::ConfigFile,
}

pub(super) fn run(question: &Question) -> anyhow::Result<()> {
    let request = request(question)?;
    let config = Config::load(&question.config.config, super::environment())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let parts = Parts::new(&config)?;
    let state = runtime.block_on(parts.assemble(&config))?;
    let listener = listener(question.listener.as_deref(), &config)?;
    super::print(&explain(&request, listener, &state, &config, &parts)?)
}

/// The listener that is named; without a name the only one, or any if no route asks for it.
fn listener(name: Option<&str>, config: &Config) -> anyhow::Result<Option<ListenerIndex>> {
    let names: Vec<&str> = config.listeners.iter().map(|one| &*one.name).collect();
    let Some(name) = name else {
        if names.len() > 1 && config.routes.iter().any(|one| !one.listeners.is_empty()) {
            bail!(
                "some routes are for single listeners: say on which one the request comes, with --listener {}",
                names.join("|")
            );
        }
        return Ok((names.len() == 1).then_some(ListenerIndex(0)));
    };
    match names.iter().position(|one| *one == name) {
        Some(index) => Ok(Some(ListenerIndex(index))),
        None => bail!("there is no listener `{name}`, but {}", names.join(", ")),
    }
}

/// The request as it would be routed: host without port, path in its one form.
fn request(question: &Question) -> anyhow::Result<http::request::Parts> {
    let url: Uri = question.url.parse().context("the URL is not valid")?;
    let Some(authority) = url.authority() else {
        bail!(
            "`{}` has no host; write the whole URL, as in http://localhost/",
            question.url
        );
    };
    let host = tidegate_route::host(authority.as_str())
        .with_context(|| format!("`{authority}` is not a host"))?;
    let path = tidegate_route::normalize_path(url.path())
        .with_context(|| format!("`{}` is not a path that would be forwarded", url.path()))?;
    let target = match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    let method = Method::from_bytes(question.method.as_bytes())
        .with_context(|| format!("`{}` is not a method", question.method))?;
    let mut request = Request::builder().method(method).uri(target);
    for field in &question.headers {
        let field = field
            .split_once(':')
            .with_context(|| format!("`{field}` is not `name: value`"))?;
        let name: HeaderName = field.0.trim().parse()?;
        request = request.header(name, HeaderValue::from_str(field.1.trim())?);
    }
    let request = request.header("host", &*host);
    Ok(request.body(())?.into_parts().0)
}

fn explain(
    request: &http::request::Parts,
    listener: Option<ListenerIndex>,
    state: &State,
    config: &Config,
    parts: &Parts,
) -> anyhow::Result<String> {
    let host = request.headers.get("host").and_then(|h| h.to_str().ok());
    let asked = tidegate_route::Request {
        host: host.unwrap_or_default(),
        path: request.uri.path(),
        query: request.uri.query(),
        method: &request.method,
        headers: &request.headers,
        listener,
    };
    let Some(route) = state.routes.lookup(&asked) else {
        return Ok("no route: the answer is 404\n".to_owned());
    };
    let mut text = format!("route      {}\ntarget     {}\n", route.name, target(route));
    if route.chain.is_empty() {
        text += "plugins    none\n";
        return Ok(text);
    }
    text += "plugins    in this order on the way in, in reverse on the way out\n";
    for (index, plugin) in route.chain.plugins().iter().enumerate() {
        describe(&mut text, index + 1, &**plugin, request, config, parts)?;
    }
    text += &bodies(route, request, Phase::RequestBody);
    text += &bodies(route, request, Phase::ResponseBody);
    Ok(text)
}

fn target(route: &Route) -> String {
    match &route.target {
        Target::Upstream(upstream) => {
            let peers = upstream.names();
            let peers: Vec<&str> = peers.iter().map(|peer| &**peer).collect();
            format!("upstream {} ({})", upstream.name, peers.join(", "))
        }
        Target::Respond(reply) => format!("the proxy answers {}", reply.status.as_u16()),
        Target::Echo => "the proxy answers with the request".to_owned(),
        Target::Redirect(redirect) => format!(
            "redirect {} to {}",
            redirect.status.as_u16(),
            String::from_utf8_lossy(redirect.to.as_bytes())
        ),
    }
}

fn describe(
    text: &mut String,
    number: usize,
    plugin: &dyn Plugin,
    request: &http::request::Parts,
    config: &Config,
    parts: &Parts,
) -> anyhow::Result<()> {
    let name = &**plugin.name();
    let settings = config.plugins.settings(name);
    let version = parts
        .library
        .version(name, &settings)
        .map_err(anyhow::Error::msg)?;
    let interested =
        match plugin
            .interest()
            .matches(&request.method, &request.uri, &request.headers)
        {
            true => "",
            false => ", not called: it is not interested in this request",
        };
    writeln!(
        text,
        "{number:>4}. {name}@{}{interested}",
        version.version()
    )?;
    let phases: Vec<&str> = plugin.phases().iter().map(Phase::name).collect();
    writeln!(text, "      phases      {}", phases.join(", "))?;
    for (head, phase) in [
        ("request", Phase::RequestHead),
        ("response", Phase::ResponseHead),
    ] {
        if let Some((_, edits)) = plugin.interest().fixed_edits(phase) {
            let edits = match edits.len() {
                0 => "not called, nothing to edit".to_owned(),
                count => format!("not called; edits made in its place: {count}"),
            };
            writeln!(text, "      {head:<12}{edits}")?;
        }
    }
    let allowed = match grants::written(&settings.allow, &[]) {
        none if none == "[]" => "nothing".to_owned(),
        allowed => allowed,
    };
    writeln!(text, "      allowed     {allowed}")?;
    let waits = match plugin.waits() {
        true => format!("asynchronously, within {:?} in all", settings.wait),
        false => "synchronously".to_owned(),
    };
    writeln!(
        text,
        "      called      {waits}, computing at most {:?}",
        settings.deadline
    )?;
    let policies = FailureKind::ALL.map(|kind| match plugin.policy().on(kind) {
        OnFailure::Closed => format!("{} closed", kind.name()),
        OnFailure::Open => format!("{} open", kind.name()),
    });
    writeln!(text, "      on failure  {}", policies.join(", "))?;
    Ok(())
}

/// How the bodies of one direction go through the chain, and what that means for the head.
fn bodies(route: &Route, request: &http::request::Parts, phase: Phase) -> String {
    let (label, response) = match phase {
        Phase::ResponseBody => ("response", true),
        _ => ("request ", false),
    };
    let mut ways: Vec<(String, BodyMode)> = Vec::new();
    for plugin in route.chain.plugins() {
        let interest = plugin.interest();
        let mode = match response {
            true => interest.response_body,
            false => interest.request_body,
        };
        let called = interest.matches(&request.method, &request.uri, &request.headers);
        if called && plugin.phases().contains(phase) && mode != BodyMode::None {
            ways.push((format!("{} ({mode})", plugin.name()), mode));
        }
    }
    if response {
        ways.reverse();
    }
    if ways.is_empty() {
        return format!("{label} body  passes unseen\n");
    }
    let names: Vec<&str> = ways.iter().map(|(name, _)| &**name).collect();
    let waits = ways
        .iter()
        .any(|(_, mode)| !matches!(mode, BodyMode::Streaming));
    let whole = ways
        .iter()
        .any(|(_, mode)| matches!(mode, BodyMode::Buffer(_)));
    let head = match (waits, whole) {
        (_, true) => "the head waits for the whole body, whose length is then known",
        (true, false) => "the head waits for the beginning of the body; its length is not known",
        (false, false) => "the head does not wait; the body's length is not known",
    };
    format!("{label} body  {}: {head}\n", names.join(" → "))
}
