//! When the scheduler gives work to more threads. The source is compiled again with ticks that a test ends, so that no
//! test depends on time; the test itself takes the steps of all threads.
#![cfg(not(loom))]

#[path = "../src/engine/scheduler.rs"]
#[allow(dead_code, reason = "the end of all threads is the subject of the model check")]
mod scheduler;
#[path = "scheduler/sync.rs"]
mod sync;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use scheduler::{Completed, Next, Scheduler};
use sync::{TICKS, TIRED, Ticks};

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A scheduler whose tasks are numbers, and its watcher.
struct Stage {
    scheduler: Arc<Scheduler<(), usize>>,
    begun: Arc<AtomicUsize>,
    begins: Receiver<Option<Duration>>,
    end: Sender<()>,
    tick: Cell<Duration>,
}

impl Stage {
    fn new(most: usize) -> Self {
        Self::with(Scheduler::new((), most, false))
    }

    /// The first thread has arrived and polls.
    fn with(scheduler: Scheduler<(), usize>) -> Self {
        let scheduler = Arc::new(scheduler);
        let begun = Arc::new(AtomicUsize::new(0));
        let ((begin, begins), (end, ends)) = (channel(), channel());
        let (watched, count) = (Arc::clone(&scheduler), Arc::clone(&begun));
        thread::spawn(move || {
            TICKS.set(Some(Ticks { begin, end: ends }));
            watched.watch(|| {
                count.fetch_add(1, Ordering::SeqCst);
                true
            });
        });
        let stage = Self { scheduler, begun, begins, end, tick: Cell::default() };
        assert_eq!(stage.begins.recv_timeout(PATIENCE), Ok(None), "nothing is to be watched");
        assert!(matches!(stage.next(Completed::Nothing), Next::Poll { waits: true, .. }));
        stage
    }

    fn next(&self, completed: Completed<(), usize>) -> Next<(), usize> {
        self.scheduler.next(completed)
    }

    /// A thread takes a step, and runs a task then.
    #[track_caller]
    fn runs(&self, completed: Completed<(), usize>) -> usize {
        match self.next(completed) {
            Next::Run(task) => task,
            next => panic!("{next:?}"),
        }
    }

    /// The same thread, if it should have to wait for a notification.
    fn runs_eventually(&self, mut completed: Completed<(), usize>) -> Receiver<usize> {
        let ((tell, heard), scheduler) = (channel(), Arc::clone(&self.scheduler));
        thread::spawn(move || {
            loop {
                match scheduler.next(completed) {
                    Next::Wait => completed = Completed::Waited(scheduler.wait()),
                    Next::Run(task) => return tell.send(task).expect("the test runs"),
                    _ => return,
                }
            }
        });
        heard
    }

    /// Waits until `count` threads wait for work.
    fn wait_for_spare(&self, count: usize) {
        while !format!("{:?}", self.scheduler).contains(&format!("spare: {count},")) {
            thread::yield_now();
        }
    }

    /// Waits for the watcher's first tick.
    fn ticks(&self) {
        assert!(self.next_tick());
    }

    fn next_tick(&self) -> bool {
        let tick = self.begins.recv_timeout(PATIENCE).expect("the watcher runs");
        tick.into_iter().for_each(|tick| self.tick.set(tick));
        tick.is_some()
    }

    /// Ends a tick. Returns how many threads were begun then, and whether the watcher continues to tick.
    fn end_tick(&self) -> (usize, bool) {
        self.end.send(()).expect("the watcher runs");
        let ticks = self.next_tick();
        (self.begun.swap(0, Ordering::SeqCst), ticks)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The one thread that may wait in a poll is this one.
        let _ = self.scheduler.stop();
    }
}

#[test]
fn tasks_that_are_taken_do_not_hide_those_that_wait() {
    let stage = Stage::new(1000);
    stage.runs(Completed::Polled((), (0..100).collect()));
    stage.ticks();
    let (mut threads, mut time, mut since) = (1, Duration::ZERO, Duration::ZERO);
    while threads < 64 {
        (time, since) = (time + stage.tick.get(), since + stage.tick.get());
        if since >= Duration::from_millis(2) {
            // Something is taken every 2 ms.
            since = Duration::ZERO;
            stage.runs(Completed::Ran);
        }
        let (begun, _) = stage.end_tick();
        assert!((1..=threads).contains(&begun), "{begun} threads more than {threads}");
        // As many tasks wait as before.
        (0..begun).for_each(|_| _ = stage.runs(Completed::Nothing));
        (0..begun).for_each(|task| assert!(!stage.scheduler.add(task), "no thread polls"));
        threads += begun;
    }
    assert!(time < Duration::from_millis(10), "{time:?}");
}

#[test]
fn short_tasks_wake_a_thread_when_they_have_waited_for_long() {
    let stage = Stage::new(1000);
    // 500 µs each.
    stage.runs(Completed::Polled((), (0..300).collect()));
    stage.ticks();
    for (tick, begun) in [0, 0, 0, 0, 1].into_iter().enumerate() {
        (0..4).for_each(|_| _ = stage.runs(Completed::Ran));
        assert_eq!(stage.end_tick(), (begun, true), "after tick {tick}");
    }
}

