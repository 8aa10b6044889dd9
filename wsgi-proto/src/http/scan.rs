//! Finds the end of a head or trailer section, and checks line ends, size limits and the request line on the way.
//!
//! This is the only place that decides where a section ends. It looks for line ends once, remembers its position, and
//! judges every byte only by its position, so the result does not depend on how the input is split. A request line is
//! judged at its end, before any of the fields. If it exceeds a limit, it is judged at the byte that does so.

#[cfg(test)]
mod tests;

use crate::config::Limits;
use crate::error::RequestError;
use crate::http::request_line::{RequestLine, overrun};
use crate::http::token::is_token_byte;
use crate::http::word;

/// The number of empty lines that are ignored before a request line (RFC 9112, 2.2 recommends at least one).
const EMPTY_LINES: u32 = 8;

/// The number of bytes that are shown of a request line that is malformed or incomplete.
const SHOWN: usize = 32;

/// The progress of the search. Positions count from the first byte of the section.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    /// The end of the bytes that are judged.
    at: usize,
    /// The start of the current line.
    line: usize,
    /// The request line, once it has been read.
    request_line: RequestLine,
    /// The start of the field lines.
    fields_at: usize,
    /// The number of field lines seen.
    fields: usize,
    /// The number of empty lines seen before the request line.
    empty_lines: u32,
    /// The number of bytes of these empty lines that have not been skipped.
    skippable: usize,
    state: Looking,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Looking {
    #[default]
    RequestLine,
    Fields,
}

/// A complete section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Its request line. Meaningless in a trailer section.
    pub(crate) line: RequestLine,
    /// Its start, after the ignored empty lines.
    pub(crate) start: usize,
    /// Its end, after the last CRLF.
    pub(crate) end: usize,
    /// The number of its field lines.
    pub(crate) fields: usize,
}

impl Scan {
    /// Starts a search for the end of a trailer section, which has only field lines.
    pub(crate) fn trailers() -> Self {
        Self { state: Looking::Fields, ..Self::default() }
    }

    /// Whether no byte has been judged yet.
    pub(crate) fn is_new(&self) -> bool {
        self.at == 0 && self.empty_lines == 0
    }

    /// Begins after `empty_lines` empty lines, which were dropped.
    #[inline]
    pub(crate) fn begin(&mut self, empty_lines: u32) {
        debug_assert!(self.is_new(), "a search of another connection");
        self.empty_lines = empty_lines;
    }

    /// The number of empty lines seen before the request line.
    pub(crate) fn empty_lines(&self) -> u32 {
        self.empty_lines
    }

    /// Returns the number of bytes of ignored empty lines. The caller has to drop them, because the positions are
    /// adjusted.
    pub(crate) fn skip(&mut self) -> usize {
        if self.state == Looking::Fields {
            return 0;
        }
        let skipped = core::mem::take(&mut self.skippable);
        self.line -= skipped;
        self.at -= skipped;
        skipped
    }

