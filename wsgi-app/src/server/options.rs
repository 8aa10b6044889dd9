//! The options of eventlet's manual, plus further limits and deadlines, with the same names in every adapter.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use wsgi_proto::{Config, ConfigError, KeepAlive, Limits, LogFormat, Version};

use crate::context::log::{Log, LogEntry, ServerLog, Sink};
use crate::context::log_writer::LogWriter;

/// The options of a server. Each adapter's `Server` accepts them with `options`, and has shortcuts for the common ones.
///
/// ```
/// use std::time::Duration;
/// use wsgi_app::Options;
///
/// let options = Options::default()
///     .debug(false)
///     .socket_timeout(Duration::from_secs(30))
///     .limits(|limits| limits.fields = 50);
/// # let _ = options;
/// ```
///
/// [`Options::public`] has the values for open networks. The values are checked when the server is built. An
/// [`OptionError`] names the option, its value and the allowed values.
pub struct Options {
    pub(crate) config: Config,
    pub(crate) max_size: usize,
    pub(crate) make_room: bool,
    pub(crate) max_connection_age: Option<Duration>,
    pub(crate) max_requests: Option<u64>,
    log: Destination,
    accesses: bool,
    access_log: Option<Box<dyn Write + Send>>,
    pub(crate) log_output: bool,
    pub(crate) log_format: Option<String>,
    pub(crate) debug: bool,
    pub(crate) handshake_timeout: Duration,
    pub(crate) graceful_timeout: Duration,
    pub(crate) drain_backlog: bool,
    pub(crate) receive_before_call: usize,
}

/// The destination of the log. The log is built with the server, since it has a thread.
enum Destination {
    StandardError,
    Writer(Box<dyn Write + Send>),
    Log(Arc<dyn Log>),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: Config::default(),
            max_size: 1024,
            make_room: true,
            max_connection_age: None,
            max_requests: None,
            log: Destination::StandardError,
            accesses: true,
            access_log: None,
            log_output: true,
            log_format: None,
            debug: true,
            handshake_timeout: Duration::from_secs(30),
            graceful_timeout: Duration::from_secs(30),
            drain_backlog: true,
            receive_before_call: 0,
        }
    }
}

impl Options {
    /// Options for a server that clients reach from open networks. Each of them can still be changed afterwards.
    ///
    /// | option | value | what it protects from |
    /// | --- | --- | --- |
    /// | [`debug`](Self::debug) | off | error messages of the application that are shown to clients |
    /// | [`log_x_forwarded_for`](Self::log_x_forwarded_for) | off | addresses in the log that a client has made up |
    /// | [`socket_timeout`](Self::socket_timeout) | 30 s | clients that neither send nor read |
    /// | [`keepalive`](Self::keepalive) | 75 s | idle connections |
    /// | [`header_timeout`](Self::header_timeout) | 15 s | heads that arrive byte by byte |
    /// | [`min_request_rate`](Self::min_request_rate) | 240 B/s | bodies that arrive byte by byte |
    /// | [`min_response_rate`](Self::min_response_rate) | 240 B/s | responses that are read byte by byte |
    /// | [`rate_grace`](Self::rate_grace) | 10 s | the same: a slow client is noticed after at most 15 s |
    /// | [`max_body_size`](Self::max_body_size) | 16 MiB | bodies that fill the memory of an application that reads them whole |
    ///
    /// All others have their defaults. Behind a proxy of your own that sets `X-Forwarded-For`, turn
    /// `log_x_forwarded_for` on again.
    ///
    /// ```
    /// use wsgi_app::Options;
    ///
    /// // An application that accepts large uploads and writes them to a disk:
    /// let options = Options::public().max_body_size(4 * 1024 * 1024 * 1024);
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn public() -> Self {
        Self::default()
            .debug(false)
            .log_x_forwarded_for(false)
            .socket_timeout(Duration::from_secs(30))
            .keepalive(Duration::from_secs(75))
            .header_timeout(Duration::from_secs(15))
            .min_request_rate(240)
            .min_response_rate(240)
            .rate_grace(Duration::from_secs(10))
            .max_body_size(16 * 1024 * 1024)
    }

