//! Tells the host what it must not believe. The field `x-lie` chooses the lie; those that ask the host
//! for something answer with a list of what the host said.

#![forbid(unsafe_code)]

use std::fmt::{Display, Write};

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Liar {}

#[plugin]
impl Plugin for Liar {
    fn on_request(&self, request: &mut Request) -> Action {
        let Some(lie) = request.header("x-lie") else {
            return Action::Proceed;
        };
        match &*lie.text() {
            "respond" => Action::Respond,
            "fail" => Action::Fail,
            "edits" => report(request, edits),
            "many" => report(request, many),
            "status" => request.respond(Reply::new(99)),
            "informational" => request.respond(Reply::new(101)),
            "framing" => request.respond(Reply::new(200).header("content-length", "7").text("x")),
            "split" => request.respond(Reply::new(200).header("x-a", "a\r\nx-b: b")),
            "body" => request.respond(Reply::new(200).text("x".repeat((1 << 20) + 1))),
            "bodiless" => request.respond(Reply::new(204).text("a body")),
            _ => Action::Proceed,
        }
    }

    fn on_response(&self, response: &mut Response) -> Action {
        let Some(lie) = response.request().header("x-lie") else {
            return Action::Proceed;
        };
        match &*lie.text() {
            "respond-late" => Action::Respond,
            "edits-late" => late_edits(response),
            _ => Action::Proceed,
        }
    }
}

fn report(request: &mut Request, lie: fn(&mut Request, &mut String)) -> Action {
    let mut report = String::new();
    lie(request, &mut report);
    request.respond(Reply::new(200).text(report))
}

/// Each of these is refused, and the reason is part of the contract.
fn edits(request: &mut Request, report: &mut String) {
    for name in ["content-length", "Transfer-Encoding", "connection", "host"] {
        line(report, name, answer(request.set_header(name, "1")));
        line(report, name, answer(request.remove_header(name)));
    }
    for name in ["", "a b", "a:b", "a\r\nb", "ä"] {
        line(report, name, answer(request.set_header(name, "1")));
    }
    for value in ["a\r\nb: c", "a\nb", "a\0b"] {
        line(
            report,
            value,
            answer(request.append_header("x-value", value)),
        );
    }
    let huge = request.set_header("x-huge", vec![b'x'; 1 << 20]);
    line(report, "huge", answer(huge));
    for name in ["client.address", "request.id", "route", "Upper", ""] {
        line(report, name, answer(attributes::set(name, "mine")));
    }
    line(
        report,
        "metric",
        answer(metrics::count("Not A Metric", &[], 1)),
    );
}

/// Ten thousand fields: as many as fit are taken.
fn many(request: &mut Request, report: &mut String) {
    let taken = (0..10_000)
        .map(|n| request.append_header(&format!("x-many-{n}"), "1"))
        .take_while(Result::is_ok)
        .count();
    line(report, "taken", taken);
    line(report, "then", answer(request.append_header("x-many", "1")));
}

fn late_edits(response: &mut Response) -> Action {
    let mut report = String::new();
    for status in [0, 99, 101, 204, 600, 65535] {
        let answered = answer(response.set_status(status));
        line(&mut report, &status.to_string(), answered);
    }
    let framing = response.set_header("content-length", "1");
    line(&mut report, "content-length", answer(framing));
    let split = response.set_header("x-a", "a\r\nx-b: b");
    line(&mut report, "split", answer(split));
    let shown = report.trim_end().replace('\n', "; ");
    response.set_header("x-report", shown).ok();
    Action::Proceed
}

fn answer(answer: Result<(), Error>) -> &'static str {
    answer.map_or_else(|error| error.name(), |()| "ok")
}

fn line(report: &mut String, what: &str, answer: impl Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(report, "{} {answer}", what.escape_debug());
}
