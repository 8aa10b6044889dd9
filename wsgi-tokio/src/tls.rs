//! Spawns the task of a connection. The header of the PROXY protocol and the handshake of TLS, with the feature `tls`, come
//! first in that task.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::runtime::Handle;
use wsgi_app::adapter::{ProxyPrelude, ProxyProtocol, Server, serve_after_handshake, serve_connection};
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
        proxy: &ProxyProtocol,
        stream: impl Stream,
    ) {
        let server = Arc::clone(server);
        #[cfg(feature = "tls")]
        if let Some(config) = self.config {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            let guard = server.admit(Endpoints { scheme: wsgi_app::Scheme::Https, ..endpoints });
            let prelude = proxy.prelude(&guard);
            let handshake = async move {
                let stream = after(prelude, stream).await?;
                Ok(Socket::new(acceptor.accept(stream).await?))
            };
            spawn(pool, serve_after_handshake(server, guard, handshake, tokio::time::sleep));
            return;
        }
        let guard = server.admit(endpoints);
        let prelude = proxy.prelude(&guard);
        if prelude.is_some() {
            let handshake = async move { Ok(Socket::new(after(prelude, stream).await?)) };
            spawn(pool, serve_after_handshake(server, guard, handshake, tokio::time::sleep));
            return;
        }
        spawn(pool, serve_connection(server, guard, Socket::new(stream)));
    }
}

/// Receives the header of the PROXY protocol, if there is one.
async fn after<S: Stream>(prelude: Option<ProxyPrelude>, mut stream: S) -> io::Result<S> {
    if let Some(mut prelude) = prelude {
        let mut receive = |context: &mut Context<'_>| {
            prelude.poll_receive(|space| {
                let mut buffer = ReadBuf::new(space);
                ready!(Pin::new(&mut stream).poll_read(context, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            })
        };
        poll_fn(|context| receive(context)).await?;
    }
    Ok(stream)
}

fn spawn(pool: Option<&Handle>, connection: impl Future<Output = ()> + Send + 'static) {
    match pool {
        Some(pool) => drop(pool.spawn(connection)),
        None => drop(tokio::spawn(connection)),
    }
}

#[cfg(feature = "tls")]
mod rustls {
    use std::io::{self, BufRead, IoSlice, Read, Write};
    use std::task::{Context, Poll};

    use tokio_rustls::rustls::ServerConnection;
    use tokio_rustls::server::TlsStream;
    use wsgi_app::Tls;

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

        fn tls(&self) -> Option<Tls> {
            Some(negotiated(self.get_ref().1))
        }

        fn read_now(&mut self, space: &mut [u8]) -> io::Result<usize> {
            let (stream, session) = self.get_mut();
            while session.wants_read() && session.read_tls(&mut Now(stream))? > 0 {
                session.process_new_packets().map_err(io::Error::other)?;
            }
            session.reader().read(space)
        }

        fn flush_now(&mut self) -> io::Result<()> {
            let (stream, session) = self.get_mut();
            while session.wants_write() {
                if session.write_tls(&mut Now(stream))? == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
            Ok(())
        }
    }

    /// What the handshake of `session` has negotiated.
    fn negotiated(session: &ServerConnection) -> Tls {
        let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or_default();
        let mut tls = Tls::new(version.replace('_', "."));
        if let Some(suite) = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()) {
            // rustls has its own names for those of TLS 1.3.
            tls = tls.with_cipher_suite(suite.replacen("TLS13_", "TLS_", 1));
        }
        if let Some(name) = session.server_name() {
            tls = tls.with_server_name(name);
        }
        if let Some(protocol) = session.alpn_protocol() {
            tls = tls.with_alpn_protocol(protocol);
        }
        if let Some(chain) = session.peer_certificates() {
            tls = tls.with_peer_certificates(chain.iter().map(|certificate| certificate.to_vec()));
        }
        tls
    }

    struct Now<'s, S>(&'s mut S);

    impl<S: Stream> Read for Now<'_, S> {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            self.0.read_now(space)
        }
    }

    impl<S: Stream> Write for Now<'_, S> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write_now(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.0.write_now(slices)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
