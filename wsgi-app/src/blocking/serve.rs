//! Serves one connection of a blocking application.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::blocking::application::{Application, Blocking};
use crate::connection::serve_connection;
use crate::io::blocking::{Line, Wire};
use crate::registry::Permit;
use crate::server::Server;

/// How the connections of a listener are encrypted. Without the feature `tls` they are not.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    #[cfg(feature = "tls")]
    config: Option<Arc<rustls::ServerConfig>>,
}

impl Tls {
    /// Encrypted by rustls.
    #[cfg(feature = "tls")]
    pub fn new(config: Arc<rustls::ServerConfig>) -> Self {
        Self { config: Some(config) }
    }

    /// Whether they are encrypted.
    pub fn is_on(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.config.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}

/// Serves one connection of a blocking application until it ends, as [`serve_connection`] does for others, after the
/// handshake if there is `tls`. It wakes nobody: whoever polls it has to learn from elsewhere when the wire is ready
/// again, or when a deadline comes.
pub fn serve<A: Application>(
    server: Arc<Server<Blocking<A>>>,
    permit: Permit,
    wire: impl Wire,
    tls: Tls,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    #[cfg(feature = "tls")]
    if let Some(config) = tls.config {
        return Box::pin(crate::blocking::tls::serve(server, permit, wire, config));
    }
    let Tls { .. } = tls;
    let wire = Arc::new(wire);
    let weak = Arc::downgrade(&wire);
    permit.wire(weak);
    Box::pin(serve_connection(server, permit, Line(wire)))
}
