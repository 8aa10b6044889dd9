//! The scheduler and the task states of the engine under every interleaving. To run it:
//! `RUSTFLAGS="--cfg loom" cargo test -p wsgi-std --release --test model`, or `cargo xtask model`.
//!
//! The two sources are compiled again, with loom's locks and atomics. If loom finds a thread that waits indefinitely, a
//! wake-up was lost. Time is not modelled: a tick may be over at any moment, and a thread without work exits
//! immediately or never, as the test chooses.
#![cfg(loom)]

#[path = "../src/engine/scheduler.rs"]
mod scheduler;
#[path = "model/sync.rs"]
mod sync;
#[path = "../src/engine/task_state.rs"]
#[allow(unreachable_pub, reason = "it is public in the crate")]
mod task_state;

use std::collections::VecDeque;
use std::sync::Arc;

use loom::model::Builder;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

use scheduler::{Completed, Next, Scheduler};
use sync::TIRED;
use task_state::TaskState;

/// Tries all interleavings with at most `preemptions` switches away from a runnable thread, and counts them.
#[allow(clippy::print_stdout, reason = "the number is the result of the run")]
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let tried = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("{name}: {} interleavings", tried.load(Ordering::Relaxed));
}

/// The only poller.
struct Poller;

/// A server without sockets: tasks are numbers.
struct World {
    scheduler: Scheduler<Poller, usize>,
    states: Vec<TaskState>,
    /// The system's pending reports to the poller: that it is notified, and events of tasks.
    kernel: Mutex<(bool, VecDeque<usize>)>,
    heard: Condvar,
    polled: AtomicBool,
    /// How often each task was run.
    runs: Mutex<Vec<usize>>,
    ran: Condvar,
    begun: AtomicUsize,
    /// How many bytes have arrived, and how many were read; for tests that need them.
    arrived: AtomicUsize,
    read: AtomicUsize,
    /// The action of a task.
    act: fn(&World, usize),
    /// Whether more threads can be started.
    grows: bool,
    /// Whether the tasks count as slow.
    slow: bool,
}

impl World {
    fn new(most: usize, tasks: usize, grows: bool, act: fn(&World, usize)) -> Arc<Self> {
        Arc::new(Self::with(most, tasks, grows, act))
    }

    /// The same, with slow tasks.
    fn slow(most: usize, tasks: usize, act: fn(&World, usize)) -> Arc<Self> {
        Arc::new(Self { slow: true, ..Self::with(most, tasks, true, act) })
    }

    fn with(most: usize, tasks: usize, grows: bool, act: fn(&World, usize)) -> Self {
        Self {
            scheduler: Scheduler::new(Poller, most, false),
            states: (0..tasks).map(|_| TaskState::new()).collect(),
            kernel: Mutex::default(),
            heard: Condvar::new(),
            polled: AtomicBool::new(false),
            runs: Mutex::new(vec![0; tasks]),
            ran: Condvar::new(),
            begun: AtomicUsize::new(0),
            arrived: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            act,
            grows,
            slow: false,
        }
    }

    /// Lets a task wait for its first call, instead of being added.
    fn park(&self, task: usize) {
        self.states[task].take();
        assert!(self.states[task].park());
    }

    /// Starts the first thread and the watcher.
    fn start(self: &Arc<Self>) {
        assert!(self.begin());
        let world = Arc::clone(self);
        thread::spawn(move || world.scheduler.watch(|| world.grows && world.begin()));
    }

    fn begin(self: &Arc<Self>) -> bool {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let world = Arc::clone(self);
        thread::spawn(move || world.work());
        true
    }

    fn work(&self) {
        let mut completed = Completed::Nothing;
        loop {
            completed = match self.scheduler.next(completed) {
                Next::Poll { poller, waits, .. } => {
                    let ready = self.poll(waits);
                    Completed::Polled(poller, ready)
                }
                Next::Run { task, .. } => {
                    let ready = self.run(task).then_some(task);
                    Completed::Ran { ready, slow: Some(self.slow) }
                }
                Next::Wait => Completed::Waited(self.scheduler.wait()),
                Next::Exit => return,
            };
        }
    }

    fn poll(&self, waits: bool) -> Vec<usize> {
        assert!(!self.polled.swap(true, Ordering::SeqCst), "two threads poll");
        let mut kernel = self.kernel.lock().unwrap();
        while waits && !kernel.0 && kernel.1.is_empty() {
            kernel = self.heard.wait(kernel).unwrap();
        }
        kernel.0 = false;
        let events = std::mem::take(&mut kernel.1);
        drop(kernel);
        let ready = events.into_iter().filter(|task| self.states[*task].call()).collect();
        self.polled.store(false, Ordering::SeqCst);
        ready
    }

