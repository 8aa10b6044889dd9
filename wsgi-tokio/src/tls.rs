//! Feature `tls`: HTTPS by rustls. The handshake runs in the connection's own task.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use wsgi_app::adapter::{Server, serve_connection};
use wsgi_app::{Application, Endpoints};

use crate::socket::{Socket, Stream};

/// The TLS configuration of a listener, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    #[cfg(feature = "tls")]
    pub(crate) config: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "on" } else { "off" })
    }
}

impl Tls {
    pub(crate) fn is_on(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.config.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    pub(crate) fn alpn_protocols(&self) -> &[Vec<u8>] {
        #[cfg(feature = "tls")]
        return self.config.as_ref().map_or(&[], |config| &config.alpn_protocols);
        #[cfg(not(feature = "tls"))]
        &[]
    }

    /// Serves a connection in a separate task, on `pool` if there is one.
    pub(crate) fn serve<A: Application>(
        self,
        server: &Arc<Server<A>>,
        pool: Option<&Handle>,
        endpoints: Endpoints,
        stream: impl Stream,
    ) {
        let server = Arc::clone(server);
        #[cfg(feature = "tls")]
        if let Some(config) = self.config {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            let guard = server.admit(Endpoints { scheme: wsgi_app::Scheme::Https, ..endpoints });
            let handshake = async move { Ok(Socket::new(acceptor.accept(stream).await?)) };
            spawn(
                pool,
                wsgi_app::adapter::serve_after_handshake(server, guard, handshake, tokio::time::sleep),
            );
            return;
        }
        let guard = server.admit(endpoints);
        spawn(pool, serve_connection(server, guard, Socket::new(stream)));
    }
}

fn spawn(pool: Option<&Handle>, connection: impl Future<Output = ()> + Send + 'static) {
    match pool {
        Some(pool) => drop(pool.spawn(connection)),
        None => drop(tokio::spawn(connection)),
    }
}

#[cfg(feature = "tls")]
mod rustls {
    use std::io::{self, BufRead, Read};
    use std::task::{Context, Poll};

    use tokio_rustls::server::TlsStream;

    use crate::socket::Stream;

    impl<S: Stream> Stream for TlsStream<S> {
        fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            let (stream, session) = self.get_mut();
            // rustls may already hold plaintext, which the socket would not report.
            match session.reader().fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.poll_read_ready(context),
                // Data, the end, or an error that the next read returns again.
                _ => Poll::Ready(Ok(())),
            }
        }

        /// Dropping the stream sends no `close_notify` either.
        fn reset(&self) {
            self.get_ref().0.reset();
        }

        fn read_now(&mut self, space: &mut [u8]) -> io::Result<usize> {
            let (stream, session) = self.get_mut();
            while session.wants_read() && session.read_tls(&mut Now(stream))? > 0 {
                session.process_new_packets().map_err(io::Error::other)?;
            }
            session.reader().read(space)
        }
    }

    struct Now<'s, S>(&'s mut S);

    impl<S: Stream> Read for Now<'_, S> {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            self.0.read_now(space)
        }
    }
}
