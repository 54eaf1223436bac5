//! Files change in many ways: each ends with the new version, and none with half of one.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::{Proxy, until};

use super::support::{
    echo_route, install, listed, no_problem, plugin_file, problem, stamp, start_with,
};

async fn proxy_with(version: usize) -> Proxy {
    let config = echo_route("all", "/*", "[\"p\"]");
    start_with(&[("p.wasm", stamp(version))], &config).await
}

async fn version(proxy: &Proxy) -> String {
    let response = proxy.get("/").await;
    assert_eq!(response.status, 200);
    response.header("x-version").to_owned()
}

async fn becomes(proxy: &Proxy, wanted: usize) {
    let wanted = format!("{wanted:08}");
    until(&format!("version {wanted}"), async || {
        (version(proxy).await == wanted).then_some(())
    })
    .await;
}

/// Replaces a symlink as a deployment does.
fn point(link: &Path, to: &Path) {
    let aside = link.with_file_name(".link.new");
    symlink(to, &aside).unwrap();
    fs::rename(aside, link).unwrap();
}

#[tokio::test]
async fn a_copy_that_stalls_is_no_plugin_until_it_is_whole() {
    let proxy = proxy_with(1).await;
    let new = stamp(2);
    let mut file = File::create(plugin_file(&proxy, "p.wasm")).unwrap();
    for piece in new.chunks(new.len() / 3 + 1) {
        assert_eq!(version(&proxy).await, "00000001");
        file.write_all(piece).unwrap();
        if file.metadata().unwrap().len() < new.len() as u64 {
            // The proxy has looked at the half file before it goes on.
            problem(&proxy, "p").await;
        }
    }
    drop(file);
    becomes(&proxy, 2).await;
    no_problem(&proxy, "p").await;
}

#[tokio::test]
async fn a_copy_in_small_pieces_takes_over() {
    let proxy = proxy_with(1).await;
    let path = plugin_file(&proxy, "p.wasm");
    let copy = std::thread::spawn(move || {
        let mut file = File::create(path).unwrap();
        for piece in stamp(2).chunks(512) {
            file.write_all(piece).unwrap();
            std::thread::yield_now();
        }
    });
    while !copy.is_finished() {
        let now = version(&proxy).await;
        assert!(["00000001", "00000002"].contains(&&*now), "{now}");
    }
    copy.join().unwrap();
    becomes(&proxy, 2).await;
    no_problem(&proxy, "p").await;
}

#[tokio::test]
async fn a_file_that_is_renamed_over_takes_over() {
    let proxy = proxy_with(1).await;
    install(&proxy, "p.wasm", &stamp(2));
    becomes(&proxy, 2).await;
}

#[tokio::test]
async fn a_file_that_is_deleted_keeps_serving_until_it_is_back() {
    let proxy = proxy_with(1).await;
    let path = plugin_file(&proxy, "p.wasm");
    fs::remove_file(&path).unwrap();
    let said = problem(&proxy, "p").await;
    assert!(said.contains("is gone"), "{said}");
    assert_eq!(version(&proxy).await, "00000001");
    // The same again, and then another.
    fs::write(&path, stamp(1)).unwrap();
    no_problem(&proxy, "p").await;
    assert_eq!(version(&proxy).await, "00000001");
    fs::remove_file(&path).unwrap();
    problem(&proxy, "p").await;
    fs::write(&path, stamp(2)).unwrap();
    becomes(&proxy, 2).await;
    no_problem(&proxy, "p").await;
}

#[tokio::test]
async fn a_symlink_that_is_pointed_elsewhere_takes_over() {
    let proxy = proxy_with(0).await;
    let link = plugin_file(&proxy, "p.wasm");
    let elsewhere = proxy.folder().join("releases");
    fs::create_dir(&elsewhere).unwrap();
    for release in 1..=3 {
        let target = elsewhere.join(format!("p-{release}.wasm"));
        fs::write(&target, stamp(release)).unwrap();
        point(&link, &target);
        becomes(&proxy, release).await;
    }
}

