//! Errors, grouped by whose fault they are.
//!
//! [`RequestError`] is the peer's fault and has the status of the error response. [`StartError`] and [`SendError`] are
//! the application's fault: they are returned to it and never sent to the client.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::error::Error;
use core::fmt;

/// The peer violated the protocol or a limit. The response has the status [`status`](Self::status), then the connection
/// closes.
///
/// Limits are the largest sizes that are accepted, in bytes (for fields: their number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestError {
    /// The first byte of a request cannot begin a method (RFC 9112, 3.1).
    StrayByte,
    /// A carriage return without a line feed (RFC 9112, 2.2).
    BareCarriageReturn,
    /// A line feed without a carriage return (RFC 9112, 2.2).
    BareLineFeed,
    /// There are too many empty lines before a request line (RFC 9112, 2.2).
    EmptyLines,
    /// The request line is not `method SP target SP version` (RFC 9112, 3).
    RequestLine,
    /// The version is well formed, but its major version is not 1 (RFC 9110, 15.6.6). HTTP/1.2 to HTTP/1.9 are served
    /// as HTTP/1.1 (RFC 9110, 2.5).
    Version,
    /// The method is longer than the limit (RFC 9112, 3).
    MethodTooLong(usize),
    /// `CONNECT` requests a tunnel, but this is an origin server (RFC 9110, 9.3.6).
    Connect,
    /// The request target is longer than the limit (RFC 9110, 15.5.15).
    TargetTooLong(usize),
    /// The request target has none of the four forms, or it has an invalid authority, a fragment, or bytes that are not
    /// ASCII (RFC 9112, 3.2; RFC 3986, 2).
    Target,
    /// A field line is not `name: value`, or has characters that are not allowed (RFC 9112, 5).
    Field,
    /// One field line with its CRLF is longer than the limit (RFC 6585, 5).
    FieldTooLong(usize),
    /// The whole field section is longer than the limit (RFC 6585, 5).
    FieldsTooLong(usize),
    /// There are more fields than the limit (RFC 6585, 5).
    TooManyFields(usize),
    /// HTTP/1.1 without exactly one `Host`, or an invalid `Host` (RFC 9112, 3.2).
    Host,
    /// `Content-Length` is repeated or not a decimal number that fits (RFC 9112, 6.3).
    ContentLength,
    /// `Content-Length` and `Transfer-Encoding` together (RFC 9112, 6.1).
    LengthAndCoding,
    /// A transfer coding other than `chunked` (RFC 9112, 6.1).
    TransferCoding,
    /// `chunked` is repeated or not the last coding (RFC 9112, 6.3).
    CodingOrder,
    /// `Transfer-Encoding` in a request of HTTP/1.0 (RFC 9112, 6.1).
    CodingInHttp10,
    /// The body is longer than `max_body_size`, or is declared to be (RFC 9110, 15.5.14).
    BodyTooLarge(u64),
    /// A chunk size is not a hexadecimal number that fits (RFC 9112, 7.1).
    ChunkSize,
    /// A chunk-size line is longer than the limit, or does not end in CRLF (RFC 9112, 7.1).
    ChunkLine,
    /// Chunk extensions have control characters, or are longer in total than the limit (RFC 9112, 7.1.1).
    ChunkExtension,
    /// The data of a chunk is not followed by CRLF (RFC 9112, 7.1).
    ChunkData,
    /// The trailer section is malformed or over a limit (RFC 9112, 7.1.2).
    Trailer,
    /// The peer closed its half in the middle of a request (RFC 9112, 8).
    Incomplete,
    /// The request did not arrive in time (RFC 9110, 15.5.9).
    Timeout,
}

