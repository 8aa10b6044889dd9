//! Puts a thread to sleep until its waker is woken.

use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

use crate::context::no_waiting;
use crate::sync::{Condvar, Mutex, lock, wait, wait_while};

/// One thread's sleep. A wake-up is kept until the next sleep, which then does not begin.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    woken: Mutex<bool>,
    wakes: Condvar,
}

impl Parker {
    /// The parker of the calling thread.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn current() -> Arc<Self> {
        thread_local! {
            static CURRENT: Arc<Parker> = Arc::default();
        }
        // A value that another thread-local variable drops may call this when it is gone.
        CURRENT.try_with(Arc::clone).unwrap_or_default()
    }

    /// A new one: the threads of a model are not those of the system.
    #[cfg(all(test, loom))]
    pub(crate) fn current() -> Arc<Self> {
        Arc::default()
    }

    /// Blocks the calling thread until this is woken, even if that happened before, or until `end`.
    ///
    /// # Panics
    ///
    /// In code that must not wait, see [`no_waiting`].
    pub(crate) fn park(&self, end: Option<Instant>) {
        no_waiting::check();
        let mut woken = lock(&self.woken);
        match end {
            Some(end) => {
                let time = end.saturating_duration_since(Instant::now());
                woken = wait_while(&self.wakes, woken, time, |woken| !*woken);
            }
            None => {
                while !*woken {
                    woken = wait(&self.wakes, woken);
                }
            }
        }
        *woken = false;
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *lock(&self.woken) = true;
        self.wakes.notify_one();
    }
}
