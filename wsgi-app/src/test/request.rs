//! The request of a call.

use bytes::Bytes;
use futures_core::Stream;
use wsgi_proto::{Address, Endpoints, FieldBytes, Scheme};

use crate::head::headers::Headers;
use crate::io::tls::Tls;
use crate::server::options::Options;
use crate::test::parts::Parts;

/// A request for [`call`](super::call).
///
/// ```
/// use wsgi_app::Options;
/// use wsgi_app::test::Request;
///
/// let request = Request::new("PUT", "/a?b=c")
///     .header("Content-Type", "text/plain")
///     .body("Hello")
///     .options(Options::default().debug(false));
/// # let _ = request;
/// ```
///
/// It has a `Host` field, and a `Content-Length` if it has a body; fields that are set replace them.
#[derive(Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Headers,
    body: Option<Bytes>,
    parts: Option<Parts>,
    options: Options,
    endpoints: Endpoints,
    tls: Option<Tls>,
}

impl Request {
    /// A request without a body. `target` is a path with a query, percent-encoded, such as `/a?b=c`.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Self {
        let options = Options::default().log_output(false);
        let endpoints = Endpoints::new(Address::Local, Address::Local);
        let headers = [("Host", "localhost")].into_iter().collect();
        Self {
            method: method.into(),
            target: target.into(),
            headers,
            body: None,
            parts: None,
            options,
            endpoints,
            tls: None,
        }
    }

    /// A GET.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// A POST with a body.
    pub fn post(target: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Sets a header field. It replaces those with the same name.
    #[must_use]
    pub fn header(mut self, name: impl FieldBytes, value: impl FieldBytes) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a header field after those that are there, even if one has the same name.
    #[must_use]
    pub fn append(mut self, name: impl FieldBytes, value: impl FieldBytes) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets the body. With a field `Transfer-Encoding: chunked` it is sent as one chunk, otherwise with its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        (self.body, self.parts) = (Some(body.into()), None);
        self
    }

    /// Sets a body that arrives part by part, whenever `parts` is ready: for slow clients, also while the time of a runtime is
    /// paused.
    ///
    /// It is chunked, with one chunk for each part, unless a `Content-Length` is set. A [blocking](super::call_blocking)
    /// application polls it again and again while it waits.
    ///
    /// ```
    /// use std::pin::Pin;
    /// use std::task::{Context, Poll};
    /// use futures_core::Stream;
    /// use wsgi_app::Bytes;
    /// use wsgi_app::test::Request;
    ///
    /// // Crates such as `futures` and `async-stream` make streams without this.
    /// struct Parts(Vec<&'static str>);
    ///
    /// impl Stream for Parts {
    ///     type Item = Bytes;
    ///
    ///     fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Bytes>> {
    ///         Poll::Ready(self.0.pop().map(Bytes::from))
    ///     }
    /// }
    ///
    /// let request = Request::new("POST", "/").stream(Parts(vec!["world", "Hello, "]));
    /// # let _ = request;
    /// ```
    #[must_use]
    pub fn stream(mut self, parts: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        (self.body, self.parts) = (None, Some(Parts::new(parts)));
        self
    }

    /// The options of the server. By default they are [`Options::default`], without a log.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The addresses and the scheme of the connection. By default it is local: `REMOTE_ADDR` is `unix`.
    #[must_use]
    pub fn endpoints(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Makes the connection an encrypted one, which has negotiated `tls`. Its scheme is `https`.
    ///
    /// ```
    /// use wsgi_app::Tls;
    /// use wsgi_app::test::Request;
    ///
    /// let certificate: &[u8] = b"in DER";
    /// let tls = Tls::new("TLSv1.3").with_peer_certificates([certificate]);
    /// let request = Request::get("/").tls(tls);
    /// # let _ = request;
    /// ```
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// What the client sends after the first bytes, whose head announces it.
    pub(super) fn parts(&mut self) -> Option<Parts> {
        let mut parts = self.parts.take()?;
        match self.headers.get("Content-Length") {
            Some(length) => parts.announced(length.parse().unwrap_or(0)),
            None => self.headers.insert("Transfer-Encoding", "chunked"),
        }
        Some(parts)
    }

    /// Whether the body has the length that the header fields announce.
    pub(super) fn is_whole(&self) -> bool {
        let announced = self.headers.get("Content-Length").map(|length| length.parse().ok());
        let length = self.body.as_ref().map_or(0, Bytes::len);
        self.headers.contains("Transfer-Encoding")
            || announced.is_none_or(|announced| announced == Some(length))
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(super) fn into_server(self) -> (Options, Endpoints, Option<Tls>) {
        let scheme = if self.tls.is_some() { Scheme::Https } else { self.endpoints.scheme };
        (self.options, Endpoints { scheme, ..self.endpoints }, self.tls)
    }

    /// The bytes that a client sends.
    pub(super) fn to_bytes(&self, has_parts: bool) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut field = |name: &[u8], value: &[u8]| bytes.extend([name, b": ", value, b"\r\n"].concat());
        self.headers.iter().for_each(|(name, value)| field(name, value));
        let chunked = self.headers.contains("Transfer-Encoding");
        let body = self.body.clone().unwrap_or_default();
        if self.body.is_some() && !chunked && !self.headers.contains("Content-Length") {
            field(b"Content-Length", body.len().to_string().as_bytes());
        }
        bytes.extend(b"\r\n");
        match chunked {
            _ if has_parts => {}
            true if body.is_empty() => bytes.extend(b"0\r\n\r\n"),
            true => {
                bytes.extend([format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat())
            }
            false => bytes.extend(body),
        }
        bytes
    }
}
