//! Every configuration that people are shown starts as it is, but for its addresses.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::{Authority, Proxy, repository};

#[tokio::test]
async fn configurations_start() {
    for name in ["default", "quickstart", "reference"] {
        starts(&repository().join(format!("config/{name}.toml"))).await;
    }
}

#[tokio::test]
async fn examples_start() {
    for file in files("examples") {
        // Its plugin is for the reader to build; the tests of plugins do.
        if !file.parent().unwrap().ends_with("hello-plugin") {
            starts(&file).await;
        }
    }
}

#[tokio::test]
async fn samples_of_plugins_start() {
    for file in files("plugins") {
        starts(&file).await;
    }
}

/// `FOLDER/*/tidegate.toml`, at least one.
fn files(folder: &str) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(repository().join(folder)).unwrap();
    let files = folders.map(|entry| entry.unwrap().path().join("tidegate.toml"));
    let files: Vec<_> = files.filter(|file| file.is_file()).collect();
    assert!(!files.is_empty(), "{folder} has no configurations");
    files
}

async fn starts(file: &Path) {
    eprintln!("{}", file.display());
    let text = std::fs::read_to_string(file).unwrap();
    let folder = file.parent().unwrap();
    let lines = text.lines().map(|line| elsewhere(line, folder));
    let config = lines.collect::<Vec<_>>().join("\n");
    let proxy = Proxy::start_in(beside(folder), &config).await;
    assert_eq!(proxy.admin("/readyz").await.status, 200);
    // Its upstreams are not there.
    assert_ne!(proxy.get("/").await.status, 500);
}

/// A folder with what the file may name: its neighbours, and a certificate, which is for the reader to get.
fn beside(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let certificate = Authority::new().issue(&["localhost"]);
    certificate.write(copy.path(), "www");
    copy
}

/// The line with a port that is free, and with plugins where the file would look for them.
fn elsewhere(line: &str, folder: &Path) -> String {
    if line.starts_with("address = ") {
        return "address = \"127.0.0.1:0\"".to_owned();
    }
    match line.strip_prefix("directory = \"") {
        Some(rest) => {
            let directory = folder.join(rest.trim_end_matches('"'));
            format!("directory = \"{}\"", directory.display())
        }
        None => line.to_owned(),
    }
}