#[test]
fn short_tasks_of_a_few_clients_wake_no_thread() {
    let stage = Stage::new(1000);
    // 333 µs each, so that each of them waits for more than a tick.
    stage.runs(Completed::Polled((), (0..9).collect()));
    stage.ticks();
    for _ in 0..20 {
        for _ in 0..6 {
            if let Next::Poll { .. } = stage.next(Completed::Ran) {
                stage.runs(Completed::Polled((), (0..9).collect()));
            }
        }
        assert_eq!(stage.end_tick(), (0, true));
    }
}

#[test]
fn quick_tasks_wake_no_thread_however_many_wait() {
    let stage = Stage::new(1000);
    stage.runs(Completed::Polled((), (0..1000).collect()));
    stage.ticks();
    for _ in 0..10 {
        (0..50).for_each(|_| _ = stage.runs(Completed::Ran));
        assert_eq!(stage.end_tick(), (0, true));
    }
}

#[test]
fn tasks_that_wait_for_less_than_a_tick_wake_no_thread() {
    let stage = Stage::new(1000);
    stage.runs(Completed::Polled((), vec![0]));
    stage.ticks();
    for task in 1..10 {
        assert!(!stage.scheduler.add(task), "no thread polls");
        assert_eq!(stage.runs(Completed::Ran), task);
        assert!(matches!(stage.next(Completed::Ran), Next::Poll { waits: true, .. }));
        stage.runs(Completed::Polled((), vec![0]));
        assert_eq!(stage.end_tick(), (0, true));
    }
}

#[test]
fn a_poller_that_no_thread_has_waits_as_well() {
    let stage = Stage::new(1000);
    stage.runs(Completed::Polled((), vec![0]));
    stage.ticks();
    assert_eq!(stage.end_tick(), (1, true));
    assert!(matches!(stage.next(Completed::Nothing), Next::Poll { waits: true, .. }));
    // From now on nothing happens.
    assert_eq!(stage.end_tick(), (0, false));
}

#[test]
fn when_all_threads_are_stuck_their_number_doubles() {
    let stage = Stage::new(100);
    stage.runs(Completed::Polled((), (0..1000).collect()));
    stage.ticks();
    for begun in [1, 2, 4, 8, 16, 32, 36] {
        assert_eq!(stage.end_tick(), (begun, true));
        assert_eq!(stage.end_tick(), (0, true), "they have not arrived yet");
        (0..begun).for_each(|_| _ = stage.runs(Completed::Nothing));
    }
    // At the limit.
    assert_eq!(stage.end_tick(), (0, false));
}

#[test]
fn a_thread_that_leaves_work_behind_wakes_the_next_one_once_work_has_waited() {
    let stage = Stage::new(1000);
    stage.runs(Completed::Polled((), vec![0]));
    stage.ticks();
    assert_eq!(stage.end_tick(), (1, true));
    assert!(matches!(stage.next(Completed::Nothing), Next::Poll { waits: true, .. }));
    // The first thread has nothing to do.
    let spare = stage.runs_eventually(Completed::Ran);
    stage.wait_for_spare(1);
    // No tick ends, and yet it gets the second task.
    assert_eq!(stage.runs(Completed::Polled((), vec![1, 2])), 1);
    assert_eq!(spare.recv_timeout(PATIENCE), Ok(2));
}

#[test]
fn tasks_that_are_always_ready_have_their_next_turn_after_a_poll() {
    let stage = Stage::new(1);
    assert_eq!(stage.runs(Completed::Polled((), vec![0])), 0);
    assert!(matches!(stage.next(Completed::RanAndReady(0)), Next::Poll { waits: false, .. }));
    assert_eq!(stage.runs(Completed::Polled((), vec![1])), 1);
    assert_eq!(stage.runs(Completed::RanAndReady(1)), 0);
    assert!(matches!(stage.next(Completed::RanAndReady(0)), Next::Poll { waits: false, .. }));
    assert_eq!(stage.runs(Completed::Polled((), vec![])), 1);
}

#[test]
fn a_thread_that_had_no_work_for_long_ends_unless_threads_are_kept() {
    for keeps in [false, true] {
        let stage = Stage::with(Scheduler::new((), 2, keeps));
        let ((tell, ended), scheduler) = (channel(), Arc::clone(&stage.scheduler));
        let thread = thread::spawn(move || {
            TIRED.set(true);
            assert!(matches!(scheduler.next(Completed::Nothing), Next::Wait));
            let next = scheduler.next(Completed::Waited(scheduler.wait()));
            tell.send(matches!(next, Next::Exit)).expect("the test runs");
        });
        if keeps {
            stage.wait_for_spare(1);
            assert!(ended.try_recv().is_err());
            let _ = stage.scheduler.stop();
        }
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
        thread.join().expect("no panic");
    }
}
