//! The queue of the times at which waiting tasks have to run again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::sync::{Mutex, MutexGuard, lock};

/// The deadline of one task.
#[derive(Debug, Default)]
pub(crate) struct Deadline(Mutex<Times>);

#[derive(Debug, Default)]
struct Times {
    /// When the task has to run, if nothing happens before.
    deadline: Option<Instant>,
    /// When the queue will check the task; usually the deadline has moved on by then.
    queued: Option<Instant>,
}

impl Deadline {
    /// Sets when the task has to run; `None` if only an event runs it.
    pub(crate) fn set(&self, deadline: Option<Instant>) {
        self.times().deadline = deadline;
    }

    /// The deadline to queue, unless the queue checks the task in time anyway.
    pub(crate) fn unqueued(&self) -> Option<Instant> {
        let times = self.times();
        times.deadline.filter(|at| times.queued.is_none_or(|queued| *at < queued))
    }

    /// Whether the queue checks the task at this time.
    pub(crate) fn is_queued(&self, at: Instant) -> bool {
        self.times().queued == Some(at)
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        lock(&self.0)
    }
}

/// The times at which to check the deadlines of all tasks. Tasks are known by number. An entry counts only if the
/// task's deadline was queued for the same time; the others are stale.
///
/// Invariant: at most half of the entries are stale, or at most [`FEW`], so that the memory follows the number of tasks
/// and not the rate at which they begin and end.
#[derive(Debug, Default)]
pub(crate) struct TimerQueue {
    entries: BinaryHeap<Reverse<(Instant, usize)>>,
    stale: usize,
}

/// As many stale entries are not worth their removal.
const FEW: usize = 64;

