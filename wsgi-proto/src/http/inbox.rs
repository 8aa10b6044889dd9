//! Received bytes that are not yet consumed: one initialised block with two cursors.

use core::fmt;
use core::mem;

use bytes::{Bytes, BytesMut};

/// The smallest piece that shares its block is this part of the block. Smaller ones are copied, so that a piece never
/// keeps more memory alive than this many times its length.
const SHARED_PART: usize = 4;

/// The received bytes.
///
/// They are in a block: in `buffer`, or in `shared` once a piece of the block was handed out. The block becomes a
/// buffer again when its pieces are dropped.
///
/// Invariant: at most one of `buffer` and `shared` is not empty; `start <= end <=` the length of the block, and `end <=
/// given` while space is handed out; all of the block is initialised.
#[derive(Default)]
pub(crate) struct Inbox {
    buffer: BytesMut,
    shared: Bytes,
    start: usize,
    end: usize,
    /// The end of the space that was handed out last.
    given: usize,
    /// Whether the last read filled the buffer to its end.
    filled: bool,
}

impl Inbox {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.block()[self.start..self.end]
    }

    fn block(&self) -> &[u8] {
        if self.shared.is_empty() { &self.buffer } else { &self.shared }
    }

    /// The block from the first of the bytes on. All of it is initialised.
    pub(crate) fn buffer(&self) -> &[u8] {
        &self.block()[self.start..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is a buffer that can be written.
    pub(crate) fn has_buffer(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether the inbox is empty, and all of its buffer can be handed out under a limit of `limit` bytes.
    pub(crate) fn is_free(&self, limit: usize) -> bool {
        self.end == 0 && self.has_buffer() && self.buffer.len() <= limit
    }

    /// Returns the whole buffer of an inbox that [is free](Self::is_free).
    pub(crate) fn whole_space(&mut self) -> &mut [u8] {
        debug_assert!(self.is_empty(), "received bytes would be overwritten");
        (self.given, self.filled) = (self.buffer.len(), false);
        &mut self.buffer
    }

    /// Returns the space after the bytes. It is empty if the inbox already holds `limit` bytes or has no buffer.
    /// `expected`: the number of bytes that are expected at least. If the last read filled the buffer and more are
    /// expected, the buffer grows, which saves reads.
    pub(crate) fn space(&mut self, limit: usize, expected: u64) -> &mut [u8] {
        if !self.shared.is_empty() {
            self.reclaim();
        }
        if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let is_small = self.filled && expected > self.buffer.len() as u64;
        if (self.end == self.buffer.len() || is_small) && self.buffer.len() < limit && self.has_buffer() {
            self.grow(if is_small { 4 } else { 2 }, limit);
        }
        self.filled = false;
        let room = limit.saturating_sub(self.len()).min(self.buffer.len() - self.end);
        self.given = self.end + room;
        &mut self.buffer[self.end..self.end + room]
    }

    #[cold]
    fn grow(&mut self, times: usize, limit: usize) {
        self.replace(self.buffer.len().saturating_mul(times).min(limit));
    }

    /// Makes the block writable again, or replaces it if a piece of it is still in use.
    fn reclaim(&mut self) {
        match mem::take(&mut self.shared).try_into_mut() {
            Ok(buffer) => self.buffer = buffer,
            Err(shared) => {
                self.shared = shared;
                self.replace(self.shared.len());
            }
        }
    }

    /// Moves the bytes to the start of a new buffer.
    fn replace(&mut self, size: usize) {
        let mut buffer = BytesMut::zeroed(size);
        buffer[..self.len()].copy_from_slice(self.bytes());
        (self.start, self.end) = (0, self.len());
        (self.buffer, self.shared) = (buffer, Bytes::new());
    }

    /// Adds `count` bytes that were written into [`space`](Self::space). A `count` larger than the space means all of
    /// it.
    pub(crate) fn commit(&mut self, count: usize) {
        // Bytes after that space may be left over from another connection.
        self.end = self.end.saturating_add(count).min(self.given);
        self.filled = self.end == self.block().len();
    }

    /// Consumes the first `count` bytes and returns them, without a copy unless they are few.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        let count = count.min(self.len());
        let range = self.start..self.start + count;
        let taken = if count < self.block().len() / SHARED_PART {
            Bytes::copy_from_slice(&self.block()[range])
        } else {
            if self.shared.is_empty() {
                self.shared = mem::take(&mut self.buffer).freeze();
            }
            self.shared.slice(range)
        };
        self.consume(count);
        taken
    }

    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len(), "more bytes consumed than received");
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end, self.given) = (0, 0, 0);
        }
    }

    /// Drops the bytes. No buffer is left if a piece of the block is still in use.
    #[inline]
    pub(crate) fn clear(&mut self) {
        (self.start, self.end, self.given, self.filled) = (0, 0, 0, false);
        if !self.shared.is_empty() {
            self.reclaim_or_drop();
        }
    }

    #[cold]
    fn reclaim_or_drop(&mut self) {
        self.buffer = mem::take(&mut self.shared).try_into_mut().unwrap_or_default();
    }

    /// Makes a buffer of `size` bytes if there is none.
    #[inline]
    pub(crate) fn ensure_buffer(&mut self, size: usize) {
        if self.buffer.is_empty() && self.shared.is_empty() {
            self.make_buffer(size);
        }
    }

    #[cold]
    fn make_buffer(&mut self, size: usize) {
        self.buffer = BytesMut::zeroed(size);
    }

    /// The size of the block.
    pub(crate) fn capacity(&self) -> usize {
        self.block().len()
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("len", &self.len())
            .field("capacity", &self.block().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_moving_and_growing() {
        let mut inbox = Inbox::default();
        assert!(inbox.space(100, 0).is_empty());
        inbox.ensure_buffer(4);
        inbox.space(100, 0).copy_from_slice(b"abcd");
        inbox.commit(4);
        inbox.consume(2);
        inbox.space(100, 0).copy_from_slice(b"ef");
        inbox.commit(2);
        assert_eq!(inbox.space(100, 0).len(), 4);
        assert_eq!(inbox.bytes(), b"cdef");
    }

    #[test]
    fn the_limit_is_backpressure() {
        let mut inbox = Inbox::default();
        inbox.ensure_buffer(4);
        assert_eq!(inbox.space(3, 0).len(), 3);
        inbox.commit(3);
        assert!(inbox.space(3, 0).is_empty());
        inbox.consume(1);
        assert_eq!(inbox.space(3, 0).len(), 1);
    }

    /// An inbox with a block of 8 bytes that has received `bytes`.
    fn received(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::default();
        inbox.ensure_buffer(8);
        inbox.space(8, 0)[..bytes.len()].copy_from_slice(bytes);
        inbox.commit(bytes.len());
        inbox
    }

    #[test]
    fn pieces_share_their_block_and_later_bytes_do_not_touch_them() {
        let mut inbox = received(b"abcdefgh");
        let at = inbox.bytes().as_ptr();
        let (first, second) = (inbox.take(2), inbox.take(5));
        assert_eq!((first.as_ptr(), second.as_ptr()), (at, at.wrapping_add(2)));
        let space = inbox.space(8, 0);
        assert_eq!(space.len(), 7);
        space.copy_from_slice(b"ijklmno");
        inbox.commit(7);
        assert_eq!((&first[..], &second[..], inbox.bytes()), (&b"ab"[..], &b"cdefg"[..], &b"hijklmno"[..]));
    }

    #[test]
    fn a_block_whose_pieces_are_dropped_is_used_again() {
        let mut inbox = received(b"abcdefgh");
        let at = inbox.bytes().as_ptr();
        drop((inbox.take(4), inbox.take(3)));
        assert_eq!(inbox.space(8, 0).len(), 7);
        assert_eq!((inbox.bytes(), inbox.block().as_ptr()), (&b"h"[..], at));
        drop(inbox.take(8));
        inbox.clear();
        assert_eq!((inbox.buffer().as_ptr(), inbox.capacity()), (at, 8));
    }

    #[test]
    fn small_pieces_are_copied() {
        let mut inbox = received(b"abcdefgh");
        let block = inbox.bytes().as_ptr_range();
        let pieces: [Bytes; 8] = core::array::from_fn(|_| inbox.take(1));
        assert!(pieces.iter().all(|piece| !block.contains(&piece.as_ptr())));
        assert_eq!(pieces.concat(), b"abcdefgh");
    }

    #[test]
    fn a_block_in_use_does_not_go_back_to_the_pool() {
        let mut inbox = received(b"abcdefgh");
        let piece = inbox.take(8);
        inbox.clear();
        assert_eq!((inbox.capacity(), &piece[..]), (0, &b"abcdefgh"[..]));
    }

    #[test]
    fn the_whole_buffer_of_an_empty_inbox_is_handed_out_below_the_limit() {
        let mut inbox = Inbox::default();
        assert!(!inbox.is_free(4));
        inbox.ensure_buffer(4);
        assert!(inbox.is_free(4) && !inbox.is_free(3));
        inbox.whole_space().copy_from_slice(b"abcd");
        inbox.commit(3);
        assert!(!inbox.is_free(4));
        assert_eq!(inbox.bytes(), b"abc");
        inbox.consume(3);
        assert!(inbox.is_free(4));
        // No more is committed than was handed out.
        inbox.commit(1);
        assert_eq!(inbox.len(), 0);
    }
}
