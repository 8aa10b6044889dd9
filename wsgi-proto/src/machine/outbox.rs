//! The bytes to send. Small pieces are copied together, large ones are queued without a copy.

#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::fmt;

use crate::http::chunk_size::push_size;
use crate::machine::piece::Piece;

/// The maximum size of an owned piece that is copied: another slice in a write costs more than the copy.
const COPIED: usize = 4096;

/// The maximum number of slices in one [`Transmit`].
const SLICES: usize = 16;

/// The maximum length of a piece that the driver has: that of a file.
pub(crate) const MOST_EXTERNAL: u64 = i64::MAX as u64;

/// The bytes to write next, in order: slices for one vectored write.
pub struct Transmit<'a>(Slices<'a>);

#[allow(clippy::large_enum_variant, reason = "it lives on the stack during one write")]
enum Slices<'a> {
    /// The usual case.
    One(&'a [u8]),
    Many([&'a [u8]; SLICES], usize),
}

impl fmt::Debug for Transmit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slices().iter().map(|slice| slice.len())).finish()
    }
}

impl<'a> Transmit<'a> {
    #[inline]
    pub(crate) fn nothing() -> Self {
        Self(Slices::One(&[]))
    }

    /// The slices. Each has at least one byte.
    #[inline]
    pub fn slices(&self) -> &[&'a [u8]] {
        match &self.0 {
            Slices::One([]) => &[],
            Slices::One(slice) => core::slice::from_ref(slice),
            Slices::Many(slices, count) => &slices[..*count],
        }
    }
}

/// A piece of the outbox that was not copied.
enum Large {
    Bytes(Bytes),
    /// This number of bytes that the driver has.
    External(u64),
}

impl Large {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::External(left) => *left,
        }
    }

    /// Removes the first bytes, `most` at most, and returns their number.
    fn advance(&mut self, most: u64) -> u64 {
        let part = most.min(self.len());
        match self {
            Self::Bytes(bytes) => bytes.advance(part as usize),
            Self::External(left) => *left -= part,
        }
        part
    }
}

/// The queue of bytes to send.
///
/// Invariant: positions in `large` are ascending and lie in `sent..=copied.len()`; no piece in it is empty; at most one
/// is external; `queued` is the number of unsent bytes, except while a head is being written.
#[derive(Default)]
pub(crate) struct Outbox {
    copied: Vec<u8>,
    /// The number of bytes of `copied` that are transmitted.
    sent: usize,
    /// The large pieces. Each is sent before the byte of `copied` at its position.
    large: VecDeque<(usize, Large)>,
    queued: u64,
    /// The total number of bytes transmitted.
    transmitted: u64,
}

/// The lines of a head that is being written at the end of the outbox.
pub(crate) struct Lines<'a> {
    text: &'a mut Vec<u8>,
    from: usize,
    /// The number of bytes that stay when this is dropped.
    keep: usize,
}

impl Lines<'_> {
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        self.text
    }

    /// Keeps the lines that were written. Returns their position.
    pub(crate) fn keep(mut self) -> usize {
        self.keep = self.text.len();
        self.from
    }
}

