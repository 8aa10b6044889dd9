//! Turns an accepted stream into a transport. The header of the PROXY protocol and, with the feature `tls`, a rustls
//! handshake may come first, in the connection's own task.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Context;

#[cfg(feature = "tls")]
use futures_rustls::{TlsAcceptor, rustls::ServerConnection};
#[cfg(feature = "tls")]
use wsgi_app::Tls;
use wsgi_app::adapter::{ProxyPrelude, Transport};

use crate::socket::{Duplex, Socket};

#[cfg(feature = "tls")]
pub(crate) type Config = std::sync::Arc<futures_rustls::rustls::ServerConfig>;

/// Without the feature `tls` there is no configuration.
#[cfg(not(feature = "tls"))]
pub(crate) type Config = std::convert::Infallible;

#[cfg(feature = "tls")]
pub(crate) fn alpn_protocols(config: &Config) -> &[Vec<u8>] {
    &config.alpn_protocols
}

#[cfg(not(feature = "tls"))]
pub(crate) fn alpn_protocols(config: &Config) -> &[Vec<u8>] {
    match *config {}
}

pub(crate) async fn open<S: Duplex>(
    mut stream: S,
    prelude: Option<ProxyPrelude>,
    config: Option<Config>,
) -> io::Result<Box<dyn Transport>> {
    if let Some(mut prelude) = prelude {
        let mut receive = |context: &mut Context<'_>| {
            prelude.poll_receive(|space| Pin::new(&mut stream).poll_read(context, space))
        };
        poll_fn(|context| receive(context)).await?;
    }
    match config {
        None => Ok(Box::new(Socket::new(stream))),
        #[cfg(feature = "tls")]
        Some(config) => Ok(Box::new(Socket::new(TlsAcceptor::from(config).accept(stream).await?))),
    }
}

#[cfg(feature = "tls")]
impl<S: Duplex> Duplex for futures_rustls::server::TlsStream<S> {
    fn reset(&mut self) {
        self.get_mut().0.reset();
    }

    fn tls(&self) -> Option<Tls> {
        Some(negotiated(self.get_ref().1))
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> std::task::Poll<io::Result<()>> {
        let (stream, session) = self.get_mut();
        // rustls may already hold plaintext, which the stream would not report.
        match io::BufRead::fill_buf(&mut session.reader()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.poll_readable(context),
            // Data, the end, or an error that the next read returns again.
            _ => std::task::Poll::Ready(Ok(())),
        }
    }
}

/// What the handshake of `session` has negotiated.
#[cfg(feature = "tls")]
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
