//! `tidegate explain`.

use crate::harness::tidegate;

use super::support::{bundled, echo_route, folder, uncached};

fn explained(request: &[&str], config: &str) -> String {
    let files = ["body-rewrite", "request-limits", "jwt", "headers"];
    let files = files.map(|name| (format!("{name}.wasm"), bundled(name)));
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    let folder = folder(&files);
    let file = folder.path().join("tidegate.toml");
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    std::fs::write(&file, uncached(&format!("{listener}{config}"))).unwrap();
    let arguments = [&["explain"], request, &["--config", file.to_str().unwrap()]].concat();
    let exit = tidegate(&arguments);
    assert!(exit.status.success(), "{}", exit.stderr);
    exit.stdout
}

#[test]
fn it_shows_route_plugins_grants_and_how_bodies_compose() {
    let plugins = r#"[
        { use = "request-limits", config = { max_json_depth = 8 } },
        { use = "body-rewrite", config = { redact = ["password"] } },
        { use = "headers", config = { response = [{ remove = "server" }] } },
    ]"#;
    let config = echo_route("all", "/api/*", plugins);
    let said = explained(&["POST", "http://a.example/api/x?y=1"], &config);
    for text in [
        "route      all",
        "1. request-limits@",
        "2. body-rewrite@",
        "3. headers@",
        "request     not called, nothing to edit",
        "response    not called; edits made in its place: 1",
        "allowed     [\"log\", \"metrics\"",
        "called      synchronously",
        "over_limit closed",
        "response body  body-rewrite (streaming): the head does not wait",
    ] {
        assert!(said.contains(text), "{text} in {said}");
    }
    let said = explained(&["GET", "http://a.example/other"], &config);
    assert_eq!(said, "no route: the answer is 404\n");
}
