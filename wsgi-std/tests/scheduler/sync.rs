//! The locks that the scheduler expects, with ticks that the test ends.

use std::cell::{Cell, RefCell};
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

thread_local! {
    /// In the watcher's thread: its ticks.
    pub(crate) static TICKS: RefCell<Option<Ticks>> = const { RefCell::new(None) };
    /// In another thread: whether its waits that have an end are over immediately.
    pub(crate) static TIRED: Cell<bool> = const { Cell::new(false) };
}

/// The ticks of one watcher.
pub(crate) struct Ticks {
    /// Receives the length of each tick when it begins, and `None` when the watcher waits for a notification.
    pub(crate) begin: Sender<Option<Duration>>,
    /// Ends a tick.
    pub(crate) end: Receiver<()>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    TICKS.with_borrow(|ticks| ticks.iter().for_each(|ticks| ticks.begin.send(None).expect("the test runs")));
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Ends when the test ends it, or by a notification. A thread without work waits indefinitely, unless it is [`TIRED`].
pub(crate) fn wait_at_most<'a, T>(
    condition: &Condvar,
    mut guard: MutexGuard<'a, T>,
    time: Duration,
) -> (MutexGuard<'a, T>, bool) {
    let wait = |guard| condition.wait_timeout(guard, Duration::from_micros(100));
    TICKS.with_borrow(|ticks| match ticks {
        Some(ticks) => {
            ticks.begin.send(Some(time)).expect("the test runs");
            // The other end is dropped when the test is over.
            while ticks.end.try_recv() == Err(TryRecvError::Empty) {
                (guard, _) = wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            (guard, true)
        }
        None if TIRED.get() => (guard, true),
        None => (condition.wait(guard).unwrap_or_else(PoisonError::into_inner), false),
    })
}

/// A clock that stands still: a tick takes as long as it was meant to.
pub(crate) struct Instant;

impl Instant {
    pub(crate) fn now() -> Self {
        Self
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}
