//! How one thread waits for its own sockets, and how another thread ends that wait.

use std::cell::OnceCell;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::sync::{AtomicBool, Ordering};

/// The longest wait if the system had no descriptors left for a notifier.
const SLICE: Duration = Duration::from_millis(50);

thread_local! {
    /// Created when the thread waits for the first time.
    static NOTIFIER: OnceCell<Arc<Notifier>> = const { OnceCell::new() };
}

/// Ends the waits of one thread.
///
/// Invariant: while it is `notified`, a byte is in the pipe, is about to be written, or is being read.
struct Notifier {
    notified: AtomicBool,
    pipe: Option<(PipeReader, PipeWriter)>,
}

fn notifier<R>(call: impl FnOnce(&Arc<Notifier>) -> R) -> R {
    let new = || Arc::new(Notifier { notified: AtomicBool::new(false), pipe: io::pipe().ok() });
    NOTIFIER.with(|notifier| call(notifier.get_or_init(new)))
}

impl Wake for Notifier {
    fn wake(self: Arc<Self>) {
        if !self.notified.swap(true, Ordering::AcqRel)
            && let Some((_, writer)) = &self.pipe
        {
            // A single byte always fits.
            let _ = (&mut &*writer).write_all(&[0]);
        }
    }
}

/// A waker that ends a [`wait`] of this thread, even one that has not begun yet.
pub(crate) fn waker() -> Waker {
    notifier(|notifier| Waker::from(Arc::clone(notifier)))
}

/// Waits until one of `sockets` is ready, until `deadline`, or until this thread's [`waker`] is woken.
pub(crate) fn wait<'a>(
    sockets: impl IntoIterator<Item = PollFd<'a>>,
    deadline: Option<Instant>,
) -> io::Result<()> {
    notifier(|notifier| {
        let mut polled: Vec<_> = sockets.into_iter().collect();
        let mut time = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match &notifier.pipe {
            Some((reader, _)) => polled.push(PollFd::new(reader, PollFlags::IN)),
            None => time = Some(time.unwrap_or(SLICE).min(SLICE)),
        }
        // A time that the system cannot represent means no limit.
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let ready = match poll(&mut polled, time.as_ref()) {
            Err(Errno::INTR) => Ok(()),
            ready => ready.map(|_| ()).map_err(io::Error::from),
        };
        if notifier.notified.load(Ordering::Acquire) {
            if let Some((reader, _)) = &notifier.pipe {
                (&mut &*reader).read_exact(&mut [0])?;
            }
            notifier.notified.store(false, Ordering::Release);
        }
        ready
    })
}