#[tokio::test]
async fn a_symlink_whose_target_changes_in_another_folder_takes_over() {
    let proxy = proxy_with(0).await;
    let elsewhere = proxy.folder().join("releases");
    fs::create_dir(&elsewhere).unwrap();
    let target = elsewhere.join("p.wasm");
    fs::write(&target, stamp(1)).unwrap();
    point(&plugin_file(&proxy, "p.wasm"), &target);
    becomes(&proxy, 1).await;
    // Nothing happens in the folder that is watched: the proxy has to look by itself.
    fs::write(elsewhere.join("new"), stamp(2)).unwrap();
    fs::rename(elsewhere.join("new"), &target).unwrap();
    becomes(&proxy, 2).await;
}

/// As Kubernetes mounts a ConfigMap: files are links through a link to a folder, which is switched.
#[tokio::test]
async fn a_folder_behind_a_symlink_that_is_switched_takes_over() {
    let proxy = proxy_with(0).await;
    let plugins = proxy.folder().join("plugins");
    for release in 1..=2 {
        let folder = plugins.join(format!("..release-{release}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("p.wasm"), stamp(release)).unwrap();
        point(&plugins.join("..data"), &folder);
        if release == 1 {
            point(&plugins.join("p.wasm"), Path::new("..data/p.wasm"));
        }
        becomes(&proxy, release).await;
    }
}

#[tokio::test]
async fn a_symlink_to_nothing_keeps_the_old_version() {
    let proxy = proxy_with(1).await;
    point(&plugin_file(&proxy, "p.wasm"), Path::new("nowhere.wasm"));
    let said = problem(&proxy, "p").await;
    assert!(said.contains("is gone"), "{said}");
    assert_eq!(version(&proxy).await, "00000001");
}

#[tokio::test]
async fn temporary_files_of_editors_and_copies_are_nothing() {
    let proxy = proxy_with(1).await;
    for name in [
        ".p.wasm.swp",
        "p.wasm~",
        "4913",
        ".p.wasm.x7Gh2a",
        "p.wasm.part",
        "#p.wasm#",
    ] {
        fs::write(plugin_file(&proxy, name), b"nonsense").unwrap();
    }
    fs::create_dir(plugin_file(&proxy, "folder.wasm")).unwrap();
    // When the proxy has seen this one, it has seen those.
    install(&proxy, "last.wasm", &stamp(3));
    until("the last file", async || listed(&proxy, "last").await).await;
    let list = proxy.admin("/plugins").await.json();
    let names: Vec<&str> = list["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|plugin| plugin["name"].as_str())
        .collect();
    assert_eq!(names, ["last", "p"]);
    assert!(!proxy.written().contains("refused"));
}

#[tokio::test]
async fn a_plugin_that_no_route_uses_is_listed_so() {
    let proxy = proxy_with(1).await;
    install(&proxy, "new.wasm", &stamp(5));
    let plugin = until("the new plugin", async || listed(&proxy, "new").await).await;
    assert_eq!(plugin["state"], "unused");
    assert_eq!(plugin["routes"].as_array().map(Vec::len), Some(0));
    install(&proxy, "broken.wasm", b"nonsense");
    let broken = until("the broken plugin", async || listed(&proxy, "broken").await).await;
    assert_eq!(broken["state"], "refused");
    fs::remove_file(plugin_file(&proxy, "broken.wasm")).unwrap();
    until("the broken plugin to go", async || {
        listed(&proxy, "broken").await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_unused_file_at_the_start_is_listed_too() {
    let config = echo_route("all", "/*", "[\"p\"]");
    let files = [("p.wasm", stamp(1)), ("spare.wasm", stamp(2))];
    let proxy = start_with(&files, &config).await;
    let plugin = until("the spare plugin", async || listed(&proxy, "spare").await).await;
    assert_eq!(plugin["state"], "unused");
}

#[tokio::test]
async fn a_file_outside_the_directory_is_watched_too() {
    let folder = super::support::folder(&[]);
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("build.wasm"), stamp(1)).unwrap();
    let config =
        echo_route("all", "/*", "[\"p\"]") + "\n[plugin.p]\nfile = \"../elsewhere/build.wasm\"\n";
    let proxy = Proxy::start_in(folder, &super::support::uncached(&config)).await;
    assert_eq!(version(&proxy).await, "00000001");
    fs::write(elsewhere.join("build.wasm"), stamp(2)).unwrap();
    becomes(&proxy, 2).await;
}
