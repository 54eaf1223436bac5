//! `[error_pages]` and `error_pages` of a route: what clients see of the proxy's own errors.

use bytes::Bytes;
use tempfile::TempDir;

use crate::harness::{Origin, Proxy, Response, get, refusing_address, request, route_to, until};

const NOT_FOUND: &str = "<h1>There is nothing here</h1>";
const CLIENT_ERROR: &str = "{\"error\":\"yours\"}";
const SERVER_ERROR: &str = "ours";

/// A folder with pages, and the section that names them.
fn pages() -> (TempDir, &'static str) {
    let folder = TempDir::new().unwrap();
    for (name, text) in [
        ("404.html", NOT_FOUND),
        ("4xx.json", CLIENT_ERROR),
        ("50x.txt", SERVER_ERROR),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let section = "[error_pages]\n404 = \"404.html\"\n4xx = \"4xx.json\"\n5xx = \"50x.txt\"\n";
    (folder, section)
}

/// A response of the proxy with this page.
fn is_page(response: &Response, status: u16, content_type: &str, text: &str) {
    let seen = (response.status, response.header("content-type"));
    assert_eq!(seen, (status, content_type));
    assert_eq!(response.text(), text);
    assert_eq!(response.header("content-length"), text.len().to_string());
}

fn route(name: &str, keys: &str) -> String {
    format!("[[route]]\nname = {name:?}\nmatch = {{ path = \"/{name}/*\" }}\n{keys}\n")
}

#[tokio::test]
async fn the_status_has_its_page_or_that_of_its_class() {
    let (folder, section) = pages();
    let dead = format!(
        "upstream = \"dead\"\n[upstream.dead]\npeers = [{:?}]",
        refusing_address()
    );
    let config = format!(
        "{section}[limits]\nuri_bytes = 64\n{}{}",
        route("dead", &dead),
        route("ok", "respond = { body = \"ok\" }")
    );
    let proxy = Proxy::start_in(folder, &config).await;
    let long = format!("/ok/{}", "x".repeat(64));
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        is_page(
            &client.get("/no/route").await,
            404,
            "text/html; charset=utf-8",
            NOT_FOUND,
        );
        let text = "text/plain; charset=utf-8";
        is_page(&client.get("/dead/").await, 502, text, SERVER_ERROR);
    }
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        // Before it has a route.
        is_page(
            &client.get(&long).await,
            414,
            "application/json",
            CLIENT_ERROR,
        );
    }
    assert_eq!(proxy.get("/ok/").await.text(), "ok");
}

#[tokio::test]
async fn head_gets_the_head_of_the_page_alone() {
    let (folder, section) = pages();
    let proxy = Proxy::start_in(folder, &format!("{section}{}", route("a", "respond = {}"))).await;
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        let response = client.send(request("HEAD", "/no/route", "")).await;
        assert_eq!((response.status, response.text()), (404, ""));
        let length = response.header("content-length");
        assert_eq!(length, NOT_FOUND.len().to_string());
        // The connection is as good as before.
        assert_eq!(client.get("/a/").await.status, 200);
    }
}

#[tokio::test]
async fn what_others_answer_is_theirs() {
    let (folder, section) = pages();
    let origin = Origin::answering(|_| {
        http::Response::builder()
            .status(503)
            .body(Bytes::from_static(b"the origin's own").into())
            .unwrap()
    })
    .await;
    let own = route(
        "own",
        "respond = { status = 404, body = \"as configured\" }",
    );
    let config = format!("{section}{own}{}", route_to(&origin));
    let proxy = Proxy::start_in(folder, &config).await;
    let response = proxy.get("/").await;
    assert_eq!(
        (response.status, response.text()),
        (503, "the origin's own")
    );
    let response = proxy.get("/own/").await;
    assert_eq!((response.status, response.text()), (404, "as configured"));
}

#[tokio::test]
async fn a_route_has_pages_of_its_own_before_those_of_all() {
    let (folder, section) = pages();
    std::fs::write(folder.path().join("api.json"), "{}").unwrap();
    let config = format!(
        "{section}[limits]\nbody_bytes = \"1KiB\"\n{}{}",
        route(
            "api",
            "error_pages = { 413 = \"api.json\" }\nrespond = { echo = true }"
        ),
        route("www", "respond = { echo = true }"),
    );
    let proxy = Proxy::start_in(folder, &config).await;
    let large = |path| request("POST", path, vec![b'x'; 1025]);
    for (path, text) in [("/api/", "{}"), ("/www/", CLIENT_ERROR)] {
        is_page(
            &proxy.send(large(path)).await,
            413,
            "application/json",
            text,
        );
        let over_h2 = proxy.h2_client().await.send(large(path)).await;
        is_page(&over_h2, 413, "application/json", text);
    }
}

#[tokio::test]
async fn a_page_is_read_again_by_a_reload() {
    let (folder, section) = pages();
    let proxy = Proxy::start_in(folder, &format!("{section}{}", route("a", "respond = {}"))).await;
    std::fs::write(proxy.folder().join("404.html"), "anew").unwrap();
    assert_eq!(proxy.get("/no/route").await.text(), NOT_FOUND);
    proxy.signal("-HUP");
    until("the new page", async || {
        (proxy.get("/no/route").await.text() == "anew").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_page_that_cannot_be_read_is_an_error_at_its_place() {
    let (folder, section) = pages();
    let route = route("a", "respond = {}");
    let good = format!("{section}{route}");
    let proxy = Proxy::start_in(folder, &good).await;
    std::fs::write(proxy.folder().join("large.html"), vec![b'x'; (1 << 20) + 1]).unwrap();
    for (file, problem) in [
        ("missing.html", "No such file"),
        ("plugins", "not a regular file"),
        ("large.html", "larger than 1MiB"),
    ] {
        let error = proxy.reload_refused(&good.replace("404.html", file)).await;
        // Ten lines are the harness's.
        assert!(error.contains(":12:7: cannot read"), "{error}");
        assert!(error.contains(file) && error.contains(problem), "{error}");
    }
    assert_eq!(proxy.send(get("/no/route")).await.text(), NOT_FOUND);
}
