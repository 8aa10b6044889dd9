//! A log that is written by its own thread: a bounded queue of lines, and the thread that writes them.
//!
//! It knows bytes, threads and the system's clock. It does not know the meaning of a line.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::context::catch_panic::catch;
use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait, wait_while};

/// The maximum number of bytes that wait to be written. The thread may be writing as many at the same time.
const CAPACITY: usize = 1024 * 1024;

/// The thread does not wait for more lines if this many bytes are waiting.
const PLENTY: usize = CAPACITY / 4;

/// The maximum length of a line in bytes. Only an application's own message can be longer.
const LONGEST: usize = 64 * 1024;

/// How long the thread collects lines after each write. The first line after a pause is written immediately.
const COLLECT: Duration = Duration::from_millis(20);

/// How long the thread waits before it writes again to a writer that would block.
const RETRY: Duration = Duration::from_millis(10);

/// The maximum time for writing the remaining lines at the end of a server.
pub(crate) const FLUSH: Duration = Duration::from_secs(1);

/// Buffers larger than this are freed when the thread becomes idle.
const KEPT: usize = 64 * 1024;

/// Reports lines that were dropped, instead of in the log itself.
pub(crate) type Report = Box<dyn Fn(&str) + Send + Sync>;

/// A log that accepts lines without ever waiting for its writer. Its thread starts with the first line.
pub(crate) struct LogWriter(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// The thread waits for lines.
    work: Condvar,
    /// Other threads wait until all lines are written.
    written: Condvar,
    output: Mutex<Output>,
    report: Option<Report>,
}

impl LogWriter {
    /// Creates the log. `report` reports dropped lines; if it is `None`, they are reported in the log itself.
    pub(crate) fn new(writer: Box<dyn Write + Send>, report: Option<Report>) -> Self {
        Self(Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            written: Condvar::new(),
            output: Mutex::new(Output { writer, torn: false }),
            report,
        }))
    }

    /// Appends a line, or drops it if the queue is full.
    pub(crate) fn push(&self, line: &str) {
        let mut queue = lock(&self.0.queue);
        match queue.push(line) {
            After::Nothing => {}
            After::Wake => {
                drop(queue);
                self.0.work.notify_one();
            }
            After::Start => {
                let shared = Arc::clone(&self.0);
                let started = thread::Builder::new().name("wsgi-log".into()).spawn(move || shared.run());
                if started.is_err() {
                    queue.stage = Stage::NoThread;
                    drop(queue);
                    self.0.write_here();
                }
            }
            After::Write => {
                drop(queue);
                self.0.write_here();
            }
        }
    }

    /// Ready when all lines are written.
    pub(crate) fn poll_flushed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut queue = lock(&self.0.queue);
        if queue.is_flushed() {
            return Poll::Ready(());
        }
        queue.flush_until.get_or_insert_with(|| Instant::now() + FLUSH);
        if !queue.flushers.iter().any(|waker| waker.will_wake(context.waker())) {
            queue.flushers.push(context.waker().clone());
        }
        drop(queue);
        self.0.work.notify_one();
        Poll::Pending
    }

    /// Waits until all lines are written, at most until `until`, or [`FLUSH`] after an earlier attempt.
    pub(crate) fn flush(&self, until: Instant) {
        let mut queue = lock(&self.0.queue);
        if queue.is_flushed() {
            return;
        }
        let until = *queue.flush_until.get_or_insert(until);
        let left = until.saturating_duration_since(Instant::now());
        self.0.work.notify_one();
        drop(wait_while(&self.0.written, queue, left, |queue| !queue.is_flushed()));
    }
}

/// The thread writes the remaining lines, and ends.
impl Drop for LogWriter {
    fn drop(&mut self) {
        lock(&self.0.queue).closed = true;
        self.0.work.notify_one();
    }
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter").finish_non_exhaustive()
    }
}

