//! Whatever the file says, reading it ends with a configuration or with errors.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tidegate_config::{Config, Source};

proptest! {
    #[test]
    fn damaged_files_are_refused_or_read(edits in prop::collection::vec(edit(), 1..6)) {
        let mut text = FULL.to_owned();
        for (place, length, piece) in edits {
            let start = text.floor_char_boundary(place % (text.len() + 1));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end.max(start), &piece);
        }
        read(&text);
    }

    #[test]
    fn any_text_is_refused_or_read(text in "\\PC{0,200}") {
        read(&text);
    }
}

fn read(text: &str) {
    let variables = ["TIDEGATE_SERVER_THREADS", "TIDEGATE_PLUGINS_ALLOW"];
    let envs = variables.map(|name| vec![(name.to_owned(), text.to_owned())]);
    for env in [vec![]].into_iter().chain(envs) {
        match Config::parse(Source::new("hostile.toml", text), env) {
            Ok(config) => {
                for plugin in config.routes.iter().flat_map(|route| &route.plugins) {
                    plugin.config.locate("rules.1.name");
                }
            }
            Err(errors) => assert!(!errors.to_string().is_empty()),
        }
    }
}

/// Where, how many bytes go, and what comes instead.
fn edit() -> impl Strategy<Value = (usize, usize, String)> {
    let piece = prop_oneof![
        Just(String::new()),
        prop::sample::select(vec![
            "\"",
            "'''",
            "=",
            "[",
            "]]",
            "{",
            "}",
            "\n",
            "\r\n",
            "\t",
            "\u{0}",
            "é",
            "0",
            "-1",
            "99999999999999999999",
            "1e999",
            "nan",
            "1979-05-27",
            "true",
            "\"unix:\"",
            "[[route]]\n",
            "upstream",
            "https://*.",
            "kv = [\"usual\"]",
            "a.b.c = 1\n",
            ",",
            "0xFFFFFFFFFFFFFFFFFF",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ];
    (any::<usize>(), 0_usize..40, piece)
}

const FULL: &str = include_str!("valid/full.toml");
