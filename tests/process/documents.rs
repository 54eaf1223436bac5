//! What the documents name is there, and what they show works.

use std::fs;

use tempfile::TempDir;

use crate::harness::{repository, tidegate};

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a document has between backticks, line by line.
fn spans(document: &str) -> Vec<&str> {
    let lines = document.lines();
    lines
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

/// Whether a source has a test of this name: a function right below the attribute that makes it one.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines.windows(2).any(|two| {
        let function = two[1].trim_start_matches("async ");
        let declares = function
            .strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('));
        let is_test = two[0].starts_with("#[test]") || two[0].starts_with("#[tokio::test");
        declares && is_test
    })
}

/// The keys of the reference with their sections, `[server] threads`; also those that are examples (`#key = …`).
fn keys(reference: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut section = "";
    for line in reference.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, _)) = line.split_once(" = ")
            && !key.contains(' ')
        {
            keys.push(format!("{section} {key}"));
        }
    }
    keys
}

/// Whether this is the key, where `NAME` stands for any one name.
fn is_key(key: &str, written: &str) -> bool {
    let Some((before, after)) = written.split_once("NAME") else {
        return key == written;
    };
    let name = key
        .strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after));
    name.is_some_and(|name| !name.contains(['.', ' ', ']']))
}

#[test]
fn every_test_that_river_md_names_exists() {
    let document = read("docs/river.md");
    let tests: Vec<_> = spans(&document)
        .into_iter()
        .filter_map(|span| span.split_once(".rs::"))
        .collect();
    assert!(tests.len() > 50, "they are found: {}", tests.len());
    for (file, name) in tests {
        let source = read(&format!("{file}.rs"));
        assert!(has_test(&source, name), "{file}.rs has no test `{name}`");
    }
}

#[test]
fn every_key_that_documents_name_exists() {
    let keys = keys(&read("config/reference.toml"));
    let documents = fs::read_dir(repository().join("docs")).unwrap();
    let documents = documents.map(|entry| entry.unwrap().path());
    let documents = documents.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    for path in documents.chain([repository().join("README.md")]) {
        let document = fs::read_to_string(&path).unwrap();
        let sections = spans(&document).into_iter();
        for one in sections.filter(|span| span.starts_with('[') && span.contains("] ")) {
            // With a value or without one.
            let key = one.split_once(" = ").map_or(one, |(key, _)| key);
            let found = keys.iter().any(|known| is_key(known, key));
            let path = path.display();
            assert!(found, "{path}: config/reference.toml has no key `{key}`");
        }
    }
}

/// Those that need nothing but themselves: no plugins to build, no variables to set, no files to write.
#[test]
fn the_whole_configurations_of_the_readme_are_right() {
    let readme = read("README.md");
    let blocks = readme.split("```toml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let needs = ["plugins = ", "env = ", "\nfile = "];
    let whole: Vec<&str> = blocks
        .filter(|block| block.contains("[[listener]]") && block.contains("[[route]]"))
        .filter(|block| !needs.iter().any(|need| block.contains(need)))
        .collect();
    assert!(!whole.is_empty());
    for block in whole {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("tidegate.toml");
        fs::write(&path, block).unwrap();
        let checked = tidegate(&["check", "--config", path.to_str().unwrap()]);
        assert!(checked.status.success(), "{block}\n{}", checked.stderr);
    }
}
