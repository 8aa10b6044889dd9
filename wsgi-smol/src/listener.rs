//! Bound listeners, and what they accept.

use std::fmt;
use std::io;
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use smol::Async;
use smol::stream::{self, Stream, StreamExt};
use wsgi_app::{Address, Application, Peer, Place, Server, Transport, serve_connection};

use crate::socket::{Duplex, Socket};

const NOWHERE: Place = Place::Local { path: String::new(), encrypted: false };

/// A listener that is bound and listening already: one of smol, of [`Async`], with the feature `async-std` one of
/// async-std; or whatever else [brings connections](Self::incoming).
pub struct Listener {
    connections: stream::Boxed<io::Result<(Box<dyn Transport>, Peer)>>,
    executor: Executor,
    place: Place,
}

/// A connection that was just accepted.
pub(crate) struct Accepted {
    transport: Box<dyn Transport>,
    peer: Peer,
    executor: Executor,
}

/// What connections run on.
#[derive(Clone, Debug)]
pub(crate) enum Executor {
    Smol,
    #[cfg(feature = "async-std")]
    AsyncStd,
    Own(Arc<smol::Executor<'static>>),
}

impl Listener {
    /// Takes connections from a stream of them: pipes in memory, TLS of your own, anything that reads and writes by
    /// `futures-io`. Its errors are understood as those of `accept(2)`.
    pub fn incoming<S: Duplex>(
        connections: impl Stream<Item = io::Result<(S, Peer)>> + Send + 'static,
    ) -> Self {
        let connections = connections.map(|accepted| {
            let (stream, peer) = accepted?;
            Ok((Box::new(Socket::new(stream)) as Box<dyn Transport>, peer))
        });
        let connections = Box::pin(connections.chain(stream::pending()));
        Self { connections, executor: Executor::Smol, place: NOWHERE }
    }

    fn listening<L: Send + Sync + 'static, S: Duplex>(
        listener: Arc<Async<L>>,
        accept: fn(&L) -> io::Result<(S, Peer)>,
    ) -> Self {
        // `poll_readable` would be for one task alone, and others may wait for the same listener.
        Self::incoming(stream::unfold(listener, move |listener| async move {
            let accepted = loop {
                match accept(listener.get_ref()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    accepted => break accepted,
                }
                if let Err(error) = listener.readable().await {
                    break Err(error);
                }
            };
            Some((accepted, listener))
        }))
    }

    pub(crate) fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let accepted = ready!(self.connections.poll_next(context));
        let (transport, peer) = accepted.expect("a stream that is pending in the end does not end")?;
        Poll::Ready(Ok(Accepted { transport, peer, executor: self.executor.clone() }))
    }

    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }
}

impl From<Arc<Async<TcpListener>>> for Listener {
    fn from(listener: Arc<Async<TcpListener>>) -> Self {
        let address = listener.get_ref().local_addr();
        let place = address.map_or(NOWHERE, |address| Place::Ip { address, encrypted: false });
        let accept = |listener: &TcpListener| {
            let (stream, remote) = listener.accept()?;
            // Answers go out whole, so there is nothing to wait for. Without it they are only slower.
            let _ = stream.set_nodelay(true);
            let local = stream.local_addr().map_or(Address::Unix, Address::from);
            Ok((Async::<TcpStream>::new(stream)?, Peer::new(remote.into(), local)))
        };
        Self { place, ..Self::listening(listener, accept) }
    }
}

#[cfg(unix)]
impl From<Arc<Async<UnixListener>>> for Listener {
    fn from(listener: Arc<Async<UnixListener>>) -> Self {
        let address = listener.get_ref().local_addr().ok();
        let path = address.as_ref().and_then(|address| address.as_pathname());
        let path = path.map(|path| path.display().to_string()).unwrap_or_default();
        let accept = |listener: &UnixListener| {
            let (stream, _) = listener.accept()?;
            Ok((Async::<UnixStream>::new(stream)?, Peer::new(Address::Unix, Address::Unix)))
        };
        Self { place: Place::Local { path, encrypted: false }, ..Self::listening(listener, accept) }
    }
}

impl<L> From<Async<L>> for Listener
where
    Self: From<Arc<Async<L>>>,
{
    fn from(listener: Async<L>) -> Self {
        Arc::new(listener).into()
    }
}

impl From<smol::net::TcpListener> for Listener {
    fn from(listener: smol::net::TcpListener) -> Self {
        Arc::<Async<TcpListener>>::from(listener).into()
    }
}

#[cfg(unix)]
impl From<smol::net::unix::UnixListener> for Listener {
    fn from(listener: smol::net::unix::UnixListener) -> Self {
        Arc::<Async<UnixListener>>::from(listener).into()
    }
}

/// The listeners of async-std hide whether a socket is readable, so it is taken out of them; the reactor is the same.
/// What went wrong there is what accepting ends with.
#[cfg(feature = "async-std")]
fn unwrapped<L>(listener: io::Result<Async<L>>) -> Listener
where
    Listener: From<Async<L>>,
{
    let failed = |error| Listener::incoming::<Async<TcpStream>>(stream::once(Err(error)));
    Listener { executor: Executor::AsyncStd, ..listener.map_or_else(failed, Listener::from) }
}

#[cfg(feature = "async-std")]
impl From<async_std::net::TcpListener> for Listener {
    fn from(listener: async_std::net::TcpListener) -> Self {
        unwrapped(TcpListener::try_from(listener).and_then(Async::new))
    }
}

#[cfg(all(feature = "async-std", unix))]
impl From<async_std::os::unix::net::UnixListener> for Listener {
    fn from(listener: async_std::os::unix::net::UnixListener) -> Self {
        unwrapped(UnixListener::try_from(listener).and_then(Async::new))
    }
}

impl Accepted {
    /// Serves the connection in a task of its own, on `executor` if there is one.
    pub(crate) fn spawn<A: Application>(self, server: &Arc<Server<A>>, executor: Option<&Executor>) {
        let connection = serve_connection(Arc::clone(server), server.admit(self.peer), self.transport);
        match executor.unwrap_or(&self.executor) {
            Executor::Smol => smol::spawn(connection).detach(),
            #[cfg(feature = "async-std")]
            Executor::AsyncStd => drop(async_std::task::spawn(connection)),
            Executor::Own(executor) => executor.spawn(connection).detach(),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("place", &self.place).finish_non_exhaustive()
    }
}