impl RequestError {
    /// The status code of the response to this error.
    pub const fn status(self) -> u16 {
        match self {
            Self::MethodTooLong(_) | Self::Connect | Self::TransferCoding => 501,
            Self::Version => 505,
            Self::TargetTooLong(_) => 414,
            Self::FieldTooLong(_) | Self::FieldsTooLong(_) | Self::TooManyFields(_) => 431,
            Self::BodyTooLarge(_) => 413,
            Self::Timeout => 408,
            _ => 400,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StrayByte => f.write_str("malformed request (expected a method of token characters)"),
            Self::BareCarriageReturn => f.write_str("carriage return without line feed (expected CRLF)"),
            Self::BareLineFeed => f.write_str("line feed without carriage return (expected CRLF)"),
            Self::EmptyLines => f.write_str("too many empty lines before the request line"),
            Self::RequestLine => f.write_str("malformed request line (expected `METHOD target HTTP/1.1`)"),
            Self::Version => f.write_str("unsupported HTTP version (expected HTTP/1.0 or HTTP/1.1)"),
            Self::MethodTooLong(limit) => write!(f, "method too long (limit: {limit} bytes)"),
            Self::Connect => f.write_str("CONNECT is not supported"),
            Self::TargetTooLong(limit) => write!(f, "request target too long (limit: {limit} bytes)"),
            Self::Target => f.write_str(
                "malformed request target (expected `/path`, `http://host/path` or `OPTIONS *`, in ASCII and \
                 without `#`)",
            ),
            Self::Field => {
                f.write_str("malformed header field (expected `Name: value` without control characters)")
            }
            Self::FieldTooLong(limit) => write!(f, "header field too long (limit: {limit} bytes)"),
            Self::FieldsTooLong(limit) => write!(f, "header section too long (limit: {limit} bytes)"),
            Self::TooManyFields(limit) => write!(f, "too many header fields (limit: {limit})"),
            Self::Host => {
                f.write_str("missing, repeated or malformed Host (expected exactly one in HTTP/1.1)")
            }
            Self::ContentLength => f.write_str("malformed Content-Length (expected a decimal number)"),
            Self::LengthAndCoding => {
                f.write_str("Content-Length and Transfer-Encoding together are not allowed")
            }
            Self::TransferCoding => f.write_str("unsupported transfer coding (expected `chunked`)"),
            Self::CodingOrder => {
                f.write_str("chunked must be the last transfer coding and must not be repeated")
            }
            Self::CodingInHttp10 => f.write_str("Transfer-Encoding is not allowed in HTTP/1.0"),
            Self::BodyTooLarge(limit) => write!(f, "request body too large (limit: {limit} bytes)"),
            Self::ChunkSize => f.write_str("malformed chunk size (expected a hexadecimal number)"),
            Self::ChunkLine => f.write_str("chunk-size line too long or not ended by CRLF"),
            Self::ChunkExtension => f.write_str("chunk extensions malformed or too long"),
            Self::ChunkData => f.write_str("chunk data not followed by CRLF"),
            Self::Trailer => f.write_str("trailer section malformed or too long"),
            Self::Incomplete => f.write_str("the request ended before it was complete"),
            Self::Timeout => f.write_str("the request did not arrive in time"),
        }
    }
}

impl Error for RequestError {}

/// Why the rest of a request body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The request is faulty. The application may still answer, then the connection closes.
    Request(RequestError),
    /// The connection is lost. No response can be sent.
    Lost(Lost),
    /// The exchange is over, or its stream was taken over.
    Finished,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            Self::Lost(lost) => lost.fmt(f),
            Self::Finished => f.write_str("the exchange is over"),
        }
    }
}

impl Error for BodyError {}

