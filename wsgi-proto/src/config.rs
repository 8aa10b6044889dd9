//! The settings that apply to all connections of a server.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::time::Duration;

use crate::version::Version;

/// The protocol settings of connections. [`Default`] follows eventlet's manual where eventlet has the setting.
///
/// Each field has a method of the same name that sets it:
///
/// ```
/// use std::time::Duration;
/// use wsgi_proto::{Config, Limits};
///
/// let limits = Limits::new().body(Some(1024 * 1024)).fields(50);
/// let config =
///     Config::default().limits(limits).socket_timeout(Some(Duration::from_secs(60)));
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Whether, and for how long, a connection waits for its next request.
    pub keepalive: KeepAlive,
    /// The version of responses. With HTTP/1.0 there is no chunked coding, no interim response and no connection reuse.
    pub max_http_version: Version,
    /// The size up to which blocks are joined, in bytes; at most [`Limits::outbox`]. 0 sends each block immediately.
    pub minimum_chunk_size: usize,
    /// Whether names of response fields are written `Like-This`, including in interim responses and trailers. Names
    /// that are registered with another spelling get that one: `ETag`, `WWW-Authenticate`, `Sec-WebSocket-Accept`.
    pub capitalize_response_headers: bool,
    /// Whether a request of HTTP/1.1 without `Host` is refused with 400, as RFC 9112, 3.2 requires. If not, it is served
    /// like one of HTTP/1.0. A repeated or malformed `Host` is always refused.
    pub require_host: bool,
    /// The maximum time of every single wait for the peer, reading or writing. `None`: no limit.
    pub socket_timeout: Option<Duration>,
    /// The maximum time for a whole head, from its first byte. `None`: no limit.
    pub header_timeout: Option<Duration>,
    /// The minimum rate at which the peer sends a request body, in bytes per second of waiting for it, over
    /// [`rate_grace`](Self#structfield.rate_grace). A slower one is an error like a body that stops
    /// ([`socket_timeout`](Self#structfield.socket_timeout)). `None`: no minimum.
    pub min_request_rate: Option<u64>,
    /// The minimum rate at which the peer reads responses, in bytes per second of waiting for it, over
    /// [`rate_grace`](Self#structfield.rate_grace). The connection of a slower one is lost. `None`: no minimum.
    pub min_response_rate: Option<u64>,
    /// The time over which the minimum rates are measured. A peer has to move `rate` × `rate_grace` bytes in any time
    /// 1.25 times as long, so bursts may be a little late: one at the rate is never too slow, one below 0.8 of the rate
    /// always is, after 1.25 to 1.5 times `rate_grace`.
    ///
    /// Only time in which the machine waits for the peer counts: for body bytes that the application or the drain wants
    /// while nothing is left to send, or for room to send a response. The application's own time, the wait of a client
    /// for a 100, pauses between blocks of a response, and a stream that was taken over do not count.
    pub rate_grace: Duration,
    /// How long unread input is read and dropped so that it does not destroy a response: the whole time for the rest of
    /// a request body after its response, and the longest silence of the peer after our half was closed.
    pub linger_timeout: Duration,
    /// How long after its last response an idle connection waits for one more request when the server stops. Zero: not
    /// at all.
    pub last_request_timeout: Duration,
    /// The maximum time in all for which input is read and dropped after our half was closed, while the peer continues
    /// to send.
    pub linger_limit: Duration,
    /// Whether `%(client_ip)s` begins with the value of `X-Forwarded-For`.
    pub log_x_forwarded_for: bool,
    /// Whether records have the head of the response, see [`Record::response_head`](crate::Record::response_head). It
    /// costs one allocation per request.
    pub record_response_head: bool,
    /// Variables for every request. Values of the request itself take precedence.
    pub environ: Vec<(String, String)>,
    /// The largest sizes that are accepted.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keepalive: KeepAlive::On,
            max_http_version: Version::Http11,
            minimum_chunk_size: 0,
            capitalize_response_headers: true,
            require_host: true,
            socket_timeout: None,
            header_timeout: Some(Duration::from_secs(30)),
            min_request_rate: None,
            min_response_rate: None,
            rate_grace: Duration::from_secs(10),
            linger_timeout: Duration::from_secs(2),
            last_request_timeout: Duration::from_secs(1),
            linger_limit: Duration::from_secs(30),
            log_x_forwarded_for: true,
            record_response_head: false,
            environ: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Defines a method for each setting, with the name of its field.
