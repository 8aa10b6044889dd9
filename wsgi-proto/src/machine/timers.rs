//! Since when the machine waits for what.

use crate::time::Instant;

/// Deadlines count from these instants; `None` is "from the next wait on".
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timers {
    pub(crate) idle: Option<Instant>,
    pub(crate) head: Option<Instant>,
    pub(crate) read: Option<Instant>,
    pub(crate) write: Option<Instant>,
    pub(crate) drain: Option<Instant>,
    pub(crate) linger: Option<Instant>,
    pub(crate) abort: Option<Instant>,
}

impl Timers {
    /// All deadlines count anew, but that of a write which is under way.
    pub(crate) fn restart(&mut self) {
        *self = Self { write: self.write, ..Self::default() };
    }

    /// A head begins to arrive, and has its own deadlines.
    pub(crate) fn begin_head(&mut self, now: Instant) {
        *self = Self { write: self.write, head: Some(now), ..Self::default() };
    }
}
