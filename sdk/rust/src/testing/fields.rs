//! The fields of a head, with HTTP's rules and the proxy's.

use crate::Error;
use crate::bindings::host::tidegate::plugin::types::Edit;
use crate::field_name::check;

/// Fields in order; names in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    pub(super) fn values(&self, name: &str) -> Vec<Vec<u8>> {
        let matching = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        matching.map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn joined(&self, name: &str) -> Option<Vec<u8>> {
        let separator: &[u8] = if name.eq_ignore_ascii_case("cookie") {
            b"; "
        } else {
            b", "
        };
        let values = self.values(name);
        (!values.is_empty()).then(|| values.join(separator))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.joined(name)?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    pub(super) fn all(&self) -> Vec<(String, String)> {
        let pairs = self.0.iter();
        pairs
            .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
            .collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in &self.0 {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Without a check, for what a test sets.
    pub(super) fn append(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_ascii_lowercase(), value.to_vec()));
    }

    /// What a plugin changes.
    fn edit(&mut self, edit: &Edit) -> Result<(), Error> {
        match edit {
            Edit::Set((name, value)) => {
                check(name, value)?;
                self.remove(name);
                self.append(name, value);
            }
            Edit::Append((name, value)) => {
                check(name, value)?;
                self.append(name, value);
            }
            Edit::Remove(name) => {
                check(name, b"")?;
                self.remove(name);
            }
        }
        Ok(())
    }

    /// Whether a plugin may make all of these.
    pub(super) fn check_all(edits: &[Edit]) -> Result<(), Error> {
        Self::default().edit_all(edits)
    }

    /// In order; the first that is refused ends it, those before it stay.
    pub(super) fn edit_all(&mut self, edits: &[Edit]) -> Result<(), Error> {
        if edits.len() > 1024 {
            return Err(Error::LimitReached);
        }
        edits.iter().try_for_each(|edit| self.edit(edit))
    }

    /// In order; what is refused is left out.
    pub(super) fn edit_each(&mut self, edits: &[Edit]) {
        for edit in edits {
            let _ = self.edit(edit);
        }
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }
}