    /// Returns true if the task is ready again.
    fn run(&self, task: usize) -> bool {
        self.states[task].take();
        (self.act)(self, task);
        self.runs.lock().unwrap()[task] += 1;
        self.ran.notify_all();
        !self.states[task].park()
    }

    fn notify(&self) {
        self.kernel.lock().unwrap().0 = true;
        self.heard.notify_all();
    }

    /// Reports that a task's socket is ready, as the system does.
    fn event(&self, task: usize) {
        self.kernel.lock().unwrap().1.push_back(task);
        self.heard.notify_all();
    }

    /// Adds a task to the scheduler, as its waker does.
    fn add(&self, task: usize) {
        if self.scheduler.add(task) {
            self.notify();
        }
    }

    fn call(&self, task: usize) {
        if self.states[task].call() {
            self.add(task);
        }
    }

    fn wait_for_runs(&self, task: usize, count: usize) {
        let mut runs = self.runs.lock().unwrap();
        while runs[task] < count {
            runs = self.ran.wait(runs).unwrap();
        }
    }

    fn stop(&self) {
        if self.scheduler.stop() {
            self.notify();
        }
        self.scheduler.wait_until_left();
    }
}

#[test]
fn what_is_added_is_run_whatever_the_threads_do_and_stop_reaches_all() {
    check(3, || {
        let world = World::new(1, 2, true, |_, _| {});
        world.start();
        world.add(0);
        world.add(1);
        world.wait_for_runs(0, 1);
        world.wait_for_runs(1, 1);
        world.stop();
    });
}

#[test]
fn a_stop_at_any_moment_reaches_all() {
    check(3, || {
        let world = World::new(2, 1, true, |_, _| {});
        world.start();
        world.add(0);
        world.stop();
    });
}

/// The first task waits for the second one.
fn wait_for_the_other(world: &World, task: usize) {
    if task == 0 {
        world.wait_for_runs(1, 1);
    }
}

#[test]
fn a_thread_that_is_busy_does_not_delay_other_tasks() {
    check(2, || {
        let world = World::new(2, 2, true, wait_for_the_other);
        world.start();
        world.add(0);
        world.add(1);
        world.wait_for_runs(0, 1);
        world.stop();
    });
}

#[test]
fn a_spare_thread_joins_in_again() {
    check(1, || {
        let world = World::new(2, 2, true, |world, task| {
            if task == 0 {
                let before = world.runs.lock().unwrap()[0];
                world.wait_for_runs(1, before + 1);
            }
        });
        world.start();
        world.add(0);
        world.add(1);
        world.wait_for_runs(0, 1);
        world.call(0);
        world.call(1);
        world.wait_for_runs(0, 2);
        world.stop();
    });
}

/// Each task waits for the one after it: all runs are needed at the same time, again and again.
fn wait_for_the_next_each_time(world: &World, task: usize) {
    if task + 1 < world.states.len() {
        let before = world.runs.lock().unwrap()[task];
        world.wait_for_runs(task + 1, before + 1);
    }
}

#[test]
fn after_slow_runs_spare_threads_join_in_again() {
    check(1, || {
        let world = World::slow(2, 2, wait_for_the_next_each_time);
        world.start();
        world.add(0);
        world.add(1);
        world.wait_for_runs(0, 1);
        world.event(0);
        world.event(1);
        world.wait_for_runs(0, 2);
        world.stop();
    });
}

#[test]
fn after_slow_runs_all_waiting_tasks_get_threads() {
    check(1, || {
        let world = World::slow(3, 3, wait_for_the_next_each_time);
        world.park(1);
        world.park(2);
        world.start();
        world.add(0);
        world.event(1);
        world.event(2);
        world.wait_for_runs(0, 1);
        world.stop();
    });
}

#[test]
fn threads_that_leave_when_they_are_tired_are_replaced() {
    check(1, || {
        TIRED.set(true);
        let world = World::new(3, 2, true, wait_for_the_other);
        world.start();
        world.add(0);
        world.add(1);
        world.wait_for_runs(0, 1);
        world.stop();
        TIRED.set(false);
    });
}

#[test]
fn without_more_threads_the_work_waits_and_goes_on() {
    check(2, || {
        let world = World::new(2, 2, false, |_, _| {});
        world.start();
        world.add(0);
        world.add(1);
        world.wait_for_runs(0, 1);
        world.wait_for_runs(1, 1);
        world.stop();
        assert_eq!(world.begun.load(Ordering::SeqCst), 1);
    });
}

/// Each task waits for the next one, except the last: they need a thread each.
fn wait_for_the_next(world: &World, task: usize) {
    if task < 2 {
        world.wait_for_runs(task + 1, 1);
    }
}

#[test]
fn tasks_that_wait_get_threads_even_if_no_thread_has_polled_them_yet() {
    check(1, || {
        let world = World::new(3, 3, true, wait_for_the_next);
        world.park(1);
        world.start();
        world.add(0);
        world.event(1);
        world.add(2);
        world.wait_for_runs(0, 1);
        world.stop();
    });
}

