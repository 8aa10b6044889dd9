//! What a connection of a blocking application moves its bytes over.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use wsgi_proto::{Event, Io};

use super::{Application, Blocking};
use crate::drive::{obey, serve_connection};
use crate::link::Link;
use crate::register::Permit;
use crate::server::Server;
use crate::shared::{Calls, Handle};
use crate::transport::Transport;

/// One accepted connection whose bytes any thread may move. No method but [`wait`](Self::wait) waits.
pub trait Wire: Send + Sync + 'static {
    /// Whether a read would probably bring something; true where that is not known.
    fn is_readable(&self) -> bool {
        true
    }

    /// Reads into `space`; 0 is the end of the peer's half.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing is there; those of the socket.
    fn read(&self, space: &mut [u8]) -> io::Result<usize>;

    /// Writes from `slices`, of which none is empty. After [`io::ErrorKind::WouldBlock`] the next write begins with the
    /// same bytes, and perhaps has more.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no room; those of the socket.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Closes our half; the other may go on. What was written before still arrives.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when a farewell found no room, and it has to be called again; those of the socket.
    fn shutdown(&self) -> io::Result<()>;

    /// Ends both halves at once, also for the threads that wait.
    fn cut(&self);

    /// HTTP is over: from now on the application alone reads, writes and waits.
    fn leave(&self);

    /// The connection, when no thread is with it, has to be looked at again at `deadline`.
    fn remind(&self, deadline: Instant);

    /// Makes this thread wait until the socket can be read from or written to (as `read` and `write` say), until
    /// `deadline`, or until this thread's [`waker`](Self::waker) is woken; also if that was before the wait began.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn wait(&self, read: bool, write: bool, deadline: Option<Instant>) -> io::Result<()>;

    /// What ends a [`wait`](Self::wait) of the thread that calls this.
    fn waker(&self) -> Waker;
}

/// How the connections of a listener are encrypted. Without the feature `tls` they are not.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    #[cfg(feature = "tls")]
    config: Option<Arc<rustls::ServerConfig>>,
}

impl Tls {
    /// Encrypted by rustls.
    #[cfg(feature = "tls")]
    pub fn new(config: Arc<rustls::ServerConfig>) -> Self {
        Self { config: Some(config) }
    }

    /// Whether they are encrypted.
    pub fn is_on(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.config.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}

/// Serves one connection of a blocking application until it ends, as [`serve_connection`] does for others, after the
/// handshake if there is `tls`. It wakes nobody: whoever polls it has to learn from elsewhere when the wire is ready
/// again, or when a deadline comes.
pub fn serve<A: Application>(
    server: Arc<Server<Blocking<A>>>,
    permit: Permit,
    wire: impl Wire,
    tls: Tls,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    #[cfg(feature = "tls")]
    if let Some(config) = tls.config {
        return Box::pin(super::tls::serve(server, permit, wire, config));
    }
    let Tls { .. } = tls;
    let wire = Arc::new(wire);
    let weak = Arc::downgrade(&wire);
    permit.wire(weak);
    Box::pin(serve_connection(server, permit, Line(wire)))
}

/// A [`Wire`] as a transport.
#[derive(Debug)]
pub(super) struct Line<W: ?Sized>(pub(super) Arc<W>);

impl<W: Wire + ?Sized> Transport for Line<W> {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.is_readable() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        unless_it_blocks(|| self.0.read(space))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        unless_it_blocks(|| self.0.write(slices))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        unless_it_blocks(|| self.0.shutdown())
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.0.remind(deadline);
        Poll::Pending
    }
}

pub(super) fn unless_it_blocks<R>(mut call: impl FnMut() -> io::Result<R>) -> Poll<io::Result<R>> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}

impl Handle {
    /// Runs one call of a handle to its end on this thread, which moves the connection's bytes meanwhile.
    pub(super) fn block_on<R>(&self, call: impl Future<Output = R>) -> R {
        let mut call = pin!(call);
        // Without a wire the connection is over, and so is the call.
        let wire = self.wire();
        let waker = wire.as_ref().map_or_else(|| Waker::noop().clone(), |wire| wire.waker());
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = call.as_mut().poll(&mut context) {
                return result;
            }
            match &wire {
                // What came up since the call was asked has woken this thread's waker.
                Some(wire) => {
                    if let Some(io) = self.move_bytes(wire, &mut context) {
                        let deadline = io.deadline.and_then(|(at, _)| self.core().clock.deadline(at));
                        // A wait that fails is none; the next read or write says why.
                        let _ = wire.wait(io.read, io.write, deadline);
                    }
                }
                None => std::thread::yield_now(),
            }
        }
    }

    /// Does what the machine waits for, as far as that can be done at once. `Some`: nothing, and what it waits for.
    fn move_bytes(&self, wire: &Arc<dyn Wire>, context: &mut Context<'_>) -> Option<Io> {
        let mut link = Link::new(Line(Arc::clone(wire)), Arc::clone(self.core()));
        link.read_clocks();
        let mut calls = Calls::default();
        let mut cell = self.lock();
        let mut moved = cell.has_expired(link.now);
        let io = loop {
            obey(&mut cell);
            match cell.machine.poll(link.now) {
                Event::Io(io) if link.move_bytes(&mut cell, io, false, context) => moved = true,
                Event::Io(io) => {
                    cell.expect(io);
                    break io;
                }
                Event::TakenOver if link.hand_over(&mut cell) => moved = true,
                _ => break Io::default(),
            }
        };
        if moved {
            cell.wake_application(context, &mut calls);
            cell.touch(&mut calls);
        }
        (!moved).then_some(io)
    }

    pub(super) fn wire(&self) -> Option<Arc<dyn Wire>> {
        self.wire_slot().get().and_then(Weak::upgrade)
    }
}
