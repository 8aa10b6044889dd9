//! What an encrypted connection has negotiated, as plain data: an adapter reports it, and this crate knows no TLS library.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// What the TLS handshake of a connection has negotiated, returned by [`Environ::tls`](crate::Environ::tls).
///
/// ```
/// use wsgi_app::{Environ, IntoResponse, Response};
///
/// async fn who(environ: Environ) -> Response {
///     let Some(tls) = environ.tls() else { return (403, "use https").into_response() };
///     // The server's configuration has verified it. Its names are read by a crate such as `x509-parser`.
///     match tls.peer_certificates().first() {
///         Some(certificate) => format!("a certificate of {} bytes\n", certificate.len()).into_response(),
///         None => (403, "a client certificate is required").into_response(),
///     }
/// }
/// # wsgi_app::site(who);
/// ```
///
/// All requests of a connection share it, and clones are cheap. The requests of the feature `tower` have it among
/// their extensions.
///
/// An adapter makes it after the handshake, and [`test::Request::tls`](crate::test::Request::tls) takes one, so that
/// an application can be tested:
///
/// ```
/// use wsgi_app::Tls;
///
/// let tls = Tls::new("TLSv1.3").with_server_name("example.com").with_alpn_protocol("http/1.1");
/// assert_eq!(tls.version(), "TLSv1.3");
/// assert_eq!(tls.server_name(), Some("example.com"));
/// assert_eq!(tls.alpn_protocol(), Some(&b"http/1.1"[..]));
/// assert!(tls.peer_certificates().is_empty());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Tls(Arc<Facts>);

#[derive(Clone, PartialEq, Eq)]
struct Facts {
    version: Cow<'static, str>,
    cipher_suite: Option<Cow<'static, str>>,
    server_name: Option<Box<str>>,
    alpn_protocol: Option<Box<[u8]>>,
    peer_certificates: Box<[Bytes]>,
}

impl Tls {
    /// A connection of this version, such as `TLSv1.3`, about which nothing else is known.
    pub fn new(version: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Facts {
            version: version.into(),
            cipher_suite: None,
            server_name: None,
            alpn_protocol: None,
            peer_certificates: Box::default(),
        }))
    }

    /// Sets the [cipher suite](Self::cipher_suite).
    #[must_use]
    pub fn with_cipher_suite(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.facts().cipher_suite = Some(name.into());
        self
    }

    /// Sets the [server name](Self::server_name).
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.facts().server_name = Some(name.into());
        self
    }

    /// Sets the [ALPN protocol](Self::alpn_protocol).
    #[must_use]
    pub fn with_alpn_protocol(mut self, name: impl AsRef<[u8]>) -> Self {
        self.facts().alpn_protocol = Some(name.as_ref().into());
        self
    }

    /// Sets the [client's certificates](Self::peer_certificates), its own first.
    #[must_use]
    pub fn with_peer_certificates(mut self, chain: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        self.facts().peer_certificates = chain.into_iter().map(Into::into).collect();
        self
    }

    fn facts(&mut self) -> &mut Facts {
        Arc::make_mut(&mut self.0)
    }

    /// The version of the protocol: `TLSv1.2` or `TLSv1.3`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The name of the cipher suite in the registry of IANA, such as `TLS_AES_128_GCM_SHA256`; `None` if it is unknown.
    pub fn cipher_suite(&self) -> Option<&str> {
        self.0.cipher_suite.as_deref()
    }

    /// The name of the server that the client sent (SNI); `None` if it sent none, as for an IP address.
    ///
    /// A client may send any name here, and another one in `Host`. Whether the two belong together is for the application
    /// to decide.
    pub fn server_name(&self) -> Option<&str> {
        self.0.server_name.as_deref()
    }

    /// The protocol that was negotiated by ALPN, such as `http/1.1`; `None` without a negotiation.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.0.alpn_protocol.as_deref()
    }

    /// The certificates of the client, each in DER, in the order in which it sent them: its own is the first one.
    ///
    /// Empty unless the server's TLS configuration requests certificates and the client sent some. The configuration
    /// decides which ones are accepted: a connection with others ends before its first request.
    pub fn peer_certificates(&self) -> &[Bytes] {
        &self.0.peer_certificates
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("version", &self.version())
            .field("cipher_suite", &self.cipher_suite())
            .field("server_name", &self.server_name())
            .field(
                "alpn_protocol",
                &self.alpn_protocol().map(<[u8]>::escape_ascii).map(|name| name.to_string()),
            )
            .field("peer_certificates", &self.peer_certificates().len())
            .finish()
    }
}
