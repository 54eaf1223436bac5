//! Files and sockets of components that were built for WASI: nothing but what was allowed.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Origin, Proxy, tidegate};

use super::calls::{call, is};
use super::support::{echo_route, folder, guest};

/// A route through the guest, with this `allow` (as TOML has it), if any.
fn config(allow: Option<&str>) -> String {
    let allow = allow.map(|allow| format!("[plugin.wasi-grants]\nallow = {allow}\n"));
    format!(
        "[plugins]\ncache = \"off\"\ndeadline = \"2s\"\n{}{}",
        allow.unwrap_or_default(),
        echo_route("all", "/*", "[\"wasi-grants\"]")
    )
}

/// Has `data` with a file, a link out of it, and a file beside it.
fn files() -> TempDir {
    let folder = folder(&[("wasi-grants.wasm", guest("wasi-grants"))]);
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("file"), "inside").unwrap();
    std::fs::write(folder.path().join("outside"), "outside").unwrap();
    std::os::unix::fs::symlink(folder.path().join("outside"), data.join("link")).unwrap();
    std::os::unix::fs::symlink("../outside", data.join("relative-link")).unwrap();
    folder
}

async fn start(allow: Option<&str>) -> Proxy {
    Proxy::start_in(files(), &config(allow)).await
}

fn write(file: &str) -> Value {
    json!({ "write": { "file": file, "text": "new" } })
}

/// That none of these succeeds.
async fn refuses(proxy: &Proxy, calls: &[Value]) {
    for what in calls {
        let answer = call(proxy, what).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn without_a_grant_there_are_no_files_and_no_sockets() {
    let origin = Origin::echo().await;
    let proxy = start(None).await;
    let data = proxy.folder().join("data").display().to_string();
    refuses(
        &proxy,
        &[
            json!({ "list": "/" }),
            json!({ "list": data }),
            json!({ "read": format!("{data}/file") }),
            json!({ "read": "/etc/hostname" }),
            json!({ "read": "file" }),
            write("/tmp/tidegate-test"),
            json!({ "connect": origin.address() }),
            json!({ "listen": "127.0.0.1:0" }),
            json!({ "datagram": "127.0.0.1:0" }),
        ],
    )
    .await;
    assert_eq!(origin.accepted(), 0);
}

/// What is not in the folder, by any path.
fn beyond() -> Vec<Value> {
    let paths = [
        "/etc/hostname",
        "/data/../outside",
        "/data/link",
        "/data/relative-link",
        "/data/../../../../../../etc/hostname",
        "/plugins/wasi-grants.wasm",
    ];
    paths.map(|path| json!({ "read": path })).into()
}

#[tokio::test]
async fn a_folder_to_read_is_read_and_not_changed() {
    let proxy = start(Some(
        "{ filesystem = [{ host = \"data\", guest = \"/data\" }] }",
    ))
    .await;
    assert_eq!(
        call(&proxy, &json!({ "read": "/data/file" })).await,
        is("inside")
    );
    let list = call(&proxy, &json!({ "list": "/data" })).await;
    assert_eq!(list, is("file link relative-link"));
    refuses(&proxy, &beyond()).await;
    refuses(
        &proxy,
        &[
            write("/data/file"),
            write("/data/new"),
            json!({ "remove": "/data/file" }),
            json!({ "make-folder": "/data/folder" }),
        ],
    )
    .await;
    let data = proxy.folder().join("data");
    assert_eq!(
        std::fs::read_to_string(data.join("file")).unwrap(),
        "inside"
    );
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 3);
}

#[tokio::test]
async fn a_folder_to_write_is_written_and_nothing_beyond() {
    let allow = "{ filesystem = [{ host = \"data\", guest = \"/data\", write = true }] }";
    let proxy = start(Some(allow)).await;
    assert_eq!(call(&proxy, &write("/data/new")).await, is("written"));
    let data = proxy.folder().join("data");
    assert_eq!(std::fs::read_to_string(data.join("new")).unwrap(), "new");
    assert_eq!(
        call(&proxy, &json!({ "read": "/data/new" })).await,
        is("new")
    );
    assert_eq!(
        call(&proxy, &json!({ "make-folder": "/data/f" })).await,
        is("made")
    );
    assert_eq!(
        call(&proxy, &json!({ "remove": "/data/file" })).await,
        is("removed")
    );
    assert!(!data.join("file").exists());
    refuses(&proxy, &beyond()).await;
    refuses(
        &proxy,
        &[
            write("/data/link"),
            write("/data/relative-link"),
            write("/data/../outside"),
            write("/tmp/tidegate-test"),
        ],
    )
    .await;
    let outside = std::fs::read_to_string(proxy.folder().join("outside"));
    assert_eq!(outside.unwrap(), "outside");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error_with_a_place() {
    let folder = files();
    let file = folder.path().join("tidegate.toml");
    let config = config(Some(
        "{ filesystem = [{ host = \"missing\", guest = \"/d\" }] }",
    ));
    std::fs::write(
        &file,
        config + "\n[[listener]]\naddress = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let exit = tidegate(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.stderr.contains("tidegate.toml:5:"), "{}", exit.stderr);
    assert!(exit.stderr.contains("missing"), "{}", exit.stderr);
}

/// Answers a line with another and closes.
async fn answering() -> Origin {
    Origin::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.write_all(b"good day").await;
    })
    .await
}

#[tokio::test]
async fn a_socket_connects_to_the_allowed_address_alone() {
    let (granted, other) = (answering().await, answering().await);
    let allow = format!("{{ sockets = [{:?}] }}", granted.address());
    let proxy = start(Some(&allow)).await;
    let connect = |address: &str| json!({ "connect": address });
    assert_eq!(
        call(&proxy, &connect(granted.address())).await,
        is("good day")
    );
    let port = granted.address().rsplit(':').next().unwrap();
    refuses(
        &proxy,
        &[
            connect(other.address()),
            connect(&format!("127.0.0.2:{port}")),
            connect(&format!("[::1]:{port}")),
            connect(&format!("localhost:{port}")),
            json!({ "listen": "127.0.0.1:0" }),
            json!({ "listen": "0.0.0.0:0" }),
            json!({ "listen": granted.address() }),
            json!({ "datagram": "127.0.0.1:0" }),
            json!({ "read": "/etc/hostname" }),
        ],
    )
    .await;
    assert_eq!((granted.accepted(), other.accepted()), (1, 0));
}