/// The application started a response that HTTP does not allow. No part of it was sent.
///
/// The message names the status or header that is not allowed and shows its value, escaped and shortened to 64 bytes:
///
/// ```
/// # use wsgi_proto::*;
/// let error = ResponseHead::new(&Config::default(), "200 OK", [("X-Name", "a\r\nb")]).unwrap_err();
/// assert!(matches!(error, StartError::FieldValue(_)));
/// assert_eq!(
///     error.to_string(),
///     r#"header `X-Name` has a value with a line feed: "a\r\nb" (control characters are not allowed)"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartError {
    /// The status is not a code from 200 to 599 (or 101, to switch protocols), a space and a reason. A code without a
    /// reason is allowed.
    Status(Rejected),
    /// A field name is not a token (RFC 9110, 5.6.2).
    FieldName(Rejected),
    /// A field value has control characters (RFC 9110, 5.5).
    FieldValue(Rejected),
    /// `Content-Length` is repeated, not a decimal number, or in an interim response.
    ContentLength(Rejected),
    /// Only the server may set `Transfer-Encoding` (PEP 3333, Other HTTP Features).
    TransferEncoding,
    /// HTTP/1.0 has no status 101, because it cannot switch protocols (RFC 9110, 15.2).
    CannotSwitch,
    /// The head of this response was already sent.
    HeadSent,
    /// `start_response` was called again, but without the error that caused the second call.
    AlreadyStarted,
    /// The exchange is over, or its stream was taken over.
    Over,
    /// The status is not that of an interim response, which has a code from 100 to 199 other than 101.
    NotInterim(Rejected),
    /// The outbox is full. Flush it, then send the interim response again. Nothing was accepted.
    Full,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(rejected)
            | Self::FieldName(rejected)
            | Self::FieldValue(rejected)
            | Self::ContentLength(rejected)
            | Self::NotInterim(rejected) => &rejected.0.message,
            Self::TransferEncoding => "header `Transfer-Encoding` is not allowed (the server sets it)",
            Self::CannotSwitch => "status 101 is not allowed (HTTP/1.0 cannot switch protocols)",
            Self::HeadSent => "the response has begun: its head cannot be replaced",
            Self::AlreadyStarted => "the response was already started (use `restart` to replace it)",
            Self::Over => "the exchange is over",
            Self::Full => "the outbox is full: flush it first",
        })
    }
}

impl Error for StartError {}

/// The status or header that caused a [`StartError`]. The message of the error shows it.
// One word, so that a `Result` costs no more if there is no error.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Rejected(Box<Explained>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Explained {
    message: String,
}

/// The constructors are cold: the message is only made when something is rejected.
impl Rejected {
    #[cold]
    pub(crate) fn status(status: &str) -> Self {
        let shown = Shown(status.as_bytes());
        Self::new(format!(
            "status {shown} is malformed (expected a code from 200 to 599 or 101, a space and a reason, such as `200 OK`)"
        ))
    }

    /// An interim status, although a final response is started.
    #[cold]
    pub(crate) fn not_final(status: &str) -> Self {
        Self::new(format!("status {} is interim (send it with `inform`)", Shown(status.as_bytes())))
    }

    #[cold]
    pub(crate) fn interim_status(status: &str) -> Self {
        Self::new(format!(
            "status {} is not interim (expected a code from 100 to 199 other than 101, a space and a reason, such as \
             `103 Early Hints`)",
            Shown(status.as_bytes())
        ))
    }

    #[cold]
    pub(crate) fn name(name: &[u8]) -> Self {
        Self::new(format!(
            "header name {} is malformed (expected letters, digits or any of !#$%&'*+-.^_`|~)",
            Shown(name)
        ))
    }

    /// A value that has control characters, of a field whose name is a token.
    #[cold]
    pub(crate) fn value(name: &[u8], value: &[u8]) -> Self {
        let has = |byte| value.contains(&byte);
        let control = match () {
            () if has(b'\n') => "a line feed",
            () if has(b'\r') => "a carriage return",
            () if has(0) => "a null byte",
            () => "a control character",
        };
        let name = &name[..name.len().min(SHOWN)];
        Self::new(format!(
            "header `{}` has a value with {control}: {} (control characters are not allowed)",
            name.escape_ascii(),
            Shown(value)
        ))
    }

    #[cold]
    pub(crate) fn content_length(value: &[u8]) -> Self {
        Self::new(format!(
            "header `Content-Length` is malformed: {} (expected a decimal number)",
            Shown(value)
        ))
    }

    #[cold]
    pub(crate) fn content_length_again(value: &[u8]) -> Self {
        Self::new(format!("header `Content-Length` is repeated: {} (expected one)", Shown(value)))
    }

    #[cold]
    pub(crate) fn interim_content_length() -> Self {
        Self::new("header `Content-Length` is not allowed in an interim response".into())
    }

    fn new(message: String) -> Self {
        Self(Box::new(Explained { message }))
    }
}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.message.fmt(f)
    }
}

/// The maximum number of bytes shown of a status, a name or a value.
const SHOWN: usize = 64;

