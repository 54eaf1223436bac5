//! Proxy-wasm wants a module, and the linker makes components.

fn main() {
    println!("cargo::rustc-link-arg=--skip-wit-component");
}
