//! Code of an application that runs in the task of its connection, and would wait for itself.

use std::cell::Cell;

thread_local! {
    static RUNS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `code`, in which [`check`] panics.
pub(crate) fn run<R>(code: impl FnOnce() -> R) -> R {
    struct Reset(bool);

    impl Drop for Reset {
        fn drop(&mut self) {
            RUNS.set(self.0);
        }
    }

    let _reset = Reset(RUNS.replace(true));
    code()
}

/// Called before a thread sleeps until the task of a connection wakes it.
///
/// # Panics
///
/// In the task of a connection.
pub(crate) fn check() {
    assert!(!RUNS.get(), "a blocking call that waits, where the server must not wait");
}
