//! Decides which thread polls, which runs a task, and which waits.
//!
//! There is one poller. Either the scheduler holds it, or one thread does. The scheduler also holds the tasks
//! (connections) that are ready. A thread takes a ready task or, if no task is ready, the poller. So one thread does
//! everything as long as it is quick, and no thread is woken.
//!
//! While threads run tasks and the scheduler holds the poller, the watcher checks every tick whether work has waited
//! for the whole tick: a task that was ready before, or the poller, since events that no thread has polled wait, too.
//! Then more threads join in, however many other tasks were taken meanwhile, and from now on each thread that takes
//! a task while other work waits wakes as many others as there is work for. It does the same if the run before was
//! [`SLOW`]. Waking a thread has a price: work that waits only for short runs ([`LONG`]) gets no new thread before it
//! has waited for a [`WINDOW`], and none at all if the runs are very short ([`QUICK`]).
//!
//! This module knows nothing of sockets, and its locks and its clock can be replaced, so that all interleavings can be
//! tested: `tests/model.rs`.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use crate::sync::{Condvar, Instant, Mutex, MutexGuard, lock, wait, wait_at_most};

/// How long work may wait before more threads join in. Each time it is halved, down to [`SHORTEST`], so that many
/// waiting requests get their threads quickly; it grows again when work is taken in time.
const TICK: Duration = Duration::from_millis(2);
const SHORTEST: Duration = Duration::from_micros(250);

/// The average time of a run from which on a tick of waiting is enough. Below, work has to wait for a [`WINDOW`].
const LONG: Duration = Duration::from_millis(1);
const WINDOW: Duration = Duration::from_millis(10);

/// The average time of a run below which more threads do not help: waking a thread would cost about as much.
const QUICK: Duration = Duration::from_micros(100);

/// The time of a run from which on threads without work are woken for the work that waits, without waiting for a tick.
pub(crate) const SLOW: Duration = Duration::from_micros(300);

/// While runs are not slow, one of this number is timed. The clock is read for nothing in the others.
const SAMPLE: u64 = 8;

/// How long a thread without work waits before it ends.
const IDLE: Duration = Duration::from_secs(2);

/// The next step of a thread.
#[derive(Debug)]
pub(crate) enum Next<P, T> {
    /// Poll for tasks that become ready, and wait until there is one, or without waiting.
    Poll {
        /// The poller, to be returned by [`Completed::Polled`].
        poller: P,
        /// An empty list for the tasks that become ready, to be returned with them.
        list: Vec<T>,
        /// Whether to wait. Otherwise, other tasks are ready already.
        waits: bool,
    },
    /// Run a task.
    Run {
        /// The task, whose run is reported by [`Completed::Ran`].
        task: T,
        /// Whether to report if the run was [`SLOW`].
        timed: bool,
    },
    /// [Wait](Scheduler::wait) for work.
    Wait,
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
    Ran {
        /// The task, if it is still ready. Otherwise it waits or has ended.
        ready: Option<T>,
        /// Whether the run was [`SLOW`], if it was timed.
        slow: Option<bool>,
    },
    /// It has waited for work.
    Waited(Waited),
}

/// How a [wait](Scheduler::wait) for work has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waited {
    /// It has not begun: there is work.
    NotAtAll,
    /// It was ended, usually because there is work.
    UntilNotified,
    /// For so long that the thread ends, unless there is work.
    TooLong,
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
    /// Threads without work do not end.
    keeps_threads: bool,
}

