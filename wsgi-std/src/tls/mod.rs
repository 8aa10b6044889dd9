//! The TLS of a listener, with the feature `tls`.

#[cfg(feature = "tls")]
mod encrypted;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wsgi_app::adapter::{Blocking, BlockingTransport, serve_blocking, serve_blocking_after_handshake};
use wsgi_app::adapter::{ConnectionGuard, ProxyPrelude, Server};
use wsgi_app::blocking::Application;

#[cfg(feature = "tls")]
use crate::tls::encrypted::serve_encrypted;

/// TLS over the transports of a listener. Without the feature `tls`, TLS is always off.
#[derive(Clone, Debug, Default)]
pub struct TlsTransport {
    #[cfg(feature = "tls")]
    config: Option<Arc<rustls::ServerConfig>>,
}

impl TlsTransport {
    /// TLS by rustls, with this configuration.
    #[cfg(feature = "tls")]
    pub fn new(config: Arc<rustls::ServerConfig>) -> Self {
        Self { config: Some(config) }
    }

    /// Whether connections are encrypted.
    pub fn is_on(&self) -> bool {
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

    /// Serves one connection until it ends, after the handshake if there is one.
    pub fn serve<A: Application>(
        self,
        server: Arc<Server<Blocking<A>>>,
        guard: ConnectionGuard,
        transport: impl BlockingTransport,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.serve_after(None, server, guard, transport)
    }

    /// Like [`serve`](Self::serve), after the header of the PROXY protocol if there is one.
    pub(crate) fn serve_after<A: Application>(
        self,
        prelude: Option<ProxyPrelude>,
        server: Arc<Server<Blocking<A>>>,
        guard: ConnectionGuard,
        transport: impl BlockingTransport,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        #[cfg(feature = "tls")]
        if let Some(config) = self.config {
            return Box::pin(serve_encrypted(prelude, server, guard, transport, config));
        }
        match prelude {
            None => Box::pin(serve_blocking(server, guard, transport)),
            Some(mut prelude) => {
                Box::pin(serve_blocking_after_handshake(server, guard, Ok(transport), move |transport| {
                    prelude.receive(|space| BlockingTransport::read(transport, space))
                }))
            }
        }
    }
}
