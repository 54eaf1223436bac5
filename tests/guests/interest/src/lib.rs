//! Declares the interests of its configuration, edits among them, and marks and counts the requests and
//! responses that the host calls it for.

#![forbid(unsafe_code)]

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    methods: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    headers: Option<Vec<String>>,
    /// Fields to set in requests without a call, and their values; a `$` before an attribute's name.
    edit_request: Option<Vec<(String, String)>>,
    /// The same in responses.
    edit_response: Option<Vec<(String, String)>>,
    /// Fields to set in the response, said when the request comes.
    prepare: Option<Vec<(String, String)>>,
}

struct Interested {
    prepare: Option<Edits>,
}

#[plugin]
impl Plugin for Interested {
    type Config = Settings;

    fn configure(config: Settings, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if let Some(methods) = config.methods {
            interest.methods(methods)?;
        }
        if let Some(paths) = config.paths {
            interest.paths(paths)?;
        }
        if let Some(headers) = config.headers {
            interest.headers(headers)?;
        }
        if let Some(fields) = config.edit_request {
            interest.edit_request(declared(fields))?;
        }
        if let Some(fields) = config.edit_response {
            interest.edit_response(declared(fields))?;
        }
        Ok(Interested {
            prepare: config.prepare.map(edits),
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        metrics::count("requests", &[], 1).ok();
        request.set_header("x-seen", "request").ok();
        if let Some(edits) = &self.prepare
            && let Err(error) = request.prepare_response(edits)
        {
            log::error!("not prepared: {error}");
            return Action::Fail;
        }
        Action::Proceed
    }

    fn on_response(&self, response: &mut Response) -> Action {
        metrics::count("responses", &[], 1).ok();
        response.set_header("x-seen", "response").ok();
        Action::Proceed
    }
}

fn edits(fields: Vec<(String, String)>) -> Edits {
    let mut edits = Edits::new();
    for (name, value) in fields {
        edits.set(name, value);
    }
    edits
}

/// `$route` is the attribute `route`; what stands before it is text.
fn declared(fields: Vec<(String, String)>) -> DeclaredEdits {
    let mut edits = DeclaredEdits::new();
    for (name, value) in fields {
        let (text, attribute) = value.split_once('$').unwrap_or((&value, ""));
        let parts = [ValuePart::bytes(text)].into_iter();
        let attribute = (!attribute.is_empty()).then(|| ValuePart::attribute(attribute));
        edits.set(name, parts.chain(attribute));
    }
    edits
}
