//! Receives the header of the PROXY protocol in the connection's own task, before TLS. Without the feature
//! `proxy-protocol` it is always off.

use std::fmt;
use std::io;
#[cfg(feature = "proxy-protocol")]
use std::sync::Arc;
use std::task::Poll;

use wsgi_proto::Address;
#[cfg(feature = "proxy-protocol")]
use wsgi_proto::Endpoints;

#[cfg(feature = "proxy-protocol")]
use crate::connection::proxy_header::{ProxyHeader, parse_proxy_header};
#[cfg(feature = "proxy-protocol")]
use crate::exchange::shared::ConnShared;
use crate::registry::ConnectionGuard;
#[cfg(feature = "proxy-protocol")]
use crate::server::proxy_sources::ProxySources;

/// Whether the connections of a listener begin with a header of the PROXY protocol. By default they do not.
#[derive(Clone, Debug, Default)]
pub struct ProxyProtocol {
    #[cfg(feature = "proxy-protocol")]
    sources: Option<ProxySources>,
}

impl ProxyProtocol {
    /// Each connection must come from one of `sources` and begin with the header.
    #[cfg(feature = "proxy-protocol")]
    pub fn required_from(sources: ProxySources) -> Self {
        Self { sources: Some(sources) }
    }

    /// Checks the peer of a connection that was just accepted. An adapter returns this error in place of the connection:
    /// it concerns only the peer, and the connection is closed before it uses any room.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) if the protocol is on and the peer is not one of the sources.
    pub fn check(&self, remote: &Address) -> io::Result<()> {
        #[cfg(feature = "proxy-protocol")]
        if let Some(sources) = &self.sources {
            return sources.check(remote);
        }
        let _ = remote;
        Ok(())
    }

    /// The beginning of a connection that was admitted; `None` if the protocol is off.
    pub fn prelude(&self, guard: &ConnectionGuard) -> Option<ProxyPrelude> {
        #[cfg(feature = "proxy-protocol")]
        if self.sources.is_some() {
            return Some(ProxyPrelude { shared: Arc::clone(&guard.shared), received: Vec::new() });
        }
        let _ = guard;
        None
    }
}

/// Receives the header of the PROXY protocol, with which a connection begins, and gives the connection the addresses that
/// it contains.
///
/// It is the first part of the handshake that [`serve_after_handshake`](crate::adapter::serve_after_handshake) runs, so
/// the same rules hold: `handshake_timeout` bounds it, and it makes room.
#[cfg(feature = "proxy-protocol")]
pub struct ProxyPrelude {
    shared: Arc<ConnShared>,
    received: Vec<u8>,
}

/// The beginning of a connection with the PROXY protocol. It exists only with the feature `proxy-protocol`.
#[cfg(not(feature = "proxy-protocol"))]
pub enum ProxyPrelude {}

impl ProxyPrelude {
    /// Reads the rest of the header, and nothing behind it, with `read`, which fills a part of the space that it gets and
    /// returns the number of bytes; 0 means that the peer closed its half. After an error of `read` that is not final, such
    /// as [`WouldBlock`](io::ErrorKind::WouldBlock), call it again.
    ///
    /// # Errors
    ///
    /// An error of `read`; a header that is absent, malformed, too long or cut off. The connection has to be closed then.
    #[cfg(feature = "proxy-protocol")]
    pub fn receive(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        loop {
            let header = parse_proxy_header(&self.received);
            match header.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                ProxyHeader::Incomplete(missing) => {
                    let length = self.received.len();
                    self.received.resize(length + missing, 0);
                    let read = read(&mut self.received[length..]);
                    self.received.truncate(length + read.as_ref().map_or(0, |count| *count));
                    if read? == 0 {
                        let cut = "closed before the end of its PROXY protocol header";
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
                    }
                }
                ProxyHeader::Own => return Ok(()),
                ProxyHeader::Client { remote, local } => {
                    let machine = &mut self.shared.lock().machine;
                    let endpoints = *machine.endpoints();
                    machine.set_endpoints(Endpoints { remote, local, ..endpoints });
                    return Ok(());
                }
            }
        }
    }

    /// There is no header to read.
    ///
    /// # Errors
    ///
    /// None.
    #[cfg(not(feature = "proxy-protocol"))]
    pub fn receive(&mut self, _: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        match *self {}
    }

    /// Like [`receive`](Self::receive), for a `read` that may have to wait.
    pub fn poll_receive(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let received = self.receive(|space| match read(space) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            received => Poll::Ready(received),
        }
    }
}

impl fmt::Debug for ProxyPrelude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyPrelude").finish_non_exhaustive()
    }
}