#[derive(Debug)]
struct State<P, T> {
    poller: Option<P>,
    /// The empty list for the next poll.
    list: Vec<T>,
    ready: VecDeque<T>,
    /// Tasks that were run and are still ready. They have their next turn after a poll, so that they cannot keep all
    /// threads from polling.
    ready_again: VecDeque<T>,
    /// A thread waits in a poll, and was not notified yet.
    waits: bool,
    /// How many tasks were queued in `ready` so far.
    queued: u64,
    /// How often any task was taken, and how often the poller was.
    runs: u64,
    polls: u64,
    /// The watcher checks every tick.
    ticks: bool,
    tick: Duration,
    /// Work has waited for a tick: a thread that runs a task while other work waits wakes others.
    hands_over: bool,
    /// The last run that was timed was slow: the same.
    slow: bool,
    /// How many threads there are without the watcher, and the limit.
    threads: usize,
    most: usize,
    /// How many of them run a task, and how many have nothing to do.
    running: usize,
    spare: usize,
    /// How many of the spare ones were notified.
    notified: usize,
    /// How many threads were notified or started, and have not called `next` yet.
    coming: usize,
    watched: bool,
    stopping: bool,
}

/// What the watcher remembers at the beginning of a tick.
struct Seen {
    queued: u64,
    runs: u64,
    running: usize,
    /// `None` if a thread had the poller.
    polls: Option<u64>,
}

impl<P, T> Scheduler<P, T> {
    /// Creates a scheduler for at most `most` threads, which end when they have had no work for a while, unless
    /// `keeps_threads`. The caller starts the first one, and the watcher.
    pub(crate) fn new(poller: P, most: usize, keeps_threads: bool) -> Self {
        let state = State {
            poller: Some(poller),
            list: Vec::new(),
            ready: VecDeque::new(),
            ready_again: VecDeque::new(),
            waits: false,
            queued: 0,
            runs: 0,
            polls: 0,
            ticks: false,
            tick: TICK,
            hands_over: false,
            slow: false,
            threads: 1,
            most,
            running: 0,
            spare: 0,
            notified: 0,
            coming: 1,
            watched: true,
            stopping: false,
        };
        Self {
            state: Mutex::new(state),
            watcher: Condvar::new(),
            spare: Condvar::new(),
            left: Condvar::new(),
            keeps_threads,
        }
    }

    /// Returns what the calling thread has to do next. It does not wait.
    pub(crate) fn next(&self, completed: Completed<P, T>) -> Next<P, T> {
        let tired = matches!(completed, Completed::Waited(Waited::TooLong));
        let mut state = self.lock();
        match completed {
            Completed::Nothing | Completed::Waited(Waited::UntilNotified | Waited::TooLong) => {
                state.arrived()
            }
            Completed::Waited(Waited::NotAtAll) => {}
            Completed::Polled(poller, mut ready) => {
                state.poller = Some(poller);
                state.waits = false;
                state.queued += (ready.len() + state.ready_again.len()) as u64;
                state.ready.extend(ready.drain(..));
                state.list = ready;
                if !state.ready_again.is_empty() {
                    let State { ready, ready_again, .. } = &mut *state;
                    ready.append(ready_again);
                }
            }
            Completed::Ran { ready, slow } => {
                state.running -= 1;
                state.ready_again.extend(ready);
                state.slow = slow.unwrap_or(state.slow);
            }
        }
        if !state.stopping {
            if let Some(task) = state.ready.pop_front() {
                return self.run(state, task);
            }
            if let Some(poller) = state.poller.take() {
                state.polls += 1;
                state.waits = state.ready_again.is_empty();
                let list = mem::take(&mut state.list);
                return Next::Poll { poller, list, waits: state.waits };
            }
            // Another thread polls.
            if let Some(task) = state.ready_again.pop_front() {
                return self.run(state, task);
            }
            if !tired {
                return Next::Wait;
            }
        }
        state.threads -= 1;
        self.left.notify_all();
        Next::Exit
    }

    /// Waits for work, after [`Next::Wait`]. Returns what the thread has to report with [`Completed::Waited`].
    pub(crate) fn wait(&self) -> Waited {
        let mut state = self.lock();
        if state.stopping
            || state.poller.is_some()
            || !state.ready.is_empty()
            || !state.ready_again.is_empty()
        {
            // It has appeared since then, and was not announced to this thread.
            return Waited::NotAtAll;
        }
        state.spare += 1;
        let (mut state, too_long) = match self.keeps_threads {
            true => (wait(&self.spare, state), false),
            false => wait_at_most(&self.spare, state, IDLE),
        };
        state.spare -= 1;
        state.notified = state.notified.saturating_sub(1);
        if too_long { Waited::TooLong } else { Waited::UntilNotified }
    }

