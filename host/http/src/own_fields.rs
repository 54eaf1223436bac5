//! The fields that the proxy sets or removes itself in a head that goes to a peer. They are kept beside the client's
//! head, so that it need not be copied to be sent with them.

use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

/// Fields by name, each once: what it is set to, or nothing where it is removed.
#[derive(Debug)]
pub(crate) struct OwnFields(Vec<(HeaderName, Option<HeaderValue>)>);

impl OwnFields {
    /// None yet.
    pub(crate) fn new() -> OwnFields {
        // As many as there usually are.
        OwnFields(Vec::with_capacity(8))
    }

    /// Set a field, whatever the client says in it.
    pub(crate) fn set(&mut self, name: &HeaderName, value: HeaderValue) {
        self.put(name, Some(value));
    }

    /// Remove a field.
    pub(crate) fn remove(&mut self, name: &HeaderName) {
        self.put(name, None);
    }

    fn put(&mut self, name: &HeaderName, value: Option<HeaderValue>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.clone(), value)),
        }
    }

    /// Whether this decides what a field is.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// What this says of a field, if anything.
    pub(crate) fn get(&self, name: &HeaderName) -> Option<Option<&HeaderValue>> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_ref())
    }

    /// Those that are set.
    pub(crate) fn set_fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let fields = self.0.iter();
        fields.filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }

    /// Put them into a copy of the head.
    pub(crate) fn apply(self, head: &mut RequestHeader) -> pingora::Result<()> {
        for (name, value) in self.0 {
            match value {
                Some(value) => head.insert_header(name, value)?,
                None => drop(head.remove_header(&name)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, HOST};

    #[test]
    fn the_last_word_counts() {
        let mut own = OwnFields::new();
        own.remove(&HOST);
        own.set(&HOST, HeaderValue::from_static("a"));
        own.set(&ACCEPT, HeaderValue::from_static("b"));
        own.remove(&ACCEPT);
        let set: Vec<_> = own.set_fields().collect();
        assert_eq!(set, [(&HOST, &HeaderValue::from_static("a"))]);
        assert!(own.has(&ACCEPT));
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.insert_header("accept", "*/*").unwrap();
        own.apply(&mut head).unwrap();
        assert_eq!(head.headers.len(), 1);
        assert_eq!(head.headers[HOST], "a");
    }
}
