//! What passes on a connection is looked at, in both directions, and ends it where it is hostile.

use super::{Bounds, Io, Protocol};
use crate::abuse::{Cut, Refusal};
use crate::frame_scan::{ENHANCE_YOUR_CALM_FRAME, FrameScan, Said};
use crate::head_scan::HeadScan;
use std::io;
use std::ops::Range;

/// Looks at the bytes of a protocol.
pub(super) enum Scan {
    Messages(HeadScan),
    Frames(FrameScan),
}

impl Scan {
    pub(super) fn new(protocol: Protocol, bounds: &Bounds) -> Scan {
        match protocol {
            Protocol::Http1 => Scan::Messages(HeadScan::new(&bounds.head)),
            Protocol::Http2 => Scan::Frames(FrameScan::new(
                bounds.control_frames,
                bounds.control_frames_refill,
            )),
        }
    }
}

impl Io {
    /// Look at what the client sent, and say which part of it is the present message's.
    ///
    /// # Errors
    /// The connection ends here. The client knows, unless its request has been handed on: then whoever reads gets
    /// this error in the middle of a body, and it becomes a response there.
    pub(super) fn scan_read(&mut self, bytes: &[u8]) -> io::Result<Range<usize>> {
        let number = self.deadline.clock.now();
        match &mut self.scan {
            Scan::Messages(scan) => {
                let refusal = match scan.read(number, bytes) {
                    Ok(message) => return Ok(message),
                    Err(refusal) => refusal,
                };
                if number & 1 == 0 {
                    self.deadline.begin();
                    self.refuse_with(refusal);
                }
                self.guard.refused(refusal);
            }
            Scan::Frames(scan) => {
                let cut = match scan.read(bytes) {
                    Err(cut) => cut,
                    Ok(()) if self.guard.has_too_many_streams() => Cut::H2Resets,
                    Ok(()) => return Ok(0..bytes.len()),
                };
                self.stream.write_last_now(ENHANCE_YOUR_CALM_FRAME);
                self.guard.cut(cut);
            }
        }
        let text = "the client sent what is refused";
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// The answer to a message that is not read any further.
    pub(super) fn refuse_with(&mut self, refusal: Refusal) {
        self.stream.write_last_now(refusal_text(refusal).as_bytes());
    }

    /// Look at what is sent to the client: what Pingora's libraries refuse in HTTP/2, they tell nobody else.
    pub(super) fn scan_written(&mut self, bytes: &[u8]) {
        match &mut self.scan {
            Scan::Messages(_) => {}
            Scan::Frames(scan) => scan.written(bytes, |said| match said {
                Said::Cut(cut) => self.guard.cut(cut),
                Said::Refused(refusal) => self.guard.refused(refusal),
            }),
        }
    }
}

fn refusal_text(refusal: Refusal) -> String {
    let (status, text) = match refusal {
        Refusal::UriBytes => ("414 URI Too Long", "414 request target too long"),
        Refusal::HeaderBytes => (
            "431 Request Header Fields Too Large",
            "431 header fields too large",
        ),
        Refusal::HeaderCount => (
            "431 Request Header Fields Too Large",
            "431 too many header fields",
        ),
        Refusal::Framing => ("400 Bad Request", "400 the end of the body is in doubt"),
        _ => ("400 Bad Request", "400 the request is not valid"),
    };
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{text}\n"
    )
}
