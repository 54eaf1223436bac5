//! Proxies with plugins: where the built components are, and how their files get into a folder.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Origin, Proxy, repository, until};

/// A component from `tests/guests`, as `make guests` builds it.
pub fn guest(name: &str) -> Vec<u8> {
    read(&target().join("guests").join(format!("{name}.wasm")))
}

/// A bundled plugin, as `make plugins` builds it.
pub fn bundled(name: &str) -> Vec<u8> {
    read(
        &repository()
            .join("config/plugins")
            .join(format!("{name}.wasm")),
    )
}

/// The guest `stamp` in a version of this number, which it sets as the field `x-version`.
pub fn stamp(version: usize) -> Vec<u8> {
    let mut bytes = guest("stamp");
    let mark = b"stamp-version:";
    let mut windows = bytes.windows(mark.len());
    let at = windows.position(|window| window == mark).unwrap() + mark.len();
    bytes[at..at + 8].copy_from_slice(format!("{version:08}").as_bytes());
    bytes
}

/// The same component with another digest: with a section of this text, which nothing reads.
pub fn relabelled(component: &[u8], text: &str) -> Vec<u8> {
    // A custom section: id 0, size, the length of its name, the name. All lengths are below 128.
    let name = text.as_bytes();
    let length = u8::try_from(name.len()).unwrap();
    let mut bytes = component.to_vec();
    bytes.extend([0, length + 1, length]);
    bytes.extend(name);
    bytes
}

/// A new folder whose `plugins` has these files.
pub fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    for (name, bytes) in files {
        std::fs::write(plugins.join(name), bytes).unwrap();
    }
    folder
}

/// A proxy with these guests in its plugin directory. Without a section `[plugins]` of its own, the
/// configuration gets [`uncached`]'s.
pub async fn start(guests: &[&str], config: &str) -> Proxy {
    let files: Vec<(String, Vec<u8>)> = guests
        .iter()
        .map(|name| (format!("{name}.wasm"), guest(name)))
        .collect();
    let files: Vec<(&str, Vec<u8>)> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect();
    start_with(&files, config).await
}

/// As [`start`], with files of any name and content.
pub async fn start_with(files: &[(&str, Vec<u8>)], config: &str) -> Proxy {
    Proxy::start_in(folder(files), &uncached(config)).await
}

/// The configuration, without compiled code in the folder of whoever runs the tests, and with a deadline
/// that a busy machine does not miss by itself.
pub fn uncached(config: &str) -> String {
    if config.lines().any(|line| line.trim() == "[plugins]") {
        return config.to_owned();
    }
    format!(
        "[plugins]\nallow = [\"log\", \"metrics\", \"clock\", \"random\", \"attributes\", \"limiter\", \"crypto\"]\ncache = \"off\"\ndeadline = \"2s\"\n\n{config}"
    )
}

/// A route on this path with these plugins (as TOML has them), which answers with the request as an
/// upstream would have seen it.
pub fn echo_route(name: &str, path: &str, plugins: &str) -> String {
    format!(
        "
[[route]]
name = {name:?}
match = {{ path = {path:?} }}
plugins = {plugins}
respond = {{ echo = true }}
"
    )
}

/// A route `all` through these plugins (as TOML has them) to an upstream `app` with these keys.
pub fn route_through(plugins: &str, upstream: &str) -> String {
    format!(
        "
[[route]]
name = \"all\"
plugins = {plugins}
upstream = \"app\"

[upstream.app]
{upstream}
"
    )
}

/// The key `peers` of an upstream with this peer alone.
pub fn peer(origin: &Origin) -> String {
    format!("peers = [{:?}]", origin.address())
}

/// The path of a file in the plugin directory.
pub fn plugin_file(proxy: &Proxy, name: &str) -> PathBuf {
    proxy.folder().join("plugins").join(name)
}

/// Puts a file into the plugin directory as a whole: written aside, then renamed.
pub fn install(proxy: &Proxy, name: &str, bytes: &[u8]) {
    let aside = plugin_file(proxy, &format!(".{name}.new"));
    std::fs::write(&aside, bytes).unwrap();
    std::fs::rename(aside, plugin_file(proxy, name)).unwrap();
}

/// What `/plugins` at the address for operators says of a plugin.
pub async fn listed(proxy: &Proxy, name: &str) -> Option<Value> {
    let list = proxy.admin("/plugins").await.json();
    let plugins = list["plugins"].as_array().unwrap();
    plugins.iter().find(|one| one["name"] == name).cloned()
}

/// Waits until `/plugins` has a problem with the plugin; gives it.
pub async fn problem(proxy: &Proxy, name: &str) -> String {
    until(&format!("a problem with {name}"), async || {
        let plugin = listed(proxy, name).await?;
        plugin["problem"].as_str().map(str::to_owned)
    })
    .await
}

/// Waits until `/plugins` has no problem with the plugin.
pub async fn no_problem(proxy: &Proxy, name: &str) {
    until(&format!("no problem with {name}"), async || {
        listed(proxy, name).await?["problem"]
            .is_null()
            .then_some(())
    })
    .await;
}

/// A field of the request, as the echo responder shows it: all values with `, ` between them.
pub fn echoed(answer: &Value, field: &str) -> Option<String> {
    let values = answer["headers"][field].as_array()?;
    let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    Some(values.join(", "))
}

/// Bytes of memory that the proxy has in use.
pub fn memory(proxy: &Proxy) -> u64 {
    proxy.resident_bytes() as u64
}

/// Where Cargo builds: beside the program under test.
pub fn target() -> PathBuf {
    let binary = std::env::var_os("TIDEGATE_BIN").map(PathBuf::from);
    binary
        .as_deref()
        .and_then(|binary| binary.parent()?.parent().map(Path::to_owned))
        .unwrap_or_else(|| repository().join("target"))
}

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| {
        let file = file.display();
        panic!("cannot read {file}: {error} (`make plugins guests` builds it)")
    })
}
