//! The log of a server, and the sinks that it is written to.

use std::fmt;
use std::io::Write;

use wsgi_proto::Record;

use crate::sync::{Mutex, lock};

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
    /// Handles one entry. It is called from the connections' own tasks, so it should be quick.
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

/// Writes one line per entry; debug entries only if `debug` is on.
pub(crate) struct Lines<W> {
    writer: Mutex<W>,
    debug: bool,
}

impl<W: Write + Send + 'static> Lines<W> {
    pub(crate) fn new(writer: W, debug: bool) -> Self {
        Self { writer: Mutex::new(writer), debug }
    }
}

impl<W: Write + Send + 'static> Log for Lines<W> {
    fn log(&self, entry: &LogEntry<'_>) {
        if matches!(entry, LogEntry::Debug(_)) && !self.debug {
            return;
        }
        let mut line = String::with_capacity(entry.text().len() + 1);
        line.push_str(entry.text());
        line.push('\n');
        let mut writer = lock(&self.writer);
        // If the log cannot be written, there is nowhere to report that.
        let _ = writer.write_all(line.as_bytes());
    }
}

impl<W> fmt::Debug for Lines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("debug", &self.debug).finish_non_exhaustive()
    }
}
