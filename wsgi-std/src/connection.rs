//! One connection's socket, and how any thread moves bytes over it.

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use rustix::event::{PollFd, PollFlags};
use rustix::net::RecvFlags;
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::net::SendFlags;
use socket2::Socket;
use wsgi_app::adapter::Server;
use wsgi_app::adapter::{Blocking, BlockingTransport, Flush};
use wsgi_app::blocking::Application;

use crate::engine::{Engine, Task};
use crate::listener::Accepted;
use crate::sync::{AtomicBool, Ordering};
use crate::wait;

type Serving<A> = Arc<Server<Blocking<A>>>;

/// A socket and the task that serves it.
struct Connection {
    socket: Socket,
    task: Arc<Task>,
    /// Our half was closed: all that belongs to it was written.
    ended: AtomicBool,
}

/// Serves a connection that was just accepted.
pub(crate) fn begin<A: Application>(engine: &Arc<Engine>, server: &Serving<A>, accepted: Accepted) {
    let Accepted { socket, fresh, endpoints, tls, proxy } = accepted;
    let guard = server.admit(endpoints);
    let started = engine.start_task(socket, fresh, |socket, task| {
        let prelude = proxy.prelude(&guard);
        let connection = Connection { socket, task: Arc::clone(task), ended: AtomicBool::new(false) };
        tls.serve_after(prelude, Arc::clone(server), guard, connection)
    });
    if let Err(error) = started {
        let _ = server.accept_failed(&error);
    }
}

impl BlockingTransport for Connection {
    fn is_readable(&self) -> bool {
        !self.task.drained.load(Ordering::Acquire)
    }

    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        // Not the `recv` of libc, which prepares for the end of the thread (pthread_cancel) at each call.
        let read = rustix::net::recv(&self.socket, &mut *space, RecvFlags::empty());
        let read = read.map(|(count, _)| count).map_err(io::Error::from);
        let drained = match &read {
            // After a short read the poller reports new bytes, but it does not repeat an end that it reported before.
            Ok(count) => *count < space.len() && !self.task.ends.load(Ordering::Acquire),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        self.task.drained.store(drained, Ordering::Release);
        read
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.task.state.write_begins();
        let written = match slices {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            [slice] => rustix::net::send(&self.socket, slice, SendFlags::NOSIGNAL).map_err(io::Error::from),
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            [slice] => (&self.socket).write(slice),
            slices => (&self.socket).write_vectored(slices),
        }?;
        if written == slices.iter().map(|slice| slice.len()).sum::<usize>() {
            self.task.state.all_written();
        }
        Ok(written)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn send_file(&self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        // A length of `None` would mean the whole file.
        let Some(wanted) = NonZeroUsize::new(length) else { return Ok(0) };
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::Unsupported)?;
        self.task.state.write_begins();
        let sent = self.socket.sendfile(file, offset, Some(wanted))?;
        if sent == length {
            self.task.state.all_written();
        }
        Ok(sent)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn cork(&self, corked: bool) {
        // If it fails, as on Unix sockets, the system sends more packets.
        let _ = self.socket.set_tcp_cork(corked);
    }

    fn shutdown(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)?;
        self.ended.store(true, Ordering::Release);
        Ok(())
    }

    fn reset(&self) {
        // If it fails, the connection is already lost. Unix sockets have no reset.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    fn cut(&self) {
        // Dissolving the association resets a TCP connection immediately, so that a partial response does not look
        // complete. It also drops what a complete one still has to send. Unix sockets and some systems do not support it.
        if self.ended.load(Ordering::Acquire) || rustix::net::connect_unspec(&self.socket).is_err() {
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn leave(&self) {
        // If it cannot be deregistered, the poller sometimes wakes for nothing.
        let _ = self.task.engine.registry.deregister(&mut SourceFd(&self.socket.as_raw_fd()));
    }

    fn remind(&self, deadline: Instant) {
        self.task.remind(deadline);
    }

    fn flush_soon(&self, flush: Flush) -> bool {
        self.task.engine.flush_soon(flush)
    }

    fn wait(&self, read: bool, write: bool, deadline: Option<Instant>) -> io::Result<()> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, read);
        flags.set(PollFlags::OUT, write);
        let wait = || wait::wait([PollFd::new(&self.socket, flags)], deadline);
        self.task.engine.host.wait(wait).transpose()?;
        self.task.drained.store(false, Ordering::Release);
        Ok(())
    }

    fn block(&self, wait: &mut dyn FnMut()) {
        self.task.engine.host.wait(wait);
    }

    fn waker(&self) -> Waker {
        wait::waker()
    }
}
