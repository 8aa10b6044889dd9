//! The turn of a connection: how much it may do before others have theirs.

use std::time::Duration;

use wsgi_proto::Instant;

/// The bounds of a turn: requests, processing time, bytes moved. It is looked at after each, and ends only if more is
/// waiting.
const REQUESTS: u32 = 64;
const TIME: Duration = Duration::from_micros(300);
const BYTES: i64 = 1024 * 1024;

/// Pieces shorter than [`SMALL`] count [`DEARER`] times their length, but at least that of [`LEAST`] bytes: moving a
/// piece has its own price.
const SMALL: usize = 4 * 1024;
const LEAST: usize = 1024;
const DEARER: usize = 16;

/// [`Turn::bytes_left`] once the outbox was written after the end of the turn.
const WRITTEN: i64 = i64::MIN;

/// What is left of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Zero when any bound is reached.
    requests_left: u32,
    bytes_left: i64,
    ends: Instant,
}

impl Turn {
    /// A turn that begins now.
    #[inline]
    pub(crate) fn new(now: Instant) -> Self {
        Self { requests_left: REQUESTS, bytes_left: BYTES, ends: now.after(TIME) }
    }

    /// Whether a bound is reached.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.requests_left == 0
    }

    /// Whether a bound is reached, and the outbox was written since.
    #[inline]
    pub(crate) fn is_written(&self) -> bool {
        self.bytes_left == WRITTEN
    }

    /// Compares the clock with the end of the turn.
    #[inline]
    pub(crate) fn look_at(&mut self, now: Instant) {
        if now >= self.ends {
            self.requests_left = 0;
        }
    }

    #[inline]
    pub(crate) fn count_request(&mut self) {
        self.requests_left = self.requests_left.saturating_sub(1);
    }

    /// Counts a piece of `bytes` bytes that was received.
    #[inline]
    pub(crate) fn count(&mut self, bytes: usize) {
        self.bytes_left -= cost(bytes);
        if self.bytes_left <= 0 {
            self.requests_left = 0;
        }
    }

    /// Counts a piece of the outbox that was written.
    #[inline]
    pub(crate) fn count_written(&mut self, bytes: usize) {
        self.bytes_left -= cost(bytes);
        if self.bytes_left <= 0 {
            self.end_written();
        }
    }

    /// Ends the turn after a write.
    #[inline]
    pub(crate) fn end_written(&mut self) {
        (self.requests_left, self.bytes_left) = (0, WRITTEN);
    }
}

#[inline]
fn cost(bytes: usize) -> i64 {
    (if bytes < SMALL { bytes.max(LEAST) * DEARER } else { bytes }) as i64
}
