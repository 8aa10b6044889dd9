//! Bound listeners.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

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
        let path = address.as_ref().and_then(SockAddr::as_pathname).map(|path| path.display().to_string());
        Place::Local { path: path.unwrap_or_default(), encrypted: false }
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

/// Waits for those of `listeners` that are there.
pub(crate) fn wait(listeners: &[Weak<Listener>], deadline: Option<Instant>) {
    // One that has more to accept, for which it is not the time, would end the wait at once.
    let listeners: Vec<_> = listeners.iter().filter_map(Weak::upgrade).collect();
    let drained = listeners.iter().filter(|listener| listener.drained.swap(false, Ordering::Relaxed));
    let _ = wait::wait(drained.map(|listener| PollFd::new(&listener.socket, PollFlags::IN)), deadline);
}
