//! The beginning of a request's body, kept for the case that another peer has to be asked.

use bytes::{Bytes, BytesMut};
use std::mem;

/// As much of it is kept.
const BYTES_MAX: usize = 64 * 1024;
/// Pieces below this size are copied: each keeps what was read at once from being freed.
const PIECE_MIN: usize = 16 * 1024;

/// What is kept of a request's body.
#[derive(Default)]
pub(super) struct Again {
    is_wanted: bool,
    pieces: Vec<Bytes>,
    /// Small ones, after `pieces`.
    small: BytesMut,
    bytes: usize,
    /// There was more of it than is kept.
    is_cut: bool,
}

impl Again {
    /// Keep what comes from now on.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// The body goes on with this.
    pub(super) fn keep(&mut self, data: &Bytes) {
        if !self.is_wanted || self.is_cut {
            return;
        }
        self.bytes += data.len();
        if self.bytes > BYTES_MAX {
            *self = Again {
                is_wanted: true,
                is_cut: true,
                ..Again::default()
            };
        } else if data.len() < PIECE_MIN {
            self.small.extend_from_slice(data);
        } else {
            let small = mem::take(&mut self.small);
            if !small.is_empty() {
                self.pieces.push(small.freeze());
            }
            self.pieces.push(data.clone());
        }
    }

    /// What was kept, unless more was taken since than is kept.
    pub(super) fn kept(&self) -> Option<Bytes> {
        if self.bytes == 0 {
            return None;
        }
        let pieces = self.pieces.iter().map(|piece| &piece[..]);
        let all: Vec<&[u8]> = pieces.chain([&self.small[..]]).collect();
        Some(all.concat().into())
    }

    /// Whether more was taken than is kept.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_is_what_came(sizes in prop::collection::vec(0..40_000usize, 0..8)) {
            let mut again = Again::default();
            again.keep(&Bytes::from_static(b"before"));
            again.want();
            let mut all = Vec::new();
            for (number, size) in (b'a'..).zip(sizes) {
                let data = vec![number; size];
                again.keep(&data.clone().into());
                all.extend(data);
            }
            prop_assert_eq!(again.is_cut(), all.len() > BYTES_MAX);
            let kept = again.kept().unwrap_or_default();
            if again.is_cut() {
                prop_assert!(kept.is_empty());
            } else {
                prop_assert_eq!(kept, all);
            }
            prop_assert!(again.pieces.len() <= 2 * BYTES_MAX / PIECE_MIN);
        }
    }
}
