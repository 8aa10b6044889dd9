//! The processor time and the memory of a process, from `/proc`.

use std::fs;
use std::path::PathBuf;

/// Nanoseconds of one tick of `/proc/PID/stat` (`USER_HZ` is 100 on every architecture that Linux serves this way).
const TICK: u64 = 10_000_000;

/// The processor time of a process at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// The sum of the time of all living threads, exact.
    threads: u64,
    /// The time of all threads, dead ones too, in ticks.
    all: u64,
}

impl Time {
    /// The time of this process, zero if it has ended.
    pub(crate) fn of(process: u32) -> Self {
        let tasks =
            fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().filter_map(Result::ok);
        let threads = tasks.filter_map(|task| first_number(task.path().join("schedstat"))).sum();
        Self { threads, all: ticks(process).unwrap_or(0) * TICK }
    }

    /// The time of this process and all processes below it, such as the workers of a server.
    pub(crate) fn of_tree(process: u32) -> Self {
        let times = tree(process).into_iter().map(Self::of);
        times.fold(Self { threads: 0, all: 0 }, |sum, time| Self {
            threads: sum.threads + time.threads,
            all: sum.all + time.all,
        })
    }

    /// Nanoseconds since `earlier`. A thread that ended took its exact time along; then the ticks are better.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        let (threads, all) =
            (self.threads.saturating_sub(earlier.threads), self.all.saturating_sub(earlier.all));
        if threads * 10 >= all.saturating_sub(TICK) * 9 { threads } else { all }
    }
}

fn first_number(path: PathBuf) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15 of `/proc/PID/stat`; the name in field 2 may have spaces.
fn ticks(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The resident memory of a process in KiB.
pub(crate) fn resident(process: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The first child of a process.
pub(crate) fn child(process: u32) -> Option<u32> {
    children(process).first().copied()
}

/// This process and all processes below it.
pub(crate) fn tree(process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let mut at = 0;
    while at < found.len() {
        found.extend(children(found[at]));
        at += 1;
    }
    found
}

/// The children that the threads of a process have started.
fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().filter_map(Result::ok);
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    texts
        .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}
