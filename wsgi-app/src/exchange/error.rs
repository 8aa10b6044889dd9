//! The errors that an application receives and returns.

use std::fmt;

use wsgi_proto::{BodyError, RequestError};

/// Any error that makes an application give up on a request. The response is a 500, unless the error is an
/// [`InputError`] caused by the client, which has its own status.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of an application.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the request body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// The client's body is malformed, too large, incomplete or too late, or the connection is lost.
    Body(BodyError),
    /// The exchange that this handle belongs to is over.
    Over,
}

impl InputError {
    /// The client's error, if the client caused this one.
    pub fn request_error(self) -> Option<RequestError> {
        match self {
            Self::Body(BodyError::Request(error)) => Some(error),
            _ => None,
        }
    }
}

impl From<BodyError> for InputError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Finished => Self::Over,
            error => Self::Body(error),
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(error) => write!(f, "cannot read the request body: {error}"),
            Self::Over => f.write_str("cannot read the request body: the exchange is over"),
        }
    }
}

impl std::error::Error for InputError {}

impl From<InputError> for std::io::Error {
    fn from(error: InputError) -> Self {
        use std::io::ErrorKind;
        let kind = match error {
            InputError::Body(BodyError::Request(RequestError::Incomplete)) => ErrorKind::UnexpectedEof,
            InputError::Body(BodyError::Request(RequestError::Timeout)) => ErrorKind::TimedOut,
            InputError::Body(BodyError::Request(_)) => ErrorKind::InvalidData,
            InputError::Body(BodyError::Lost(_)) => ErrorKind::ConnectionReset,
            _ => ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

/// Joins the messages of `error` and of all its sources.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The [`InputError`] among the causes of `error`, if there is one.
pub(crate) fn input_error(error: &(dyn std::error::Error + 'static)) -> Option<InputError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(input) = error.downcast_ref::<InputError>() {
            return Some(*input);
        }
        // The I/O traits wrap it in an `io::Error`, whose `source` skips the wrapped error.
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            return input_error(inner);
        }
        cause = error.source();
    }
    None
}
