//! The locks of this crate. Poisoning is ignored: a panic in one request must not stop the others.
//!
//! The model check (`model.rs`) puts loom's locks in their place. The atomics stay those of std, because they are
//! counters and caches on which no wake-up depends.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

/// Locks `mutex`, poisoned or not.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(all(test, not(loom)))]
    count::note::<T>();
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks `mutex` if it is free.
pub(crate) fn try_lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    #[cfg(all(test, not(loom)))]
    count::note::<T>();
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Releases `guard` until `condvar` is notified.
pub(crate) fn wait<'m, T>(condvar: &Condvar, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Like the one below. Time is not modelled.
#[cfg(all(test, loom))]
pub(crate) fn wait_while<'m, T>(
    condvar: &Condvar,
    mut guard: MutexGuard<'m, T>,
    _: Duration,
    mut condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'m, T> {
    while condition(&mut guard) {
        guard = wait(condvar, guard);
    }
    guard
}

/// Releases `guard` while `condition` holds, at most for `time`. The condition is checked at each notification.
#[cfg(not(all(test, loom)))]
pub(crate) fn wait_while<'m, T>(
    condvar: &Condvar,
    guard: MutexGuard<'m, T>,
    time: Duration,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'m, T> {
    condvar.wait_timeout_while(guard, time, condition).unwrap_or_else(PoisonError::into_inner).0
}

/// The value of a mutex that is not shared.
pub(crate) fn get_mut<T: ?Sized>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the locks of the current thread, for `locks.rs`.
#[cfg(all(test, not(loom)))]
pub(crate) mod count {
    use std::any::type_name;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static TAKEN: RefCell<BTreeMap<&'static str, usize>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Counts one lock of a mutex that protects a `T`.
    pub(super) fn note<T: ?Sized>() {
        TAKEN.with_borrow_mut(|taken| *taken.entry(type_name::<T>()).or_default() += 1);
    }

    /// The locks since the last call, by the types that they protect.
    pub(crate) fn take() -> BTreeMap<&'static str, usize> {
        TAKEN.take()
    }
}