impl TimerQueue {
    /// The time of the next check.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse((at, _))| *at)
    }

    /// Schedules a check of the deadline of `task`. `is_queued` is as for [`remove`](Self::remove).
    pub(crate) fn add(
        &mut self,
        at: Instant,
        task: usize,
        deadline: &Deadline,
        is_queued: impl Fn(usize, Instant) -> bool,
    ) {
        let before = deadline.times().queued.replace(at);
        self.entries.push(Reverse((at, task)));
        self.abandon(before, is_queued);
    }

    /// Ends the checks of `deadline`, whose task is over. `is_queued` finds a task by its number, and returns whether its
    /// deadline [is queued](Deadline::is_queued) for the time.
    pub(crate) fn remove(&mut self, deadline: &Deadline, is_queued: impl Fn(usize, Instant) -> bool) {
        let before = deadline.times().queued.take();
        self.abandon(before, is_queued);
    }

    /// The entry of this time, if any, is stale now. Removes all such entries when they are the majority.
    fn abandon(&mut self, entry: Option<Instant>, is_queued: impl Fn(usize, Instant) -> bool) {
        self.stale += usize::from(entry.is_some());
        if self.stale > FEW.max(self.entries.len() / 2) {
            self.entries.retain(|Reverse((at, task))| is_queued(*task, *at));
            self.entries.shrink_to(2 * self.entries.len());
            self.stale = 0;
        }
    }

    /// Calls `run` for each task whose deadline has passed; `tasks` finds the task, and `deadline` its deadline.
    pub(crate) fn expire<T>(
        &mut self,
        now: Instant,
        tasks: impl Fn(usize) -> Option<T>,
        deadline: impl Fn(&T) -> &Deadline,
        mut run: impl FnMut(&T),
    ) {
        while let Some(Reverse((at, number))) =
            self.entries.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.entries.pop();
            let task = tasks(number);
            let times =
                task.as_ref().map(|task| deadline(task).times()).filter(|times| times.queued == Some(at));
            let (Some(task), Some(mut times)) = (&task, times) else {
                self.stale = self.stale.saturating_sub(1);
                continue;
            };
            times.queued = times.deadline.filter(|deadline| *deadline > now);
            let (later, due) = (times.queued, times.deadline.is_some());
            drop(times);
            match later {
                Some(later) => self.entries.push(Reverse((later, number))),
                None if due => run(task),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slab::Slab;

    use super::*;

    #[test]
    fn a_task_is_run_at_the_deadline_that_counts_then() {
        let (deadline, mut queue, mut runs) = (Deadline::default(), TimerQueue::default(), 0);
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        deadline.set(Some(after(5)));
        assert_eq!(deadline.unqueued(), Some(after(5)));
        queue.add(after(5), 7, &deadline, |_, at| deadline.is_queued(at));
        assert_eq!((queue.next(), deadline.unqueued()), (Some(after(5)), None));
        // The deadline moves on, and is checked again then.
        deadline.set(Some(after(9)));
        for (seconds, wanted) in [(4, 0), (5, 0), (8, 0), (9, 1), (20, 1)] {
            queue.expire(after(seconds), |_| Some(&deadline), |deadline| deadline, |_| runs += 1);
            assert_eq!(runs, wanted, "after {seconds} s");
        }
    }

    /// A queue and its tasks by number, as in the engine.
    #[derive(Default)]
    struct World {
        queue: TimerQueue,
        tasks: Slab<Deadline>,
    }

    impl World {
        fn begin(&mut self, deadline: Instant) -> usize {
            let task = self.tasks.insert(Deadline::default());
            self.set(task, deadline);
            task
        }

        fn set(&mut self, task: usize, at: Instant) {
            let Self { queue, tasks } = self;
            tasks[task].set(Some(at));
            if let Some(at) = tasks[task].unqueued() {
                queue.add(at, task, &tasks[task], |task, at| {
                    tasks.get(task).is_some_and(|task| task.is_queued(at))
                });
            }
        }

        fn end(&mut self, task: usize) {
            let Self { queue, tasks } = self;
            let deadline = tasks.remove(task);
            queue.remove(&deadline, |task, at| tasks.get(task).is_some_and(|task| task.is_queued(at)));
        }

        /// The numbers of the tasks that have to run.
        fn expire(&mut self, now: Instant) -> Vec<usize> {
            let (Self { queue, tasks }, mut due) = (self, Vec::new());
            let find = |number| tasks.get(number).map(|task| (number, task));
            queue.expire(now, find, |(_, deadline)| deadline, |(number, _)| due.push(*number));
            due
        }
    }

    #[test]
    fn deadlines_of_tasks_that_have_ended_take_no_memory() {
        let (mut world, now) = (World::default(), Instant::now());
        let (hour, nanosecond) = (Duration::from_secs(3600), Duration::from_nanos(1));
        let idle: Vec<_> = (0..100).map(|_| world.begin(now + hour)).collect();
        for number in 0..1_000_000_u32 {
            let task = world.begin(now + hour + number * nanosecond);
            world.end(task);
            assert!(world.queue.entries.len() <= 2 * (100 + FEW + 1), "{}", world.queue.entries.len());
        }
        assert!(world.queue.entries.capacity() <= 1000, "{}", world.queue.entries.capacity());
        assert!(world.expire(now + hour - nanosecond).is_empty());
        let mut due = world.expire(now + 2 * hour);
        due.sort_unstable();
        assert_eq!((due, world.queue.stale), (idle, 0));
    }

    #[test]
    fn deadlines_that_move_to_and_fro_take_no_memory_and_are_kept() {
        let (mut world, now) = (World::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let tasks: Vec<_> = (0..10).map(|_| world.begin(after(1_000_000))).collect();
        for round in 0..10_000 {
            for task in &tasks {
                world.set(*task, after(1_000_000 - round));
                world.set(*task, after(1_000_000));
            }
            assert!(world.queue.entries.len() <= 2 * (10 + FEW + 1));
        }
        world.set(tasks[3], after(10));
        assert!(world.expire(after(9)).is_empty());
        assert_eq!(world.expire(after(10)), [tasks[3]]);
        assert!(world.expire(after(999_999)).is_empty());
        assert_eq!(world.expire(after(1_000_000)).len(), 9);
        assert_eq!((world.queue.entries.len(), world.queue.stale), (0, 0));
    }
}
