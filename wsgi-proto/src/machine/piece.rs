//! A block of a response, as the application passes it.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

/// A block of a response: borrowed bytes are copied into the outbox, owned ones may be queued without a copy.
#[derive(Clone)]
pub enum Piece<'a> {
    /// Copied.
    Borrowed(&'a [u8]),
    /// Queued if large, otherwise copied.
    Owned(Bytes),
}

impl fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Piece<'_> {
    /// The number of bytes in this piece.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether the piece is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    #[inline]
    pub(crate) fn truncated(self, len: usize) -> Self {
        match self {
            Self::Borrowed(bytes) => Self::Borrowed(&bytes[..len.min(bytes.len())]),
            Self::Owned(mut bytes) => {
                bytes.truncate(len);
                Self::Owned(bytes)
            }
        }
    }
}

impl<'a> From<&'a [u8]> for Piece<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Piece<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a str> for Piece<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl From<Bytes> for Piece<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Owned(bytes)
    }
}

impl From<Vec<u8>> for Piece<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes.into())
    }
}