    /// Writes the log to `writer`, one line per entry. Default: standard error.
    ///
    /// A slow or blocked writer never delays a request. Lines go to a queue, and a separate thread writes them, in their
    /// order, in batches, and each within 100 ms. At most 1 MiB waits, and as much is being written. If the queue is
    /// full, because a pipe is not read or a disk hangs, lines are dropped. When the writer continues, one line in
    /// place of the dropped ones reports their number: `N log lines dropped: the log is not being read`. Lines that the
    /// writer refuses with an error are reported in the same way. `writer` is flushed after each batch, and it may block.
    ///
    /// The end of `serve` waits until the last line is written, at most one second if the writer is blocked; so does
    /// dropping a server. A process that ends otherwise, by [`std::process::exit`], a signal or `abort`, loses the lines
    /// of the last 100 ms. Lines that the application itself writes to standard error may appear before earlier
    /// lines of the server.
    ///
    /// Rotate a file by copying and truncating it (`copytruncate` of logrotate; open it with
    /// [`append`](std::fs::OpenOptions::append)), or pass a writer that opens its file again when it was renamed.
    #[must_use]
    pub fn log_to(mut self, writer: impl Write + Send + 'static) -> Self {
        self.log = Destination::Writer(Box::new(writer));
        self
    }

    /// Whether accesses are logged: a line for each request. Default: true.
    ///
    /// If false, the log has the rest, such as errors of the application. Post hooks still get the record of each request.
    #[must_use]
    pub fn access_log(mut self, on: bool) -> Self {
        self.accesses = on;
        self
    }

    /// Writes the access lines to `writer`, and only everything else to the log. Default: access lines are part of the
    /// log. Allowed: any writer.
    ///
    /// `writer` is treated like that of [`log_to`](Self::log_to), with its own queue and thread. Lines that are dropped
    /// are reported in the log, so that this file contains only access lines, in the format of
    /// [`log_format`](Self::log_format).
    ///
    /// ```
    /// use wsgi_app::{LogFormat, Options};
    ///
    /// # fn options() -> std::io::Result<Options> {
    /// let file = std::fs::File::options().append(true).create(true).open("access.log")?;
    /// let options = Options::default().access_log_to(file).log_format(LogFormat::COMBINED);
    /// # Ok(options)
    /// # }
    /// ```
    #[must_use]
    pub fn access_log_to(mut self, writer: impl Write + Send + 'static) -> Self {
        self.access_log = Some(Box::new(writer));
        self
    }

    /// Passes each log entry to `log`, including debug entries and the records of accesses. Default: lines on standard
    /// error.
    ///
    /// `log` is called in place, by the task that makes the entry, so a slow function delays requests; see [`Log`].
    /// Records have the head of the response, see `Record::response_field`.
    #[must_use]
    pub fn log(mut self, log: impl Fn(&LogEntry<'_>) + Send + Sync + 'static) -> Self {
        self.log = Destination::Log(Arc::new(log));
        self
    }

    /// Like [`log`](Self::log), for a type that implements [`Log`].
    #[must_use]
    pub fn logger(mut self, logger: impl Log) -> Self {
        self.log = Destination::Log(Arc::new(logger));
        self
    }

    /// Adds a variable to the environ of every request; may be called again. Values of the request itself take
    /// precedence. Default: none. Allowed: a name that is not empty, and any value.
    #[must_use]
    pub fn environ(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.environ.push((name.into(), value.into()));
        self
    }

    /// The largest number of connections at a time. A lower limit of open descriptors takes precedence, and is logged.
    /// At the limit, one more connection is accepted and waits. Until there is room, responses carry
    /// `Connection: close`, and one connection is closed, unless [`make_room`](Self::make_room) is off:
    ///
    /// 1. one that lingers (see [`linger_timeout`](Self::linger_timeout));
    /// 2. otherwise one that has sent nothing yet;
    /// 3. otherwise the one that has waited longest for its next request;
    /// 4. otherwise the one whose head has been arriving for the longest time (408). While there are connections of the
    ///    other kinds, a head has 2 s.
    ///
    /// No connection is closed before it has waited for half a second. If all are busy with requests, accepting waits.
    /// The same happens when the process runs out of descriptors for another reason, such as files of the application.
    ///
    /// Default: 1024. Allowed: 1 or more.
    #[must_use]
    pub fn max_size(mut self, connections: usize) -> Self {
        self.max_size = connections;
        self
    }

    /// Whether open connections make room for new ones at [`max_size`](Self::max_size), as described there. Default: true.
    ///
    /// If false, no connection is closed for another one, and no response carries `Connection: close` for that reason.
    /// While the server is full, it accepts nothing: new clients wait in the queue of the listener, where another process
    /// that shares the socket can accept them, until a connection ends. The same holds during a stop, and when the process
    /// runs out of descriptors. (A server with several listeners may accept one connection for each of them, which waits.)
    ///
    /// Clients that send nothing can then keep all others out. Set [`keepalive`](Self::keepalive), which also bounds the
    /// wait for the first request, or [`max_connection_age`](Self::max_connection_age).
    #[must_use]
    pub fn make_room(mut self, on: bool) -> Self {
        self.make_room = on;
        self
    }

    /// The age at which a connection ends. Its next response then has `Connection: close`. An idle connection is closed,
    /// but not within a second after a response that did not have it. Each connection has its own age, up to a tenth more
    /// or less, so that connections that began together do not end together. It lets clients behind a balancer find new servers, and bounds what one connection can
    /// accumulate. A response that is being sent, and a stream that was taken over, are not bounded. Default: `None`, no
    /// limit. Allowed: more than zero.
    #[must_use]
    pub fn max_connection_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.max_connection_age = age.into();
        self
    }

