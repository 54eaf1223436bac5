//! HTTP/2 frames as they are (RFC 9113, RFC 7541), for what no HTTP library would send.

use bytes::Bytes;

use super::{Wire, soon};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that speaks frames.
#[derive(Debug)]
pub struct Frames(pub Wire);

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Bytes,
}

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response with this status.
    Status(u16),
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code, which is not `NO_ERROR`.
    GoAway(u32),
    /// The end of the connection.
    Closed,
}

impl Frames {
    /// Sends the preface, and SETTINGS with these identifiers and values.
    pub async fn open(mut wire: Wire, settings: &[(u16, u32)]) -> Frames {
        let mut payload = Vec::new();
        // No table in the responses, so that a status is always spelled out.
        for (id, value) in [(1, 0)].iter().chain(settings) {
            payload.extend(id.to_be_bytes());
            payload.extend(u32::to_be_bytes(*value));
        }
        wire.send([PREFACE, &frame(SETTINGS, 0, 0, payload)].concat())
            .await;
        Frames(wire)
    }

    /// Sends bytes; false where the other side has closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.try_send(bytes).await
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        soon("an HTTP/2 frame, or the end of the connection", async {
            let head = self.0.take_or_end(9).await?;
            let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, &b| sum << 8 | u32::from(b));
            let payload = self.0.take_or_end(number(&head[..3]) as usize).await?;
            Some(Frame {
                kind: head[3],
                flags: head[4],
                stream: number(&head[5..]),
                payload,
            })
        })
        .await
    }

    /// Waits for what becomes of this stream.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(frame) = self.next().await {
            match frame.kind {
                HEADERS if frame.stream == stream => {
                    return Outcome::Status(status(&frame.payload));
                }
                RST_STREAM if frame.stream == stream => {
                    return Outcome::Reset(code(&frame.payload));
                }
                GOAWAY if code(&frame.payload[4..]) != 0 => {
                    return Outcome::GoAway(code(&frame.payload[4..]));
                }
                _ => {}
            }
        }
        Outcome::Closed
    }
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// HEADERS with these fields.
pub fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block(fields))
}

/// HEADERS of a `GET` without a body.
pub fn get_headers(stream: u32) -> Vec<u8> {
    headers(stream, END_HEADERS | END_STREAM, &GET)
}

/// HEADERS of a `POST` whose body follows.
pub fn post_headers(stream: u32) -> Vec<u8> {
    headers(stream, END_HEADERS, &POST)
}

/// The fields of a request.
pub const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];

/// The fields of a request with a body.
pub const POST: [(&str, &str); 4] = [(":method", "POST"), GET[1], GET[2], GET[3]];

/// A block of fields, none of which is put into the table.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let field = |(name, value): &(&str, &str)| literal(0, name, value);
    fields.iter().flat_map(field).collect()
}

/// A field that is put into the table.
pub fn indexed(name: &str, value: &str) -> Vec<u8> {
    literal(0x40, name, value)
}

fn literal(representation: u8, name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![representation];
    for text in [name, value] {
        push_length(&mut field, text.len());
        field.extend(text.as_bytes());
    }
    field
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn push_length(out: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        out.push(length as u8);
        return;
    };
    out.push(127);
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

/// The status of a response: its first field.
fn status(block: &[u8]) -> u16 {
    // Changes of the table's size may come before it (§6.3).
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
    let block = &block[start..];
    match block[0] {
        0x88 => return 200,
        0x89 => return 204,
        0x8a => return 206,
        0x8b => return 304,
        0x8c => return 400,
        0x8d => return 404,
        0x8e => return 500,
        _ => {}
    }
    let length = usize::from(block[1] & 0x7f);
    let text = &block[2..2 + length];
    if block[1] & 0x80 == 0 {
        return std::str::from_utf8(text).unwrap().parse().unwrap();
    }
    huffman_digits(text)
}

/// Three digits in the Huffman code of RFC 7541, appendix B: 0 to 2 have five bits, the others six.
fn huffman_digits(text: &[u8]) -> u16 {
    let mut bits =
        text.iter().fold(0_u64, |bits, &b| bits << 8 | u64::from(b)) << (64 - 8 * text.len());
    let mut number = 0;
    for _ in 0..3 {
        let (digit, length) = match bits >> 59 {
            digit @ 0..=2 => (digit, 5),
            _ => ((bits >> 58) - 0x16, 6),
        };
        number = number * 10 + digit as u16;
        bits <<= length;
    }
    number
}
