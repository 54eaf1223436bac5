//! Makes the call that the field `x-call` describes in JSON, and answers with what came of it: 200 with the
//! status and the body that came back, or 400 and the name of the failure.

#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_sdk::http::Failure;
use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Ask {}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    /// A whole call.
    Send {
        url: String,
        /// In milliseconds.
        timeout: Option<u64>,
        limit: Option<u32>,
    },
    /// What one server sends goes to another, piece by piece.
    Copy { from: String, to: String },
    /// Nobody is called; the plugin computes for ever.
    Spin {},
}

#[plugin]
impl Plugin for Ask {
    fn on_request(&self, request: &mut Request) -> Action {
        let Some(call) = request.header("x-call") else {
            return Action::Proceed;
        };
        let answer = match serde_json::from_slice(call.as_bytes()) {
            Ok(call) => make(call).map_err(|failure| failure.name().to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let (status, text) = match answer {
            Ok(text) => (200, text),
            Err(text) => (400, text),
        };
        request.respond(Reply::new(status).text(text))
    }
}

fn make(call: Call) -> Result<String, Failure> {
    match call {
        Call::Send {
            url,
            timeout,
            limit,
        } => send(url, timeout, limit),
        Call::Copy { from, to } => copy(from, to),
        Call::Spin {} => loop {
            std::hint::black_box(());
        },
    }
}

fn send(url: String, timeout: Option<u64>, limit: Option<u32>) -> Result<String, Failure> {
    let mut request = http::get(url);
    if let Some(timeout) = timeout {
        request = request.timeout(Duration::from_millis(timeout));
    }
    if let Some(limit) = limit {
        request = request.limit(limit);
    }
    let response = request.send()?;
    let location = response
        .header("location")
        .map(|value| value.text().into_owned());
    let said = location.unwrap_or_else(|| response.text().into_owned());
    Ok(format!("{} {said}", response.status))
}

fn copy(from: String, to: String) -> Result<String, Failure> {
    let mut source = http::get(from).begin()?.finish()?;
    let mut target = http::post(to).begin()?;
    while let Some(piece) = source.read()? {
        target.write(&piece)?;
    }
    let mut answer = target.finish()?;
    let mut text = Vec::new();
    while let Some(piece) = answer.read()? {
        text.extend(piece);
    }
    Ok(format!(
        "{} {}",
        answer.status,
        String::from_utf8_lossy(&text)
    ))
}