macro_rules! setters {
    ($($field:ident: $type:ty,)*) => {$(
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        #[must_use]
        pub const fn $field(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    )*};
}

impl Config {
    setters! {
        keepalive: KeepAlive,
        max_http_version: Version,
        minimum_chunk_size: usize,
        capitalize_response_headers: bool,
        require_host: bool,
        socket_timeout: Option<Duration>,
        header_timeout: Option<Duration>,
        min_request_rate: Option<u64>,
        min_response_rate: Option<u64>,
        rate_grace: Duration,
        linger_timeout: Duration,
        last_request_timeout: Duration,
        linger_limit: Duration,
        log_x_forwarded_for: bool,
        record_response_head: bool,
        limits: Limits,
    }

    /// Adds a variable to [`environ`](Self#structfield.environ).
    #[must_use]
    pub fn environ(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environ.push((name.into(), value.into()));
        self
    }

    /// Checks that every setting has a valid value. [`Connection`](crate::Connection) does not check this, so call it
    /// once when you build the server.
    ///
    /// # Errors
    ///
    /// The first setting with a value that is not allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.limits.check()?;
        for (setting, time) in [
            ("socket_timeout", self.socket_timeout),
            ("header_timeout", self.header_timeout),
            ("rate_grace", Some(self.rate_grace)),
        ] {
            if time == Some(Duration::ZERO) {
                return Err(ConfigError {
                    setting,
                    value: String::from("0 s"),
                    allowed: "more than zero".into(),
                });
            }
        }
        for (setting, rate) in
            [("min_request_rate", self.min_request_rate), ("min_response_rate", self.min_response_rate)]
        {
            if rate == Some(0) {
                let (value, allowed) = (String::from("0"), "1 or more".into());
                return Err(ConfigError { setting, value, allowed });
            }
        }
        if self.environ.iter().any(|(name, _)| name.is_empty()) {
            let (value, allowed) = (String::from("\"\""), "names that are not empty".into());
            return Err(ConfigError { setting: "environ", value, allowed });
        }
        Ok(())
    }

    /// Whether there is a minimum rate.
    #[inline]
    pub(crate) const fn has_rates(&self) -> bool {
        self.min_request_rate.is_some() || self.min_response_rate.is_some()
    }

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
    /// One request per connection.
    Off,
    /// Any number of requests per connection.
    On,
    /// Like `On`, but an idle connection is closed after this time. Zero is `Off`, as in eventlet. The time is
    /// announced by `Keep-Alive: timeout=` in whole seconds to a peer that requests `keep-alive`.
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

impl From<Option<Duration>> for KeepAlive {
    /// `None` is `On`: connections may be idle without a limit, as for other limits.
    fn from(time: Option<Duration>) -> Self {
        time.map_or(Self::On, Self::from)
    }
}

/// The largest sizes that are accepted. Larger ones are refused. In bytes, unless stated otherwise.
///
/// Each field has a method of the same name that sets it; see [`Config`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Request target (`url_length_limit`), otherwise 414.
    pub target: usize,
    /// Method, otherwise 501, even if no target follows.
    pub method: usize,
    /// One field line with its CRLF, otherwise 431; in trailers 400.
    pub field_line: usize,
    /// All field lines and the empty line after them, otherwise 431; in trailers 400.
    pub fields_size: usize,
    /// Number of fields, otherwise 431; in trailers 400.
    pub fields: usize,
    /// One chunk-size line with extensions and CRLF, otherwise 400.
    pub chunk_line: usize,
    /// All chunk extensions of one body, otherwise 400.
    pub chunk_extensions: usize,
    /// Request body after de-chunking (`max_body_size`), otherwise 413. `None`: no limit.
    pub body: Option<u64>,
    /// The amount of unread body that is read and dropped to keep the connection open.
    pub drain: u64,
    /// The number of unsent bytes at which the outbox is full; at least 1.
    pub outbox: usize,
    /// The maximum size of the receive buffer for a body. A head or trailer section may need more, within its own
    /// limits.
    pub inbox: usize,
}