    /// The number of requests after which a connection ends: the last response carries `Connection: close`. Each
    /// connection has its own number, up to a tenth more or less. Default: `None`, no limit. Allowed: 1 or more.
    #[must_use]
    pub fn max_requests(mut self, requests: impl Into<Option<u64>>) -> Self {
        self.max_requests = requests.into();
        self
    }

    /// The version of all responses. With HTTP/1.0 nothing is chunked, no 100 is sent, and every connection closes
    /// after one response. Default: HTTP/1.1.
    #[must_use]
    pub fn max_http_version(mut self, version: Version) -> Self {
        self.config.max_http_version = version;
        self
    }

    /// Joins blocks of a response until they have at least this many bytes. An application may set another value for
    /// its request. Default: 0, each block is sent immediately. Allowed: any.
    #[must_use]
    pub fn minimum_chunk_size(mut self, bytes: usize) -> Self {
        self.config.minimum_chunk_size = bytes;
        self
    }

    /// Whether `%(client_ip)s` in the log, and with it each line of the default format, begins with the value of
    /// `X-Forwarded-For`. Default: true, as in the manual.
    ///
    /// Any client can send this field, so without a proxy that sets it, each line begins with up to 1 KiB of text that
    /// the client chose, such as another address than its own. Set it to false, unless every request passes
    /// such a proxy. A program that blocks addresses found in the log must use the last one, that of the peer.
    #[must_use]
    pub fn log_x_forwarded_for(mut self, on: bool) -> Self {
        self.config.log_x_forwarded_for = on;
        self
    }

    /// Whether connections are reused: `true`, `false`, or how long they may be idle; `None` is `true`. A client that requests
    /// keep-alive is sent that time in whole seconds. Default: `true`, without a limit. Allowed: any; zero means `false`.
    ///
    /// A client that connects and sends nothing is idle, too, so this time bounds the wait for the first byte of its first
    /// request. Without a time, [`socket_timeout`](Self::socket_timeout) does. From that byte on
    /// [`header_timeout`](Self::header_timeout) counts, and before it, for a client of TLS,
    /// [`handshake_timeout`](Self::handshake_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// use wsgi_app::Options;
    ///
    /// let five_seconds = Options::public().keepalive(Duration::from_secs(5));
    /// let one_request = Options::public().keepalive(false);
    /// let no_limit = Options::public().keepalive(None);
    /// # let _ = (five_seconds, one_request, no_limit);
    /// ```
    #[must_use]
    pub fn keepalive(mut self, keepalive: impl Into<KeepAlive>) -> Self {
        self.config.keepalive = keepalive.into();
        self
    }

    /// Whether anything is logged, including access lines. Default: true. [`access_log`](Self::access_log) switches off
    /// access lines alone.
    #[must_use]
    pub fn log_output(mut self, on: bool) -> Self {
        self.log_output = on;
        self
    }

    /// The template of access lines; see [`LogFormat`]. Default: eventlet's. Allowed: `%(name)` with the names that
    /// `LogFormat` lists, among them `{Name}i` and `{Name}o` for header fields, and the conversions `s`, `d`, `f`.
    /// [`LogFormat::COMBINED`] is Apache's combined format.
    ///
    /// Times are local. The zone is that of the environment variable `TZ` (a name such as `Europe/Berlin`, a POSIX rule,
    /// or a file), otherwise that of the system. Names need the system's zone database; where it is missing, as in
    /// minimal containers and on Windows, the log is in UTC.
    #[must_use]
    pub fn log_format(mut self, template: impl Into<String>) -> Self {
        self.log_format = Some(template.into());
        self
    }

