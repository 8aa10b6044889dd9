//! What can go wrong, sorted by whose fault it is.
//!
//! [`RequestError`] is the peer's and knows the status that answers it. [`StartError`] and [`SendError`] are the
//! application's: they are returned to it and never reach the wire by themselves.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::error::Error;
use core::fmt;

/// The peer broke the protocol or a limit. [`status`](Self::status) answers it; then the connection closes.
///
/// Limits are given in bytes (fields: in number) and are the largest size that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestError {
    /// The first byte of a request cannot begin a method (RFC 9112, 3.1).
    StrayByte,
    /// A carriage return without a line feed (RFC 9112, 2.2).
    BareCarriageReturn,
    /// A line feed without a carriage return (RFC 9112, 2.2).
    BareLineFeed,
    /// More empty lines before a request line than are ignored (RFC 9112, 2.2).
    EmptyLines,
    /// The request line is not `method SP target SP version` (RFC 9112, 3).
    RequestLine,
    /// The version is well formed, but its major version is not 1 (RFC 9110, 15.6.6). HTTP/1.2 to HTTP/1.9 are served as
    /// HTTP/1.1 (RFC 9110, 2.5).
    Version,
    /// The method is longer than the limit (RFC 9112, 3).
    MethodTooLong(usize),
    /// `CONNECT` asks for a tunnel, and this is an origin server (RFC 9110, 9.3.6).
    Connect,
    /// The request target is longer than the limit (RFC 9110, 15.5.15).
    TargetTooLong(usize),
    /// The request target has none of the four forms, an invalid authority, a fragment, or bytes that are not ASCII
    /// (RFC 9112, 3.2; RFC 3986, 2).
    Target,
    /// A field line is not `name: value`, or has characters that are not allowed (RFC 9112, 5).
    Field,
    /// One field line with its CRLF is longer than the limit (RFC 6585, 5).
    FieldTooLong(usize),
    /// The whole field section is longer than the limit (RFC 6585, 5).
    FieldsTooLong(usize),
    /// There are more fields than the limit (RFC 6585, 5).
    TooManyFields(usize),
    /// HTTP/1.1 without exactly one `Host`, or a `Host` that is no host (RFC 9112, 3.2).
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
    /// The body is, or says it will be, longer than `max_body_size` (RFC 9110, 15.5.14).
    BodyTooLarge(u64),
    /// A chunk size is not a hexadecimal number that fits (RFC 9112, 7.1).
    ChunkSize,
    /// A chunk-size line is longer than the limit, or does not end in CRLF (RFC 9112, 7.1).
    ChunkLine,
    /// Chunk extensions with control characters, or longer in sum than the limit (RFC 9112, 7.1.1).
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
    /// The status code that answers this error.
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
            Self::StrayByte => {
                f.write_str("a request begins with a method, which is made of token characters")
            }
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
            Self::CodingOrder => f.write_str("chunked has to be the last transfer coding, and only once"),
            Self::CodingInHttp10 => f.write_str("Transfer-Encoding is not allowed in HTTP/1.0"),
            Self::BodyTooLarge(limit) => write!(f, "request body too large (limit: {limit} bytes)"),
            Self::ChunkSize => f.write_str("malformed chunk size (expected a hexadecimal number)"),
            Self::ChunkLine => f.write_str("chunk-size line too long or not ended by CRLF"),
            Self::ChunkExtension => f.write_str("malformed or too long chunk extensions"),
            Self::ChunkData => f.write_str("chunk data not followed by CRLF"),
            Self::Trailer => f.write_str("malformed or too long trailer section"),
            Self::Incomplete => f.write_str("the request ended before it was complete"),
            Self::Timeout => f.write_str("the request did not arrive in time"),
        }
    }
}

impl Error for RequestError {}

/// Why a request body cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The peer's fault; the application may still answer, then the connection closes.
    Request(RequestError),
    /// The connection is gone; nothing can be answered.
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

