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
use std::time::{Duration, Instant};

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
            Next::Run { task, .. } => task,
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
                    Next::Run { task, .. } => return tell.send(task).expect("the test runs"),
                    _ => return,
                }
            }
        });
        heard
    }

    /// Waits until the state of the scheduler has these values.
    #[track_caller]
    fn wait_until(&self, values: &str) {
        let until = Instant::now() + PATIENCE;
        while !format!("{:?}", self.scheduler).contains(values) {
            assert!(Instant::now() < until, "not {values}: {:?}", self.scheduler);
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

/// A task was run, and waits now.
fn ran() -> Completed<(), usize> {
    Completed::Ran { ready: None, slow: None }
}

fn ran_and_ready(task: usize) -> Completed<(), usize> {
    Completed::Ran { ready: Some(task), slow: None }
}

/// The same, for a run that was timed.
fn ran_timed(slow: bool) -> Completed<(), usize> {
    Completed::Ran { ready: None, slow: Some(slow) }
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
            stage.runs(ran());
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
        (0..4).for_each(|_| _ = stage.runs(ran()));
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
            if let Next::Poll { .. } = stage.next(ran()) {
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
        (0..50).for_each(|_| _ = stage.runs(ran()));
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
        assert_eq!(stage.runs(ran()), task);
        assert!(matches!(stage.next(ran()), Next::Poll { waits: true, .. }));
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
    let spare = stage.runs_eventually(ran());
    stage.wait_until("spare: 1,");
    // No tick ends, and yet it gets the second task.
    assert_eq!(stage.runs(Completed::Polled((), vec![1, 2])), 1);
    assert_eq!(spare.recv_timeout(PATIENCE), Ok(2));
}

#[test]
fn tasks_that_are_always_ready_have_their_next_turn_after_a_poll() {
    let stage = Stage::new(1);
    assert_eq!(stage.runs(Completed::Polled((), vec![0])), 0);
    assert!(matches!(stage.next(ran_and_ready(0)), Next::Poll { waits: false, .. }));
    assert_eq!(stage.runs(Completed::Polled((), vec![1])), 1);
    assert_eq!(stage.runs(ran_and_ready(1)), 0);
    assert!(matches!(stage.next(ran_and_ready(0)), Next::Poll { waits: false, .. }));
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
            stage.wait_until("spare: 1,");
            assert!(ended.try_recv().is_err());
            let _ = stage.scheduler.stop();
        }
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
        thread.join().expect("no panic");
    }
}

/// A stage with `count` threads that wait for work, and do nothing when they are woken.
fn stage_with_spare(count: usize) -> Stage {
    let stage = Stage::new(1000);
    for number in 1..=count {
        let scheduler = Arc::clone(&stage.scheduler);
        assert!(matches!(stage.next(Completed::Nothing), Next::Wait));
        thread::spawn(move || scheduler.wait());
        stage.wait_until(&format!("spare: {number}, notified: 0, coming: 0,"));
    }
    stage
}

#[test]
fn after_a_slow_run_as_many_threads_are_woken_as_work_waits() {
    let stage = stage_with_spare(5);
    stage.runs(Completed::Polled((), vec![0]));
    assert!(matches!(stage.next(ran_timed(true)), Next::Poll { waits: true, .. }));
    // No tick ends. They are for a task and for the poller.
    assert_eq!(stage.runs(Completed::Polled((), vec![1, 2])), 1);
    stage.wait_until("spare: 3, notified: 0, coming: 2,");
    // The others are not needed before there is more work than threads that are coming.
    assert_eq!(stage.runs(ran_timed(true)), 2);
    stage.wait_until("spare: 3, notified: 0, coming: 2,");
    assert!(matches!(stage.next(ran_timed(true)), Next::Poll { waits: true, .. }));
    assert_eq!(stage.runs(Completed::Polled((), (3..100).collect())), 3);
    stage.wait_until("spare: 0, notified: 0, coming: 5,");
}

#[test]
fn after_a_run_that_was_not_slow_no_thread_is_woken() {
    let stage = stage_with_spare(3);
    stage.runs(Completed::Polled((), vec![0, 1]));
    // For the poller, while this thread runs the second task.
    assert_eq!(stage.runs(ran_timed(true)), 1);
    stage.wait_until("spare: 2, notified: 0, coming: 1,");
    assert!(matches!(stage.next(ran_timed(false)), Next::Poll { waits: true, .. }));
    assert_eq!(stage.runs(Completed::Polled((), (2..100).collect())), 2);
    assert_eq!(stage.runs(ran()), 3);
    stage.wait_until("spare: 2, notified: 0, coming: 1,");
}

#[test]
fn when_work_has_waited_as_many_threads_are_woken() {
    let stage = stage_with_spare(3);
    stage.runs(Completed::Polled((), (0..100).collect()));
    stage.ticks();
    assert_eq!(stage.end_tick(), (0, true));
    stage.wait_until("spare: 0, notified: 0, coming: 3,");
}

#[test]
fn runs_are_timed_only_if_that_may_wake_a_thread() {
    let timed = |stage: &Stage, completed| match stage.next(completed) {
        Next::Run { timed, .. } => timed,
        next => panic!("{next:?}"),
    };
    let stage = Stage::new(1000);
    let first = timed(&stage, Completed::Polled((), (0..100).collect()));
    assert!(!first && (1..100).all(|_| !timed(&stage, ran())), "there is no other thread");
    let stage = stage_with_spare(1);
    timed(&stage, Completed::Polled((), (0..17).collect()));
    assert_eq!((1..17).filter(|_| timed(&stage, ran())).count(), 2, "one of eight");
    assert!(matches!(stage.next(ran_timed(true)), Next::Poll { waits: true, .. }));
    assert!(timed(&stage, Completed::Polled((), (0..3).collect())), "after a slow run");
}