impl Limits {
    /// The maximum for the limits of a head, because positions in a head are 32-bit numbers.
    const LARGEST: usize = 16 * 1024 * 1024;

    /// The default limits.
    pub const fn new() -> Self {
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
            outbox: 64 * 1024,
            inbox: 64 * 1024,
        }
    }

    setters! {
        target: usize,
        method: usize,
        field_line: usize,
        fields_size: usize,
        fields: usize,
        chunk_line: usize,
        chunk_extensions: usize,
        body: Option<u64>,
        drain: u64,
        outbox: usize,
        inbox: usize,
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (setting, value, least, most) in [
            ("limits.target", self.target, 1, Self::LARGEST),
            ("limits.method", self.method, 1, Self::LARGEST),
            ("limits.field_line", self.field_line, 16, Self::LARGEST),
            ("limits.fields_size", self.fields_size, 16, Self::LARGEST),
            ("limits.fields", self.fields, 1, Self::LARGEST),
            ("limits.chunk_line", self.chunk_line, 3, Self::LARGEST),
            ("limits.outbox", self.outbox, 1, usize::MAX),
            ("limits.inbox", self.inbox, 1024, usize::MAX),
        ] {
            if !(least..=most).contains(&value) {
                let allowed = match most {
                    usize::MAX => format!("{least} or more"),
                    _ => format!("{least} to {most}"),
                };
                return Err(ConfigError { setting, value: value.to_string(), allowed });
            }
        }
        Ok(())
    }
}

/// The error for a setting with a value that is not allowed.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    setting: &'static str,
    value: String,
    allowed: String,
}

impl ConfigError {
    /// The name of the setting: a field of [`Config`], or `limits.` and a field of [`Limits`].
    pub fn setting(&self) -> &'static str {
        self.setting
    }

    /// The value of the setting.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The values that are allowed for the setting.
    pub fn allowed(&self) -> &str {
        &self.allowed
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be {} (allowed: {})", self.setting, self.value, self.allowed)
    }
}

/// The message, so that it is what a `main` that returns a `Result` prints.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for ConfigError {}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_is_on_off_or_a_time() {
        let time = Duration::from_secs(5);
        assert_eq!((KeepAlive::from(true), KeepAlive::from(false)), (KeepAlive::On, KeepAlive::Off));
        assert_eq!(
            (KeepAlive::from(time), KeepAlive::from(Duration::ZERO)),
            (KeepAlive::For(time), KeepAlive::Off)
        );
        assert_eq!(
            (KeepAlive::from(Some(time)), KeepAlive::from(None)),
            (KeepAlive::For(time), KeepAlive::On)
        );
    }

    #[test]
    fn a_setting_that_is_not_allowed_is_named_with_its_value() {
        let limits = Limits::default();
        for (config, message) in [
            (
                Config { limits: Limits { inbox: 0, ..limits }, ..Config::default() },
                "limits.inbox cannot be 0 (allowed: 1024 or more)",
            ),
            (
                Config { limits: Limits { target: usize::MAX, ..limits }, ..Config::default() },
                "limits.target cannot be 18446744073709551615 (allowed: 1 to 16777216)",
            ),
            (
                Config { header_timeout: Some(Duration::ZERO), ..Config::default() },
                "header_timeout cannot be 0 s (allowed: more than zero)",
            ),
            (
                Config { min_request_rate: Some(0), ..Config::default() },
                "min_request_rate cannot be 0 (allowed: 1 or more)",
            ),
            (
                Config { rate_grace: Duration::ZERO, ..Config::default() },
                "rate_grace cannot be 0 s (allowed: more than zero)",
            ),
            (
                Config { environ: alloc::vec![(String::new(), "x".into())], ..Config::default() },
                "environ cannot be \"\" (allowed: names that are not empty)",
            ),
        ] {
            assert_eq!(config.check().unwrap_err().to_string(), message);
        }
        assert_eq!(Config::default().check(), Ok(()));
    }
}
