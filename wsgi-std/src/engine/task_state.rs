//! Where a task is: parked, at the desk, or with a thread.
//!
//! A poller tells only once that a socket has become ready (edge-triggered). So what comes in while a thread is with the
//! task is noted, and the thread that wants to park it is told to look again.

use crate::sync::{AtomicBool, AtomicU8, Ordering};

/// Nobody is with it; the next call brings it to the desk.
const PARKED: u8 = 0;
/// It lies at the desk.
const READY: u8 = 1;
/// A thread is with it, and nothing has come in since.
const TAKEN: u8 = 2;
/// A thread is with it, and has to look again.
const CALLED: u8 = 3;

/// The place of one task.
#[derive(Debug)]
pub struct Slot {
    phase: AtomicU8,
    /// A write found no room, or is under way: room that comes is worth a call.
    full: AtomicBool,
}

impl Slot {
    /// That of a task which is about to be added to the desk.
    #[expect(clippy::new_without_default, reason = "no slot is empty: it belongs to a task that is ready")]
    pub fn new() -> Self {
        Self { phase: AtomicU8::new(READY), full: AtomicBool::new(false) }
    }

    /// There is something to do. True: the caller has to add the task to the desk.
    #[must_use]
    pub fn call(&self) -> bool {
        let called = self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, |phase| match phase {
            PARKED => Some(READY),
            TAKEN => Some(CALLED),
            // Written once more, so that whoever takes it sees what this call is about.
            phase => Some(phase),
        });
        called == Ok(PARKED)
    }

    /// A thread has taken the task from the desk.
    pub fn take(&self) {
        let before = self.phase.swap(TAKEN, Ordering::AcqRel);
        debug_assert_eq!(before, READY, "a task was taken twice");
    }

    /// The thread is through with it for now. False: something came in, and it has to be added to the desk again.
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
