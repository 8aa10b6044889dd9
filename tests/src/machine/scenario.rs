//! The parts of a whole run: a client's bytes, a scripted application, and a schedule that decides the order of moves.
//!
//! [`play`](super::play::play) plays a [`Scenario`] with a [`Schedule`] and returns the [`Outcome`]: everything visible
//! to the client, the application and the log. Every schedule must give the same outcome for one scenario.

use core::fmt;
use std::sync::Arc;

use wsgi_proto::{BodyError, CloseReason, Config, Event, Lost, Record, RequestError, SendError, StartError};

/// Bytes that are formatted as text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(pub Vec<u8>);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// One application call. Calls that would wait are repeated until they complete.
#[derive(Clone, Debug)]
pub enum Call {
    /// Reads until this number of body bytes was read in total, the body ends, or reading fails.
    Read(usize),
    /// Waits until the body has bytes to read, without reading them.
    Look,
    /// `inform` with this status and one field.
    Inform(&'static str),
    /// `continue_headers` with one field.
    ContinueHeaders,
    /// `respond`.
    Respond(&'static str, Vec<(&'static str, String)>),
    /// `replace`.
    Replace(&'static str, Vec<(&'static str, String)>),
    /// `announce_length`.
    Announce(u64),
    /// `set_minimum_chunk_size`.
    Join(usize),
    /// `send` of this number of bytes, borrowed.
    Send(usize),
    /// `send` of this number of bytes, owned.
    Give(usize),
    /// `send_external` of this number of bytes.
    External(u64),
    /// `supply_external` with this number of bytes, which are those that the driver would send.
    Supply(usize),
    /// `send` of all bytes read so far.
    Echo,
    /// Waits until the outbox is empty.
    Flush,
    /// `flush_before_record`.
    FlushFirst,
    /// `watch_peer`.
    Watch,
    /// `shutdown` of the connection.
    Shutdown,
    /// `finish`.
    Finish,
    /// `finish_with` these trailers.
    FinishWith(Vec<(&'static str, &'static str)>),
    /// `abort`.
    Abort,
    /// `fail`.
    Fail(&'static str),
    /// `refuse` with the error of the last read, if any.
    Refuse,
    /// `take_over`.
    TakeOver,
}

/// The input of a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Settings of the connection.
    pub config: Arc<Config>,
    /// All bytes of the client.
    pub input: Text,
    /// Whether the client closes its half after `input`; if not, it falls silent and the deadlines pass.
    pub eof: bool,
    /// The scripts for the first request, the second, and so on, in a cycle. A script that ends before its exchange is
    /// followed by `finish`, or by `fail` where that is not possible.
    pub scripts: Vec<Vec<Call>>,
}

/// The next side to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The driver handles the machine's events, then the application continues as far as it can.
    Round,
    /// The driver handles the machine's events.
    Driver,
    /// The application makes one call.
    Application,
    /// The driver reads without a request from the machine.
    ReadAhead,
    /// A millisecond passes.
    Tick,
}

/// Decides which side acts, and how far. [`Action::Round`] must occur again and again.
pub trait Schedule {
    /// The next move.
    fn action(&mut self) -> Action {
        Action::Round
    }

    /// The number of bytes for a read, from 1 to `most`; `at` bytes were read before.
    fn read(&mut self, at: usize, most: usize) -> usize {
        let _ = at;
        most
    }

    /// The number of bytes for a write, from 1 to `most`.
    fn write(&mut self, most: usize) -> usize {
        most
    }
}

/// All input arrives in one piece, and all output is written in one piece.
#[derive(Clone, Copy, Debug)]
pub struct Whole;

impl Schedule for Whole {}

/// Each read and each write has this number of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Pieces(pub usize);

impl Schedule for Pieces {
    fn read(&mut self, _at: usize, most: usize) -> usize {
        self.0.clamp(1, most)
    }

    fn write(&mut self, most: usize) -> usize {
        self.0.clamp(1, most)
    }
}

/// Reads end at these positions of the input, in ascending order.
#[derive(Clone, Debug)]
pub struct Cuts(pub Vec<usize>);

impl Schedule for Cuts {
    fn read(&mut self, at: usize, most: usize) -> usize {
        let cut = self.0.iter().copied().find(|&cut| cut > at);
        cut.map_or(most, |cut| (cut - at).min(most))
    }
}

/// Everything that is observable of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// All bytes written.
    pub output: Text,
    /// The events that were acknowledged, in order.
    pub events: Vec<Event>,
    /// One account per record.
    pub records: Vec<Account>,
    /// The application's observations, one per exchange.
    pub seen: Vec<Seen>,
    /// The close reason. `None`: taken over, or a wait without a deadline.
    pub reason: Option<CloseReason>,
}