    /// Takes note of a thread that was started, but will never call [`next`](Self::next).
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.arrived();
        state.threads -= 1;
        self.left.notify_all();
    }

    /// Lets the calling thread run `task`.
    #[inline]
    fn run(&self, mut state: MutexGuard<'_, State<P, T>>, task: T) -> Next<P, T> {
        state.runs += 1;
        state.running += 1;
        // Without a thread that could be woken, the time is of no use.
        let timed = state.spare > 0 && (state.slow || state.runs.is_multiple_of(SAMPLE));
        if state.poller.is_some() && (state.hands_over || state.slow || !state.ticks) {
            self.leave_work(state);
        }
        Next::Run { task, timed }
    }

    /// Takes care of the work that waits while a thread runs a task.
    #[cold]
    fn leave_work(&self, mut state: MutexGuard<'_, State<P, T>>) {
        let watch = !mem::replace(&mut state.ticks, true);
        let hands_over = state.hands_over || state.slow;
        // The tasks, and the poller.
        let wanted = if hands_over { 1 + state.ready.len() } else { 0 };
        let woken = state.calls_spare(wanted);
        // The woken threads need the lock.
        drop(state);
        if watch {
            self.watcher.notify_one();
        }
        (0..woken).for_each(|_| self.spare.notify_one());
    }

    /// The watcher's loop, until the scheduler stops. `begin` starts another thread, if it can.
    pub(crate) fn watch(&self, begin: impl Fn() -> bool) {
        let mut state = self.lock();
        let mut runs = Runs::new(&state);
        while !state.stopping {
            if !state.ticks {
                state = wait(&self.watcher, state);
                runs = Runs::new(&state);
                continue;
            }
            let (seen, tick, began) = (state.seen(), state.tick, Instant::now());
            (state, _) = wait_at_most(&self.watcher, state, tick);
            // A busy system ends the tick late.
            runs.observe(&state, tick.max(began.elapsed()));
            let waiting = state.waiting_since(&seen);
            if waiting > 0 && runs.need_threads {
                state.tick = SHORTEST.max(tick / 2);
                let stuck = state.runs_ended_since(&seen) == 0;
                state = self.join_in(state, waiting, stuck, &begin);
            } else if state.runs == seen.runs && state.poller.is_none() {
                // A thread polls, and nothing has happened.
                (state.ticks, state.tick, state.hands_over) = (false, TICK, false);
            } else {
                state.tick = TICK.min(2 * tick);
                state.hands_over &= runs.need_threads;
            }
        }
        state.watched = false;
        self.left.notify_all();
    }

    /// Lets more threads join in, since `waiting` pieces of work wait. `stuck`: no run has ended meanwhile.
    fn join_in<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<P, T>>,
        waiting: usize,
        stuck: bool,
        begin: &impl Fn() -> bool,
    ) -> MutexGuard<'s, State<P, T>> {
        state.hands_over = true;
        if state.stopping || state.coming > 0 {
            return state;
        }
        if state.spare > 0 {
            let woken = state.calls_spare(waiting);
            (0..woken).for_each(|_| self.spare.notify_one());
            return state;
        }
        // At most twice as many as before, so that a burst of short tasks does not start a thread for each.
        let growth = if stuck { state.running } else { state.running / 2 };
        let wanted = waiting.min(growth.max(1)).min(state.most - state.threads);
        // At the limit, the next thread that calls `next` takes what waits.
        state.ticks = wanted > 0;
        state.coming = wanted;
        state.threads += wanted;
        drop(state);
        let begun = (0..wanted).take_while(|_| begin()).count();
        state = self.lock();
        state.threads -= wanted - begun;
        state.coming = state.coming.saturating_sub(wanted - begun);
        state
    }

    /// Adds a task that is ready. Returns true if a thread waits in a poll and has to be notified to see it.
    #[must_use]
    pub(crate) fn add(&self, task: T) -> bool {
        let mut state = self.lock();
        state.ready.push_back(task);
        state.queued += 1;
        mem::take(&mut state.waits)
    }

    /// Ends all threads. Returns true if a thread waits in a poll and has to be notified to see it.
    #[must_use]
    pub(crate) fn stop(&self) -> bool {
        let mut state = self.lock();
        state.stopping = true;
        self.watcher.notify_all();
        self.spare.notify_all();
        mem::take(&mut state.waits)
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

impl<P, T> State<P, T> {
    /// A thread that was notified or started is here. A thread that is here for another reason may count instead.
    fn arrived(&mut self) {
        self.coming = self.coming.saturating_sub(1);
    }

    /// Returns how many threads without work have to be notified, so that `wanted` are coming.
    fn calls_spare(&mut self, wanted: usize) -> usize {
        let woken = wanted.saturating_sub(self.coming).min(self.spare - self.notified);
        self.notified += woken;
        self.coming += woken;
        woken
    }

    fn seen(&self) -> Seen {
        let polls = self.poller.as_ref().map(|_| self.polls);
        Seen { queued: self.queued, runs: self.runs, running: self.running, polls }
    }

    /// How many pieces of work have waited since then: tasks, and the poller. None if a thread has the poller, since that
    /// thread takes the tasks.
    fn waiting_since(&self, seen: &Seen) -> usize {
        if self.poller.is_none() {
            return 0;
        }
        let dequeued = self.queued - self.ready.len() as u64;
        let tasks = seen.queued.saturating_sub(dequeued) as usize;
        tasks + usize::from(seen.polls == Some(self.polls))
    }

    fn runs_ended_since(&self, seen: &Seen) -> u64 {
        (self.runs - self.running as u64) - (seen.runs - seen.running as u64)
    }

    /// Whether the runs that have ended in the `time` since then took less than `limit` on average.
    fn runs_are_below(&self, limit: Duration, seen: &Seen, time: Duration) -> bool {
        let (ended, running) = (self.runs_ended_since(seen), self.running.max(seen.running));
        ended > 0 && u128::from(ended) * limit.as_nanos() >= running as u128 * time.as_nanos()
    }
}

/// What the watcher knows of the length of the runs.
struct Runs {
    /// More threads would help work that waits: runs are long, or not very short and work has waited for a window.
    need_threads: bool,
    /// Since then `need_threads` is to be judged anew, and this is how long ago it was.
    judged: (Seen, Duration),
    /// The beginning of the window.
    window: (Seen, Duration),
    /// Work has waited for all of an earlier window.
    waited: bool,
}

impl Runs {
    fn new<P, T>(state: &State<P, T>) -> Self {
        let [judged, window] = [(); 2].map(|()| (state.seen(), Duration::ZERO));
        Self { need_threads: false, judged, window, waited: false }
    }

    /// Observes the runs of a tick that has just ended after `time`.
    fn observe<P, T>(&mut self, state: &State<P, T>, time: Duration) {
        self.window.1 += time;
        if self.window.1 >= WINDOW {
            let (seen, time) = &self.window;
            self.waited |= state.waiting_since(seen) > 0;
            self.waited &= !state.runs_are_below(QUICK, seen, *time);
            self.window = (state.seen(), Duration::ZERO);
        }
        self.judged.1 += time;
        // Fewer runs say little.
        if self.judged.1 >= TICK {
            let (seen, time) = &self.judged;
            self.need_threads = !state.runs_are_below(if self.waited { QUICK } else { LONG }, seen, *time);
            self.judged = (state.seen(), Duration::ZERO);
        }
    }
}
