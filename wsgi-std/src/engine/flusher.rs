//! Writes the bytes of responses that wait to be sent while their application computes the next ones.
//!
//! Each entry is tried after one to two milliseconds, on a separate thread, since all others may be busy. An application
//! that sends many small blocks in a row is done before. The thread begins with the first entry; it never calls the host.

use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wsgi_app::adapter::Flush;

use crate::sync::{Condvar, Mutex, lock, wait, wait_at_most};

const TICK: Duration = Duration::from_millis(1);

/// The number of ticks without an entry after which the thread waits to be woken.
const IDLE: u32 = 20;

/// The longest pause before an entry is tried again, in ticks. Each pause is twice the one before.
const LONGEST: u32 = 64;

#[derive(Default)]
pub(super) struct Flusher(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    entries: Entries,
    stage: Stage,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// There is no thread yet.
    #[default]
    New,
    /// The thread waits for an entry.
    Asleep,
    Ticks,
    Stopped,
}

/// The entries, by the tick that is theirs.
#[derive(Default)]
struct Entries {
    /// Since the last tick.
    new: Vec<Flush>,
    waiting: Vec<Entry>,
}

struct Entry {
    flush: Flush,
    /// The ticks until it is tried, and those after which it was tried before.
    left: u32,
    pause: u32,
}

impl Flusher {
    /// Adds an entry. Returns false if there is no thread for it.
    pub(super) fn add(&self, flush: Flush) -> bool {
        let mut state = lock(&self.0.state);
        match state.stage {
            Stage::Stopped => return false,
            Stage::Ticks => {}
            Stage::Asleep => self.0.work.notify_one(),
            Stage::New => {
                let shared = Arc::clone(&self.0);
                let thread = thread::Builder::new().name("wsgi-std flush".into());
                if thread.spawn(move || shared.run()).is_err() {
                    return false;
                }
            }
        }
        state.stage = Stage::Ticks;
        state.entries.new.push(flush);
        true
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        let mut state = lock(&self.0.state);
        state.stage = Stage::Stopped;
        let entries = mem::take(&mut state.entries);
        drop(state);
        self.0.work.notify_one();
        drop(entries);
    }
}

impl Shared {
    fn run(&self) {
        let mut idle = 0;
        let mut state = lock(&self.state);
        while state.stage != Stage::Stopped {
            if idle >= IDLE {
                state.stage = Stage::Asleep;
                idle = 0;
                while state.stage == Stage::Asleep {
                    state = wait(&self.work, state);
                }
                continue;
            }
            (state, _) = wait_at_most(&self.work, state, TICK);
            let (due, any) = (state.entries.due(), !state.entries.is_empty());
            idle = if any || !due.is_empty() { 0 } else { idle + 1 };
            if due.is_empty() {
                continue;
            }
            // An entry may wake tasks.
            drop(state);
            let left: Vec<_> = due.into_iter().filter_map(Entry::tried).collect();
            state = lock(&self.state);
            if state.stage != Stage::Stopped {
                state.entries.waiting.extend(left);
            }
        }
    }
}

impl Entries {
    fn is_empty(&self) -> bool {
        self.new.is_empty() && self.waiting.is_empty()
    }

    /// Ends a tick. Returns the entries to be tried now.
    fn due(&mut self) -> Vec<Entry> {
        self.waiting.iter_mut().for_each(|entry| entry.left -= 1);
        let due = self.waiting.extract_if(.., |entry| entry.left == 0).collect();
        // They wait for at least one whole tick.
        self.waiting.extend(self.new.drain(..).map(|flush| Entry { flush, left: 1, pause: 1 }));
        due
    }
}

impl Entry {
    /// Tries it, and returns it if it has to be tried again.
    fn tried(self) -> Option<Self> {
        let pause = LONGEST.min(2 * self.pause);
        (!(self.flush)()).then_some(Self { left: self.pause, pause, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicBool, Ordering};

    /// The ticks in which an entry is tried that never succeeds before `tick`.
    fn tries(entries: &mut Entries, ticks: u32, succeeds_at: u32) -> Vec<u32> {
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        entries.new.push(Box::new(move || flag.load(Ordering::SeqCst)));
        let mut tried = Vec::new();
        for tick in 1..=ticks {
            done.store(tick >= succeeds_at, Ordering::SeqCst);
            let due = entries.due();
            tried.extend(due.iter().map(|_| tick));
            let left: Vec<_> = due.into_iter().filter_map(Entry::tried).collect();
            entries.waiting.extend(left);
        }
        tried
    }

    #[test]
    fn an_entry_is_tried_after_one_to_two_ticks() {
        let mut entries = Entries::default();
        assert_eq!(tries(&mut entries, 10, 0), [2]);
        assert!(entries.is_empty());
    }

    #[test]
    fn an_entry_that_does_not_succeed_is_tried_again_less_and_less_often() {
        let mut entries = Entries::default();
        assert_eq!(tries(&mut entries, 500, 300), [2, 3, 5, 9, 17, 33, 65, 129, 193, 257, 321]);
        assert!(entries.is_empty());
    }
}
