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

    fn times(&self) -> MutexGuard<'_, Times> {
        lock(&self.0)
    }
}

/// The times at which to check the deadlines of all tasks. Tasks are known by number. An entry counts only if the
/// task's deadline was queued for the same time.
#[derive(Debug, Default)]
pub(crate) struct TimerQueue(BinaryHeap<Reverse<(Instant, usize)>>);

impl TimerQueue {
    /// The time of the next check.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Schedules a check of the deadline of `task`.
    pub(crate) fn add(&mut self, at: Instant, task: usize, deadline: &Deadline) {
        deadline.times().queued = Some(at);
        self.0.push(Reverse((at, task)));
    }

    /// Calls `run` for each task whose deadline has passed; `tasks` finds the task, and `deadline` its deadline.
    pub(crate) fn expire<T>(
        &mut self,
        now: Instant,
        tasks: impl Fn(usize) -> Option<T>,
        deadline: impl Fn(&T) -> &Deadline,
        mut run: impl FnMut(&T),
    ) {
        while let Some(Reverse((at, number))) = self.0.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.0.pop();
            let Some(task) = tasks(number) else { continue };
            let mut times = deadline(&task).times();
            if times.queued != Some(at) {
                continue;
            }
            times.queued = times.deadline.filter(|deadline| *deadline > now);
            let (later, due) = (times.queued, times.deadline.is_some());
            drop(times);
            match later {
                Some(later) => self.0.push(Reverse((later, number))),
                None if due => run(&task),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_task_is_run_at_the_deadline_that_counts_then() {
        let (deadline, mut queue, mut runs) = (Deadline::default(), TimerQueue::default(), 0);
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        deadline.set(Some(after(5)));
        assert_eq!(deadline.unqueued(), Some(after(5)));
        queue.add(after(5), 7, &deadline);
        assert_eq!((queue.next(), deadline.unqueued()), (Some(after(5)), None));
        // The deadline moves on, and is checked again then.
        deadline.set(Some(after(9)));
        for (seconds, wanted) in [(4, 0), (5, 0), (8, 0), (9, 1), (20, 1)] {
            queue.expire(after(seconds), |_| Some(&deadline), |deadline| deadline, |_| runs += 1);
            assert_eq!(runs, wanted, "after {seconds} s");
        }
    }
}
