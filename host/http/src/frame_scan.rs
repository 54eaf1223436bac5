//! The frames of an HTTP/2 connection (RFC 9113 §4.1), followed in its bytes by their nine-byte heads.
//!
//! The h2 library bounds what streams, field blocks and data can cost, but answers every SETTINGS and PING
//! and takes every PRIORITY and WINDOW_UPDATE for ever. Here such frames have a budget. And what the library
//! says to a client when it ends a connection is counted: it tells nobody else.

use crate::abuse::{Cut, Refusal};
use std::time::{Duration, Instant};

/// So many more control frames each frame of a response allows. Clients answer data with WINDOW_UPDATE for the
/// stream and for the connection, those that measure the bandwidth with PING, those that leave with
/// RST_STREAM.
const FRAMES_PER_ANSWER: u32 = 4;

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const KIND_AT: usize = 3;
/// What is kept of a payload: of GOAWAY, a stream, a code and the start of a text.
const KEPT_BYTES: usize = 32;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A GOAWAY (§6.8) for a client that goes on for ever. Which streams were served is left open.
pub(crate) const ENHANCE_YOUR_CALM_FRAME: &[u8] = &[
    0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11,
];

/// Both directions of one connection.
#[derive(Debug)]
pub(crate) struct FrameScan {
    read: Frames,
    written: Frames,
    budget: Budget,
    /// The client has begun a field block with a frame that does not end it.
    has_open_block: bool,
}

/// Control frames that a client may still send.
#[derive(Debug)]
struct Budget {
    most: u32,
    left: u32,
    /// How long an idle client waits until it may send all of them again.
    refill: Duration,
    refilled: Instant,
}

/// Follows frames through the pieces in which they come.
#[derive(Debug)]
struct Frames {
    head: [u8; HEAD_BYTES],
    /// Of the head.
    have: usize,
    /// Of the payload.
    left: usize,
    kept: [u8; KEPT_BYTES],
    kept_length: usize,
}

/// A frame whose payload is over.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    payload: &'a [u8],
}

/// What the library said to the client.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Cut(Cut),
    Refused(Refusal),
}

impl FrameScan {
    /// A connection on which so many frames may ask for nothing.
    pub(crate) fn new(control_frames: u32, refill: Duration) -> FrameScan {
        FrameScan {
            read: Frames::after(PREFACE_BYTES),
            written: Frames::after(0),
            has_open_block: false,
            budget: Budget {
                most: control_frames,
                left: control_frames,
                refill,
                refilled: Instant::now(),
            },
        }
    }

    /// Look at what the client sent.
    ///
    /// # Errors
    /// It has sent too many control frames.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        let mut rest = bytes;
        while let Some(frame) = self.read.next(&mut rest) {
            // The library bounds these.
            let is_bounded = matches!(frame.kind, DATA | HEADERS | CONTINUATION);
            if matches!(frame.kind, HEADERS | CONTINUATION) {
                self.has_open_block = frame.flags & END_HEADERS == 0;
            }
            if !is_bounded && !self.budget.take() {
                return Err(Cut::H2Flood);
            }
        }
        Ok(())
    }

    /// Whether the client has begun a head, and not ended it.
    pub(crate) fn is_within_head(&self) -> bool {
        let kind = self.read.head.get(KIND_AT);
        let is_within_frame = self.read.have == HEAD_BYTES && self.read.left > 0;
        self.has_open_block || (is_within_frame && kind == Some(&HEADERS))
    }

    /// Look at what was sent to the client.
    pub(crate) fn written(&mut self, bytes: &[u8], mut said: impl FnMut(Said)) {
        let mut rest = bytes;
        while let Some(frame) = self.written.next(&mut rest) {
            if matches!(frame.kind, DATA | HEADERS) {
                self.budget.give();
            }
            if let Some(what) = frame.said() {
                said(what);
            }
        }
    }
}

