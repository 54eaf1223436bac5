//! Random numbers, fit for keys and tokens.
//!
//! ```
//! # use tidegate_sdk::prelude::*;
//! # use tidegate_sdk::testing::{Exchange, Instance};
//! # #[derive(Deserialize)]
//! # struct Tag {}
//! #[plugin]
//! impl Plugin for Tag {
//!     fn on_request(&self, request: &mut Request) -> Action {
//!         let tag = format!("{:016x}", random::number());
//!         request.set_header("x-tag", tag).ok();
//!         Action::Proceed
//!     }
//! }
//! # let mut exchange = Exchange::get("/");
//! # Instance::<Tag>::configure("{}").unwrap().on_request(&mut exchange);
//! # assert_eq!(exchange.request_header("x-tag").unwrap().len(), 16);
//! ```

use crate::host;

/// So many random bytes, up to 64 KiB; more are cut to that.
pub fn bytes(count: u32) -> Vec<u8> {
    host::random::bytes(count)
}

/// A random number, all values alike.
pub fn number() -> u64 {
    host::random::number()
}