impl Shared {
    /// Writes lines until the log is closed.
    fn run(&self) {
        let mut batch = Batch::default();
        let mut queue = lock(&self.queue);
        loop {
            while queue.is_empty() {
                if queue.closed {
                    return;
                }
                batch.shrink();
                queue.go_idle();
                queue = wait(&self.work, queue);
            }
            queue.take(&mut batch);
            drop(queue);
            self.write(&mut lock(&self.output), &mut batch, || {
                let queue = lock(&self.queue);
                let retries = !queue.closed;
                drop(wait_while(&self.work, queue, RETRY, |queue| !queue.closed));
                retries
            });
            queue = self.finish(&batch);
            queue = wait_while(&self.work, queue, COLLECT, |queue| !queue.is_urgent());
        }
    }

    /// Writes what is waiting on this thread, if the system has no thread for the log.
    fn write_here(&self) {
        let mut batch = Batch::default();
        // Locked first, so that the lines of several threads stay in order.
        let mut output = lock(&self.output);
        lock(&self.queue).take(&mut batch);
        self.write(&mut output, &mut batch, || false);
        drop(self.finish(&batch));
    }

    /// Writes a batch and the reports of dropped lines. `retry` is called when the writer would block: it waits, and
    /// returns whether to try again.
    fn write(&self, output: &mut Output, batch: &mut Batch, mut retry: impl FnMut() -> bool) {
        self.report(output, &mut batch.lost_before, "the log could not be written", &mut retry);
        batch.lost = output.write(&batch.lines, &mut retry);
        self.report(output, &mut batch.dropped_after, "the log is not being read", &mut retry);
        // A writer that buffers would otherwise keep lines back. If it fails, there is nowhere to report that.
        let _ = catch(|| output.writer.flush());
    }

    /// Reports dropped lines, and sets `count` to 0 if that succeeds.
    fn report(&self, output: &mut Output, count: &mut u64, reason: &str, retry: &mut impl FnMut() -> bool) {
        if *count == 0 {
            return;
        }
        let plural = if *count == 1 { "" } else { "s" };
        let pid = std::process::id();
        let text = format!("({pid}) {count} log line{plural} dropped: {reason}");
        let failed = match &self.report {
            Some(report) => catch(|| report(&text)).is_err(),
            None => output.write(format!("{text}\n").as_bytes(), retry) > 0,
        };
        if !failed {
            *count = 0;
        }
    }

    /// Records that `batch` was written, and wakes the tasks and threads that wait for that.
    fn finish(&self, batch: &Batch) -> MutexGuard<'_, Queue> {
        let mut queue = lock(&self.queue);
        let flushers = queue.written(batch);
        self.written.notify_all();
        if flushers.is_empty() {
            return queue;
        }
        drop(queue);
        flushers.into_iter().for_each(Waker::wake);
        lock(&self.queue)
    }
}

/// The lines that wait, and the state of the thread that writes them.
///
/// Invariant: if there are lines, the thread is awake, or was just started or woken. If lines were dropped, there are
/// lines.
#[derive(Default)]
struct Queue {
    lines: Vec<u8>,
    /// The number of lines that were dropped after those in `lines`.
    dropped: u64,
    /// The number of earlier lines that the writer refused. They are reported before `lines`.
    lost: u64,
    stage: Stage,
    /// Whether the thread ends when everything is written.
    closed: bool,
    /// When the caller that waits for the last line gives up.
    flush_until: Option<Instant>,
    flushers: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// There was no line yet.
    #[default]
    NotStarted,
    /// The thread waits until it is woken.
    Idle,
    /// The thread collects lines, and looks at the queue without being woken.
    Collecting,
    /// The thread writes a batch.
    Writing,
    /// The system has no thread for the log: lines are written where they are made.
    NoThread,
}

/// What the caller does after [`Queue::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Nothing,
    /// Wakes the thread.
    Wake,
    /// Starts the thread.
    Start,
    /// Writes the line.
    Write,
}

/// The lines that are being written.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    /// The number of lines before `lines` that the writer refused; 0 if that was reported.
    lost_before: u64,
    /// The number of lines that were dropped after `lines`; 0 if that was reported.
    dropped_after: u64,
    /// The number of lines that the writer refused.
    lost: u64,
}

impl Batch {
    fn shrink(&mut self) {
        if self.lines.capacity() > KEPT {
            self.lines = Vec::new();
        }
    }
}

