//! The state of a task: parked, ready, or run by a thread.
//!
//! A poller reports only once that a socket has become ready (edge-triggered). An event that arrives while a thread
//! runs the task is therefore recorded, and the thread has to run the task again before it can park it.

use crate::sync::{AtomicBool, AtomicU8, Ordering};

/// Waiting; the next call makes it ready.
const PARKED: u8 = 0;
/// Queued in the scheduler.
const READY: u8 = 1;
/// A thread runs it, and nothing has happened since.
const TAKEN: u8 = 2;
/// A thread runs it, and has to run it again.
const CALLED: u8 = 3;

/// The state of one task.
#[derive(Debug)]
pub struct TaskState {
    phase: AtomicU8,
    /// A write found no room, or is under way: new room is worth a call.
    full: AtomicBool,
}

impl TaskState {
    /// The state of a task that is about to be added to the scheduler.
    #[expect(
        clippy::new_without_default,
        reason = "the task begins as ready, which is not an obvious default"
    )]
    pub fn new() -> Self {
        Self { phase: AtomicU8::new(READY), full: AtomicBool::new(false) }
    }

    /// The state of a task that waits for its first event, which is a report that its socket is readable or has room.
    pub fn waiting() -> Self {
        Self { phase: AtomicU8::new(PARKED), full: AtomicBool::new(true) }
    }

    /// Reports that there is something to do. If it returns true, the caller has to add the task to the scheduler.
    #[must_use]
    pub fn call(&self) -> bool {
        let called = self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, |phase| match phase {
            PARKED => Some(READY),
            TAKEN => Some(CALLED),
            // Written again, so that the thread that takes the task sees the data behind this call.
            phase => Some(phase),
        });
        called == Ok(PARKED)
    }

    /// Marks the task as taken from the scheduler by a thread.
    pub fn take(&self) {
        let before = self.phase.swap(TAKEN, Ordering::AcqRel);
        debug_assert_eq!(before, READY, "a task was taken twice");
    }

    /// Parks the task after a run. If it returns false, something has happened, and the task has to be added to the
    /// scheduler again.
    #[must_use]
    pub fn park(&self) -> bool {
        let parked = self.phase.compare_exchange(TAKEN, PARKED, Ordering::AcqRel, Ordering::Acquire);
        if parked.is_err() {
            self.phase.swap(READY, Ordering::AcqRel);
        }
        parked.is_ok()
    }

    /// Marks the beginning of a write, so that room is not missed if it appears just after the write found none.
    pub fn write_begins(&self) {
        self.full.store(true, Ordering::SeqCst);
    }

    /// Marks that the write found room for everything.
    pub fn all_written(&self) {
        self.full.store(false, Ordering::SeqCst);
    }

    /// Reports that there is room. Returns true if a write is waiting for it, so that it is worth a
    /// [`call`](Self::call).
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.full.swap(false, Ordering::SeqCst)
    }
}
