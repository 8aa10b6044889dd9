//! What the machine tells its driver.

use core::fmt;

use crate::error::CloseReason;
use crate::http::trailers::Trailers;
use crate::time::Instant;

/// The answer to "what now?". Asking again gives the same answer until the driver, the application or time does
/// something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole head is there; the application has the move. Until `take_request`.
    Request,
    /// The exchange is over, its record is ready. Until `take_record`.
    Done,
    /// Move bytes as told, or wait until the deadline; then poll again.
    Io(Io),
    /// Close the sending half, and go on. Until `write_closed`.
    ShutdownWrite,
    /// What was sent must not look complete: reset the connection, without closing the sending half before. TCP: close
    /// with a linger of zero; TLS: no `close_notify`. Until `write_closed`.
    Abort,
    /// The 101 is flushed; the stream is the application's, and the driver does nothing more with it.
    TakenOver,
    /// Flushed and lingered: drop the transport.
    Closed(CloseReason),
}

/// What a wait waits for. Neither `read` nor `write` nor a deadline: an application's call has to come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Io {
    /// Read into `recv_space`.
    pub read: bool,
    /// The wait for the peer is over, and what has arrived in time still counts: read once more *without waiting*, then
    /// call `recv_commit`, `recv_eof` or, if nothing was there, `recv_nothing`. Comes with `read`; the deadline has passed.
    pub last_read: bool,
    /// Write what `transmit` gives. True whenever the outbox is not empty.
    pub write: bool,
    /// When to poll again if nothing happens before.
    pub deadline: Option<(Instant, Reason)>,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No request begins (`keepalive`, or `socket_timeout`): the connection closes silently.
    Idle,
    /// A head does not get complete (`header_timeout`): 408.
    Head,
    /// The peer sends nothing (`socket_timeout`): 408, or an error for the application that reads.
    Read,
    /// The peer takes nothing (`socket_timeout`): the connection is lost.
    Write,
    /// The rest of a body that nobody reads does not arrive (`linger_timeout`): the connection closes.
    Drain,
    /// The peer does not close after we did (`linger_timeout`).
    Linger,
    /// Somebody waits for the place of this connection ([`make_room`](crate::Connection::make_room)): it closes.
    Room,
    /// Earlier answers have this long to leave before the reset that shows the last one to be broken off (1 s).
    Abort,
}

impl Reason {
    /// Whether the deadline gives up a wait for bytes of the peer, which are read once more before.
    pub(crate) const fn waits_for_bytes(self) -> bool {
        matches!(self, Self::Idle | Self::Head | Self::Read | Self::Room)
    }
}

/// Whether more can be sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Ready,
    /// The data was taken, and the outbox is full: flush it before the next call.
    Full,
}

/// What reading a body brings.
pub enum BodyEvent<'a> {
    /// Data that has arrived; take it with `consume`.
    Data(&'a [u8]),
    /// The body is complete.
    End(&'a Trailers),
    /// Nothing has arrived: do this, then ask again.
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
