//! Any bytes as the start of a connection: what is read as a PROXY protocol header was all there, and
//! reads the same however much follows it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_listen::proxy_protocol::{BYTES_MAX, Version, parse};

const ALL: &[Version] = &[Version::V1, Version::V2, Version::Spectrum];

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes, ALL) {
        Ok(Some((header, length))) => {
            assert_eq!(
                parse(&bytes[..length], ALL),
                Ok(Some((header.clone(), length)))
            );
            assert_eq!(parse(&bytes[..length - 1], ALL), Ok(None));
            assert!(
                header
                    .tlvs
                    .iter()
                    .map(|tlv| 3 + tlv.value.len())
                    .sum::<usize>()
                    <= length
            );
        }
        // Whoever reads has room for what is still to come.
        Ok(None) => assert!(bytes.len() < BYTES_MAX),
        Err(_) => {}
    }
});
