//! Received bytes that are not yet consumed: one initialised buffer with two cursors.

use alloc::vec::Vec;
use core::fmt;

/// The received bytes.
///
/// Invariant: `start <= end <= buffer.len()`, and `end <= given` while space is handed out; all of `buffer` is
/// initialised.
#[derive(Default)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The end of the space that was handed out last.
    given: usize,
    /// Whether the last read filled the buffer to its end.
    filled: bool,
}

impl Inbox {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The buffer from the first of the bytes on. All of it is initialised.
    pub(crate) fn buffer(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is a buffer at all.
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
    /// `large`: much more input is expected, so the buffer grows as soon as a read fills it, which saves reads.
    pub(crate) fn space(&mut self, limit: usize, large: bool) -> &mut [u8] {
        if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if (self.end == self.buffer.len() || large && self.filled) && self.has_buffer() {
            let grown = (2 * self.buffer.len()).min(limit.max(self.buffer.len()));
            self.buffer.resize(grown, 0);
        }
        self.filled = false;
        let room = limit.saturating_sub(self.len()).min(self.buffer.len() - self.end);
        self.given = self.end + room;
        &mut self.buffer[self.end..self.end + room]
    }

    /// Adds `count` bytes that were written into [`space`](Self::space). A `count` larger than the space means all of
    /// it.
    pub(crate) fn commit(&mut self, count: usize) {
        // Bytes after that space may be left over from another connection.
        self.end = self.end.saturating_add(count).min(self.given);
        self.filled = self.end == self.buffer.len();
    }

    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len(), "more bytes consumed than received");
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end, self.given) = (0, 0, 0);
        }
    }

    /// Swaps the buffer with `buffer`. Unconsumed bytes are dropped.
    pub(crate) fn swap_buffer(&mut self, buffer: &mut Vec<u8>) {
        (self.start, self.end, self.given, self.filled) = (0, 0, 0, false);
        core::mem::swap(&mut self.buffer, buffer);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("len", &self.len())
            .field("capacity", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn bytes_survive_moving_and_growing() {
        let mut inbox = Inbox::default();
        assert!(inbox.space(100, false).is_empty());
        inbox.swap_buffer(&mut vec![0; 4]);
        inbox.space(100, false).copy_from_slice(b"abcd");
        inbox.commit(4);
        inbox.consume(2);
        inbox.space(100, false).copy_from_slice(b"ef");
        inbox.commit(2);
        assert_eq!(inbox.space(100, false).len(), 4);
        assert_eq!(inbox.bytes(), b"cdef");
    }

    #[test]
    fn the_limit_is_backpressure() {
        let mut inbox = Inbox::default();
        inbox.swap_buffer(&mut vec![0; 4]);
        assert_eq!(inbox.space(3, false).len(), 3);
        inbox.commit(3);
        assert!(inbox.space(3, false).is_empty());
        inbox.consume(1);
        assert_eq!(inbox.space(3, false).len(), 1);
    }

    #[test]
    fn the_whole_buffer_of_an_empty_inbox_is_handed_out_below_the_limit() {
        let mut inbox = Inbox::default();
        assert!(!inbox.is_free(4));
        inbox.swap_buffer(&mut vec![0; 4]);
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
