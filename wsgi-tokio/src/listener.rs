//! Bound listeners, and what they accept.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use wsgi_app::{Address, Application, Peer, Server, ServerHandle, serve_connection};

use crate::socket::Socket;

/// A listener that is bound and listening already.
#[derive(Debug)]
pub enum Listener {
    /// An internet address.
    Tcp(TcpListener),
    /// A unix socket. Its file is neither made nor removed here.
    #[cfg(unix)]
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// A connection that was just accepted.
pub(crate) enum Accepted {
    Tcp(TcpStream, Address),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Listener {
    pub(crate) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match self {
            Self::Tcp(listener) => {
                listener.poll_accept(context).map_ok(|(stream, peer)| Accepted::Tcp(stream, peer.into()))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                listener.poll_accept(context).map_ok(|(stream, _)| Accepted::Unix(stream))
            }
        }
    }

    /// Tells the log and the handle where the server accepts.
    pub(crate) fn announce<A>(&self, server: &Server<A>, handle: &ServerHandle) {
        match self {
            Self::Tcp(listener) => {
                if let Ok(address) = listener.local_addr() {
                    handle.add_address(address);
                    server.log_start(&format!("http://{address}"), !address.ip().is_loopback());
                }
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                let path = path.map(|path| path.display().to_string()).unwrap_or_default();
                server.log_start(&format!("http:{path}"), false);
            }
        }
    }
}

impl Accepted {
    /// Serves the connection in a task of its own.
    pub(crate) fn spawn<A: Application>(self, server: &Arc<Server<A>>) {
        let server = Arc::clone(server);
        match self {
            Self::Tcp(stream, remote) => {
                // Answers go out whole, so there is nothing to wait for. Without it they are only slower.
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr().map_or(Address::Unix, Address::from);
                let permit = server.admit(Peer::new(remote, local));
                tokio::spawn(serve_connection(server, permit, Socket::new(stream)));
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                let permit = server.admit(Peer::new(Address::Unix, Address::Unix));
                tokio::spawn(serve_connection(server, permit, Socket::new(stream)));
            }
        }
    }
}
