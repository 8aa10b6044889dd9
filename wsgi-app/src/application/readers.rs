//! The blocks of a reader, as the body of a response.

use std::io::{self, ErrorKind, Read};
#[cfg(any(feature = "tokio-io", feature = "futures-io"))]
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};

use crate::exchange::error::Result;

/// The largest read, in bytes.
pub(crate) const BLOCK: usize = 64 * 1024;

/// The blocks of a reader. They end at the end of its bytes, or after its first error.
pub(crate) struct Reads<R> {
    reader: R,
    block: BytesMut,
    ended: bool,
}

impl<R> Reads<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, block: BytesMut::new(), ended: false }
    }

    /// Makes the space of the next read.
    fn space(&mut self) {
        self.block.resize(BLOCK, 0);
    }

    /// The block of a read.
    fn taken(&mut self, read: io::Result<usize>) -> Option<Result<Bytes>> {
        self.ended = !matches!(read, Ok(1..));
        match read {
            Ok(0) => None,
            Ok(count) => Some(Ok(self.block.split_to(count).freeze())),
            Err(error) => Some(Err(error.into())),
        }
    }
}

impl<R: Read> Iterator for Reads<R> {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            self.space();
            match self.reader.read(&mut self.block) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return self.taken(read),
            }
        }
        None
    }
}

/// An asynchronous reader as the function that polls it.
#[cfg(any(feature = "tokio-io", feature = "futures-io"))]
impl<R> futures_core::Stream for Reads<R>
where
    R: FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>> + Unpin,
{
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        while !this.ended {
            this.space();
            match ready!((this.reader)(context, &mut this.block)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return Poll::Ready(this.taken(read)),
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gives_all_its_bytes_and_then_ends() {
        let mut blocks = Reads::new(io::Cursor::new(vec![7; BLOCK + 5]));
        let lengths: Vec<_> = blocks.by_ref().map(|block| block.unwrap().len()).collect();
        assert_eq!(lengths, [BLOCK, 5]);
        assert!(blocks.next().is_none());
    }
}
