//! The log of a server, and the sinks that it is written to.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use wsgi_proto::Record;

use crate::context::catch_panic::catch;
use crate::context::log_writer::{FLUSH, LogWriter};

/// One log entry. Client-supplied text in it is escaped, so one entry is one line.
///
/// ```
/// # use wsgi_app::{LogEntry, Options};
/// let options = Options::default().log(|entry| eprintln!("{}", entry.text()));
/// let accesses = Options::default().log(|entry| {
///     if let LogEntry::Access { record, .. } = entry {
///         println!("{} {:?}", record.status, record.elapsed);
///     }
/// });
/// # let _ = (options, accesses);
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum LogEntry<'a> {
    /// A request is over. `line` is formatted by `log_format`.
    Access {
        /// The record of the exchange.
        record: &'a Record,
        /// The access line.
        line: &'a str,
    },
    /// The server started or stopped.
    Info(&'a str),
    /// An application, a hook or a listener failed.
    Error(&'a str),
    /// A connection was accepted, timed out or was reset.
    Debug(&'a str),
}

impl LogEntry<'_> {
    /// The text of the entry.
    pub fn text(&self) -> &str {
        match self {
            Self::Access { line, .. } => line,
            Self::Info(text) | Self::Error(text) | Self::Debug(text) => text,
        }
    }
}

/// Shows only the kind and the length: the text may contain a client's bytes.
impl fmt::Debug for LogEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Access { .. } => "Access",
            Self::Info(_) => "Info",
            Self::Error(_) => "Error",
            Self::Debug(_) => "Debug",
        };
        write!(f, "{kind}({} bytes)", self.text().len())
    }
}

/// A sink for log entries, passed to a server with [`Options::logger`](crate::Options::logger). For a function or a
/// closure, use [`Options::log`](crate::Options::log).
pub trait Log: Send + Sync + 'static {
    /// Handles one entry. It is called by the task that makes the entry, mostly a connection's own. So it has to be
    /// quick: while it waits, for instance for a slow disk, no other connection of that thread is served. Logs that
    /// are written in lines ([`Options::log_to`](crate::Options::log_to)) have their own thread instead.
    fn log(&self, entry: &LogEntry<'_>);
}

impl<F: Fn(&LogEntry<'_>) + Send + Sync + 'static> Log for F {
    fn log(&self, entry: &LogEntry<'_>) {
        self(entry);
    }
}

/// Escapes the control characters of `text`, so that it stays on one line. Quotation marks and backslashes are kept:
/// messages use them around text, and in text that is already escaped.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => line.push(character),
            _ => line.extend(character.escape_debug()),
        }
    }
    line
}

/// The log of one server: the entries go to a [`Sink`], and access lines to a log of their own if there is one.
pub(crate) struct ServerLog {
    main: Arc<Sink>,
    /// Whether there are access entries.
    accesses: bool,
    access: Option<LogWriter>,
    /// Whether debug entries are written to a log of lines.
    debug: bool,
}

/// The destination of log entries.
pub(crate) enum Sink {
    Lines(LogWriter),
    /// The user's own log, called where the entry is made.
    Custom(Arc<dyn Log>),
}

impl ServerLog {
    pub(crate) fn new(
        main: Sink,
        access: Option<Box<dyn Write + Send>>,
        accesses: bool,
        debug: bool,
    ) -> Self {
        let main = Arc::new(main);
        let access = access.map(|writer| {
            // Not in the access log, where programs that read it expect only requests.
            let main = Arc::downgrade(&main);
            let report = move |text: &str| {
                main.upgrade().into_iter().for_each(|main| main.log(&LogEntry::Error(text)));
            };
            LogWriter::new(writer, Some(Box::new(report)))
        });
        Self { main, accesses, access, debug }
    }

    /// Whether access entries are passed to the user's own log, which may read any part of a record.
    pub(crate) fn passes_records(&self) -> bool {
        self.accesses && self.access.is_none() && matches!(*self.main, Sink::Custom(_))
    }

    /// Whether access entries are logged.
    #[inline]
    pub(crate) fn logs_accesses(&self) -> bool {
        self.accesses
    }

    /// Whether debug entries are of use.
    pub(crate) fn debugs(&self) -> bool {
        self.debug || matches!(*self.main, Sink::Custom(_))
    }

    #[inline]
    pub(crate) fn log(&self, entry: &LogEntry<'_>) {
        match &self.access {
            Some(access) if matches!(entry, LogEntry::Access { .. }) => access.push(entry.text()),
            _ => self.main.log(entry),
        }
    }

    /// Ready when all lines are written.
    pub(crate) fn poll_flushed(&self, context: &mut Context<'_>) -> Poll<()> {
        let writers = [self.access.as_ref(), self.main.writer()];
        let pending =
            writers.into_iter().flatten().filter(|writer| writer.poll_flushed(context).is_pending());
        if pending.count() > 0 { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Waits until all lines are written, at most [`FLUSH`].
    pub(crate) fn flush(&self) {
        let until = Instant::now() + FLUSH;
        // The access log first: it may report dropped lines in the other one.
        [self.access.as_ref(), self.main.writer()]
            .into_iter()
            .flatten()
            .for_each(|writer| writer.flush(until));
    }
}

/// A server that was dropped writes its last lines, too.
impl Drop for ServerLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Sink {
    fn log(&self, entry: &LogEntry<'_>) {
        match self {
            Self::Lines(writer) => writer.push(entry.text()),
            // A panic of the log must not end a connection or the server, and there is nowhere to report it.
            Self::Custom(log) => _ = catch(|| log.log(entry)),
        }
    }

    fn writer(&self) -> Option<&LogWriter> {
        match self {
            Self::Lines(writer) => Some(writer),
            Self::Custom(_) => None,
        }
    }
}
