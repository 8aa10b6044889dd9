//! How one thread waits for its own sockets, and how another thread ends that wait.

use std::cell::OnceCell;
use std::io;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use self::channel::Channel;
pub(crate) use self::channel::DESCRIPTORS;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};

/// The longest wait if the system had no descriptors left for a notifier.
const SLICE: Duration = Duration::from_millis(50);

thread_local! {
    /// Created when the thread waits for the first time, unless it has got one before.
    static NOTIFIER: OnceCell<Arc<Notifier>> = const { OnceCell::new() };
}

/// Ends the waits of one thread.
///
/// Invariant: while it is `notified`, a token is in the channel, is about to be sent, or is being received.
struct Notifier {
    notified: AtomicBool,
    channel: Option<Channel>,
}

impl Notifier {
    fn new(channel: Option<Channel>) -> Arc<Self> {
        Arc::new(Self { notified: AtomicBool::new(false), channel })
    }
}

fn notifier<R>(call: impl FnOnce(&Arc<Notifier>) -> R) -> R {
    NOTIFIER.with(|notifier| call(notifier.get_or_init(|| Notifier::new(Channel::new().ok()))))
}

/// Notifiers for threads that have not started yet: their descriptors are open from the beginning, so that the number of
/// open descriptors does not depend on how many threads have waited.
#[derive(Default)]
pub(crate) struct Reserved(Mutex<Vec<Arc<Notifier>>>);

impl Reserved {
    /// Creates notifiers for `threads` threads, or none if the system has not descriptors for all: the first connections need
    /// the last ones more. Each thread then opens its own when it waits.
    pub(crate) fn new(threads: usize) -> Self {
        Self::with(threads, Channel::new)
    }

    fn with(threads: usize, mut open: impl FnMut() -> io::Result<Channel>) -> Self {
        let channels: io::Result<Vec<_>> = (0..threads).map(|_| open()).collect();
        let notifiers = channels.unwrap_or_default().into_iter().map(|channel| Notifier::new(Some(channel)));
        Self(Mutex::new(notifiers.collect()))
    }

    /// Gives one of them to the calling thread, which has just started.
    pub(crate) fn give(&self) {
        if let Some(reserved) = lock(&self.0).pop() {
            // It has none yet.
            let _ = NOTIFIER.with(|notifier| notifier.set(reserved));
        }
    }
}

impl Wake for Notifier {
    fn wake(self: Arc<Self>) {
        if !self.notified.swap(true, Ordering::AcqRel)
            && let Some(channel) = &self.channel
        {
            // A single token always fits.
            let _ = channel.send();
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
        match &notifier.channel {
            Some(channel) => polled.push(PollFd::new(channel.receiver(), PollFlags::IN)),
            None => time = Some(time.unwrap_or(SLICE).min(SLICE)),
        }
        // A time that the system cannot represent means no limit.
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let ready = match poll(&mut polled, time.as_ref()) {
            Err(Errno::INTR) => Ok(()),
            ready => ready.map(|_| ()).map_err(io::Error::from),
        };
        if notifier.notified.load(Ordering::Acquire) {
            if let Some(channel) = &notifier.channel {
                channel.receive()?;
            }
            notifier.notified.store(false, Ordering::Release);
        }
        ready
    })
}

/// Carries at most one token from any thread to the one that polls [`receiver`](Channel::receiver). An eventfd, which is
/// a single descriptor: a process may have as many waiting threads as connections.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod channel {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::event::{EventfdFlags, eventfd};
    use rustix::io::{read, retry_on_intr, write};

    /// How many descriptors a thread has once it has waited.
    pub(crate) const DESCRIPTORS: usize = 1;

    pub(super) struct Channel(OwnedFd);

    impl Channel {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(eventfd(0, EventfdFlags::CLOEXEC)?))
        }

        pub(super) fn receiver(&self) -> &OwnedFd {
            &self.0
        }

        pub(super) fn send(&self) -> io::Result<()> {
            retry_on_intr(|| write(&self.0, &1_u64.to_ne_bytes()))?;
            Ok(())
        }

        pub(super) fn receive(&self) -> io::Result<()> {
            retry_on_intr(|| read(&self.0, &mut [0_u8; 8]))?;
            Ok(())
        }
    }
}

/// The same, as a pipe of two descriptors, where there is no eventfd.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod channel {
    use std::io::{self, PipeReader, PipeWriter, Read, Write};

    pub(crate) const DESCRIPTORS: usize = 2;

    pub(super) struct Channel(PipeReader, PipeWriter);

    impl Channel {
        pub(super) fn new() -> io::Result<Self> {
            io::pipe().map(|(reader, writer)| Self(reader, writer))
        }

        pub(super) fn receiver(&self) -> &PipeReader {
            &self.0
        }

        pub(super) fn send(&self) -> io::Result<()> {
            (&mut &self.1).write_all(&[0])
        }

        pub(super) fn receive(&self) -> io::Result<()> {
            (&mut &self.0).read_exact(&mut [0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_reserved_for_all_threads_or_for_none() {
        for (left, reserved) in [(0, 0), (2, 0), (3, 3), (4, 3)] {
            let mut left = left;
            let notifiers = Reserved::with(3, || match left {
                0 => Err(Errno::MFILE.into()),
                _ => {
                    left -= 1;
                    Channel::new()
                }
            });
            assert_eq!(lock(&notifiers.0).len(), reserved);
        }
    }
}
