//! The record of an exchange that is over, for the access log and the post hooks.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::http::head::Head;

use crate::error::Lost;

use crate::endpoints::Endpoints;

use crate::error::RequestError;

/// The record of one exchange. It can be taken once, by `Connection::take_record`.
#[derive(Clone)]
pub struct Record {
    /// The request; `None` if no valid head arrived.
    pub head: Option<Arc<Head>>,
    /// The request line if there is no head, without its line end. It is the whole line, or at most 32 bytes if it is
    /// malformed ([`RequestError::RequestLine`]), incomplete, or refused before its end.
    ///
    /// After a first byte that cannot begin a request ([`RequestError::StrayByte`]), it contains the bytes that arrived
    /// together with that byte. Nothing else in a record depends on how the input was split.
    pub partial_request_line: Vec<u8>,
    /// The two ends of the connection.
    pub endpoints: Endpoints,
    /// Status of the response; 0 if nothing was sent, or if the connection was lost before any byte of it was sent.
    pub status: u16,
    /// Body bytes sent, without framing.
    pub body_length: u64,
    /// All bytes of the response sent: status line, fields, framing, body. Interim responses do not count.
    pub response_length: u64,
    /// The time from the arrival of the whole head to the end of the exchange.
    pub elapsed: Duration,
    /// The wall clock at the end, in seconds since 1970 (UTC).
    pub unix: i64,
    /// Seconds to add for local time.
    pub zone_offset: i32,
    /// Why the machine refused the request, if it did.
    pub refused: Option<RequestError>,
    /// How the connection was lost during the exchange, if it was.
    pub lost: Option<Lost>,
    /// Whether the response ended before it was complete.
    pub cut: bool,
    /// The head of the final response as it was sent, with status line, all fields, and the empty line at its end. Empty
    /// if none was sent, and unless [`Config::record_response_head`](crate::Config::record_response_head) is set.
    pub response_head: Vec<u8>,
}

impl Record {
    /// The value of the first response field with this name, in any case, that was sent. `None` if the response has no such field, or if
    /// the record has no [`response_head`](Self::response_head).
    pub fn response_field(&self, name: &str) -> Option<&[u8]> {
        // The first line is the status. The machine writes `name: value` only.
        self.response_head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
            let (found, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b": ")?.strip_suffix(b"\r")?;
            found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("status", &self.status)
            .field("body_length", &self.body_length)
            .field("response_length", &self.response_length)
            .field("elapsed", &self.elapsed)
            .field("refused", &self.refused)
            .field("lost", &self.lost)
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}
