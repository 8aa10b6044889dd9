//! The pieces of `/chunked`.

use bench_common::content::{PIECE, PIECES};
use bytes::Bytes;

/// The number of pieces that are left.
pub(crate) struct Pieces(usize);

impl Default for Pieces {
    fn default() -> Self {
        Self(PIECES)
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.0 = self.0.checked_sub(1)?;
        Some(Bytes::from_static(PIECE.as_bytes()))
    }
}