    /// The largest request target in bytes; a longer one is answered with 414. Default: 8192. Allowed: 1 to
    /// 16777216.
    #[must_use]
    pub fn url_length_limit(mut self, bytes: usize) -> Self {
        self.config.limits.target = bytes;
        self
    }

    /// Shows application errors in 500 responses, and writes debug entries to a log that is written in lines. Default:
    /// true, as in the manual; a warning is logged if the server listens on an address other than loopback.
    #[must_use]
    pub fn debug(mut self, on: bool) -> Self {
        self.debug = on;
        self
    }

    /// Whether requests of HTTP/1.1 without `Host` are refused with 400, as HTTP requires. A repeated or malformed `Host` is
    /// always refused. Default: true; eventlet serves requests without it.
    #[must_use]
    pub fn require_host(mut self, on: bool) -> Self {
        self.config.require_host = on;
        self
    }

    /// Limits every single wait for the client, reading or writing. Default: `None`, no limit. Allowed: more than zero.
    ///
    /// A value below about 10 s also cuts clients that read slowly but steadily: the system reports progress in steps,
    /// because a receiver announces new room only when much of its buffer is free. On Linux over TCP, 2 s are enough for
    /// a client that reads 200 kB/s, and 15 s for one that reads 20 kB/s. On other systems, and on sockets that the server
    /// did not accept itself, the steps are larger: a third of the send buffer, up to some megabytes.
    #[must_use]
    pub fn socket_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config.socket_timeout = timeout.into();
        self
    }

    /// Whether names of response headers are capitalized: `Like-This`, or as they are registered (`ETag`,
    /// `WWW-Authenticate`, `Sec-WebSocket-Accept`). Default: true.
    #[must_use]
    pub fn capitalize_response_headers(mut self, on: bool) -> Self {
        self.config.capitalize_response_headers = on;
        self
    }

    /// The largest request body in bytes; a larger one is answered with 413. Default: `None`, no limit. Allowed: any.
    #[must_use]
    pub fn max_body_size(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.config.limits.body = bytes.into();
        self
    }

    /// The time limit for a complete head, from its first byte; a slower one is answered with 408. Default: 30 s.
    /// Allowed: more than zero, or `None` for no limit.
    ///
    /// It does not bound the wait for that byte. A client that sends nothing is cut by [`keepalive`](Self::keepalive).
    #[must_use]
    pub fn header_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config.header_timeout = timeout.into();
        self
    }

    /// The minimum rate at which a client sends a request body that is being read, in bytes per second; a slower one is
    /// answered with 408, like a body that stops (see [`socket_timeout`](Self::socket_timeout)). This is the bound for
    /// clients that send a byte now and then to hold a connection.
    ///
    /// Only time in which the server waits for the client counts, over [`rate_grace`](Self::rate_grace). A client that
    /// keeps the rate is never too slow, even if it sends in bursts every few seconds. Default: `None`, no minimum.
    /// Allowed: 1 or more.
    #[must_use]
    pub fn min_request_rate(mut self, bytes_per_second: impl Into<Option<u64>>) -> Self {
        self.config.min_request_rate = bytes_per_second.into();
        self
    }

    /// The minimum rate at which a client reads responses, in bytes per second; the connection of a slower one is
    /// reset. This is the bound for clients that read a byte now and then to hold a connection and its memory.
    ///
    /// Only time in which part of a response waits to be sent counts, over [`rate_grace`](Self::rate_grace); pauses of
    /// the application do not. The buffers of the system hide what the client reads: they take up to some hundred
    /// kilobytes at once, and report room only when a larger part of that is free. A response that fits into them is
    /// never too slow, and a client that reads less than a few kilobytes per second may look as if it did not read at
    /// all. Default: `None`, no minimum. Allowed: 1 or more.
    #[must_use]
    pub fn min_response_rate(mut self, bytes_per_second: impl Into<Option<u64>>) -> Self {
        self.config.min_response_rate = bytes_per_second.into();
        self
    }

    /// The time over which [`min_request_rate`](Self::min_request_rate) and
    /// [`min_response_rate`](Self::min_response_rate) are measured. A client that is too slow is noticed after 1.25 to
    /// 1.5 times this time. Default: 10 s. Allowed: more than zero.
    #[must_use]
    pub fn rate_grace(mut self, time: Duration) -> Self {
        self.config.rate_grace = time;
        self
    }

    /// How long unread input is read and discarded, so that a reset does not destroy a response. After a response that
    /// did not use the whole request body, this is the whole time for the rest of the body. After our half of a
    /// connection was closed, it is the longest silence of the client: as long as the client sends, its input is
    /// discarded up to [`linger_limit`](Self::linger_limit). While other connections wait for
    /// [`max_size`](Self::max_size), the latter ends after half a second. Default: 2 s. Allowed: any; zero discards
    /// nothing.
    #[must_use]
    pub fn linger_timeout(mut self, timeout: Duration) -> Self {
        self.config.linger_timeout = timeout;
        self
    }

    /// How long input is discarded in all after our half of a connection was closed, for a client that continues to
    /// send. It bounds the largest upload whose early response, such as a 413, reaches a client that reads only after
    /// it has sent everything. Default: 30 s. Allowed: any; zero discards nothing.
    #[must_use]
    pub fn linger_limit(mut self, timeout: Duration) -> Self {
        self.config.linger_limit = timeout;
        self
    }

    /// The time limit for the bytes that precede HTTP: the header of the PROXY protocol and the TLS handshake together, on
    /// listeners that expect them. Default: 30 s. Allowed: more than zero.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// How long a graceful stop waits for requests that have begun; those that are still unfinished are then cut. A
    /// response without an end and a stream that was taken over count, too:
    /// [`Environ::stopping`](crate::Environ::stopping) tells them that the stop has begun. An idle connection stays open until 1 s after its last response, or half of this time if that is less, since its
    /// client may have been sending the next request. Default: 30 s. Allowed: any; zero cuts immediately.
    #[must_use]
    pub fn graceful_timeout(mut self, timeout: Duration) -> Self {
        self.graceful_timeout = timeout;
        self
    }

    /// Whether a stop accepts and serves the connections that wait in the queue of a listener, before it closes the
    /// listener. This takes 1 s at most. Otherwise the system resets them. Set it to `false` if another process accepts
    /// on the same socket after the stop: it serves those connections. Default: true.
    #[must_use]
    pub fn drain_backlog(mut self, on: bool) -> Self {
        self.drain_backlog = on;
        self
    }

    /// How much of a request body is received before a blocking application is called, in bytes: this much, or all of a
    /// smaller body. Until then the client occupies no thread. So slow uploads of this size do not keep other requests from
    /// being served, however few threads there are.
    ///
    /// The time limits hold as if the application were reading. If the body fails in this part, because it is late, cut off,
    /// malformed or too large, the application is called then, reads what has arrived, and gets the error. It is not called
    /// for a client that has reset the connection; the request has its access line.
    ///
    /// The application is called immediately if the client waits for `100 Continue`, since it decides whether to send one. A
    /// client that sends its body only after it has seen a part of the response needs 0 here. Larger bodies occupy a thread
    /// while the rest arrives, and so does a client that sends this much and then pauses;
    /// [`socket_timeout`](Self::socket_timeout) and [`min_request_rate`](Self::min_request_rate) bound that.
    ///
    /// Each connection whose body arrives may hold this much memory, at most twice as much for a moment, besides its
    /// receive buffer. It holds for blocking applications, also those that [`blocking()`](fn@crate::blocking) runs on an asynchronous
    /// adapter. No effect with asynchronous applications, which occupy no thread while they wait. Default: 0, off.
    /// Allowed: any.
    #[must_use]
    pub fn receive_before_call(mut self, bytes: usize) -> Self {
        self.receive_before_call = bytes;
        self
    }

    /// Changes the other limits: size and number of header fields, chunk lines, drained bytes, buffer sizes.
    ///
    /// Default: see `Limits`. Allowed: see there; sizes of heads up to 16777216.
    #[must_use]
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.config.limits);
        self
    }

    /// Builds the log; `None` if nothing is logged.
    pub(crate) fn take_log(&mut self) -> Option<ServerLog> {
        let lines = |writer| Sink::Lines(LogWriter::new(writer, None));
        let destination = std::mem::replace(&mut self.log, Destination::StandardError);
        let access = self.access_log.take();
        let accesses = self.accesses;
        self.log_output.then(|| {
            let main = match destination {
                Destination::StandardError => lines(Box::new(std::io::stderr())),
                Destination::Writer(writer) => lines(writer),
                Destination::Log(log) => Sink::Custom(log),
            };
            ServerLog::new(main, access, accesses, self.debug)
        })
    }

    pub(crate) fn check(&self) -> Result<LogFormat, OptionError> {
        self.config.check()?;
        if self.max_size == 0 {
            return Err(OptionError::new("max_size", 0, "1 or more"));
        }
        if self.max_connection_age == Some(Duration::ZERO) {
            return Err(OptionError::new("max_connection_age", "0 s", "more than zero"));
        }
        if self.max_requests == Some(0) {
            return Err(OptionError::new("max_requests", 0, "1 or more"));
        }
        if self.handshake_timeout.is_zero() {
            return Err(OptionError::new("handshake_timeout", "0 s", "more than zero"));
        }
        match &self.log_format {
            None => Ok(LogFormat::default()),
            Some(template) => LogFormat::parse(template).map_err(|error| {
                OptionError::new("log_format", format_args!("{template:?}"), error.to_string())
            }),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("config", &self.config)
            .field("max_size", &self.max_size)
            .field("make_room", &self.make_room)
            .field("max_connection_age", &self.max_connection_age)
            .field("max_requests", &self.max_requests)
            .field("debug", &self.debug)
            .field("receive_before_call", &self.receive_before_call)
            .finish_non_exhaustive()
    }
}

