//! Media types (RFC 9110 §8.3.1) and ranges of them.

use tidegate_sdk::prelude::*;

/// `text/html`, `text/*` or `application/*+json`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct MediaRange {
    kind: String,
    /// The end of the subtype, where the range has a `*` before it; else the whole.
    subtype: String,
    any_beginning: bool,
}

impl MediaRange {
    /// Whether the value of a `content-type` is in it. Parameters do not matter.
    pub(crate) fn includes(&self, content_type: &str) -> bool {
        let essence = essence(content_type);
        let Some((kind, subtype)) = essence.split_once('/') else {
            return false;
        };
        kind == self.kind
            && match self.any_beginning {
                true => subtype.ends_with(&self.subtype),
                false => subtype == self.subtype,
            }
    }
}

impl TryFrom<String> for MediaRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let token = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
            !part.is_empty() && part.bytes().all(allowed)
        };
        let lower = text.to_ascii_lowercase();
        let parsed = lower.split_once('/').and_then(|(kind, subtype)| {
            let (subtype, any_beginning) = match subtype.strip_prefix('*') {
                Some(end) => (end, true),
                None => (subtype, false),
            };
            let fits = token(kind) && (token(subtype) || any_beginning && subtype.is_empty());
            fits.then(|| Self {
                kind: kind.to_owned(),
                subtype: subtype.to_owned(),
                any_beginning,
            })
        });
        parsed.ok_or_else(|| {
            format!("`{text}` is not a media type, expected one such as `text/html`, `text/*` or `application/*+json`")
        })
    }
}

/// JSON: `application/json`, and all with the suffix `+json` (RFC 6839 §3.1).
pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// Without parameters, in lower case.
fn essence(content_type: &str) -> String {
    let (essence, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    essence.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_what_they_say() {
        let includes = |range: &str, content_type: &str| {
            MediaRange::try_from(range.to_owned())
                .unwrap()
                .includes(content_type)
        };
        assert!(includes("text/html", "Text/HTML; charset=utf-8"));
        assert!(!includes("text/html", "text/htmlx"));
        assert!(includes("text/*", "text/css"));
        assert!(!includes("text/*", "application/json"));
        assert!(includes("application/*+json", "application/problem+json"));
        assert!(!includes("application/*+json", "application/json"));
        assert!(!includes("text/*", "text"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for range in [
            "",
            "text",
            "/html",
            "text/",
            "*/*",
            "text/a*b",
            "text/html; a=b",
        ] {
            assert!(MediaRange::try_from(range.to_owned()).is_err(), "{range}");
        }
    }

    #[test]
    fn json_has_several_names() {
        assert!(is_json("application/json"));
        assert!(is_json("application/problem+json; charset=utf-8"));
        assert!(!is_json("application/jsonp"));
        assert!(!is_json("text/html"));
    }
}