/// A field may be malformed, and the application's iterator may panic.
impl Drop for Lines<'_> {
    fn drop(&mut self) {
        self.text.truncate(self.keep);
    }
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// The number of unsent bytes.
    pub(crate) fn len(&self) -> u64 {
        self.queued
    }

    /// The total number of bytes transmitted or queued.
    pub(crate) fn total(&self) -> u64 {
        self.transmitted.saturating_add(self.queued)
    }

    /// The total number of bytes transmitted.
    pub(crate) fn total_transmitted(&self) -> u64 {
        self.transmitted
    }

    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
        self.queued += bytes.len() as u64;
    }

    /// Begins a head at the end of the copied bytes. Its lines are removed again unless they are kept.
    pub(crate) fn begin_head(&mut self) -> Lines<'_> {
        let from = self.copied.len();
        Lines { text: &mut self.copied, from, keep: from }
    }

    /// The copied bytes, to complete the head that begins at some position in them. [`end_head`](Self::end_head) has to
    /// follow.
    pub(crate) fn head_text(&mut self) -> &mut Vec<u8> {
        &mut self.copied
    }

    /// Queues the head that begins at `from`, and returns its bytes.
    pub(crate) fn end_head(&mut self, from: usize) -> &[u8] {
        let head = &self.copied[from..];
        self.queued += head.len() as u64;
        head
    }

    /// Removes the lines that begin at `from`, and returns them.
    pub(crate) fn take_head(&mut self, from: usize) -> Vec<u8> {
        self.copied.split_off(from)
    }

    #[inline]
    pub(crate) fn push(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Borrowed(bytes) => self.copy(bytes),
            Piece::Owned(bytes) => self.push_owned(bytes),
        }
    }

    #[inline]
    fn push_owned(&mut self, bytes: Bytes) {
        if bytes.len() > COPIED {
            self.queued += bytes.len() as u64;
            self.large.push_back((self.copied.len(), Large::Bytes(bytes)));
        } else {
            self.copy(&bytes);
        }
    }

    /// Queues `length` bytes that the driver has, [`MOST_EXTERNAL`] at most. The caller has checked that no others wait.
    pub(crate) fn push_external(&mut self, length: u64) {
        debug_assert!(self.external_left() == 0, "a second external piece");
        debug_assert!(length <= MOST_EXTERNAL, "the number of unsent bytes would overflow");
        if length > 0 {
            self.queued += length;
            self.large.push_back((self.copied.len(), Large::External(length)));
        }
    }

    /// The number of unsent bytes that the driver has.
    #[inline]
    pub(crate) fn external_left(&self) -> u64 {
        if self.large.is_empty() { 0 } else { self.find_external().map_or(0, |(_, _, left)| left) }
    }

    /// The number of bytes that the driver has and that are the next to send.
    pub(crate) fn external(&self) -> u64 {
        match self.large.front() {
            Some((position, Large::External(left))) if *position == self.sent => *left,
            _ => 0,
        }
    }

    /// The external piece: its index in `large`, its position, and its length.
    #[cold]
    fn find_external(&self) -> Option<(usize, usize, u64)> {
        self.large.iter().enumerate().find_map(|(index, (position, large))| match large {
            Large::External(left) => Some((index, *position, *left)),
            Large::Bytes(_) => None,
        })
    }

    /// Replaces the first bytes of the external piece by `bytes`. A surplus is dropped.
    pub(crate) fn supply_external(&mut self, mut bytes: Bytes) {
        let Some((index, position, left)) = self.find_external() else { return };
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        match left - bytes.len() as u64 {
            0 => drop(self.large.remove(index)),
            rest => self.large[index].1 = Large::External(rest),
        }
        if !bytes.is_empty() {
            self.large.insert(index, (position, Large::Bytes(bytes)));
        }
    }

    /// Discards the external piece and everything behind it.
    pub(crate) fn cut_external(&mut self) {
        let Some((index, position, _)) = self.find_external() else { return };
        self.large.truncate(index);
        self.copied.truncate(position);
        let large = self.large.iter().map(|(_, large)| large.len()).sum::<u64>();
        self.queued = (self.copied.len() - self.sent) as u64 + large;
        match self.queued {
            0 => self.clear(),
            _ => self.tidy(),
        }
    }

    /// Queues `length` bytes that the driver has as one chunk, like [`push_external`](Self::push_external).
    pub(crate) fn push_external_chunk(&mut self, length: u64) {
        let before = self.copied.len();
        push_size(&mut self.copied, length);
        self.queued += (self.copied.len() - before) as u64;
        self.push_external(length);
        self.copy(b"\r\n");
    }

    /// Queues `piece` as one chunk, which has to contain bytes (RFC 9112, 7.1).
    #[inline]
    pub(crate) fn push_chunk(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Borrowed(bytes) => self.copy_chunk(bytes),
            Piece::Owned(bytes) => self.push_owned_chunk(bytes),
        }
    }

    fn push_owned_chunk(&mut self, bytes: Bytes) {
        if bytes.len() > COPIED {
            let before = self.copied.len();
            push_size(&mut self.copied, bytes.len() as u64);
            self.queued += (self.copied.len() - before) as u64;
            self.push_owned(bytes);
            self.copy(b"\r\n");
        } else {
            self.copy_chunk(&bytes);
        }
    }

    #[inline]
    fn copy_chunk(&mut self, data: &[u8]) {
        let before = self.copied.len();
        push_size(&mut self.copied, data.len() as u64);
        self.copied.extend_from_slice(data);
        self.copied.extend_from_slice(b"\r\n");
        self.queued += (self.copied.len() - before) as u64;
    }

    #[inline]
    pub(crate) fn transmit(&self) -> Transmit<'_> {
        match self.large.is_empty() {
            true => Transmit(Slices::One(&self.copied[self.sent..])),
            false => self.transmit_many(),
        }
    }

    fn transmit_many<'a>(&'a self) -> Transmit<'a> {
        let mut slices: [&[u8]; SLICES] = [&[]; SLICES];
        let mut count = 0;
        let mut push = |slice: &'a [u8]| {
            if let (false, Some(place)) = (slice.is_empty(), slices.get_mut(count)) {
                *place = slice;
                count += 1;
            }
        };
        let mut at = self.sent;
        let mut large = self.large.iter().take(SLICES);
        let end = loop {
            match large.next() {
                Some((position, Large::Bytes(bytes))) => {
                    push(&self.copied[at..*position]);
                    push(bytes);
                    at = *position;
                }
                // The bytes behind it have to wait.
                Some((position, Large::External(_))) => break *position,
                None if self.large.len() < SLICES => break self.copied.len(),
                None => break at,
            }
        };
        push(&self.copied[at..end]);
        Transmit(Slices::Many(slices, count))
    }

    /// Records that the first `count` unsent bytes were transmitted. A larger `count` means all of them.
    #[inline]
    pub(crate) fn transmitted(&mut self, count: usize) {
        let left = (count as u64).min(self.queued);
        self.transmitted = self.transmitted.saturating_add(left);
        self.queued -= left;
        match self.queued {
            // Usually all of it.
            0 => self.clear(),
            _ => self.remove(left),
        }
    }

    /// Removes the first `left` bytes.
    #[inline(never)]
    fn remove(&mut self, mut left: u64) {
        while left > 0 {
            match self.large.front_mut() {
                Some((position, large)) if *position == self.sent => {
                    left -= large.advance(left);
                    if large.len() == 0 {
                        self.large.pop_front();
                    }
                }
                front => {
                    let end = front.map_or(self.copied.len(), |(position, _)| *position);
                    let part = left.min((end - self.sent) as u64);
                    self.sent += part as usize;
                    left -= part;
                }
            }
        }
        self.tidy();
    }

    /// Discards the unsent bytes of a lost connection.
    pub(crate) fn discard(&mut self) {
        self.queued = 0;
        self.clear();
    }

    #[inline]
    fn clear(&mut self) {
        if !self.large.is_empty() {
            self.large.clear();
        }
        self.copied.clear();
        self.sent = 0;
    }

    fn tidy(&mut self) {
        if self.sent > COPIED && self.sent * 2 > self.copied.len() {
            self.copied.drain(..self.sent);
            for (position, _) in &mut self.large {
                *position -= self.sent;
            }
            self.sent = 0;
        }
    }

    /// Begins for a connection that has transmitted `transmitted` bytes. The outbox is empty.
    #[inline]
    pub(crate) fn begin(&mut self, transmitted: u64) {
        debug_assert!(self.is_empty() && self.copied.is_empty(), "bytes of another connection");
        self.transmitted = transmitted;
    }

    /// The memory that [`forget_extras`](Self::forget_extras) frees; zero if there is none.
    #[inline]
    pub(crate) fn extras(&self) -> usize {
        self.large.capacity()
    }

    /// Frees memory that most responses do not need. The outbox is empty.
    pub(crate) fn forget_extras(&mut self) {
        self.large = VecDeque::new();
    }

    pub(crate) fn capacity(&self) -> usize {
        self.copied.capacity()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("len", &self.len())
            .field("transmitted", &self.transmitted)
            .finish_non_exhaustive()
    }
}
