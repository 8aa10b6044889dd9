//! The tasks of one connection that wait for a stop of the server.

use std::mem;
use std::task::Waker;

/// The wakers of waiting tasks, each with its own key. It exists once a task has waited.
#[derive(Default)]
pub(super) struct StopWaiters {
    next: u64,
    wakers: Vec<(u64, Waker)>,
}

impl StopWaiters {
    /// Sets the waker of `key`, and returns the one before. Without a key that is still here, it makes one.
    pub(super) fn set(&mut self, key: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let place = self.wakers.iter_mut().find(|(of, _)| Some(*of) == *key);
        if let Some((_, before)) = place {
            return Some(mem::replace(before, waker));
        }
        self.wakers.push((self.next, waker));
        *key = Some(self.next);
        self.next += 1;
        None
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Waker> {
        let place = self.wakers.iter().position(|(of, _)| *of == key)?;
        Some(self.wakers.swap_remove(place).1)
    }

    pub(super) fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.wakers.into_iter().map(|(_, waker)| waker)
    }
}
