//! A log line in the making, and memory for lines.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use memchr::memchr;

use crate::http::date::LogTimeCache;

/// Memory for the lines of a log, one after the other: see [`LogFormat::line`](crate::LogFormat::line).
#[derive(Clone, Default)]
pub struct LogLine {
    pub(super) text: String,
    pub(super) time: LogTimeCache,
}

impl LogLine {
    /// Creates memory that holds nothing.
    pub const fn new() -> Self {
        Self { text: String::new(), time: LogTimeCache::new() }
    }
}

/// Shows only the length: the text may contain a client's bytes.
impl fmt::Debug for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLine").field("len", &self.text.len()).finish_non_exhaustive()
    }
}

/// Text under construction. Bytes are appended without a check each, and the whole is checked once.
///
/// Invariant: the bytes are UTF-8.
#[derive(Debug, Default)]
pub(super) struct Line(Vec<u8>);

impl Line {
    /// Continues `text`.
    pub(super) fn after(text: String) -> Self {
        Self(text.into_bytes())
    }

    pub(super) fn into_string(self) -> String {
        String::from_utf8(self.0).unwrap_or_else(|error| {
            debug_assert!(false, "only UTF-8 is appended");
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        })
    }

    pub(super) fn push_str(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Replaces the escapes `\x0a` from `start` on by those of JSON, `\u000a`. All other escapes are the same.
    pub(super) fn escape_as_json(&mut self, start: usize) {
        let mut at = start;
        while let Some(found) = memchr(b'\\', &self.0[at..]) {
            let letter = at + found + 1;
            if self.0.get(letter) == Some(&b'x') {
                self.0.splice(letter..=letter, *b"u00");
            }
            // The escaped character may be a backslash, too.
            at = (letter + 1).min(self.0.len());
        }
    }

    /// Appends ASCII text.
    pub(super) fn push(&mut self, ascii: &[u8]) {
        debug_assert!(ascii.is_ascii(), "not ASCII");
        self.0.extend_from_slice(ascii);
    }

    pub(super) fn repeat(&mut self, ascii: u8, times: usize) {
        self.0.resize(self.0.len() + times, ascii);
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
