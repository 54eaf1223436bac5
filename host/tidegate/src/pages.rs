//! The pages of a configuration, for errors and for maintenance: read when a state is made, so that none is
//! missing when it is needed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_config::{self as config, Config, Error, ErrorStatus, Located, read_file};
use tidegate_http::{ErrorPages, Maintenance, Page};

/// The most bytes of a page: each is held in memory.
const BYTES_MAX: u64 = 1 << 20;

/// Reads pages, each file once for all routes.
pub(crate) struct Pages<'a> {
    config: &'a Config,
    /// `None` where one could not be read.
    read: HashMap<&'a Path, Option<Page>>,
    /// What was wrong with them.
    pub(crate) problems: Vec<Error>,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(config: &'a Config) -> Pages<'a> {
        Pages {
            config,
            read: HashMap::new(),
            problems: Vec::new(),
        }
    }

    /// The pages for errors, of a route or of all.
    pub(crate) fn errors(
        &mut self,
        pages: &'a config::ErrorPages,
        otherwise: Option<Arc<ErrorPages>>,
    ) -> ErrorPages {
        let mut read = ErrorPages {
            otherwise,
            ..ErrorPages::default()
        };
        for (status, file) in pages.iter() {
            let Some(page) = self.page(file) else {
                continue;
            };
            match status {
                ErrorStatus::One(status) => read.statuses.insert(status, page),
                ErrorStatus::Class(class) => read.classes.insert(class, page),
            };
        }
        read
    }

    /// The maintenance of a route or of all, if there is any at present.
    pub(crate) fn maintenance(
        &mut self,
        maintenance: &'a config::Maintenance,
    ) -> Option<Maintenance> {
        // Also where it is off: that the page is missing is not to be found out when it is switched on.
        let page = maintenance.page.as_ref().and_then(|file| self.page(file));
        maintenance.enabled.then(|| Maintenance {
            status: maintenance.status,
            retry_after: maintenance.retry_after.map(|time| time.as_secs().max(1)),
            page,
            allow: maintenance.allow.clone(),
        })
    }

    fn page(&mut self, file: &'a Located<PathBuf>) -> Option<Page> {
        if let Some(known) = self.read.get(&*file.value) {
            return known.clone();
        }
        let page = match read_file(&file.value, BYTES_MAX) {
            Ok(body) => Some(Page::new(&file.value, body)),
            Err(error) => {
                let error = self.config.error(file.span, error.to_string());
                self.problems.push(error);
                None
            }
        };
        self.read.insert(&file.value, page.clone());
        page
    }
}
