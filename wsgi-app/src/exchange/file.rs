//! The block of a file that the transport sends while the machine waits for it.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

/// The size of one call of the transport, in bytes. It adapts to the time that a call takes.
const FIRST: usize = 512 * 1024;
const LEAST: usize = 64 * 1024;
const MOST: usize = 2 * 1024 * 1024;

/// The time that a call may take.
const TIME: Duration = Duration::from_micros(300);

/// A file of which the transport sends a block.
pub(crate) struct FileBlock {
    pub(crate) file: Arc<File>,
    /// The position in the file of the next byte to send.
    pub(crate) offset: u64,
    /// Bytes of the file follow this block.
    pub(crate) more: bool,
    /// The size of the next call.
    pub(crate) step: usize,
    /// The last call took too long.
    slow: bool,
    /// Why the transport has stopped before the end of the block.
    stopped: Option<Stopped>,
    /// The reader of a block that the transport cannot send waits until the bytes before its next ones were written.
    awaited: bool,
}

/// Why a transport sends no more bytes of a file, and the position of the next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The file ends here.
    Ended(u64),
    /// It cannot send this file, or any.
    Unable(u64),
}

impl FileBlock {
    /// The block from `offset`; if `more`, bytes of the file follow it. `before` is the last one of this connection.
    pub(crate) fn new(file: Arc<File>, offset: u64, more: bool, before: Option<&Self>) -> Self {
        let step = before.map_or(FIRST, |before| before.step);
        Self { file, offset, more, step, slow: false, stopped: None, awaited: false }
    }

    pub(crate) fn is_sending(&self) -> bool {
        self.stopped.is_none()
    }

    /// Records that a call has sent `count` bytes in this time. A single slow call may be the fault of another process.
    pub(crate) fn sent(&mut self, count: usize, time: Duration) {
        self.offset += count as u64;
        let was_slow = std::mem::replace(&mut self.slow, time > TIME);
        if self.slow && was_slow {
            self.step = (self.step / 2).max(LEAST);
        } else if count == self.step && time < TIME / 2 {
            self.step = (self.step * 2).min(MOST);
        }
    }

    /// Waits until the bytes before the rest of the block were written.
    pub(crate) fn wait(&mut self) {
        self.awaited = true;
    }

    /// Ends the [`wait`](Self::wait). Returns whether there was one.
    pub(crate) fn end_wait(&mut self) -> bool {
        std::mem::take(&mut self.awaited)
    }

    pub(crate) fn stop(&mut self, stopped: Stopped) {
        self.stopped = Some(stopped);
    }

    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_grows_while_it_is_fast_and_shrinks_when_it_is_slow() {
        let file = Arc::new(File::open("Cargo.toml").expect("cargo runs the tests in this folder"));
        let mut block = FileBlock::new(file, 7, false, None);
        for _ in 0..10 {
            block.sent(block.step, Duration::from_micros(100));
        }
        assert_eq!(block.step, MOST);
        block.sent(1, Duration::from_micros(100));
        block.sent(MOST, Duration::from_micros(200));
        assert_eq!(block.step, MOST, "a call of this time may stay as it is");
        block.sent(MOST, Duration::from_micros(301));
        assert_eq!(block.step, MOST, "one slow call is no rule");
        block.sent(MOST, Duration::from_micros(301));
        assert_eq!(block.step, MOST / 2);
        block.sent(1000, Duration::from_micros(100));
        assert_eq!(
            block.step,
            MOST / 2,
            "a call that filled the socket does not show how long a larger one takes"
        );
        for _ in 0..10 {
            block.sent(1, Duration::from_secs(1));
        }
        assert_eq!(block.step, LEAST);
        let next = FileBlock::new(Arc::clone(&block.file), 0, false, Some(&block));
        assert_eq!(next.step, LEAST);
    }
}
