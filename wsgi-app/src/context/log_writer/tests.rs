use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Longer than any wait takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const LINE: &str = "a line of an access log";

fn text(batch: &Batch) -> &str {
    std::str::from_utf8(&batch.lines).unwrap()
}

#[test]
fn the_thread_is_woken_once_per_batch() {
    let (mut queue, mut batch) = (Queue::default(), Batch::default());
    assert_eq!(queue.push("1"), After::Start);
    assert_eq!(queue.push("2"), After::Nothing);
    queue.take(&mut batch);
    assert_eq!(queue.push("3"), After::Nothing, "it is writing");
    assert!(!queue.is_urgent());
    queue.written(&batch);
    assert_eq!(queue.push("4"), After::Nothing, "it is collecting");
    assert_eq!(text(&batch), "1\n2\n");
    queue.take(&mut batch);
    assert_eq!(text(&batch), "3\n4\n");
    queue.written(&batch);
    assert!(queue.is_empty() && queue.is_flushed());
    queue.go_idle();
    assert_eq!(queue.push("5"), After::Wake, "it is idle");
    assert_eq!(queue.push("6"), After::Nothing);
}

#[test]
fn many_lines_are_not_collected_for_long() {
    let (mut queue, mut batch) = (Queue::default(), Batch::default());
    queue.push(LINE);
    queue.take(&mut batch);
    queue.written(&batch);
    let woken = (0..2 * PLENTY / LINE.len()).filter(|_| queue.push(LINE) == After::Wake).count();
    assert_eq!(woken, 1);
    assert!(queue.is_urgent());
}

#[test]
fn lines_beyond_the_capacity_are_dropped_and_counted() {
    let (mut queue, mut batch) = (Queue::default(), Batch::default());
    let (kept, all) = (CAPACITY / (LINE.len() + 1), 100_000);
    for _ in 0..all {
        queue.push(LINE);
        assert!(queue.lines.capacity() <= CAPACITY);
    }
    assert_eq!(queue.dropped, (all - kept) as u64);
    queue.push("");
    queue.take(&mut batch);
    assert_eq!(batch.lines.len(), kept * (LINE.len() + 1));
    assert_eq!(batch.dropped_after, (all - kept) as u64 + 1, "a shorter line is not before the report");
    queue.push(LINE);
    assert_eq!(queue.lines.len(), LINE.len() + 1);
}

#[test]
fn an_idle_log_holds_no_large_buffer() {
    let (mut queue, mut batch) = (Queue::default(), Batch::default());
    for _ in 0..2 {
        (0..100_000).for_each(|_| _ = queue.push(LINE));
        queue.take(&mut batch);
        queue.written(&batch);
    }
    batch.shrink();
    queue.go_idle();
    assert!(queue.lines.capacity() + batch.lines.capacity() <= 2 * KEPT);
}

#[test]
fn a_long_line_is_cut_at_a_character() {
    assert_eq!(shortened(&"é".repeat(LONGEST / 2)).1, "\n");
    let long = format!("{}é", "a".repeat(LONGEST - 1));
    assert_eq!(shortened(&long), (&*"a".repeat(LONGEST - 1), "...\n"));
}

