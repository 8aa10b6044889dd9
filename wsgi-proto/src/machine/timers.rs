//! The start times of the machine's waits.

use crate::time::Instant;

/// The instants from which deadlines are computed. `None`: from the start of the next wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timers {
    pub(crate) idle: Option<Instant>,
    pub(crate) head: Option<Instant>,
    pub(crate) read: Option<Instant>,
    pub(crate) write: Option<Instant>,
    /// Unread input is drained, or dropped after our half was closed.
    pub(crate) unread: Option<Instant>,
    pub(crate) abort: Option<Instant>,
}

impl Timers {
    /// Restarts all timers except that of a write in progress.
    pub(crate) fn restart(&mut self) {
        *self = Self { write: self.write, ..Self::default() };
    }

    /// Starts the timer of a head, and restarts the others except that of a write in progress.
    pub(crate) fn begin_head(&mut self, now: Instant) {
        *self = Self { write: self.write, head: Some(now), ..Self::default() };
    }
}
