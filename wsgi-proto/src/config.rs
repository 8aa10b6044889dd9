//! What a server decides once for all its connections.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::Version;

/// Settings that a connection's protocol depends on. [`Default`] is eventlet's manual where that speaks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether, and for how long, a connection waits for its next request.
    pub keepalive: KeepAlive,
    /// The version that answers carry. With HTTP/1.0 there is no chunked coding, no interim response, no reuse.
    pub max_http_version: Version,
    /// Blocks are joined until they have this many bytes; 0 sends each block as it comes.
    pub minimum_chunk_size: usize,
    /// Whether names of response fields are written `Like-This`.
    pub capitalize_response_headers: bool,
    /// Bounds every single wait for the peer, reading or writing. `None`: no bound.
    pub socket_timeout: Option<Duration>,
    /// Time for a whole head, from its first byte. `None`: no bound.
    pub header_timeout: Option<Duration>,
    /// Time that unread input is read and dropped, after a response and after our half was closed.
    pub linger_timeout: Duration,
    /// Whether `%(client_ip)s` begins with what `X-Forwarded-For` says.
    pub log_x_forwarded_for: bool,
    /// Variables that every request starts from. What the request itself says wins.
    pub environ: Vec<(String, String)>,
    /// The largest sizes that are served.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keepalive: KeepAlive::On,
            max_http_version: Version::Http11,
            minimum_chunk_size: 0,
            capitalize_response_headers: true,
            socket_timeout: None,
            header_timeout: Some(Duration::from_secs(30)),
            linger_timeout: Duration::from_secs(2),
            log_x_forwarded_for: true,
            environ: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// How long a connection may wait between two requests.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        match self.keepalive {
            KeepAlive::For(time) if !time.is_zero() => Some(time),
            _ => self.socket_timeout,
        }
    }

    /// Whether connections are used for more than one request.
    pub(crate) fn reuses_connections(&self) -> bool {
        let off = matches!(self.keepalive, KeepAlive::Off | KeepAlive::For(Duration::ZERO));
        !off && self.max_http_version == Version::Http11
    }
}

/// Whether a connection is reused (`keepalive`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// One request a connection.
    Off,
    /// As many requests as the peer likes.
    On,
    /// As `On`, but an idle connection is closed after this time; zero is `Off`, as in eventlet. Announced by `Keep-Alive: timeout=` in whole
    /// seconds to a peer that asks for `keep-alive`.
    For(Duration),
}

impl From<bool> for KeepAlive {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

impl From<Duration> for KeepAlive {
    /// Zero is `Off`, as in eventlet.
    fn from(time: Duration) -> Self {
        if time.is_zero() { Self::Off } else { Self::For(time) }
    }
}

/// The largest sizes that are served; one more is refused. Bytes, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request target (`url_length_limit`), else 414.
    pub target: usize,
    /// Method, else 501, even if no target follows.
    pub method: usize,
    /// One field line with its CRLF, else 431; in trailers 400.
    pub field_line: usize,
    /// All field lines and the empty line after them, else 431; in trailers 400.
    pub fields_size: usize,
    /// Number of fields, else 431; in trailers 400.
    pub fields: usize,
    /// One chunk-size line with extensions and CRLF, else 400.
    pub chunk_line: usize,
    /// All chunk extensions of one body, else 400.
    pub chunk_extensions: usize,
    /// Request body after de-chunking (`max_body_size`), else 413. `None`: no bound.
    pub body: Option<u64>,
    /// How much of a body that the application left unread is read and dropped to keep the connection.
    pub drain: u64,
    /// How much is read and dropped after our half was closed.
    pub linger: u64,
    /// From how many waiting bytes on the outbox is full; at least 1.
    pub outbox: usize,
    /// How large the receive buffer may grow for a body. A head or trailer section may need more, within its own
    /// limits.
    pub inbox: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            target: 8192,
            method: 32,
            field_line: 8192,
            fields_size: 65536,
            fields: 100,
            chunk_line: 4096,
            chunk_extensions: 65536,
            body: None,
            drain: 256 * 1024,
            linger: 2 * 1024 * 1024,
            outbox: 64 * 1024,
            inbox: 64 * 1024,
        }
    }
}
