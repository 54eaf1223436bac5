//! Set, append and remove header fields of requests and responses.
//!
//! A list of rules for each direction is checked and compiled by `configure`. Rules that need nothing of the head but
//! what the host can put together itself are given to it there, once and for all. For others, a phase turns
//! its list into edits, in order, and gives them to the host in one call. Values are rendered from the
//! head as it was before the first rule.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

use regex_lite::{Regex, RegexBuilder};
use tidegate_sdk::prelude::*;

#[cfg(test)]
mod tests;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Rules for the request, on its way to the upstream.
    #[serde(default)]
    request: Vec<RawRule>,
    /// Rules for the response, on its way to the client.
    #[serde(default)]
    response: Vec<RawRule>,
}

/// One rule: exactly one of `set`, `append`, `remove`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    /// The field that gets this one value.
    set: Option<String>,
    /// The field that gets one more value.
    append: Option<String>,
    /// The fields to remove: a name, a glob with `*`, or `~` and a regular expression.
    remove: Option<String>,
    /// The value for `set` and `append`, with `${…}`.
    value: Option<String>,
    /// What to do where something that the value names is absent.
    #[serde(default)]
    if_absent: IfAbsent,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum IfAbsent {
    /// It counts as empty text.
    #[default]
    Empty,
    /// The rule does nothing.
    Skip,
}

/// The plugin: compiled rules.
pub struct Headers {
    request: Rules,
    response: Rules,
}

/// The rules of one direction.
struct Rules {
    list: Vec<Rule>,
    /// Whether any looks at the names that a head has.
    look_at_names: bool,
}

#[plugin]
impl Plugin for Headers {
    type Config = Config;

