//! Pages that take the place of the line of text with which the proxy answers errors of its own: no route,
//! a request that is refused, a plugin that failed, an upstream that does not answer. Errors that an
//! upstream or a plugin answers pass as they are.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tidegate_chain::Reply;

/// A file, as it was when the configuration was loaded.
#[derive(Clone, Debug)]
pub struct Page {
    content_type: HeaderValue,
    body: Bytes,
}

impl Page {
    /// The content of a file, whose extension says what it is.
    pub fn new(file: &Path, body: impl Into<Bytes>) -> Page {
        Page {
            content_type: HeaderValue::from_static(content_type(file)),
            body: body.into(),
        }
    }

    /// A response with this page.
    pub(crate) fn reply(&self, status: StatusCode) -> Reply {
        let mut reply = Reply::text(status, self.body.clone());
        let content_type = self.content_type.clone();
        reply.headers.insert(header::CONTENT_TYPE, content_type);
        reply
    }
}

fn content_type(file: &Path) -> &'static str {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let extension = extension.map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        Some("xml") => "application/xml",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// Pages by status, or by the first digit of it.
#[derive(Clone, Debug, Default)]
pub struct ErrorPages {
    /// For one status.
    pub statuses: HashMap<u16, Page>,
    /// For the others of a class: 4 or 5.
    pub classes: HashMap<u16, Page>,
    /// Where neither has one: of a route, the pages of all routes.
    pub otherwise: Option<Arc<ErrorPages>>,
}

impl ErrorPages {
    /// The answer to a request that cannot be served: the page, or a line of text with the reason.
    pub(crate) fn reply(&self, status: StatusCode, reason: &str) -> Reply {
        match self.page(status) {
            Some(page) => page.reply(status),
            None => Reply::text(status, format!("{} {reason}\n", status.as_u16())),
        }
    }

    /// As [`ErrorPages::reply`], for an error of which nothing is said but what it is called.
    pub(crate) fn of_status(&self, status: StatusCode) -> Reply {
        let name = status.canonical_reason().unwrap_or("error");
        self.reply(status, &name.to_ascii_lowercase())
    }

    fn page(&self, status: StatusCode) -> Option<&Page> {
        let own = self.statuses.get(&status.as_u16());
        own.or_else(|| self.classes.get(&(status.as_u16() / 100)))
            .or_else(|| self.otherwise.as_ref()?.page(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &'static str) -> Page {
        Page::new(Path::new("a.html"), text)
    }

    fn text(pages: &ErrorPages, status: u16) -> Bytes {
        pages.of_status(StatusCode::from_u16(status).unwrap()).body
    }

    #[test]
    fn the_status_goes_before_its_class_and_a_route_before_all_routes() {
        let all = ErrorPages {
            statuses: HashMap::from([(502, page("all 502"))]),
            classes: HashMap::from([(4, page("all 4xx"))]),
            otherwise: None,
        };
        let route = ErrorPages {
            statuses: HashMap::from([(404, page("route 404"))]),
            classes: HashMap::from([(5, page("route 5xx"))]),
            otherwise: Some(Arc::new(all.clone())),
        };
        assert_eq!(text(&all, 404), "all 4xx");
        assert_eq!(text(&all, 502), "all 502");
        assert_eq!(text(&all, 503), "503 service unavailable\n");
        assert_eq!(text(&route, 404), "route 404");
        assert_eq!(text(&route, 413), "all 4xx");
        assert_eq!(text(&route, 502), "route 5xx");
    }

    #[test]
    fn the_extension_says_what_a_page_is() {
        let cases = [
            ("a/404.html", "text/html; charset=utf-8"),
            ("404.HTM", "text/html; charset=utf-8"),
            ("404.json", "application/json"),
            ("404", "application/octet-stream"),
        ];
        for (file, expected) in cases {
            assert_eq!(content_type(Path::new(file)), expected, "{file}");
        }
    }
}
