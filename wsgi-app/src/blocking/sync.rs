//! What the desk and the slots synchronise with; the model check (`tests/model.rs`) puts loom's in its place.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Waits, and tells whether it was for all that time.
pub(super) fn wait_at_most<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> (MutexGuard<'a, T>, bool) {
    let (guard, ended) = condition.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner);
    (guard, ended.timed_out())
}