impl Outcome {
    /// Returns the parts that differ in `other`, an outcome of the same scenario; `None` if it is the same.
    ///
    /// A record shows the bytes that arrived together with an invalid first byte. These may differ.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let parts = |outcome: &Self| {
            let Self { output, events, records, seen, reason } = outcome;
            [
                ("output", format!("{output:?}")),
                ("records", format!("{records:#?}")),
                ("seen", format!("{seen:#?}")),
                ("events", format!("{events:?}")),
                ("reason", format!("{reason:?}")),
            ]
        };
        let mut other = other.clone();
        for (mine, theirs) in self.records.iter().zip(&mut other.records) {
            if mine.shows_the_same_stray_bytes(theirs) {
                theirs.partial_request_line = mine.partial_request_line.clone();
            }
        }
        if *self == other {
            return None;
        }
        let both = parts(self).into_iter().zip(parts(&other)).filter(|(mine, theirs)| mine != theirs);
        Some(both.map(|((name, mine), (_, theirs))| format!("{name}:\n{mine}\nor\n{theirs}\n")).collect())
    }
}

/// The application's observations of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The request line.
    pub request_line: Text,
    /// The body bytes that were read.
    pub body: Text,
    /// Its trailers, once its end was read.
    pub trailers: Vec<(String, Text)>,
    /// Every error that a call returned.
    pub errors: Vec<Fault>,
    /// After a take-over: the bytes after the request, received or not.
    pub stream: Option<Text>,
}

/// An error of an application call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From reading.
    Body(BodyError),
    /// From starting.
    Start(StartError),
    /// From sending.
    Send(SendError),
}

/// The log's view of an exchange: all of a [`Record`] that does not depend on time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub request_line: Option<Text>,
    pub partial_request_line: Text,
    pub status: u16,
    pub body_length: u64,
    pub response_length: u64,
    pub refused: Option<RequestError>,
    pub lost: Option<Lost>,
    pub cut: bool,
}

impl Account {
    /// Whether both requests were refused for their first byte, and one shows more of the bytes after it.
    fn shows_the_same_stray_bytes(&self, other: &Self) -> bool {
        let refused = Some(RequestError::StrayByte);
        let (mine, theirs) = (&self.partial_request_line.0, &other.partial_request_line.0);
        let (less, more) = if mine.len() < theirs.len() { (mine, theirs) } else { (theirs, mine) };
        let shown = 1..=32;
        (self.refused, other.refused) == (refused, refused)
            && shown.contains(&less.len())
            && shown.contains(&more.len())
            && more.starts_with(less)
    }
}

impl From<Record> for Account {
    fn from(record: Record) -> Self {
        Self {
            request_line: record.head.map(|head| Text(head.request_line().to_vec())),
            partial_request_line: Text(record.partial_request_line),
            status: record.status,
            body_length: record.body_length,
            response_length: record.response_length,
            refused: record.refused,
            lost: record.lost,
            cut: record.cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(refused: RequestError, shown: &[u8], status: u16) -> Outcome {
        let account = Account {
            request_line: None,
            partial_request_line: Text(shown.to_vec()),
            status,
            body_length: 0,
            response_length: 0,
            refused: Some(refused),
            lost: None,
            cut: false,
        };
        Outcome { records: vec![account], ..Outcome::default() }
    }

    #[test]
    fn only_what_is_shown_behind_a_stray_byte_may_differ() {
        use RequestError::{RequestLine, StrayByte};
        let whole = outcome(StrayByte, b"\x16\x03\x01", 400);
        for (other, agrees) in [
            (outcome(StrayByte, b"\x16\x03\x01", 400), true),
            (outcome(StrayByte, b"\x16", 400), true),
            (outcome(StrayByte, b"\x16\x03\x01\x02", 400), true),
            (outcome(StrayByte, b"", 400), false),
            (outcome(StrayByte, b"\x16\x04", 400), false),
            (outcome(StrayByte, &[b"\x16\x03\x01".as_slice(), &[0; 30]].concat(), 400), false),
            (outcome(StrayByte, b"\x16", 501), false),
            (outcome(RequestLine, b"\x16", 400), false),
        ] {
            assert_eq!(whole.difference(&other).is_none(), agrees, "{other:?}");
            assert_eq!(other.difference(&whole).is_none(), agrees, "{other:?}");
        }
        let refused = outcome(RequestLine, b"GET", 400);
        assert!(refused.difference(&outcome(RequestLine, b"GE", 400)).is_some());
    }
}