/// Displays bytes in quotation marks and escaped, with `...` if they are shortened.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(SHOWN) {
            Some((shown, [_, ..])) => write!(f, "\"{}\"...", shown.escape_ascii()),
            _ => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// The application sent something that is not allowed, or the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// Data was sent before the response was started.
    NotStarted,
    /// The response is longer than its `Content-Length`. The surplus was not sent.
    TooLong(u64),
    /// The response was finished, but the given number of bytes of its `Content-Length` is missing. The connection
    /// closes.
    TooShort(u64),
    /// The outbox is full. Flush it, then send again. Nothing was accepted.
    Full,
    /// The response is finished, or its stream was taken over.
    Finished,
    /// A trailer field is malformed, or not allowed as a trailer.
    Trailer,
    /// A takeover needs a 101 response that was started but not sent.
    NotSwitching,
    /// The request body has to be read to its end before the connection can be taken over.
    BodyUnread,
    /// The connection is lost.
    Lost(Lost),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("the response was not started: call start_response first"),
            Self::TooLong(length) => write!(f, "the response is longer than its Content-Length of {length}"),
            Self::TooShort(missing) => {
                write!(f, "the response is {missing} bytes shorter than its Content-Length")
            }
            Self::Full => f.write_str("the outbox is full: flush it first"),
            Self::Finished => f.write_str("the response is finished"),
            Self::Trailer => f.write_str("malformed or forbidden trailer field"),
            Self::NotSwitching => {
                f.write_str("a take-over needs a 101 response that was started and not sent")
            }
            Self::BodyUnread => f.write_str("a take-over needs the request body to be read to its end"),
            Self::Lost(lost) => lost.fmt(f),
        }
    }
}

impl Error for SendError {}

/// Why a response could not be sent in one call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerError {
    /// Its head is not allowed, or no response can be started now.
    Start(StartError),
    /// It could not be sent, or its body does not match its head.
    Send(SendError),
}

impl From<StartError> for AnswerError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<SendError> for AnswerError {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl Error for AnswerError {}

/// How a connection was lost. Nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// The peer reset the connection.
    Reset,
    /// The peer no longer accepts data.
    BrokenPipe,
    /// The peer did not read within `socket_timeout`.
    TimedOut,
    /// The server gave up on the connection, for example at the deadline of a graceful stop.
    Aborted,
    /// The transport failed in another way.
    Transport,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "connection reset by peer",
            Self::BrokenPipe => "broken pipe",
            Self::TimedOut => "timed out while writing",
            Self::Aborted => "aborted by the server",
            Self::Transport => "the transport failed",
        })
    }
}

impl Error for Lost {}

/// Why the next response of a connection has to be its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LastExchange {
    /// Another connection is waiting for room.
    Crowded,
    /// The connection has reached its maximum age.
    Age,
    /// The connection has reached its maximum number of requests.
    Requests,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed its half between two requests.
    PeerClosed,
    /// No request arrived within `keepalive` or `socket_timeout`.
    IdleTimeout,
    /// The last response had `Connection: close`, or it ends with the connection.
    Finished,
    /// A request was refused.
    Refused(RequestError),
    /// The application aborted a response that had begun, or sent less than its `Content-Length`.
    Cut,
    /// The last response promised another one, but the application left more of the request body unread than is read and
    /// dropped (`limits.drain`), or the rest did not arrive.
    BodyUnread,
    /// The server is stopping.
    Shutdown,
    /// The connection reached a limit on its use.
    Limit(LastExchange),
    /// The connection was lost.
    Lost(Lost),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerClosed => f.write_str("closed by peer"),
            Self::IdleTimeout => f.write_str("timed out"),
            Self::Finished => f.write_str("closed after the last response"),
            Self::Refused(error) => write!(f, "request refused: {error}"),
            Self::Cut => f.write_str("response cut short"),
            Self::BodyUnread => f.write_str("closed with the rest of a request body unread"),
            Self::Shutdown => f.write_str("server stopped"),
            Self::Limit(LastExchange::Crowded) => f.write_str("closed to make room for others"),
            Self::Limit(LastExchange::Age) => f.write_str("closed at its maximum age"),
            Self::Limit(LastExchange::Requests) => f.write_str("closed after its maximum number of requests"),
            Self::Lost(lost) => lost.fmt(f),
        }
    }
}
