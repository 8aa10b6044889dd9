//! Where a server's log goes.

use std::fmt;
use std::io::Write;

use wsgi_proto::Record;

use crate::sync::{Mutex, lock};

/// One entry of the log. Client-supplied text in it is escaped: one entry is one line.
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
    /// A request is over. `line` is made by `log_format`.
    Access {
        /// The account of the exchange.
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

/// Its kind and its length: what it says may be a client's.
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

/// Something that takes log entries, given to a server with [`Options::logger`](crate::Options::logger). For a function
/// or a closure there is [`Options::log`](crate::Options::log).
pub trait Log: Send + Sync + 'static {
    /// Takes one entry. Called from the connections' own tasks: it should be quick.
    fn log(&self, entry: &LogEntry<'_>);
}

impl<F: Fn(&LogEntry<'_>) + Send + Sync + 'static> Log for F {
    fn log(&self, entry: &LogEntry<'_>) {
        self(entry);
    }
}

/// `text` with its control characters escaped, so that it stays on its line. Quotation marks and backslashes are left
/// alone: messages have them around and in what they have escaped already.
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

/// Writes each entry as a line; debug entries only when told.
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
        // There is nowhere to tell that the log cannot be written.
        let _ = writer.write_all(line.as_bytes());
    }
}

impl<W> fmt::Debug for Lines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("debug", &self.debug).finish_non_exhaustive()
    }
}
