//! The locks of this crate, and the clock of its scheduler; the model check (`tests/model.rs`) replaces them. Poisoning is
//! ignored.

use std::sync::PoisonError;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;
pub(crate) use std::time::Instant;

/// Locks `mutex`, poisoned or not.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condition` is notified. The wait may also end for no reason.
pub(crate) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Waits for at most `time`. The second value is true if the time ran out.
pub(crate) fn wait_at_most<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> (MutexGuard<'a, T>, bool) {
    let (guard, ended) = condition.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner);
    (guard, ended.timed_out())
}
