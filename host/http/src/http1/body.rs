//! How a body is framed in HTTP/1.1 (RFC 9112 §6): what of the bytes read is its data, and what is written around it.

use crate::chunk_scan::ChunkScan;
use bytes::{Buf, Bytes, BytesMut};

/// Bytes that whoever sends it may spend on framing between two pieces of data: extensions of chunks, and trailers.
const FRAMING_MAX: usize = 64 * 1024;

/// A body, as it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// It has a length, of which so much is still to come.
    Length(u64),
    /// It comes in chunks. So many bytes of framing have come since the last data.
    Chunks(ChunkScan, usize),
    /// It ends with the connection: a response's.
    Close,
}

/// A body that is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadBody {
    #[error("a chunk that is not framed as it has to be")]
    Chunk,
    #[error("chunks with too much around them")]
    Framing,
}

impl Reader {
    /// A response that has no body, or none any more.
    pub(super) const NONE: Reader = Reader::Length(0);

    /// One that comes in chunks.
    pub(super) fn chunks() -> Reader {
        Reader::Chunks(ChunkScan::default(), 0)
    }

    /// Whether all of it was taken. One that ends with the connection never says so.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Reader::Length(0) | Reader::Chunks(ChunkScan::Over, _))
    }

    /// Whether it is known to go on after so many bytes more.
    pub(super) fn is_longer_than(&self, bytes: usize) -> bool {
        matches!(self, Reader::Length(left) if *left > bytes as u64)
    }

    /// Take what there is of the body; empty, if that is nothing yet.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> Result<Bytes, BadBody> {
        match self {
            Reader::Close => Ok(read.split().freeze()),
            Reader::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left -= here as u64;
                Ok(read.split_to(here).freeze())
            }
            Reader::Chunks(scan, framing) => take_chunks(scan, framing, read),
        }
    }
}

/// The data of all chunks that are there, in one piece. A single one is not copied.
fn take_chunks(
    scan: &mut ChunkScan,
    framing: &mut usize,
    read: &mut BytesMut,
) -> Result<Bytes, BadBody> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while !read.is_empty() && *scan != ChunkScan::Over {
        if let Some(left) = scan.data_left() {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(read.len());
            let data = read.split_to(here);
            scan.read(&data).ok_or(BadBody::Chunk)?;
            *framing = 0;
            if first.is_empty() {
                first = data.freeze();
            } else {
                if more.is_empty() {
                    more.reserve(first.len() + data.len());
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&data);
            }
            continue;
        }
        let around = scan.framing(read).ok_or(BadBody::Chunk)?;
        read.advance(around);
        *framing += around;
        if *framing > FRAMING_MAX {
            return Err(BadBody::Framing);
        }
    }
    Ok(match more.is_empty() {
        true => first,
        false => more.freeze(),
    })
}

/// A body, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// It was announced with a length, of which so much is still to come.
    Length(u64),
    /// In chunks.
    Chunks,
    /// It ends with the connection: a response's.
    Close,
}

/// What is written of a piece of data: what stands before it, how much of it, and what follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) before: Option<Box<str>>,
    pub(super) data: usize,
    pub(super) after: &'static [u8],
}

impl Writer {
    /// Frame a piece of so many bytes; with `end` it is the last. Of a body with a length, no more is written than
    /// that.
    pub(super) fn frame(&mut self, bytes: usize, end: bool) -> Framed {
        match self {
            Writer::Length(left) => {
                let data = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes);
                *left -= data as u64;
                Framed {
                    before: None,
                    data,
                    after: b"",
                }
            }
            Writer::Close => Framed {
                before: None,
                data: bytes,
                after: b"",
            },
            Writer::Chunks => Framed {
                before: (bytes > 0).then(|| format!("{bytes:x}\r\n").into()),
                data: bytes,
                after: match (bytes > 0, end) {
                    (true, true) => b"\r\n0\r\n\r\n",
                    (true, false) => b"\r\n",
                    (false, true) => b"0\r\n\r\n",
                    (false, false) => b"",
                },
            },
        }
    }

    /// Whether a body that ends now is as long as it was said to be.
    pub(super) fn is_whole(self) -> bool {
        !matches!(self, Writer::Length(1..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Read a body that comes in these pieces: its data, and what was left of the last.
    fn read(mut reader: Reader, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), BadBody> {
        let mut buffer = BytesMut::new();
        let mut data = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            data.extend_from_slice(&reader.take(&mut buffer)?);
        }
        Ok((data, reader.is_over(), buffer.to_vec()))
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        let (data, over, rest) = read(Reader::Length(5), &[b"he", b"lloHTTP"]).unwrap();
        assert_eq!(
            (&data[..], over, &rest[..]),
            (&b"hello"[..], true, &b"HTTP"[..])
        );
        let text = b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nx: y\r\n\r\nHTTP";
        let (data, over, rest) = read(Reader::chunks(), &[text]).unwrap();
        assert_eq!(
            (&data[..], over, &rest[..]),
            (&b"hello!"[..], true, &b"HTTP"[..])
        );
        let (data, over, _) = read(Reader::Close, &[b"a", b"b"]).unwrap();
        assert_eq!((&data[..], over), (&b"ab"[..], false));
    }

    #[test]
    fn what_is_around_data_is_bounded() {
        assert_eq!(read(Reader::chunks(), &[b"5\nhello"]), Err(BadBody::Chunk));
        let long = [b"5;", &[b'x'; FRAMING_MAX][..]].concat();
        assert_eq!(read(Reader::chunks(), &[&long]), Err(BadBody::Framing));
        let trailers = b"x: y\r\n".repeat(FRAMING_MAX / 6 + 1);
        assert_eq!(
            read(Reader::chunks(), &[b"0\r\n", &trailers]),
            Err(BadBody::Framing)
        );
    }

    #[test]
    fn no_more_is_written_than_was_announced() {
        let mut writer = Writer::Length(3);
        assert_eq!(writer.frame(2, false).data, 2);
        assert!(!writer.is_whole());
        assert_eq!(writer.frame(2, true).data, 1);
        assert!(writer.is_whole());
    }

    proptest! {
        #[test]
        fn what_is_written_in_chunks_is_read_again(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            cuts in prop::collection::vec(1_usize..20, 0..60),
        ) {
            let mut wire = Vec::new();
            let mut writer = Writer::Chunks;
            let ends = pieces.len();
            for (number, piece) in pieces.iter().enumerate() {
                let framed = writer.frame(piece.len(), number + 1 == ends);
                wire.extend_from_slice(framed.before.as_deref().unwrap_or("").as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(framed.after);
            }
            if ends == 0 {
                wire.extend_from_slice(writer.frame(0, true).after);
            }
            wire.extend_from_slice(b"next");
            let mut rest = &wire[..];
            let mut reads = Vec::new();
            for cut in cuts {
                let (read, later) = rest.split_at(cut.min(rest.len()));
                reads.push(read);
                rest = later;
            }
            reads.push(rest);
            let (data, over, left) = read(Reader::chunks(), &reads).unwrap();
            prop_assert_eq!(data, pieces.concat());
            prop_assert!(over);
            prop_assert_eq!(&left[..], b"next");
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(Reader::chunks(), &[&bytes]);
        }
    }
}
