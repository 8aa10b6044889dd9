//! The events that the machine returns to its driver.

use core::fmt;

use crate::error::CloseReason;
use crate::http::trailers::Trailers;
use crate::time::Instant;

/// The driver's next step. Polling again returns the same event until the driver, the application or time changes
/// something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A complete head has arrived: hand it to the application. Returned until `take_request` is called.
    Request,
    /// The exchange is over and its record is ready. Returned until `take_record` is called.
    Done,
    /// Read or write bytes, or wait until the deadline. Then poll again.
    Io(Io),
    /// Close the sending half, then continue. Returned until `write_closed` is called.
    ShutdownWrite,
    /// Reset the connection, without closing the sending half first, so that the cut response does not look complete.
    /// TCP: close with a linger of zero; TLS: no `close_notify`. Returned until `write_closed` is called.
    Abort,
    /// The 101 response is flushed. The stream belongs to the application, and the driver no longer uses it.
    TakenOver,
    /// The connection is over: drop the transport.
    Closed(CloseReason),
}

/// The I/O that the machine waits for. Without `read`, `write` and a deadline, it waits for a call by the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Io {
    /// Read into `recv_space`.
    pub read: bool,
    /// The wait for the peer is over, but bytes that arrived in time still count: read once more *without waiting*,
    /// then call `recv_commit`, `recv_eof` or, if there was nothing to read, `recv_nothing`. Implies `read` and a
    /// deadline that has passed.
    pub last_read: bool,
    /// Write the bytes that `transmit` returns, or those of `external`. True whenever the outbox is not empty.
    pub write: bool,
    /// The wait for the peer to read is over, but room that it made in time still counts: write once more *without
    /// waiting*, then call `transmitted`, with 0 if there was no room. Implies `write` and a deadline that has passed;
    /// there is nothing else to do.
    pub last_write: bool,
    /// When to poll again if nothing happens before then.
    pub deadline: Option<(Instant, Reason)>,
}

/// The reason for a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No request begins (`keepalive` or `socket_timeout`; after a [`shutdown`](crate::Connection::shutdown)
    /// `last_request_timeout`): the connection closes silently.
    Idle,
    /// A head does not become complete (`header_timeout`): 408.
    Head,
    /// The peer sends nothing (`socket_timeout`): 408, or an error for an application that is reading.
    Read,
    /// The peer reads nothing (`socket_timeout`): the connection is lost.
    Write,
    /// The rest of an unread body does not arrive (`linger_timeout`): the connection closes.
    Drain,
    /// We closed our half, and the peer neither sends nor closes (`linger_timeout`), or it continues to send for too
    /// long (`linger_limit`).
    Linger,
    /// The rate at which the peer sends its request body is checked (`min_request_rate`): 408, or an error for an
    /// application that is reading, if it is too slow.
    RequestRate,
    /// The rate at which the peer reads is checked (`min_response_rate`): the connection is lost if it is too slow.
    ResponseRate,
    /// The connection has reached its maximum age without a request ([`end_at`](crate::Connection::end_at)): it closes.
    Age,
    /// Another connection is waiting for room ([`make_room`](crate::Connection::make_room)): this one closes.
    Room,
    /// Earlier responses had time to reach the client (1 s): a reset shows that the last one is incomplete.
    Abort,
}

impl Reason {
    /// Whether the deadline ends a wait for bytes of the peer, so that a last read precedes it.
    pub(crate) const fn waits_for_bytes(self) -> bool {
        matches!(
            self,
            Self::Idle | Self::Head | Self::Read | Self::Drain | Self::RequestRate | Self::Age | Self::Room
        )
    }

    /// Whether the deadline ends a wait for the peer to make room, so that a last write precedes it.
    pub(crate) const fn waits_for_room(self) -> bool {
        matches!(self, Self::Write | Self::ResponseRate)
    }
}

/// Whether more can be sent immediately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// More can be sent.
    Ready,
    /// The data was accepted, but the outbox is full: flush it before the next call.
    Full,
}

/// The result of reading a request body.
pub enum BodyEvent<'a> {
    /// Data that has arrived. Remove it with `consume`.
    Data(&'a [u8]),
    /// The body is complete.
    End(&'a Trailers),
    /// Nothing has arrived: perform this I/O, then call again.
    Io(Io),
}

impl fmt::Debug for BodyEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Self::End(trailers) => f.debug_tuple("End").field(trailers).finish(),
            Self::Io(io) => f.debug_tuple("Io").field(io).finish(),
        }
    }
}