/// An option with a value that is not allowed. The server was not started.
#[derive(Clone, PartialEq, Eq)]
pub struct OptionError {
    option: &'static str,
    value: String,
    allowed: String,
}

impl OptionError {
    /// Creates the error for an `option` whose `value` is not among those `allowed`, for options that an adapter adds.
    pub fn new(option: &'static str, value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self { option, value: value.to_string(), allowed: allowed.into() }
    }

    /// The name of the option.
    pub fn option(&self) -> &'static str {
        self.option
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "option {} cannot be {} (allowed: {})", self.option, self.value, self.allowed)
    }
}

/// The message, so that it is what a `main` that returns a `Result` prints.
impl fmt::Debug for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for OptionError {}

impl From<ConfigError> for OptionError {
    fn from(error: ConfigError) -> Self {
        let option = match error.setting() {
            // Limits that are options of the manual have the names they have there.
            "limits.target" => "url_length_limit",
            setting => setting,
        };
        Self::new(option, error.value(), error.allowed())
    }
}

impl From<OptionError> for std::io::Error {
    fn from(error: OptionError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_option_is_named_with_its_value_and_what_is_allowed() {
        for (options, message) in [
            (Options::default().max_size(0), "option max_size cannot be 0 (allowed: 1 or more)"),
            (
                Options::default().url_length_limit(0),
                "option url_length_limit cannot be 0 (allowed: 1 to 16777216)",
            ),
            (
                Options::default().socket_timeout(Duration::ZERO),
                "option socket_timeout cannot be 0 s (allowed: more than zero)",
            ),
            (
                Options::default().environ("", "x"),
                "option environ cannot be \"\" (allowed: names that are not empty)",
            ),
        ] {
            assert_eq!(options.check().unwrap_err().to_string(), message);
        }
        let error = Options::default().log_format("%(nonsense)s").check().unwrap_err();
        assert_eq!(error.option(), "log_format");
        assert!(error.to_string().contains("nonsense") && error.to_string().contains("client_ip"), "{error}");
        assert!(Options::default().check().is_ok());
    }
    #[test]
    fn the_options_for_open_networks_can_be_changed() {
        let options = Options::public();
        let limits = options.config.limits;
        assert!(!options.debug && !options.config.log_x_forwarded_for && options.check().is_ok());
        assert_eq!((limits.body, limits.body(None)), (Some(1 << 24), Limits::default()));
        let rates = (options.config.min_request_rate, options.config.min_response_rate);
        assert_eq!((rates, options.config.rate_grace), ((Some(240), Some(240)), Duration::from_secs(10)));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let timeouts = (options.config.socket_timeout, options.config.header_timeout);
        assert_eq!(timeouts, (seconds(30), seconds(15)));
        assert_eq!(options.config.keepalive, KeepAlive::For(Duration::from_secs(75)));
        let options = options.max_body_size(None).min_request_rate(None).debug(true);
        assert_eq!((options.config.limits.body, options.config.min_request_rate), (None, None));
        assert!(options.debug);
    }
}
