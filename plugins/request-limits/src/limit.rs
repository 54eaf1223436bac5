//! The limits, and what a client is told that exceeds one.

use tidegate_sdk::prelude::*;

/// What a request can exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    Uri,
    Query,
    Headers,
    Method,
    ContentType,
    Body,
    Json,
}

impl Limit {
    /// In the metric.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Query => "query",
            Self::Headers => "headers",
            Self::Method => "method",
            Self::ContentType => "content_type",
            Self::Body => "body",
            Self::Json => "json",
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Uri => "the URI is too long\n",
            Self::Query => "the query has too many parameters\n",
            Self::Headers => "the header is too large\n",
            Self::Method => "the method is not allowed\n",
            Self::ContentType => "the type of the content is not supported\n",
            Self::Body => "the content is too large\n",
            Self::Json => "the JSON is nested too deep\n",
        }
    }
}

/// The status for each limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Statuses {
    uri: u16,
    query: u16,
    headers: u16,
    method: u16,
    content_type: u16,
    body: u16,
    json: u16,
}

/// Those of RFC 9110 §15.5 and RFC 6585 §5.
impl Default for Statuses {
    fn default() -> Self {
        Self {
            uri: 414,
            query: 400,
            headers: 431,
            method: 405,
            content_type: 415,
            body: 413,
            json: 400,
        }
    }
}

impl Statuses {
    pub(crate) fn of(&self, limit: Limit) -> u16 {
        match limit {
            Limit::Uri => self.uri,
            Limit::Query => self.query,
            Limit::Headers => self.headers,
            Limit::Method => self.method,
            Limit::ContentType => self.content_type,
            Limit::Body => self.body,
            Limit::Json => self.json,
        }
    }

    /// # Errors
    ///
    /// A status that is not that of an error.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let limits = [
            Limit::Uri,
            Limit::Query,
            Limit::Headers,
            Limit::Method,
            Limit::ContentType,
            Limit::Body,
            Limit::Json,
        ];
        match limits
            .into_iter()
            .find(|limit| !(400..=599).contains(&self.of(*limit)))
        {
            Some(limit) => {
                let place = format!("status.{}", limit.name());
                Err(ConfigError::at(place, "expected 400 to 599"))
            }
            None => Ok(()),
        }
    }
}