/// The application started a response that HTTP does not allow. Nothing of it was sent.
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
    /// `Transfer-Encoding` is the server's alone (PEP 3333, Other HTTP Features).
    TransferEncoding,
    /// HTTP/1.0 has no 101, since it cannot switch protocols (RFC 9110, 15.2).
    CannotSwitch,
    /// The head of this response is already on its way.
    HeadSent,
    /// `start_response` was called before, and no error was given as reason to call it again.
    AlreadyStarted,
    /// The exchange is over, or its stream was taken over.
    Over,
    /// The status is not that of an interim response: a code from 100 to 199 other than 101.
    NotInterim(Rejected),
    /// The outbox is full; flush it, then send the interim response again. Nothing was taken.
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
            Self::HeadSent => "the response has begun, its head cannot be replaced",
            Self::AlreadyStarted => {
                "the response was started before, starting again needs the error that caused it"
            }
            Self::Over => "the exchange is over",
            Self::Full => "the outbox is full, flush it first",
        })
    }
}

impl Error for StartError {}

/// The status or header that a [`StartError`] is about. It is shown by the message of the error.
// One word, so that what can fail costs no more where it does not.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Rejected(Box<Explained>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Explained {
    message: String,
}

/// These are cold: what is rejected is explained where it is rejected, and nothing is prepared for it.
impl Rejected {
    #[cold]
    pub(crate) fn status(status: &str) -> Self {
        let shown = Shown(status.as_bytes());
        Self::new(format!(
            "status {shown} is malformed (expected a code from 200 to 599 or 101, a space and a reason, such as `200 OK`)"
        ))
    }

    /// The status of an interim response, where a final one is started.
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

/// The most bytes of a status, a name or a value that are shown.
const SHOWN: usize = 64;

/// Bytes in quotation marks, escaped, and with `...` if there are more of them.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(SHOWN) {
            Some((shown, [_, ..])) => write!(f, "\"{}\"...", shown.escape_ascii()),
            _ => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// The application sent what it may not send, or nobody is left to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// Data came before the response was started.
    NotStarted,
    /// The response is longer than its `Content-Length`; the surplus was not sent.
    TooLong(u64),
    /// The response was finished with so many bytes of its `Content-Length` missing; the connection closes.
    TooShort(u64),
    /// The outbox is full; flush it, then send again. Nothing was taken.
    Full,
    /// The response is finished, or its stream was taken over.
    Finished,
    /// A trailer field is malformed, or may not be a trailer.
    Trailer,
    /// Only a 101 response that was started and not sent can be taken over.
    NotSwitching,
    /// The end of the request body has to be read before the connection can be taken over.
    BodyUnread,
    /// The connection is gone.
    Lost(Lost),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("the response was not started, call start_response first"),
            Self::TooLong(length) => write!(f, "the response is longer than its Content-Length of {length}"),
            Self::TooShort(missing) => {
                write!(f, "the response is {missing} bytes shorter than its Content-Length")
            }
            Self::Full => f.write_str("the outbox is full, flush it first"),
            Self::Finished => f.write_str("the response is finished"),
            Self::Trailer => f.write_str("malformed or forbidden trailer field"),
            Self::NotSwitching => {
                f.write_str("taking over needs a started 101 response of which nothing was sent")
            }
            Self::BodyUnread => f.write_str("taking over needs the request body to be read to its end"),
            Self::Lost(lost) => lost.fmt(f),
        }
    }
}

impl Error for SendError {}

/// Why a response in one call could not be given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerError {
    /// Its head is not allowed, or it is not the time for one.
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

/// How a connection was lost: nothing can be sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// The peer reset the connection.
    Reset,
    /// The peer does not take what is written.
    BrokenPipe,
    /// The peer did not read within `socket_timeout`.
    TimedOut,
    /// The server gave up on it, at the deadline of a graceful stop for instance.
    Aborted,
    /// The transport failed otherwise.
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
    /// Others wait for room.
    Crowded,
    /// The connection has reached its largest age.
    Age,
    /// It has had its largest number of requests.
    Requests,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed its half between two requests.
    PeerClosed,
    /// No request came within `keepalive` or `socket_timeout`.
    IdleTimeout,
    /// The last response said `Connection: close`, or its end is the end of the connection.
    Finished,
    /// A request was refused.
    Refused(RequestError),
    /// The application gave up on a response that had begun, or gave less than its `Content-Length`.
    Cut,
    /// The server is stopping.
    Shutdown,
    /// It was not to be used any further.
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
            Self::Shutdown => f.write_str("server stopped"),
            Self::Limit(LastExchange::Crowded) => f.write_str("closed to make room for others"),
            Self::Limit(LastExchange::Age) => f.write_str("closed at its largest age"),
            Self::Limit(LastExchange::Requests) => f.write_str("closed after its largest number of requests"),
            Self::Lost(lost) => lost.fmt(f),
        }
    }
}
