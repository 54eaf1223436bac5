//! `[error_pages]`, and `error_pages` of a route: files that errors of the proxy are answered with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::keyed::Keyed;
use crate::located::Located;
use crate::resolve::Resolver;
use http::StatusCode;

/// Files by status, and by class of statuses; all absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorPages(BTreeMap<ErrorStatus, Located<PathBuf>>);

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorStatus {
    /// One status, 400 to 599.
    One(u16),
    /// 400 to 499, or 500 to 599: its first digit.
    Class(u16),
}

impl ErrorPages {
    /// The page for a status: its own, or that of its class.
    pub fn page(&self, status: StatusCode) -> Option<&Located<PathBuf>> {
        let status = status.as_u16();
        let class = ErrorStatus::Class(status / 100);
        self.0
            .get(&ErrorStatus::One(status))
            .or_else(|| self.0.get(&class))
    }

    /// All pages, statuses before classes.
    pub fn iter(&self) -> impl Iterator<Item = (ErrorStatus, &Located<PathBuf>)> {
        self.0.iter().map(|(status, page)| (*status, page))
    }
}

impl ErrorStatus {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "4xx" => return Some(Self::Class(4)),
            "5xx" => return Some(Self::Class(5)),
            _ => {}
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let status: u16 = text.parse().ok().filter(|_| digits)?;
        (400..=599).contains(&status).then_some(Self::One(status))
    }
}

/// As written: a path for each status or class.
pub(crate) type RawErrorPages = Keyed<Located<PathBuf>>;

pub(crate) fn resolve(raw: RawErrorPages, resolver: &mut Resolver) -> ErrorPages {
    let mut pages = BTreeMap::new();
    for (status, page) in raw.0 {
        match ErrorStatus::parse(&status.value) {
            Some(parsed) => {
                let path = resolver.source().resolve_path(page.value);
                pages.insert(parsed, Located::new(path, page.span));
            }
            None => resolver.reject(
                status.span,
                format!("`{}` is not the status of an error", status.value),
                "expected a status from 400 to 599, or a class: 4xx or 5xx",
            ),
        }
    }
    ErrorPages(pages)
}