    fn configure(config: Config, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut compile = |rules: Vec<RawRule>, direction| -> Vec<Rule> {
            let numbered = rules.into_iter().enumerate();
            numbered
                .filter_map(|(index, rule)| {
                    let compiled = Rule::new(rule, direction);
                    let place = |key| format!("{}.{index}{key}", direction.key());
                    compiled
                        .map_err(|(key, message)| errors.push(ConfigError::at(place(key), message)))
                        .ok()
                })
                .collect()
        };
        let request = compile(config.request, Direction::Request);
        let response = compile(config.response, Direction::Response);
        if !errors.is_empty() {
            return Err(errors);
        }
        if let Some(edits) = declared(&request) {
            interest.edit_request(edits)?;
        }
        if let Some(edits) = declared(&response) {
            interest.edit_response(edits)?;
        }
        Ok(Self {
            request: Rules::new(request),
            response: Rules::new(response),
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let head = Head {
            request,
            response: None,
        };
        let edits = self.request.edits(&head, || request.header_names());
        finish(&edits, |edits| request.edit(edits))
    }

    fn on_response(&self, response: &mut Response) -> Action {
        let head = Head {
            request: response.request(),
            response: Some(response),
        };
        let edits = self.response.edits(&head, || response.header_names());
        finish(&edits, |edits| response.edit(edits))
    }
}

/// Groups within groups of a regular expression. They are compiled by recursion, and a plugin's stack is small.
const DEEPEST: u32 = 24;

/// A rule that can be applied.
enum Rule {
    Set(String, Template, IfAbsent),
    Append(String, Template, IfAbsent),
    Remove(String),
    RemoveMatching(Regex),
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Request,
    Response,
}

/// The key of the rule that is wrong, with a dot in front, or nothing for the rule; and what is
/// wrong.
type Mistake = (&'static str, String);

impl Rule {
    fn new(raw: RawRule, direction: Direction) -> Result<Self, Mistake> {
        let if_absent = raw.if_absent;
        match (raw.set, raw.append, raw.remove, raw.value) {
            (Some(name), None, None, Some(value)) => {
                let name = field_name(&name).map_err(|message| (".set", message))?;
                Ok(Self::Set(name, template(&value, direction)?, if_absent))
            }
            (None, Some(name), None, Some(value)) => {
                let name = field_name(&name).map_err(|message| (".append", message))?;
                Ok(Self::Append(name, template(&value, direction)?, if_absent))
            }
            (None, None, Some(pattern), None) => {
                Self::remove(&pattern).map_err(|message| (".remove", message))
            }
            (None, None, Some(_), Some(_)) => Err((".value", "`remove` takes no value".into())),
            (Some(_), None, None, None) | (None, Some(_), None, None) => {
                Err(("", "missing key `value`".into()))
            }
            _ => Err((
                "",
                "expected exactly one of `set`, `append` and `remove`".into(),
            )),
        }
    }

    fn remove(pattern: &str) -> Result<Self, String> {
        let expression = if let Some(expression) = pattern.strip_prefix('~') {
            expression.to_owned()
        } else if pattern.contains('*') {
            format!("^{}$", regex_lite::escape(pattern).replace(r"\*", ".*"))
        } else {
            return field_name(pattern).map(Self::Remove);
        };
        RegexBuilder::new(&expression)
            .case_insensitive(true)
            .nest_limit(DEEPEST)
            .build()
            .map(Self::RemoveMatching)
            .map_err(|error| format!("not a regular expression: {error}"))
    }
}

impl Direction {
    fn key(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// A field name (RFC 9110 §5.1) that a plugin may change, in lower case.
fn field_name(name: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("`{name}` is not a header field name"));
    }
    if is_the_proxys(&name) {
        return Err(format!(
            "`{name}` is managed by the proxy and cannot be changed"
        ));
    }
    Ok(name)
}

/// Fields that frame the message or belong to one connection (RFC 9110 §7.6.1). A pattern that
/// matches them leaves them alone.
fn is_the_proxys(name: &str) -> bool {
    let own = [
        "connection",
        "content-length",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    own.contains(&name)
}

impl Rules {
    fn new(list: Vec<Rule>) -> Self {
        Self {
            look_at_names: list.iter().any(|r| matches!(r, Rule::RemoveMatching(_))),
            list,
        }
    }

    fn edits(&self, head: &Head<'_>, names: impl Fn() -> Vec<String>) -> Edits {
        let mut edits = Edits::new();
        // The names that a pattern looks at: the head's, asked for once, and those of earlier rules.
        let mut present: Option<Vec<String>> = None;
        let mut added = Vec::new();
        for rule in &self.list {
            match rule {
                Rule::Set(name, template, if_absent) => {
                    let Some(value) = template.render(head, *if_absent) else {
                        continue;
                    };
                    edits.set(name, value);
                    added.extend(self.look_at_names.then(|| name.clone()));
                }
                Rule::Append(name, template, if_absent) => {
                    let Some(value) = template.render(head, *if_absent) else {
                        continue;
                    };
                    edits.append(name, value);
                    added.extend(self.look_at_names.then(|| name.clone()));
                }
                Rule::Remove(name) => {
                    edits.remove(name);
                }
                Rule::RemoveMatching(pattern) => {
                    let present = present.get_or_insert_with(&names);
                    present.append(&mut added);
                    let matching = present.iter().filter(|name| pattern.is_match(name));
                    for name in matching.filter(|name| !is_the_proxys(name)) {
                        edits.remove(name);
                    }
                }
            }
        }
        edits
    }
}

/// The edits of rules that read nothing but attributes.
fn declared(rules: &[Rule]) -> Option<DeclaredEdits> {
    let mut edits = DeclaredEdits::new();
    for rule in rules {
        match rule {
            Rule::Set(name, template, if_absent) => edits.set(name, template.declared(*if_absent)?),
            Rule::Append(name, template, if_absent) => {
                edits.append(name, template.declared(*if_absent)?)
            }
            Rule::Remove(name) => edits.remove(name),
            Rule::RemoveMatching(_) => return None,
        };
    }
    Some(edits)
}

fn finish(edits: &Edits, apply: impl FnOnce(&Edits) -> Result<(), Error>) -> Action {
    if edits.is_empty() {
        return Action::Proceed;
    }
    match apply(edits) {
        Ok(()) => Action::Proceed,
        Err(error) => {
            log::error!("the proxy refused an edit: {error}");
            Action::Fail
        }
    }
}

/// What templates read.
struct Head<'a> {
    request: &'a Request,
    response: Option<&'a Response>,
}

/// A value with references.
struct Template(Vec<Part>);

enum Part {
    Text(String),
    Method,
    Scheme,
    Host,
    Path,
    Query,
    RequestHeader(String),
    ResponseStatus,
    ResponseHeader(String),
    Attribute(String),
}

impl Template {
    /// The value, or `None` where it names something absent and the rule says to skip then.
    fn render(&self, head: &Head<'_>, if_absent: IfAbsent) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        for part in &self.0 {
            if let Part::Text(text) = part {
                value.extend_from_slice(text.as_bytes());
                continue;
            }
            match part.read(head) {
                Some(bytes) => value.extend(bytes),
                None if if_absent == IfAbsent::Skip => return None,
                None => {}
            }
        }
        Some(value)
    }

    /// The value, where the host can put it together.
    fn declared(&self, if_absent: IfAbsent) -> Option<Vec<ValuePart>> {
        let part = |part: &Part| match part {
            Part::Text(text) => Some(ValuePart::bytes(text.as_str())),
            Part::Attribute(name) if if_absent == IfAbsent::Empty || is_always_there(name) => {
                Some(ValuePart::attribute(name))
            }
            _ => None,
        };
        self.0.iter().map(part).collect()
    }
}

/// Whether every exchange has this attribute.
fn is_always_there(name: &str) -> bool {
    matches!(
        name,
        "listener" | "route" | "request.id" | "request.protocol"
    )
}

impl Part {
    fn read(&self, head: &Head<'_>) -> Option<Vec<u8>> {
        let request = head.request;
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Method => Some(request.method().into_bytes()),
            Self::Scheme => Some(request.scheme().into_bytes()),
            Self::Host => Some(request.host().into_bytes()),
            Self::Path => Some(request.path().into_bytes()),
            Self::Query => request.query().map(String::into_bytes),
            Self::RequestHeader(name) => request.header(name).map(HeaderValue::into_bytes),
            Self::ResponseStatus => Some(head.response?.status().to_string().into_bytes()),
            Self::ResponseHeader(name) => head.response?.header(name).map(HeaderValue::into_bytes),
            Self::Attribute(name) => attributes::text(name).map(String::into_bytes),
        }
    }

    /// What stands between `${` and `}`.
    fn parse(reference: &str, direction: Direction) -> Result<Self, String> {
        let part = match reference.split_once('.') {
            Some(("request", "id" | "protocol")) => Self::Attribute(reference.to_owned()),
            Some(("request", "method")) => Self::Method,
            Some(("request", "scheme")) => Self::Scheme,
            Some(("request", "host")) => Self::Host,
            Some(("request", "path")) => Self::Path,
            Some(("request", "query")) => Self::Query,
            Some(("response", _)) if direction == Direction::Request => {
                return Err(format!(
                    "`${{{reference}}}` is not known before there is a response"
                ));
            }
            Some(("response", "status")) => Self::ResponseStatus,
            Some((head @ ("request" | "response"), rest)) => match rest.strip_prefix("header.") {
                Some(name) if head == "request" => Self::RequestHeader(name.to_owned()),
                Some(name) => Self::ResponseHeader(name.to_owned()),
                None => return Err(format!("unknown reference `${{{reference}}}`")),
            },
            _ if reference.is_empty() => return Err("`${}` names nothing".into()),
            _ => Self::Attribute(reference.to_owned()),
        };
        Ok(part)
    }
}

fn template(text: &str, direction: Direction) -> Result<Template, Mistake> {
    parse_template(text, direction).map_err(|message| (".value", message))
}

fn parse_template(text: &str, direction: Direction) -> Result<Template, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        parts.push(Part::Text(before.to_owned()));
        if let Some(after) = after.strip_prefix('$') {
            parts.push(Part::Text("$".into()));
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (reference, after) = after.split_once('}').ok_or("`${` without a `}`")?;
            parts.push(Part::parse(reference, direction)?);
            rest = after;
        } else {
            return Err("a `$` alone, write `$$` for the character or `${…}` for a value".into());
        }
    }
    parts.push(Part::Text(rest.to_owned()));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    if parts
        .iter()
        .any(|part| matches!(part, Part::Text(text) if text.contains(char::is_control)))
    {
        return Err("a header value cannot hold control characters".into());
    }
    Ok(Template(parts))
}
