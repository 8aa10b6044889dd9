//! The transport of an asynchronous adapter, once a blocking application has taken it over: any thread polls it.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crate::exchange::taken::TakenTransport;
use crate::io::blocking::BlockingTransport;
use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait, wait_while};

/// A transport that is polled by the threads that use it. `None` once it was cut.
pub(super) struct TakenOver {
    transport: Mutex<Option<Polled>>,
    readiness: Arc<Readiness>,
}

struct Polled {
    transport: TakenTransport,
    /// The number of bytes that were written and are being flushed.
    written: Option<usize>,
}

/// Notified of every change. All threads poll with the same waker, because a transport keeps one for each direction, and TLS
/// may read in order to write.
#[derive(Default)]
struct Readiness {
    state: Mutex<State>,
    changes: Condvar,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Since the last poll of a read, nothing has changed.
    read_waits: bool,
    /// The same of writes.
    write_waits: bool,
    cut: bool,
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

impl TakenOver {
    pub(super) fn new(transport: TakenTransport) -> Self {
        let polled = Polled { transport, written: None };
        Self { transport: Mutex::new(Some(polled)), readiness: Arc::default() }
    }

    /// Polls the transport once.
    fn poll<R>(
        &self,
        direction: Direction,
        call: impl FnOnce(&mut Polled, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> io::Result<R> {
        let waker = self.waker();
        let mut transport = lock(&self.transport);
        let Some(polled) = &mut *transport else { return Err(io::ErrorKind::ConnectionAborted.into()) };
        self.readiness.set_waits(direction, true);
        match call(polled, &mut Context::from_waker(&waker)) {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(result) => {
                // No waker was kept, and another thread may wait for the same.
                self.readiness.set_waits(direction, false);
                result
            }
        }
    }
}

impl BlockingTransport for TakenOver {
    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        self.poll(Direction::Read, |polled, context| polled.transport.get().poll_read(context, space))
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.poll(Direction::Write, |Polled { transport, written }, context| {
            let count = match *written {
                Some(count) => count,
                None => std::task::ready!(transport.get().poll_write(context, slices))?,
            };
            *written = Some(count);
            let flushed = std::task::ready!(transport.get().poll_flush(context));
            *written = None;
            Poll::Ready(flushed.map(|()| count))
        })
    }

    fn shutdown(&self) -> io::Result<()> {
        self.poll(Direction::Write, |polled, context| polled.transport.poll_shutdown(context))
    }

    fn cut(&self) {
        let polled = lock(&self.transport).take();
        drop(polled);
        self.readiness.lock().cut = true;
        self.readiness.changes.notify_all();
    }

    fn leave(&self) {}

    fn remind(&self, _: Instant) {}

    fn wait(&self, read: bool, write: bool, deadline: Option<Instant>) -> io::Result<()> {
        self.wait_unless(read, write, deadline, &|| false)
    }

    fn wait_unless(
        &self,
        read: bool,
        write: bool,
        deadline: Option<Instant>,
        over: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let waits = |state: &mut State| {
            !over() && !state.cut && (state.read_waits || !read) && (state.write_waits || !write)
        };
        let mut state = self.readiness.lock();
        match deadline {
            Some(deadline) => {
                let time = deadline.saturating_duration_since(Instant::now());
                drop(wait_while(&self.readiness.changes, state, time, waits));
            }
            None => {
                while waits(&mut state) {
                    state = wait(&self.readiness.changes, state);
                }
            }
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        Arc::clone(&self.readiness).into()
    }
}

impl Readiness {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn set_waits(&self, direction: Direction, waits: bool) {
        let mut state = self.lock();
        match direction {
            Direction::Read => state.read_waits = waits,
            Direction::Write => state.write_waits = waits,
        }
        drop(state);
        if !waits {
            self.changes.notify_all();
        }
    }
}

impl Wake for Readiness {
    fn wake(self: Arc<Self>) {
        let mut state = self.lock();
        (state.read_waits, state.write_waits) = (false, false);
        drop(state);
        self.changes.notify_all();
    }
}