impl Queue {
    fn push(&mut self, line: &str) -> After {
        let (line, end) = shortened(line);
        // After one dropped line the others are dropped, too, so that the report is at the place of the gap.
        let before = self.lines.len();
        let length = before + line.len() + end.len();
        if self.dropped > 0 || length > CAPACITY {
            self.dropped += 1;
            return After::Nothing;
        }
        if length > self.lines.capacity() {
            let capacity = length.max(2 * self.lines.capacity()).clamp(4096, CAPACITY);
            self.lines.reserve_exact(capacity - before);
        }
        self.lines.extend_from_slice(line.as_bytes());
        self.lines.extend_from_slice(end.as_bytes());
        match self.stage {
            Stage::NotStarted => {
                self.stage = Stage::Collecting;
                After::Start
            }
            Stage::Idle => {
                self.stage = Stage::Collecting;
                After::Wake
            }
            Stage::Collecting if before < PLENTY && length >= PLENTY => After::Wake,
            Stage::Collecting | Stage::Writing => After::Nothing,
            Stage::NoThread => After::Write,
        }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether the thread stops collecting.
    fn is_urgent(&self) -> bool {
        self.closed || self.flush_until.is_some() || self.lines.len() >= PLENTY
    }

    fn is_flushed(&self) -> bool {
        self.lines.is_empty() && self.stage != Stage::Writing
    }

    /// Takes all lines.
    fn take(&mut self, batch: &mut Batch) {
        batch.lines.clear();
        mem::swap(&mut self.lines, &mut batch.lines);
        batch.lost_before = mem::take(&mut self.lost);
        batch.dropped_after = mem::take(&mut self.dropped);
        if self.stage != Stage::NoThread {
            self.stage = Stage::Writing;
        }
    }

    /// Records that a batch was written. Returns the tasks to wake.
    fn written(&mut self, batch: &Batch) -> Vec<Waker> {
        self.lost += batch.lost_before + batch.lost + batch.dropped_after;
        if self.stage == Stage::Writing {
            self.stage = Stage::Collecting;
        }
        if !self.is_flushed() {
            return Vec::new();
        }
        self.flush_until = None;
        mem::take(&mut self.flushers)
    }

    /// The thread waits for the next line.
    fn go_idle(&mut self) {
        self.stage = Stage::Idle;
        if self.lines.capacity() > KEPT {
            self.lines = Vec::new();
        }
    }
}

/// The part of a line that is written, and what follows it.
fn shortened(line: &str) -> (&str, &'static str) {
    if line.len() <= LONGEST {
        return (line, "\n");
    }
    let end = (0..=LONGEST).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0);
    (&line[..end], "...\n")
}

struct Output {
    writer: Box<dyn Write + Send>,
    /// Whether the last line was written only in part.
    torn: bool,
}

impl Output {
    /// Writes `lines`, and returns how many of them were not written. `retry` waits before the next attempt, and returns
    /// whether there is one.
    fn write(&mut self, lines: &[u8], mut retry: impl FnMut() -> bool) -> u64 {
        if self.torn && self.write_all(b"\n", &mut retry) == 0 {
            self.torn = false;
        }
        let left = if self.torn { lines.len() } else { self.write_all(lines, &mut retry) };
        let (done, rest) = lines.split_at(lines.len() - left);
        self.torn |= done.last().is_some_and(|&byte| byte != b'\n');
        rest.iter().filter(|&&byte| byte == b'\n').count() as u64
    }

    /// Writes `bytes`, and returns how many of them were not written. A panic of the writer counts as an error.
    fn write_all(&mut self, mut bytes: &[u8], retry: &mut impl FnMut() -> bool) -> usize {
        while !bytes.is_empty() {
            match catch(|| self.writer.write(bytes)) {
                Ok(Ok(count @ 1..)) => bytes = &bytes[count.min(bytes.len())..],
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // For instance a terminal that another process has made non-blocking.
                Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock && retry() => {}
                _ => break,
            }
        }
        bytes.len()
    }
}

#[cfg(test)]
mod tests;
