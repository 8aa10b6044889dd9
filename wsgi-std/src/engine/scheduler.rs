//! Who polls, who works, who waits: threads come to the desk and are told what to do next.
//!
//! There is one poller, and either it lies here or one thread has it. Tasks (connections) that are ready lie here, too.
//! A thread takes a ready task or, if there is none, the poller. So one thread does everything as long as it is quick,
//! and nobody is woken. While threads are with tasks and the poller lies here, the watcher looks every tick whether
//! anything has been taken; if not, another thread joins in.
//!
//! This module knows no sockets and no clocks, so that all interleavings can be tried: `tests/model.rs`.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait, wait_at_most};

/// How long nothing may be taken before another thread joins in. Each time it is halved, down to [`SHORTEST`], so that
/// many requests that wait get their threads quickly; when all goes well it grows again.
const TICK: Duration = Duration::from_millis(2);
const SHORTEST: Duration = Duration::from_micros(125);

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(2);

/// What a thread has to do next.
#[derive(Debug)]
pub(crate) enum Work<P, T> {
    /// Wait for what becomes ready.
    Poll(P),
    /// See to a task.
    Run(T),
    /// End.
    Leave,
}

/// What a thread comes from.
#[derive(Debug)]
pub(crate) enum Came<P, T> {
    /// It has just begun.
    Begun,
    /// It has polled; these tasks are ready.
    Polled(P, Vec<T>),
    /// It was with a task.
    Ran,
}

/// Where the threads of an engine get their work.
///
/// Invariant: while the poller lies here, some thread is on its way here, or the watcher ticks, or there are as many
/// threads as there may be.
#[derive(Debug)]
pub(crate) struct Desk<P, T> {
    state: Mutex<State<P, T>>,
    /// The watcher waits here.
    watcher: Condvar,
    /// Threads without work wait here.
    spare: Condvar,
    /// Whoever waits for all to leave.
    left: Condvar,
}

#[derive(Debug)]
struct State<P, T> {
    poller: Option<P>,
    ready: VecDeque<T>,
    /// How often something was taken.
    taken: u64,
    /// The watcher looks every so often.
    ticks: bool,
    tick: Duration,
    /// How many threads there are, the watcher not counted, and how many there may be.
    threads: usize,
    most: usize,
    /// How many of them are with a task, and how many have nothing to do.
    running: usize,
    spare: usize,
    /// A thread was called or begun, and has not come yet.
    coming: bool,
    watched: bool,
    stopping: bool,
}

impl<P, T> Desk<P, T> {
    /// A desk for at most so many threads, of which the caller begins the first, and for the watcher, which it begins
    /// as well.
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

    /// Tells a thread what to do, and makes it wait until there is something.
    pub(crate) fn next(&self, came: Came<P, T>) -> Work<P, T> {
        let mut state = self.lock();
        match came {
            Came::Begun => state.coming = false,
            Came::Polled(poller, ready) => {
                state.poller = Some(poller);
                state.ready.extend(ready);
            }
            Came::Ran => state.running -= 1,
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
                return Work::Run(task);
            }
            if let Some(poller) = state.poller.take() {
                state.taken += 1;
                return Work::Poll(poller);
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
        Work::Leave
    }

    /// What the watcher does, until the desk stops. `begin` begins another thread, if it can.
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
                // What the thread that has just joined in took says little.
                if !mem::take(&mut joined) {
                    state.tick = TICK.min(2 * tick);
                }
            } else if state.poller.is_none() {
                // Somebody polls, and nothing has happened.
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
                    // The next thread that comes back sees to it.
                    state.ticks = false;
                }
            }
        }
        state.watched = false;
        self.left.notify_all();
    }

    /// Adds a task that is ready. True: somebody polls, and has to be roused to see it.
    #[must_use]
    pub(crate) fn add(&self, task: T) -> bool {
        let mut state = self.lock();
        state.ready.push_back(task);
        state.poller.is_none()
    }

    /// From now on threads are told to leave. True: somebody polls, and has to be roused to hear it.
    #[must_use]
    pub(crate) fn stop(&self) -> bool {
        let mut state = self.lock();
        state.stopping = true;
        self.watcher.notify_all();
        self.spare.notify_all();
        state.poller.is_none()
    }

    /// Waits until every thread has left, except those that are with a task.
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
