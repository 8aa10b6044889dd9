//! Where a task is: parked, ready, or run by a thread.
//!
//! A poller reports only once that a socket has become ready (edge-triggered). So an event that arrives while a thread
//! runs the task is noted, and the thread that wants to park it has to run it again.

use crate::sync::{AtomicBool, AtomicU8, Ordering};

/// It waits; the next call makes it ready.
const PARKED: u8 = 0;
/// The scheduler has it.
const READY: u8 = 1;
/// A thread runs it, and nothing has happened since.
const TAKEN: u8 = 2;
/// A thread runs it, and has to run it again.
const CALLED: u8 = 3;

/// Whether one task waits, is ready, or runs.
#[derive(Debug)]
pub struct TaskState {
    phase: AtomicU8,
    /// A write found no room, or is under way: it is worth a call when there is room.
    full: AtomicBool,
}

impl TaskState {
    /// The state of a task that is about to be added to the scheduler.
    #[expect(
        clippy::new_without_default,
        reason = "it begins with a task that is ready, which no default says"
    )]
    pub fn new() -> Self {
        Self { phase: AtomicU8::new(READY), full: AtomicBool::new(false) }
    }

    /// There is something to do. True: the caller has to add the task to the scheduler.
    #[must_use]
    pub fn call(&self) -> bool {
        let called = self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, |phase| match phase {
            PARKED => Some(READY),
            TAKEN => Some(CALLED),
            // Written again, so that the thread that takes the task sees what this call is about.
            phase => Some(phase),
        });
        called == Ok(PARKED)
    }

    /// A thread has taken the task from the scheduler.
    pub fn take(&self) {
        let before = self.phase.swap(TAKEN, Ordering::AcqRel);
        debug_assert_eq!(before, READY, "a task was taken twice");
    }

    /// The thread has run it. False: something has happened, and it has to be added to the scheduler again.
    #[must_use]
    pub fn park(&self) -> bool {
        let parked = self.phase.compare_exchange(TAKEN, PARKED, Ordering::AcqRel, Ordering::Acquire);
        if parked.is_err() {
            self.phase.swap(READY, Ordering::AcqRel);
        }
        parked.is_ok()
    }

    /// Before each write, so that room which comes just after it found none is not missed.
    pub fn write_begins(&self) {
        self.full.store(true, Ordering::SeqCst);
    }

    /// The write found room for everything.
    pub fn all_written(&self) {
        self.full.store(false, Ordering::SeqCst);
    }

    /// There is room. True: somebody waits for it, so that it is worth a [`call`](Self::call).
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.full.swap(false, Ordering::SeqCst)
    }
}
