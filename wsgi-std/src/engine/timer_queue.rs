//! When tasks that nobody is with have to be looked at again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::sync::{Mutex, MutexGuard, lock};

/// The timer of one task.
#[derive(Debug, Default)]
pub(crate) struct Timer(Mutex<Times>);

#[derive(Debug, Default)]
struct Times {
    /// When the task has to be run, if nothing happens before.
    deadline: Option<Instant>,
    /// When it is going to be looked at; mostly the deadline has moved on by then.
    set: Option<Instant>,
}

impl Timer {
    /// The task has to be run then; `None`: only when something happens.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        self.times().deadline = deadline;
    }

    /// The deadline, if nobody is going to look before it.
    pub(crate) fn unset(&self) -> Option<Instant> {
        let times = self.times();
        times.deadline.filter(|at| times.set.is_none_or(|set| *at < set))
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        lock(&self.0)
    }
}

/// The alarms of all tasks, which are known by number. One counts only if the task's timer is set to the same time.
#[derive(Debug, Default)]
pub(crate) struct Alarms(BinaryHeap<Reverse<(Instant, usize)>>);

impl Alarms {
    /// When to look next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Has `task` looked at then.
    pub(crate) fn set(&mut self, at: Instant, task: usize, timer: &Timer) {
        timer.times().set = Some(at);
        self.0.push(Reverse((at, task)));
    }

    /// Calls `run` for each task whose deadline has come; `tasks` gives what it keeps, and its timer.
    pub(crate) fn ring<T>(
        &mut self,
        now: Instant,
        tasks: impl Fn(usize) -> Option<T>,
        timer: impl Fn(&T) -> &Timer,
        mut run: impl FnMut(&T),
    ) {
        while let Some(Reverse((at, number))) = self.0.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.0.pop();
            let Some(task) = tasks(number) else { continue };
            let mut times = timer(&task).times();
            if times.set != Some(at) {
                continue;
            }
            times.set = times.deadline.filter(|deadline| *deadline > now);
            let (later, due) = (times.set, times.deadline.is_some());
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
    fn an_alarm_rings_at_the_deadline_that_counts_then() {
        let (timer, mut alarms, mut rung) = (Timer::default(), Alarms::default(), 0);
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        timer.set_deadline(Some(after(5)));
        assert_eq!(timer.unset(), Some(after(5)));
        alarms.set(after(5), 7, &timer);
        assert_eq!((alarms.next(), timer.unset()), (Some(after(5)), None));
        // It moves on, and is looked at again then.
        timer.set_deadline(Some(after(9)));
        for (seconds, wanted) in [(4, 0), (5, 0), (8, 0), (9, 1), (20, 1)] {
            alarms.ring(after(seconds), |_| Some(&timer), |timer| timer, |_| rung += 1);
            assert_eq!(rung, wanted, "after {seconds} s");
        }
    }
}