    /// The part of the request line that the log shows if the request is refused: the whole line once its end was
    /// found. For a malformed or incomplete line, it is the first part of the judged bytes.
    pub(crate) fn request_line<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if self.state == Looking::Fields {
            return bytes.get(self.skippable..self.fields_at - 2).unwrap_or_default();
        }
        let judged = bytes.get(self.line..self.at).unwrap_or_default();
        let shown = &judged[..judged.len().min(SHOWN)];
        &shown[..find_line_break(shown).unwrap_or(shown.len())]
    }

    /// Whether a byte of a request has been seen. Empty lines before a request are not part of it.
    pub(crate) fn begun(&self, bytes: &[u8]) -> bool {
        // A carriage return may be the first half of an empty line.
        bytes.get(self.line).is_some_and(|&byte| byte != b'\r') || self.state == Looking::Fields
    }

    /// Searches the bytes that were added to `bytes`, which always begins with the first byte of the section.
    ///
    /// `None`: the end has not arrived.
    pub(crate) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Section>, RequestError> {
        // If all bytes together are below each limit, no limit has to be checked.
        let smallest = limits.field_line.min(limits.fields_size);
        let may_exceed = bytes.len() > smallest.saturating_sub(2);
        loop {
            if self.state == Looking::RequestLine && self.at == self.line && bytes.len() > self.line {
                // Nearly all request lines are valid and arrive whole. All others take the slow path below.
                if let Ok(line) = RequestLine::parse(&bytes[self.line..], limits) {
                    self.accept(line);
                    continue;
                }
                if !can_begin(bytes[self.line]) {
                    self.at = bytes.len();
                    return Err(RequestError::StrayByte);
                }
            }
            let found = find_line_break(&bytes[self.at..]).map(|found| self.at + found);
            let end = found.unwrap_or(bytes.len());
            match self.state {
                Looking::RequestLine => self.request_line_fits(&bytes[self.line..end], limits)?,
                Looking::Fields if may_exceed => self.field_fits(end, limits)?,
                Looking::Fields => {}
            }
            self.at = end;
            match (bytes.get(end), bytes.get(end + 1)) {
                (Some(b'\n'), _) => return Err(RequestError::BareLineFeed),
                (Some(_), Some(b'\n')) => {}
                (Some(_), Some(_)) => return Err(RequestError::BareCarriageReturn),
                (Some(_), None) | (None, _) => return Ok(None),
            }
            if let Some(section) = self.line_ended(bytes, end, limits)? {
                return Ok(Some(section));
            }
        }
    }

    /// Processes the line that ends with the CRLF at `end`.
    fn line_ended(
        &mut self,
        bytes: &[u8],
        end: usize,
        limits: &Limits,
    ) -> Result<Option<Section>, RequestError> {
        let (empty, next) = (end == self.line, end + 2);
        match (self.state, empty) {
            (Looking::RequestLine, true) => {
                self.empty_lines += 1;
                if self.empty_lines > EMPTY_LINES {
                    return Err(RequestError::EmptyLines);
                }
                self.skippable = next;
            }
            (Looking::RequestLine, false) => match RequestLine::parse(&bytes[self.line..], limits) {
                Ok(line) => {
                    self.accept(line);
                    return Ok(None);
                }
                Err(error) => {
                    if error != RequestError::RequestLine {
                        // The log shows the whole line.
                        (self.state, self.fields_at) = (Looking::Fields, next);
                    }
                    return Err(error);
                }
            },
            (Looking::Fields, _) => {
                if next - self.fields_at > limits.fields_size {
                    return Err(RequestError::FieldsTooLong(limits.fields_size));
                }
                if empty {
                    let (start, line) = (self.skippable, self.request_line);
                    return Ok(Some(Section { line, start, end: next, fields: self.fields }));
                }
                self.fields += 1;
                if self.fields > limits.fields {
                    return Err(RequestError::TooManyFields(limits.fields));
                }
            }
        }
        (self.line, self.at) = (next, next);
        Ok(None)
    }

    /// Accepts the request line at the start of the current line.
    fn accept(&mut self, request_line: RequestLine) {
        let next = self.line + request_line.length() + 2;
        self.request_line = request_line;
        self.state = Looking::Fields;
        (self.fields_at, self.line, self.at) = (next, next, next);
    }

    /// Checks that `line`, the part of a request line that has arrived, can still become valid.
    fn request_line_fits(&mut self, line: &[u8], limits: &Limits) -> Result<(), RequestError> {
        let Some(judged) = overrun(line, limits) else { return Ok(()) };
        self.at = self.line + judged;
        Err(RequestLine::parse(line, limits).err().unwrap_or(RequestError::RequestLine))
    }

    /// Checks that a field line that reaches at least to `end` is within the limits.
    fn field_fits(&self, end: usize, limits: &Limits) -> Result<(), RequestError> {
        // The limit that is exceeded first depends on the position, not on how much has arrived.
        let line_limit = self.line.saturating_add(limits.field_line.saturating_sub(2));
        let section_limit = self.fields_at.saturating_add(limits.fields_size.saturating_sub(2));
        if end > line_limit.min(section_limit) && end > self.line {
            return Err(if line_limit <= section_limit {
                RequestError::FieldTooLong(limits.field_line)
            } else {
                RequestError::FieldsTooLong(limits.fields_size)
            });
        }
        Ok(())
    }
}

/// The position of the first CR or LF. Most lines are short, and a call of `memchr` costs more than this search.
fn find_line_break(bytes: &[u8]) -> Option<usize> {
    let short = &bytes[..bytes.len().min(6 * word::SIZE)];
    let mut words = short.chunks_exact(word::SIZE);
    let mut at = 0;
    for bytes in &mut words {
        let bytes = word::of(bytes);
        let found = word::equal(bytes, b'\r') | word::equal(bytes, b'\n');
        if found != 0 {
            return Some(at + word::first(found));
        }
        at += word::SIZE;
    }
    if bytes.len() > short.len() {
        return memchr::memchr2(b'\r', b'\n', &bytes[at..]).map(|found| at + found);
    }
    words.remainder().iter().position(|byte| matches!(byte, b'\r' | b'\n')).map(|found| at + found)
}

/// Whether a request, or an empty line before it, can begin with `byte`. Nothing else is HTTP. The immediate answer
/// saves a TLS client the wait.
fn can_begin(byte: u8) -> bool {
    is_token_byte(byte) || byte == b'\r' || byte == b'\n'
}
