//! Any bytes as an HTTP/1.1 message, in any pieces: whether it is refused does not depend on how it was cut,
//! and where it is not, its head ends where a parser finds the end.

#![no_main]
#![allow(dead_code, reason = "parts of a crate whose own users are not here")]

#[path = "../../../host/http/src/abuse.rs"]
mod abuse;
#[path = "../../../host/http/src/chunk_scan.rs"]
mod chunk_scan;
#[path = "../../../host/http/src/head_scan.rs"]
mod head_scan;

use head_scan::HeadScan;
use libfuzzer_sys::fuzz_target;
use tidegate_chain::HeadLimits;

fn scan() -> HeadScan {
    HeadScan::new(&HeadLimits {
        bytes: 1024,
        count: 100,
    })
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (cuts, bytes) = input;
    let whole = scan().read(0, &bytes);
    let mut pieces = scan();
    let mut rest = &bytes[..];
    let mut read = Ok(());
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(cut).min(rest.len()));
        read = read.and_then(|()| pieces.read(0, piece));
        rest = after;
    }
    // Which of two mistakes is found first may depend on it.
    let read = read.and_then(|()| pieces.read(0, rest));
    assert_eq!(read.is_err(), whole.is_err());
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(end)) = request.parse(&bytes) else {
        return;
    };
    if whole.is_err() {
        return;
    }
    let is_chunked = request
        .headers
        .iter()
        .any(|field| field.name.eq_ignore_ascii_case("transfer-encoding"));
    // In a head this line is refused, in a body it may be anything.
    let mut head = scan();
    assert_eq!(head.read(0, &bytes[..end]), Ok(()));
    assert_eq!(head.read(0, b"\x01\n").is_err(), is_chunked);
});
