//! Edits trailers: one is removed, one changed, and its configured name is added to `x-order`.

#![forbid(unsafe_code)]

use tidegate_sdk::bindings::host::tidegate::plugin::reply;
use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Edit {
    name: String,
}

#[plugin]
impl Plugin for Edit {
    fn on_response_trailers(&self, trailers: &mut Trailers) -> Action {
        trailers.remove_header("x-secret").ok();
        trailers.append_header("x-order", &self.name).ok();
        if let Some(checksum) = trailers.header("x-checksum") {
            let checksum = checksum.text().to_uppercase();
            trailers.set_header("x-checksum", checksum).ok();
        }
        if let Err(error) = reply::set(403, &[], b"too late") {
            trailers.set_header("x-reply", error.name()).ok();
        }
        Action::Proceed
    }
}