#[test]
fn a_task_that_is_always_ready_keeps_no_thread_from_polling() {
    check(2, || {
        let world = World::new(1, 2, true, |world, task| {
            let runs = world.runs.lock().unwrap().clone();
            if task == 0 && runs[0] < 3 {
                assert!(runs[0] == 0 || runs[1] > 0, "the event waits in the poller");
                // It gives way.
                world.call(0);
            }
        });
        world.park(1);
        world.event(1);
        world.start();
        world.add(0);
        world.wait_for_runs(0, 4);
        world.wait_for_runs(1, 1);
        world.stop();
    });
}

#[test]
fn events_are_seen_while_a_thread_is_with_their_task() {
    check(2, || {
        let world = World::new(1, 1, true, |world, _| {
            world.read.fetch_add(world.arrived.swap(0, Ordering::SeqCst), Ordering::SeqCst);
        });
        world.start();
        world.add(0);
        for _ in 0..2 {
            world.arrived.fetch_add(1, Ordering::SeqCst);
            world.event(0);
        }
        let mut runs = world.runs.lock().unwrap();
        while world.read.load(Ordering::SeqCst) < 2 {
            runs = world.ran.wait(runs).unwrap();
        }
        drop(runs);
        world.stop();
    });
}

/// One task, a queue instead of the scheduler, and one thread that runs it.
struct OneTask {
    state: TaskState,
    queue: Mutex<usize>,
    queued: Condvar,
    with: AtomicBool,
}

impl OneTask {
    fn new() -> Arc<Self> {
        Self::with(TaskState::new(), 1)
    }

    fn with(state: TaskState, queued: usize) -> Arc<Self> {
        Arc::new(Self {
            state,
            queue: Mutex::new(queued),
            queued: Condvar::new(),
            with: AtomicBool::new(false),
        })
    }

    fn call(&self) {
        if self.state.call() {
            self.put();
        }
    }

    fn put(&self) {
        *self.queue.lock().unwrap() += 1;
        self.queued.notify_one();
    }

    /// Takes the task whenever it is queued, runs `act`, and parks the task, until `act` returns true.
    fn work(&self, act: impl Fn(&TaskState) -> bool) {
        loop {
            let mut queue = self.queue.lock().unwrap();
            while *queue == 0 {
                queue = self.queued.wait(queue).unwrap();
            }
            *queue -= 1;
            assert_eq!(*queue, 0, "queued twice");
            drop(queue);
            assert!(!self.with.swap(true, Ordering::SeqCst), "taken twice");
            self.state.take();
            let content = act(&self.state);
            self.with.store(false, Ordering::SeqCst);
            if !self.state.park() {
                self.put();
            }
            if content {
                return;
            }
        }
    }
}

#[test]
fn no_call_is_lost_and_no_task_taken_twice() {
    check(3, || {
        let (task, came) = (OneTask::new(), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (task, came) = (Arc::clone(&task), Arc::clone(&came));
                thread::spawn(move || {
                    came.fetch_add(1, Ordering::Relaxed);
                    task.call();
                })
            })
            .collect();
        let read = AtomicUsize::new(0);
        task.work(|_| {
            let now = came.swap(0, Ordering::Relaxed);
            read.fetch_add(now, Ordering::Relaxed) + now == 2
        });
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}

#[test]
fn the_first_events_of_a_new_connection_run_it() {
    check(4, || {
        // The poller may report room first, or the first bytes, or both to two threads.
        let (task, came) = (OneTask::with(TaskState::waiting(), 0), Arc::new(AtomicUsize::new(0)));
        let room = {
            let task = Arc::clone(&task);
            thread::spawn(move || {
                if task.state.has_room() {
                    task.call();
                }
            })
        };
        let bytes = {
            let (task, came) = (Arc::clone(&task), Arc::clone(&came));
            thread::spawn(move || {
                came.store(1, Ordering::Relaxed);
                task.call();
            })
        };
        task.work(|_| came.load(Ordering::Relaxed) == 1);
        room.join().unwrap();
        bytes.join().unwrap();
    });
}

#[test]
fn room_just_after_a_write_found_none_is_noticed() {
    check(4, || {
        // The system's own lock decides whether there was room. Only a writer that found none is notified.
        let (task, room) = (OneTask::new(), Arc::new(Mutex::new(false)));
        let peer = {
            let (task, room) = (Arc::clone(&task), Arc::clone(&room));
            thread::spawn(move || {
                *room.lock().unwrap() = true;
                if task.state.has_room() {
                    task.call();
                }
            })
        };
        task.work(|state| {
            state.write_begins();
            let written = std::mem::take(&mut *room.lock().unwrap());
            if written {
                state.all_written();
            }
            written
        });
        peer.join().unwrap();
    });
}
