//! Feature `tls`: HTTPS by rustls. The handshake runs in the connection's own task.

use std::sync::Arc;

use wsgi_app::{Application, Peer, Server, serve_connection};

use crate::socket::{Socket, Stream};

/// Whether a listener speaks TLS, and how.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    #[cfg(feature = "tls")]
    pub(crate) acceptor: Option<tokio_rustls::TlsAcceptor>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_on() { "on" } else { "off" })
    }
}

impl Tls {
    pub(crate) fn is_on(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.acceptor.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Serves a connection in a task of its own.
    pub(crate) fn serve<A: Application>(self, server: &Arc<Server<A>>, peer: Peer, stream: impl Stream) {
        let server = Arc::clone(server);
        #[cfg(feature = "tls")]
        if let Some(acceptor) = self.acceptor {
            let permit = server.admit(Peer { scheme: wsgi_app::Scheme::Https, ..peer });
            tokio::spawn(rustls::serve(server, permit, acceptor, stream));
            return;
        }
        let permit = server.admit(peer);
        tokio::spawn(serve_connection(server, permit, Socket { stream, timer: None }));
    }
}

#[cfg(feature = "tls")]
mod rustls {
    use std::io::{self, BufRead};
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;
    use wsgi_app::{Application, Permit, Server, serve_connection};

    use crate::socket::{Socket, Stream};

    impl<S: Stream> Stream for TlsStream<S> {
        fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            let (stream, session) = self.get_mut();
            // Plaintext that rustls has already: the socket would not tell of it.
            match session.reader().fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.poll_read_ready(context),
                // Data, the end, or an error that reading shows again.
                _ => Poll::Ready(Ok(())),
            }
        }
    }

    pub(super) async fn serve<A: Application, S: Stream>(
        server: Arc<Server<A>>,
        permit: Permit,
        acceptor: TlsAcceptor,
        stream: S,
    ) {
        let bounded = tokio::time::timeout(server.handshake_timeout(), acceptor.accept(stream));
        let handshake = async { bounded.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) };
        if let Some(stream) = server.handshake(&permit, handshake).await {
            serve_connection(server, permit, Socket { stream, timer: None }).await;
        }
    }
}
