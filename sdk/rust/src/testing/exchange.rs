//! One request and its response, as a test builds it and looks at it.

use std::collections::BTreeMap;

use super::fields::Fields;
use crate::Reply;
use crate::attributes::Value;

/// One request, its attributes and its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) request: Fields,
    pub(super) status: u16,
    pub(super) response: Fields,
    pub(super) attributes: BTreeMap<String, Value>,
    pub(super) reply: Option<Reply>,
}

/// Building.
impl Exchange {
    /// A request with this method and target: a path with or without a query, such as `/a?b=c`.
    /// It comes from `192.0.2.1`, asks for the host `example.com` over `http`, and the built-in
    /// attributes are set accordingly.
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            host: "example.com".to_owned(),
            path: path.to_owned(),
            query,
            request: Fields::default(),
            status: 200,
            response: Fields::default(),
            attributes: built_in(),
            reply: None,
        }
    }

    /// A `GET` request.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Another host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Another scheme: `https`.
    #[must_use]
    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.scheme);
        self
    }

    /// Add a request field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.append(name, value.as_ref());
        self
    }

    /// Set an attribute, as the proxy or an earlier plugin would; built-in ones too.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// Remove an attribute.
    #[must_use]
    pub fn without_attribute(mut self, name: &str) -> Self {
        self.attributes.remove(name);
        self
    }

    /// The upstream's response, for the response phase.
    #[must_use]
    pub fn response(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        self.status = status;
        self.response = Fields::default();
        for (name, value) in headers {
            self.response.append(name, value.as_bytes());
        }
        self
    }
}

/// Looking.
impl Exchange {
    /// A request field as text; several values are joined by `, `.
    pub fn request_header(&self, name: &str) -> Option<String> {
        self.request.text(name)
    }

    /// All request fields in order, values as text.
    pub fn request_headers(&self) -> Vec<(String, String)> {
        self.request.all()
    }

    /// A response field as text; several values are joined by `, `.
    pub fn response_header(&self, name: &str) -> Option<String> {
        self.response.text(name)
    }

    /// All response fields in order, values as text.
    pub fn response_headers(&self) -> Vec<(String, String)> {
        self.response.all()
    }

    /// The response's status.
    pub fn response_status(&self) -> u16 {
        self.status
    }

    /// An attribute.
    pub fn attribute_value(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    /// The reply that the plugin gave, if it did.
    pub fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }
}

fn built_in() -> BTreeMap<String, Value> {
    [
        ("client.address", Value::from("192.0.2.1")),
        ("client.port", Value::from(50_000)),
        ("peer.address", Value::from("192.0.2.1")),
        ("listener", Value::from("test")),
        ("route", Value::from("test")),
        ("request.id", Value::from("test-request")),
        ("request.protocol", Value::from("HTTP/1.1")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