/// A writer that returns prepared results, then writes everything.
#[derive(Default)]
struct Script {
    results: Vec<io::Result<usize>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Script {
    fn output(results: impl IntoIterator<Item = io::Result<usize>>) -> (Output, Arc<Mutex<Vec<u8>>>) {
        let script = Self { results: results.into_iter().collect(), ..Self::default() };
        let written = Arc::clone(&script.written);
        (Output { writer: Box::new(script), torn: false }, written)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = if self.results.is_empty() { Ok(bytes.len()) } else { self.results.remove(0) };
        result.inspect(|&count| lock(&self.written).extend_from_slice(&bytes[..count]))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn error<T>(kind: io::ErrorKind) -> io::Result<T> {
    Err(kind.into())
}

#[test]
fn a_writer_may_write_in_part_or_not_now() {
    let (mut output, written) =
        Script::output([Ok(1), error(io::ErrorKind::Interrupted), error(io::ErrorKind::WouldBlock), Ok(3)]);
    let mut retries = 0;
    let retry = || {
        retries += 1;
        true
    };
    assert_eq!(output.write(b"one\ntwo\n", retry), 0);
    assert_eq!(*lock(&written), b"one\ntwo\n");
    assert_eq!(retries, 1);
}

#[test]
fn refused_lines_are_counted_and_the_next_one_begins_a_line() {
    let full = || error(io::ErrorKind::StorageFull);
    let (mut output, written) = Script::output([Ok(5), full(), full(), Ok(0)]);
    assert_eq!(output.write(b"one\ntwo\nthree\n", || true), 2);
    assert_eq!(output.write(b"four\n", || true), 1, "not even a line feed");
    assert_eq!(output.write(b"five\n", || true), 1, "nothing was taken");
    assert_eq!(output.write(b"six\n", || true), 0);
    assert_eq!(*lock(&written), b"one\nt\nsix\n");
}

#[test]
fn a_panic_of_the_writer_loses_its_batch_only() {
    struct Panics(bool, Arc<Mutex<Vec<u8>>>);

    impl Write for Panics {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(self.0, "the first write panics");
            lock(&self.1).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0 = true;
            Ok(())
        }
    }

    let written = Arc::default();
    let log = LogWriter::new(Box::new(Panics(false, Arc::clone(&written))), None);
    for line in ["one", "two"] {
        log.push(line);
        log.flush(Instant::now() + FLUSH);
    }
    let written = String::from_utf8(lock(&written).clone()).unwrap();
    let report = format!("({}) 1 log line dropped: the log could not be written\n", std::process::id());
    assert_eq!(written, report + "two\n");
}

/// A writer that waits for permission before each write, and reports each call and its drop.
struct Gate {
    called: Sender<()>,
    permits: Receiver<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.called.send(());
        // An error when the test has ended the wait.
        let _ = self.permits.recv();
        lock(&self.written).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Gated {
    log: LogWriter,
    called: Receiver<()>,
    permits: Sender<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

fn gated(report: Option<Report>) -> Gated {
    let (called_by, called) = channel();
    let (permits, permitted) = channel();
    let written = Arc::default();
    let gate = Gate { called: called_by, permits: permitted, written: Arc::clone(&written) };
    Gated { log: LogWriter::new(Box::new(gate), report), called, permits, written }
}

/// Fills the queue of a log whose writer is blocked. Returns the number of lines that were kept.
fn overflow(log: &LogWriter, called: &Receiver<()>) -> usize {
    log.push("line 0");
    // The thread is in its first write.
    called.recv().unwrap();
    let mut count = 1;
    while lock(&log.0.queue).dropped < 7 {
        log.push(&format!("line {count}"));
        count += 1;
    }
    count - 7
}

#[test]
fn a_blocked_writer_costs_lines_which_are_reported_at_the_gap() {
    let Gated { log, called, permits, written } = gated(None);
    let kept = overflow(&log, &called);
    // It is not blocked any more.
    drop(permits);
    log.flush(Instant::now() + PATIENCE);
    log.push("last");
    log.flush(Instant::now() + PATIENCE);
    let written = String::from_utf8(lock(&written).clone()).unwrap();
    let mut lines = written.lines();
    for (number, line) in lines.by_ref().take(kept).enumerate() {
        assert_eq!(line, format!("line {number}"));
    }
    let report = format!("({}) 7 log lines dropped: the log is not being read", std::process::id());
    assert_eq!(lines.collect::<Vec<_>>(), [&*report, "last"]);
}

#[test]
fn dropped_lines_of_an_access_log_are_reported_elsewhere() {
    let (reports, reported) = channel();
    let report = move |text: &str| reports.send(text.to_string()).unwrap();
    let Gated { log, called, permits, written } = gated(Some(Box::new(report)));
    let kept = overflow(&log, &called);
    drop(permits);
    assert!(reported.recv().unwrap().ends_with(" 7 log lines dropped: the log is not being read"));
    log.flush(Instant::now() + PATIENCE);
    assert_eq!(lock(&written).iter().filter(|&&byte| byte == b'\n').count(), kept);
}

#[test]
fn a_flush_gives_up_once_if_the_writer_is_blocked() {
    let Gated { log, called, permits, written } = gated(None);
    log.push("one");
    called.recv().unwrap();
    log.push("two");
    let began = Instant::now();
    log.flush(began + Duration::from_millis(20));
    assert!(began.elapsed() >= Duration::from_millis(20));
    // The time has passed already, so the later calls do not wait.
    let began = Instant::now();
    (0..100).for_each(|_| log.flush(Instant::now() + PATIENCE));
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(*lock(&written), b"");
    // The thread writes the remaining lines when it can, and ends, although the log was dropped.
    let shared = Arc::downgrade(&log.0);
    drop(log);
    drop(permits);
    while shared.upgrade().is_some() {
        thread::yield_now();
    }
    assert_eq!(*lock(&written), b"one\ntwo\n");
}

#[test]
fn a_task_that_waits_for_the_last_line_is_woken() {
    let Gated { log, called, permits, written } = gated(None);
    let (woken_by, woken) = channel();
    struct Wakes(Mutex<Sender<()>>);
    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            let _ = lock(&self.0).send(());
        }
    }
    let waker = Waker::from(Arc::new(Wakes(Mutex::new(woken_by))));
    let mut context = Context::from_waker(&waker);
    assert!(log.poll_flushed(&mut context).is_ready(), "there is no line");
    log.push("one");
    called.recv().unwrap();
    log.push("two");
    (0..2).for_each(|_| assert!(log.poll_flushed(&mut context).is_pending()));
    drop(permits);
    woken.recv().unwrap();
    assert!(log.poll_flushed(&mut context).is_ready());
    assert_eq!(*lock(&written), b"one\ntwo\n");
}

#[test]
fn lines_are_written_in_place_if_there_is_no_thread() {
    let (output, written) = Script::output([error(io::ErrorKind::WouldBlock)]);
    let log = LogWriter::new(output.writer, None);
    lock(&log.0.queue).stage = Stage::NoThread;
    log.push("one");
    assert_eq!(*lock(&written), b"");
    log.push("two");
    let report = format!("({}) 1 log line dropped: the log could not be written\n", std::process::id());
    assert_eq!(*lock(&written), (report + "two\n").into_bytes());
    log.flush(Instant::now() + FLUSH);
}
