//! Decides which thread polls, which runs a task, and which waits.
//!
//! There is one poller. Either the scheduler holds it, or one thread does. The scheduler also holds the tasks
//! (connections) that are ready. A thread takes a ready task or, if no task is ready, the poller. So one thread does
//! everything as long as it is quick, and no thread is woken. While threads run tasks and the scheduler holds the
//! poller, the watcher checks every tick whether anything was taken; if not, another thread joins in.
//!
//! This module knows nothing of sockets and clocks, so that all interleavings can be tested: `tests/model.rs`.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait, wait_at_most};

/// How long nothing may be taken before another thread joins in. Each time it is halved, down to [`SHORTEST`], so that
/// many waiting requests get their threads quickly; it grows again when tasks are taken in time.
const TICK: Duration = Duration::from_millis(2);
const SHORTEST: Duration = Duration::from_micros(125);

/// How long a thread without work waits before it ends.
const IDLE: Duration = Duration::from_secs(2);

/// The next step of a thread.
#[derive(Debug)]
pub(crate) enum Next<P, T> {
    /// Poll for tasks that become ready.
    Poll(P),
    /// Run a task.
    Run(T),
    /// End.
    Exit,
}

/// The step that a thread has just completed.
#[derive(Debug)]
pub(crate) enum Completed<P, T> {
    /// Nothing: it has just started.
    Nothing,
    /// It has polled; these tasks are ready.
    Polled(P, Vec<T>),
    /// It ran a task.
    Ran,
}

/// Hands out the work of an engine to its threads.
///
/// Invariant: while the scheduler holds the poller, some thread is about to call [`next`](Self::next), or the watcher
/// ticks, or the number of threads has reached its limit.
#[derive(Debug)]
pub(crate) struct Scheduler<P, T> {
    state: Mutex<State<P, T>>,
    /// The watcher waits here.
    watcher: Condvar,
    /// Threads without work wait here.
    spare: Condvar,
    /// [`wait_until_left`](Self::wait_until_left) waits here.
    left: Condvar,
}

#[derive(Debug)]
struct State<P, T> {
    poller: Option<P>,
    ready: VecDeque<T>,
    /// How many tasks and pollers were taken so far.
    taken: u64,
    /// The watcher checks every tick.
    ticks: bool,
    tick: Duration,
    /// How many threads there are without the watcher, and the limit.
    threads: usize,
    most: usize,
    /// How many of them run a task, and how many have nothing to do.
    running: usize,
    spare: usize,
    /// A thread was notified or started, and has not called `next` yet.
    coming: bool,
    watched: bool,
    stopping: bool,
}

impl<P, T> Scheduler<P, T> {
    /// Creates a scheduler for at most `most` threads. The caller starts the first one, and the watcher.
    pub(crate) fn new(poller: P, most: usize) -> Self {
        let state = State {
            poller: Some(poller),
            ready: VecDeque::new(),
            taken: 0,
            ticks: false,
            tick: TICK,
            threads: 1,
            most,
            running: 0,
            spare: 0,
            coming: false,
            watched: true,
            stopping: false,
        };
        Self {
            state: Mutex::new(state),
            watcher: Condvar::new(),
            spare: Condvar::new(),
            left: Condvar::new(),
        }
    }

    /// Returns what the calling thread has to do next; waits until there is something.
    pub(crate) fn next(&self, completed: Completed<P, T>) -> Next<P, T> {
        let mut state = self.lock();
        match completed {
            Completed::Nothing => state.coming = false,
            Completed::Polled(poller, ready) => {
                state.poller = Some(poller);
                state.ready.extend(ready);
            }
            Completed::Ran => state.running -= 1,
        }
        let mut tired = false;
        while !state.stopping {
            if let Some(task) = state.ready.pop_front() {
                state.taken += 1;
                state.running += 1;
                if state.poller.is_some() && !state.ticks {
                    state.ticks = true;
                    self.watcher.notify_one();
                }
                return Next::Run(task);
            }
            if let Some(poller) = state.poller.take() {
                state.taken += 1;
                return Next::Poll(poller);
            }
            if tired {
                break;
            }
            state.spare += 1;
            (state, tired) = wait_at_most(&self.spare, state, IDLE);
            state.spare -= 1;
            state.coming = false;
        }
        state.threads -= 1;
        self.left.notify_all();
        Next::Exit
    }

    /// The watcher's loop, until the scheduler stops. `begin` starts another thread, if it can.
    pub(crate) fn watch(&self, begin: impl Fn() -> bool) {
        let (mut state, mut joined) = (self.lock(), false);
        while !state.stopping {
            if !state.ticks {
                state = wait(&self.watcher, state);
                continue;
            }
            let (seen, tick) = (state.taken, state.tick);
            (state, _) = wait_at_most(&self.watcher, state, tick);
            if state.taken != seen {
                // A take by the thread that has just joined in proves little.
                if !mem::take(&mut joined) {
                    state.tick = TICK.min(2 * tick);
                }
            } else if state.poller.is_none() {
                // A thread polls, and nothing has happened.
                state.ticks = false;
            } else if !state.stopping && !state.coming {
                state.tick = SHORTEST.max(tick / 2);
                joined = true;
                if state.spare > 0 {
                    state.coming = true;
                    self.spare.notify_one();
                } else if state.threads < state.most {
                    state.coming = true;
                    state.threads += 1;
                    drop(state);
                    let begun = begin();
                    state = self.lock();
                    if !begun {
                        (state.coming, state.threads) = (false, state.threads - 1);
                    }
                } else {
                    // The next thread that calls `next` takes the poller.
                    state.ticks = false;
                }
            }
        }
        state.watched = false;
        self.left.notify_all();
    }

    /// Adds a task that is ready. Returns true if a thread polls and has to be notified to see it.
    #[must_use]
    pub(crate) fn add(&self, task: T) -> bool {
        let mut state = self.lock();
        state.ready.push_back(task);
        state.poller.is_none()
    }

    /// Ends all threads. Returns true if a thread polls and has to be notified to see it.
    #[must_use]
    pub(crate) fn stop(&self) -> bool {
        let mut state = self.lock();
        state.stopping = true;
        self.watcher.notify_all();
        self.spare.notify_all();
        state.poller.is_none()
    }

    /// Waits until every thread has ended, except those that run a task.
    pub(crate) fn wait_until_left(&self) {
        let mut state = self.lock();
        while state.threads > state.running || state.watched {
            state = wait(&self.left, state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<P, T>> {
        lock(&self.state)
    }
}
