//! The stream against a parser that has the whole.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn redaction(paths: &[&str]) -> Redaction {
    let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
    Redaction::new(&paths, &json!("gone")).unwrap().unwrap()
}

/// In pieces of this size; what went on, and what went wrong.
fn run(redaction: &Redaction, body: &[u8], size: usize) -> (Vec<u8>, Result<(), Malformed>) {
    let mut redactor = Redactor::default();
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        if let Err((malformed, _)) = redactor.push(redaction, piece, &mut out) {
            return (out, Err(malformed));
        }
    }
    let finished = redactor.finish();
    (out, finished)
}

fn text(redaction: &Redaction, body: &str) -> String {
    let (whole, result) = run(redaction, body.as_bytes(), usize::MAX);
    assert_eq!(result, Ok(()), "{body}");
    for size in 1..6 {
        assert_eq!(
            run(redaction, body.as_bytes(), size).0,
            whole,
            "{body} by {size}"
        );
    }
    String::from_utf8(whole).unwrap()
}

/// What a parser would do: the same paths, on the whole value.
fn reference(redaction: &Redaction, value: &mut Value, alive: u64, depth: usize) {
    let visit = |place: Place<'_>, child: &mut Value| {
        let (further, ends) = redaction.follow(alive, depth, place);
        match ends {
            true => *child = json!("gone"),
            false => reference(redaction, child, further, depth + 1),
        }
    };
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                visit(Place::Key(Some(key)), member);
            }
        }
        Value::Array(items) => {
            for (index, item) in (0..).zip(items) {
                visit(Place::Index(index), item);
            }
        }
        _ => {}
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Fractions that are the same in binary and in decimal.
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 4.0)),
        r#"[a-c"\\/{}\[\],: \né€😀]{0,6}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("[abc\"é]{1,2}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::collection::vec(r#"[abc"é]{1,2}|\*|[0-3]"#, 1..4).prop_map(|s| s.join(".")),
        "[abc]".prop_map(|key| format!("**.{key}")),
    ]
}

proptest! {
    #[test]
    fn it_is_as_if_the_whole_were_parsed(
        mut value in any_json(),
        paths in proptest::collection::vec(any_path(), 1..4),
        pretty: bool,
        size in 1_usize..20,
    ) {
        let redaction = Redaction::new(&paths, &json!("gone")).unwrap().unwrap();
        let body = if pretty { format!("{value:#}") } else { value.to_string() };
        let (out, result) = run(&redaction, body.as_bytes(), size);
        prop_assert_eq!(result, Ok(()));
        reference(&redaction, &mut value, u64::MAX, 0);
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), value);
    }

    #[test]
    fn whatever_comes_it_does_not_panic_and_cutting_changes_nothing(
        body in proptest::collection::vec(prop_oneof![4 => proptest::sample::select(br#"{}[]",:\a1 "#.to_vec()), 1 => any::<u8>()], 0..60),
        size in 1_usize..9,
    ) {
        let redaction = redaction(&["a", "*.a", "**.1"]);
        prop_assert_eq!(run(&redaction, &body, size), run(&redaction, &body, usize::MAX));
    }

    #[test]
    fn what_a_parser_reads_is_not_malformed(body in r#"[\[\]{}",:a1 ]{0,12}"#) {
        if serde_json::from_str::<Value>(&body).is_ok() {
            prop_assert_eq!(run(&redaction(&["a"]), body.as_bytes(), 3).1, Ok(()));
        }
    }
}

#[test]
fn all_else_passes_byte_for_byte() {
    let redaction = redaction(&["user.password", "items.*.card"]);
    let body = " {\"user\" : {\"password\"\t: {\"a\":[1,\"}\"]} , \"n\":1.50},\n\"items\":[{\"card\":1e3},[2]]}\n";
    let expected = " {\"user\" : {\"password\"\t: \"gone\" , \"n\":1.50},\n\"items\":[{\"card\":\"gone\"},[2]]}\n";
    assert_eq!(text(&redaction, body), expected);
}

#[test]
fn a_key_can_be_spelt_in_other_ways() {
    let redaction = redaction(&["pass", "a\\.b", "\\*"]);
    assert_eq!(
        text(&redaction, r#"{"p\u0061ss":1}"#),
        r#"{"p\u0061ss":"gone"}"#
    );
    assert_eq!(
        text(&redaction, r#"{"\u0070\u0061\u0073\u0073":1}"#),
        r#"{"\u0070\u0061\u0073\u0073":"gone"}"#
    );
    assert_eq!(
        text(&redaction, r#"{"a.b":1,"*":2,"x":3}"#),
        r#"{"a.b":"gone","*":"gone","x":3}"#
    );
    assert_eq!(
        text(&redaction, r#"{"pass":1,"pass":2}"#),
        r#"{"pass":"gone","pass":"gone"}"#
    );
    assert_eq!(
        text(&redaction, "\u{feff}{\"pass\":1}"),
        "\u{feff}{\"pass\":\"gone\"}"
    );
}

#[test]
fn a_key_can_be_redacted_wherever_it_is() {
    let redaction = redaction(&["**.token"]);
    assert_eq!(
        text(&redaction, r#"[{"token":[1]},{"a":{"token":"t"}},"token"]"#),
        r#"[{"token":"gone"},{"a":{"token":"gone"}},"token"]"#
    );
}

#[test]
fn what_is_not_json_has_its_place() {
    let redaction = redaction(&["a"]);
    let place = |body: &str| {
        run(&redaction, body.as_bytes(), 1)
            .1
            .map_err(|Malformed(at)| at)
    };
    for (body, at) in [
        ("{a", 1),
        ("{\"a\" 1}", 5),
        ("[1 2]", 3),
        ("[1,]", 3),
        ("{}}", 2),
        ("[}", 1),
        ("{\"a\":1", 6),
        ("\"a", 2),
        ("<html>", 0),
    ] {
        assert_eq!(place(body), Err(at), "{body}");
    }
    assert_eq!(place(""), Ok(()));
    assert_eq!(place(" 1"), Ok(()));
    assert_eq!(place(&"[".repeat(DEEPEST + 1)), Err(DEEPEST as u64));
    let deepest = format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
    assert_eq!(place(&deepest), Ok(()));
}

#[test]
fn a_path_that_is_none_is_refused() {
    let mistake = |path: &str| {
        let error = Redaction::new(&[path.to_owned()], &json!("gone"))
            .err()
            .unwrap();
        assert_eq!(error.path, "redact.0");
        error.message
    };
    assert!(mistake("").contains("joined by dots"));
    assert!(mistake("a..b").contains("joined by dots"));
    assert!(mistake("a.").contains("joined by dots"));
    assert!(mistake("a\\").contains("backslash"));
    assert!(mistake("a.**").contains("first step"));
    assert!(mistake("**.a.b").contains("one key"));
    assert!(mistake("**.*").contains("one key"));
}