impl Budget {
    fn take(&mut self) -> bool {
        if self.left == 0 {
            let refill = self.refill.max(Duration::from_millis(1));
            let share = self.refilled.elapsed().as_secs_f64() / refill.as_secs_f64();
            self.left = (f64::from(self.most) * share.min(1.0)) as u32;
            self.refilled = Instant::now();
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    fn give(&mut self) {
        self.left = self.left.saturating_add(FRAMES_PER_ANSWER).min(self.most);
    }
}

impl Frames {
    /// Frames that begin after so many bytes.
    fn after(bytes: usize) -> Frames {
        Frames {
            head: [0; HEAD_BYTES],
            have: if bytes == 0 { 0 } else { HEAD_BYTES },
            left: bytes,
            kept: [0; KEPT_BYTES],
            kept_length: 0,
        }
    }

    /// The next frame that ends in these bytes; takes them up to its end.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame<'_>> {
        // What stands before the first frame is no frame; its head stays empty.
        loop {
            while self.have < HEAD_BYTES {
                let (byte, rest) = bytes.split_first()?;
                if let Some(place) = self.head.get_mut(self.have) {
                    *place = *byte;
                }
                self.have += 1;
                *bytes = rest;
                if self.have == HEAD_BYTES {
                    let [a, b, c, ..] = self.head;
                    self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                    self.kept_length = 0;
                }
            }
            self.keep(bytes.get(..self.left).unwrap_or(bytes));
            let here = self.left.min(bytes.len());
            self.left -= here;
            *bytes = bytes.get(here..).unwrap_or_default();
            if self.left > 0 {
                return None;
            }
            self.have = 0;
            let [.., kind, flags, _, _, _, _] = self.head;
            let is_frame = self.head != [0; HEAD_BYTES];
            if is_frame {
                return Some(Frame {
                    kind,
                    flags,
                    payload: self.kept.get(..self.kept_length).unwrap_or_default(),
                });
            }
        }
    }

    fn keep(&mut self, payload: &[u8]) {
        let room = self.kept.get_mut(self.kept_length..).unwrap_or_default();
        let count = room.len().min(payload.len());
        for (place, byte) in room.iter_mut().zip(payload) {
            *place = *byte;
        }
        self.kept_length += count;
    }
}

impl Frame<'_> {
    /// What this frame, sent by the library, says of the client.
    fn said(&self) -> Option<Said> {
        let code = |at: usize| match self.payload.get(at..at + 4) {
            Some(&[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
            _ => NO_ERROR,
        };
        match self.kind {
            HEADERS => bare_status(self.payload).map(Said::Refused),
            RST_STREAM if code(0) == PROTOCOL_ERROR => Some(Said::Refused(Refusal::Malformed)),
            RST_STREAM if code(0) == REFUSED_STREAM => Some(Said::Refused(Refusal::Streams)),
            GOAWAY => match code(4) {
                NO_ERROR => None,
                // The library's words for it: `too_many_resets`, `too_many_internal_resets`.
                ENHANCE_YOUR_CALM if self.payload.ends_with(b"resets") => {
                    Some(Said::Cut(Cut::H2Resets))
                }
                ENHANCE_YOUR_CALM => Some(Said::Cut(Cut::H2Flood)),
                _ => Some(Said::Cut(Cut::H2Error)),
            },
            _ => None,
        }
    }
}

/// The refusal in a head of nothing but a status: so the libraries answer what they do not hand on, and nobody else
/// does. They have 400 of the static table (RFC 7541 Appendix A); 431 is spelled out at first, and then taken from the
/// dynamic table.
fn bare_status(block: &[u8]) -> Option<Refusal> {
    const DYNAMIC: u8 = 0x80 + 62;
    match without_size_updates(block) {
        [0x8c] => Some(Refusal::Malformed),
        [0x48 | 0x08, 0x83, 0x69, 0x90, 0xff] | [DYNAMIC..=0xff] => Some(Refusal::HeaderBytes),
        _ => None,
    }
}

/// What follows the changes of the table's size (RFC 7541 §6.3).
fn without_size_updates(mut block: &[u8]) -> &[u8] {
    while let [first @ 0x20..=0x3f, rest @ ..] = block {
        block = rest;
        // The rest of an integer (§5.1).
        let mut goes_on = *first == 0x3f;
        while let (true, [byte, rest @ ..]) = (goes_on, block) {
            goes_on = byte & 0x80 != 0;
            block = rest;
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_a_status_alone_are_refusals() {
        for (block, refusal) in [
            (&[0x8c][..], Some(Refusal::Malformed)),
            (&[0x20, 0x8c], Some(Refusal::Malformed)),
            (&[0x3f, 0xe1, 0x1f, 0x8c], Some(Refusal::Malformed)),
            (&[0x48, 0x83, 0x69, 0x90, 0xff], Some(Refusal::HeaderBytes)),
            (&[0xbe], Some(Refusal::HeaderBytes)),
            // A 204, a 400 with another field, and what is cut off.
            (&[0x89], None),
            (&[0x8c, 0xbe], None),
            (&[0x3f, 0xff], None),
            (&[], None),
        ] {
            assert_eq!(bare_status(block), refusal, "{block:x?}");
        }
    }

    const REFILL: Duration = Duration::from_secs(10);
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let flags = if kind == HEADERS { END_HEADERS } else { 0 };
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1];
        frame.extend(payload);
        frame
    }

    fn said(bytes: &[u8], cut: usize) -> Vec<Said> {
        let mut scan = FrameScan::new(1, REFILL);
        let mut all = Vec::new();
        let (first, second) = bytes.split_at(cut);
        scan.written(first, |said| all.push(said));
        scan.written(second, |said| all.push(said));
        all
    }

    #[test]
    fn control_frames_have_a_budget_however_they_are_cut() {
        let ping = frame(6, &[0; 8]);
        let bytes = [
            PREFACE,
            &ping,
            &frame(0, b"data"),
            &ping,
            &frame(1, &[]),
            &ping,
        ]
        .concat();
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let mut enough = FrameScan::new(3, REFILL);
            assert!(enough.read(first).is_ok() && enough.read(second).is_ok());
            let mut too_few = FrameScan::new(2, REFILL);
            let read = too_few.read(first).and_then(|()| too_few.read(second));
            assert_eq!(read, Err(Cut::H2Flood), "cut at {cut}");
        }
    }

    #[test]
    fn a_head_is_open_from_its_first_frame_to_the_end_of_its_last() {
        let mut scan = FrameScan::new(3, REFILL);
        let mut is_open = |bytes: &[u8]| {
            scan.read(bytes).unwrap();
            scan.is_within_head()
        };
        assert!(!is_open(PREFACE));
        assert!(is_open(&[0, 0, 1, HEADERS, 0, 0, 0, 0, 1]));
        assert!(is_open(b"x"));
        assert!(is_open(&[0, 0, 0, CONTINUATION, 0, 0, 0, 0, 1]));
        assert!(!is_open(&[0, 0, 0, CONTINUATION, END_HEADERS, 0, 0, 0, 1]));
        assert!(!is_open(&frame(DATA, b"data")));
    }

    #[test]
    fn what_is_sent_pays_for_control_frames_but_their_answers_do_not() {
        let mut scan = FrameScan::new(10, REFILL);
        scan.read(PREFACE).unwrap();
        let ping = frame(6, &[0; 8]);
        for _ in 0..1000 {
            scan.written(&frame(DATA, b"x"), |_| {});
            scan.read(&ping.repeat(4)).unwrap();
        }
        let answered = (0..1000).try_for_each(|_| {
            scan.written(&ping, |_| {});
            scan.read(&ping)
        });
        assert_eq!(answered, Err(Cut::H2Flood));
    }

    #[test]
    fn the_end_that_the_library_makes_is_understood() {
        let goaway = |code: u8, text: &[u8]| {
            frame(GOAWAY, &[&[0, 0, 0, 0, 0, 0, 0, code][..], text].concat())
        };
        let bytes = [
            frame(0, &[7; 200]),
            goaway(0, b""),
            frame(RST_STREAM, &[0, 0, 0, 8]),
            frame(RST_STREAM, &[0, 0, 0, 7]),
            frame(RST_STREAM, &[0, 0, 0, 1]),
            goaway(11, b"too_many_internal_resets"),
            goaway(11, b"too_many_data_frames"),
            goaway(1, b""),
        ]
        .concat();
        for cut in 0..bytes.len() {
            assert_eq!(
                said(&bytes, cut),
                [
                    Said::Refused(Refusal::Streams),
                    Said::Refused(Refusal::Malformed),
                    Said::Cut(Cut::H2Resets),
                    Said::Cut(Cut::H2Flood),
                    Said::Cut(Cut::H2Error),
                ]
            );
        }
    }
}
