//! Bound listeners, and the thread that accepts.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::pin::pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use socket2::{SockAddr, Socket};
use wsgi_app::{Address, Peer, Place};

use crate::wait;

/// A listener that is bound and listening already: a `TcpListener` or a `UnixListener` of std, turned into this by
/// `into`. The file of a unix socket is neither made nor removed here.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// Nothing was there to accept.
    drained: AtomicBool,
}

impl Listener {
    pub(crate) fn do_not_block(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)
    }

    pub(crate) fn poll_accept(&self) -> Poll<io::Result<(Socket, Peer)>> {
        let accepted = self.socket.accept().and_then(|(socket, remote)| {
            socket.set_nonblocking(true)?;
            if !remote.is_unix() {
                // Answers go out whole, so there is nothing to wait for. Without it they are only slower.
                let _ = socket.set_tcp_nodelay(true);
            }
            let address = |address: &SockAddr| address.as_socket().map_or(Address::Unix, Address::from);
            let local = socket.local_addr().as_ref().map_or(Address::Unix, address);
            Ok((socket, Peer::new(address(&remote), local)))
        });
        match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.drained.store(true, Ordering::Relaxed);
                Poll::Pending
            }
            accepted => Poll::Ready(accepted),
        }
    }

    pub(crate) fn place(&self) -> Place {
        let address = self.socket.local_addr().ok();
        if let Some(address) = address.as_ref().and_then(SockAddr::as_socket) {
            return Place::Ip { address, encrypted: false };
        }
        let path = address.as_ref().and_then(SockAddr::as_pathname);
        Place::Local {
            path: path.map(|path| path.display().to_string()).unwrap_or_default(),
            encrypted: false,
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self { socket: listener.into(), drained: AtomicBool::new(false) }
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self { socket: OwnedFd::from(listener).into(), drained: AtomicBool::new(false) }
    }
}

/// When the accepting thread has to be woken.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Cell<Option<Instant>>);

impl Alarm {
    /// Ready after `time`.
    pub(crate) fn sleep(&self, time: Duration) -> impl Future<Output = ()> {
        let end = Instant::now().checked_add(time);
        poll_fn(move |_| match end {
            Some(end) if end <= Instant::now() => Poll::Ready(()),
            _ => {
                // There is one sleep at a time.
                self.0.set(end);
                Poll::Pending
            }
        })
    }
}

/// Runs `life` on this thread, which waits for those of `listeners` that are there.
pub(crate) fn block_on<R>(life: impl Future<Output = R>, listeners: &[Weak<Listener>], alarm: &Alarm) -> R {
    let (mut life, waker) = (pin!(life), wait::waker());
    loop {
        alarm.0.set(None);
        if let Poll::Ready(result) = life.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        // One that has more to accept, for which it is not the time, would end the wait at once.
        let listeners: Vec<_> = listeners.iter().filter_map(Weak::upgrade).collect();
        let drained = listeners.iter().filter(|listener| listener.drained.swap(false, Ordering::Relaxed));
        // A wait that fails is a short one.
        let _ =
            wait::wait(drained.map(|listener| PollFd::new(&listener.socket, PollFlags::IN)), alarm.0.get());
    }
}
