//! How deep JSON (RFC 8259) is nested, in a stream. Nothing else is checked: what is not JSON is the
//! upstream's to refuse.

/// Where in a body the stream is.
#[derive(Default)]
pub(crate) struct Nesting {
    depth: u64,
    in_string: bool,
    /// After a backslash in a string.
    escaped: bool,
}

impl Nesting {
    /// Reads on; whether more than `limit` objects and arrays were open at once.
    pub(crate) fn exceeds(&mut self, limit: u64, data: &[u8]) -> bool {
        for &byte in data {
            match (self.in_string, byte) {
                (true, _) if self.escaped => self.escaped = false,
                (true, b'\\') => self.escaped = true,
                (true, b'"') => self.in_string = false,
                (true, _) => {}
                (false, b'"') => self.in_string = true,
                (false, b'{' | b'[') => {
                    self.depth += 1;
                    if self.depth > limit {
                        return true;
                    }
                }
                (false, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
                (false, _) => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn depth(value: &Value) -> u64 {
        let inner = |children: &mut dyn Iterator<Item = &Value>| children.map(depth).max();
        match value {
            Value::Array(items) => 1 + inner(&mut items.iter()).unwrap_or(0),
            Value::Object(members) => 1 + inner(&mut members.values()).unwrap_or(0),
            _ => 0,
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = r#"[\[\]{}"\\a]{0,5}"#.prop_map(Value::from);
        leaf.prop_recursive(6, 30, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(r#"[\[{"\\]{0,2}"#, inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_as_deep_as_a_parser_says(value in any_json(), size in 1_usize..9) {
            let body = value.to_string();
            let exceeds = |limit| {
                let mut nesting = Nesting::default();
                body.as_bytes().chunks(size).any(|piece| nesting.exceeds(limit, piece))
            };
            let depth = depth(&value);
            prop_assert!(!exceeds(depth));
            if let Some(less) = depth.checked_sub(1) {
                prop_assert!(exceeds(less));
            }
        }
    }
}
