//! What a whole run is made of: a client's bytes, a scripted application, a schedule that says who moves next.
//!
//! [`play`](super::play::play) plays a [`Scenario`] by a [`Schedule`] and gives the [`Outcome`]: all that the client,
//! the application and the log could tell apart. Of one scenario every schedule has to give the same outcome.

use core::fmt;
use std::sync::Arc;

use wsgi_proto::{BodyError, CloseReason, Config, Event, Lost, Record, RequestError, SendError, StartError};

/// Bytes that show themselves as text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(pub Vec<u8>);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// One call of an application. Those that would wait are made again until they are done.
#[derive(Clone, Debug)]
pub enum Call {
    /// Reads until so many bytes of the body were read in all, it ends, or it fails.
    Read(usize),
    /// Waits until there is something to read, and leaves it there.
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
    /// `send` of so many bytes, borrowed.
    Send(usize),
    /// `send` of so many bytes, owned.
    Give(usize),
    /// `send` of all that was read.
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
    /// `refuse` with the error that reading ended in, if it did.
    Refuse,
    /// `take_over`.
    TakeOver,
}

/// What is played.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Settings of the connection.
    pub config: Arc<Config>,
    /// All that the client sends.
    pub input: Text,
    /// Whether the client closes its half after `input`; if not, it falls silent and the deadlines pass.
    pub eof: bool,
    /// What the application does with its first request, its second, and so on, over again. A script that ends
    /// before the exchange does is followed by `finish`, or `fail` where that is not possible.
    pub scripts: Vec<Vec<Call>>,
}

/// Who moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The driver does what the machine says, then the application goes on as far as it can.
    Round,
    /// The driver does what the machine says.
    Driver,
    /// The application makes one call.
    Application,
    /// The driver reads although nobody asked for it.
    ReadAhead,
    /// A millisecond passes.
    Tick,
}

/// Decides who moves, and how far. [`Action::Round`] has to come again and again.
pub trait Schedule {
    /// The next move.
    fn action(&mut self) -> Action {
        Action::Round
    }

    /// How many bytes of 1 to `most` a read brings; `at` were read before.
    fn read(&mut self, at: usize, most: usize) -> usize {
        let _ = at;
        most
    }

    /// How many bytes of 1 to `most` a write takes.
    fn write(&mut self, most: usize) -> usize {
        most
    }
}

/// Everything is there at once and goes out at once.
#[derive(Clone, Copy, Debug)]
pub struct Whole;

impl Schedule for Whole {}

/// Each read brings so many bytes, each write takes as many.
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

/// Reads end at these places of the input, in rising order.
#[derive(Clone, Debug)]
pub struct Cuts(pub Vec<usize>);

impl Schedule for Cuts {
    fn read(&mut self, at: usize, most: usize) -> usize {
        let cut = self.0.iter().copied().find(|&cut| cut > at);
        cut.map_or(most, |cut| (cut - at).min(most))
    }
}

/// All that a run shows to anyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// All bytes written.
    pub output: Text,
    /// The events that were acknowledged, in order.
    pub events: Vec<Event>,
    /// One account a record.
    pub records: Vec<Account>,
    /// What the application saw, one an exchange.
    pub seen: Vec<Seen>,
    /// How it ended. `None`: taken over, or a wait without a deadline.
    pub reason: Option<CloseReason>,
}

impl Outcome {
    /// Where `other`, of the same scenario, differs; `None` when it does not.
    ///
    /// What had arrived together with a first byte that cannot begin a request is shown in its record, and may differ.
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

/// What an application can tell of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The request line.
    pub request_line: Text,
    /// What was read of the body.
    pub body: Text,
    /// Its trailers, once its end was read.
    pub trailers: Vec<(String, Text)>,
    /// Every error that a call gave.
    pub errors: Vec<Fault>,
    /// After a take-over: the bytes that follow the request, received or not.
    pub stream: Option<Text>,
}

/// An error that a call of the application gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From reading.
    Body(BodyError),
    /// From starting.
    Start(StartError),
    /// From sending.
    Send(SendError),
}

/// What is left of an exchange for the log: all of a [`Record`] that does not depend on time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of Record")]
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
    /// Whether both requests were refused for their first byte, and one shows more of what followed it.
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
