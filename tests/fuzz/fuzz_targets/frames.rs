//! Any bytes as HTTP/2 frames, in any pieces: what is found in them does not depend on how they were cut.

#![no_main]
#![allow(dead_code, reason = "parts of a crate whose own users are not here")]

#[path = "../../../host/http/src/abuse.rs"]
mod abuse;
#[path = "../../../host/http/src/frame_scan.rs"]
mod frame_scan;

use frame_scan::FrameScan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, Vec<u8>)| {
    let (cut, bytes) = input;
    let (first, second) = bytes.split_at(cut % (bytes.len() + 1));
    let (mut whole, mut pieces) = (FrameScan::new(3), FrameScan::new(3));
    let read = pieces.read(first).and_then(|()| pieces.read(second));
    assert_eq!(whole.read(&bytes), read);
    let (mut all, mut cut) = (Vec::new(), Vec::new());
    whole.written(&bytes, |said| all.push(said));
    pieces.written(first, |said| cut.push(said));
    pieces.written(second, |said| cut.push(said));
    assert_eq!(all, cut);
});
