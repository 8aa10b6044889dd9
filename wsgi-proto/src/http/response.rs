//! The head of a response: the rules of `start_response`, and the choice of framing (RFC 9112, 6; PEP 3333).

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::{fmt, mem};

use crate::config::Config;

use crate::http::response_lines::{parse_status, status_line, write_field};

use crate::error::{Rejected, StartError};
use crate::http::field::Field;
use crate::http::token::{decimal, is_name, list, trim};
use crate::version::Version;

/// How the end of a response body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No head has been sent.
    Undecided,
    /// The given number of bytes is still to be sent.
    Length(u64),
    Chunked,
    /// The body ends with the connection.
    UntilClose,
    /// There is no body, whatever the application sends.
    Bodyless,
}

/// The response that the application has started. Its head is kept here, so that it can be replaced until something is
/// sent.
pub(crate) struct Reply {
    head: ResponseHead,
    pub(crate) framing: Framing,
    /// The length of the whole body, if the application specified it by other means than a field.
    pub(crate) total: Option<u64>,
    /// `Content-Length` as sent; for the error message.
    pub(crate) length: u64,
    /// Blocks that are joined up to the minimum chunk size.
    pub(crate) joined: Vec<u8>,
    pub(crate) minimum_chunk_size: usize,
    /// Trailer fields in wire format.
    pub(crate) trailers: Vec<u8>,
}

/// The memory for the head of a response: [`write`](Self::write) turns it into a [`ResponseHead`]. It does not belong
/// to an exchange, so an application's iterator does not have to run while a connection is locked.
pub struct Draft {
    text: Vec<u8>,
    version: Version,
    capitalize: bool,
}

/// The status line and fields of a response, checked and in wire format, for
/// [`Exchange::answer_with`](crate::Exchange::answer_with) and [`Exchange::respond_with`](crate::Exchange::respond_with).
///
/// A head that is needed repeatedly can be made once and passed by reference, so that nothing is checked twice and
/// nothing is allocated. It does not belong to an exchange or a connection; each response gets its own `Date`,
/// `Content-Length`, `Connection` and version.
///
/// ```
/// # use wsgi_proto::*;
/// let kept = ResponseHead::new(&Config::default(), "200 OK", [("Content-Type", "text/plain")])?;
/// # fn handle(exchange: &mut Exchange<'_>, kept: &ResponseHead) -> Result<(), AnswerError> {
/// exchange.answer_with(kept, "Hello\n")
/// # }
/// # Ok::<(), StartError>(())
/// ```
#[derive(Clone)]
pub struct ResponseHead {
    text: Vec<u8>,
    info: ResponseInfo,
    version: Version,
}

/// The properties of a head that affect what the server adds to it. They are noted while its lines are written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResponseInfo {
    /// The code of the status; 0 if there is no head.
    pub(crate) status: u16,
    pub(crate) content_length: Option<u64>,
    content_type: bool,
    date: bool,
    close: bool,
    /// Whether `Upgrade` was sent, or listed in `Connection`.
    upgrade: bool,
}

/// The properties of an exchange that affect its framing, when the head is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FramingContext {
    pub(crate) is_head_request: bool,
    /// Whether the peer supports chunked coding and the server may use it.
    pub(crate) may_chunk: bool,
    /// Whether everything except the response allows the connection to be reused.
    pub(crate) persist: bool,
    /// Whether to announce to the peer that the connection is reused.
    pub(crate) announce_keep_alive: bool,
    /// Seconds for `Keep-Alive: timeout=`.
    pub(crate) keep_alive_timeout: Option<u64>,
    /// The length of the whole body, if the application specified it by other means than a field.
    pub(crate) total: Option<u64>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            head: ResponseHead { text: Vec::new(), info: ResponseInfo::default(), version: Version::Http11 },
            framing: Framing::Undecided,
            total: None,
            length: 0,
            joined: Vec::new(),
            minimum_chunk_size: 0,
            trailers: Vec::new(),
        }
    }
}

impl Reply {
    /// Prepares for the next exchange and keeps the memory.
    pub(crate) fn reset(&mut self, minimum_chunk_size: usize) {
        self.forget();
        self.framing = Framing::Undecided;
        self.total = None;
        self.length = 0;
        self.joined.clear();
        self.trailers.clear();
        self.minimum_chunk_size = minimum_chunk_size;
    }

    /// Discards the started response.
    pub(crate) fn forget(&mut self) {
        self.head.text.clear();
        self.head.info = ResponseInfo::default();
    }

    pub(crate) fn is_started(&self) -> bool {
        self.status() != 0
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.info.status
    }

    pub(crate) fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Returns a draft for a head. It uses the memory of the current head if no response is started.
    pub(crate) fn draft(&mut self, version: Version, capitalize: bool) -> Draft {
        let memory = if self.is_started() { Vec::new() } else { mem::take(&mut self.head.text) };
        Draft { text: memory, version, capitalize }
    }

    /// Starts or replaces the response. `version` is that of the connection.
    pub(crate) fn start(&mut self, head: Cow<'_, ResponseHead>, version: Version) {
        match head {
            Cow::Owned(head) => self.head = head,
            Cow::Borrowed(head) => {
                self.head.text.clear();
                self.head.text.extend_from_slice(&head.text);
                (self.head.info, self.head.version) = (head.info, head.version);
            }
        }
        self.head.set_version(version);
    }

    /// Swaps the memory of the head with `memory`.
    pub(crate) fn swap_memory(&mut self, memory: &mut Vec<u8>) {
        self.forget();
        if self.joined.capacity() | self.trailers.capacity() > 0 {
            (self.joined, self.trailers) = (Vec::new(), Vec::new());
        }
        mem::swap(&mut self.head.text, memory);
    }

    /// Notes a response that started without a draft: its head is in the outbox. `head` is kept for the record.
    pub(crate) fn note(&mut self, info: ResponseInfo, framing: Framing, head: Option<&[u8]>) {
        self.head.info = info;
        self.framing = framing;
        if let Framing::Length(length) = framing {
            self.length = length;
        }
        if let Some(head) = head {
            self.head.text.clear();
            self.head.text.extend_from_slice(head);
        }
    }

    pub(crate) fn head_bytes(&self) -> &[u8] {
        &self.head.text
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("version", &self.version).finish_non_exhaustive()
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.info.status)
            .field("length", &self.text.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("head", &self.head)
            .field("framing", &self.framing)
            .field("total", &self.total)
            .field("joined", &self.joined.len())
            .finish_non_exhaustive()
    }
}

impl Draft {
    /// Writes the status (`"200 OK"`) and the fields.
    ///
    /// # Errors
    ///
    /// The status or a field is not allowed by HTTP.
    pub fn write(
        self,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>,
    ) -> Result<ResponseHead, StartError> {
        let Self { mut text, version, capitalize } = self;
        text.clear();
        let info = ResponseInfo::write(&mut text, version, capitalize, status, headers)?;
        Ok(ResponseHead { text, info, version })
    }
}

impl ResponseHead {
    /// Makes a head of a status (`"200 OK"`) and fields, for connections with this `config`.
    ///
    /// # Errors
    ///
    /// The status or a field is not allowed by HTTP.
    pub fn new(
        config: &Config,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>,
    ) -> Result<Self, StartError> {
        let (version, capitalize) = (config.max_http_version, config.capitalize_response_headers);
        Draft { text: Vec::new(), version, capitalize }.write(status, headers)
    }

    /// A head whose lines have been written for a connection of this `version`.
    pub(crate) fn written(text: Vec<u8>, info: ResponseInfo, version: Version) -> Self {
        Self { text, info, version }
    }

    pub(crate) fn info(&self) -> ResponseInfo {
        self.info
    }

    #[inline]
    /// Appends the lines to `out`, with the version of the connection.
    pub(crate) fn copy_to(&self, out: &mut Vec<u8>, version: Version) {
        let from = out.len();
        // The server adds some lines.
        out.reserve(self.text.len() + ADDED);
        out.extend_from_slice(&self.text);
        if self.version != version {
            write_version(&mut out[from..], version);
        }
    }

    fn set_version(&mut self, version: Version) {
        if self.version != version {
            // The head was made for a server with another version.
            write_version(&mut self.text, version);
            self.version = version;
        }
    }
}

impl From<ResponseHead> for Cow<'_, ResponseHead> {
    fn from(head: ResponseHead) -> Self {
        Self::Owned(head)
    }
}

impl<'a> From<&'a ResponseHead> for Cow<'a, ResponseHead> {
    fn from(head: &'a ResponseHead) -> Self {
        Self::Borrowed(head)
    }
}

/// Overwrites the version in a status line.
fn write_version(line: &mut [u8], version: Version) {
    line[..version.as_str().len()].copy_from_slice(version.as_str().as_bytes());
}

/// The space for the lines that the server adds to most heads.
const ADDED: usize = 128;

impl ResponseInfo {
    /// Appends the status line and the fields to `out`. After an error, `out` ends with some of them.
    pub(crate) fn write(
        out: &mut Vec<u8>,
        version: Version,
        capitalize: bool,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>,
    ) -> Result<Self, StartError> {
        let from = out.len();
        let mut info = Self { status: final_status(status)?, ..Self::default() };
        status_line(out, version, status);
        for field in headers {
            info.field(out, from, capitalize, field.name(), field.value())?;
        }
        Ok(info)
    }

    /// Appends one field to the head in `out`, which begins at `from`.
    fn field(
        &mut self,
        out: &mut Vec<u8>,
        from: usize,
        capitalize: bool,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), StartError> {
        let value = trim(value);
        let before = out.len();
        write_field(out, capitalize, name, value)?;
        match name.len() {
            // RFC 9110, 5.3: only list fields may be sent twice. For `Date` and `Content-Type`, the last one counts.
            4 if is_name(name, b"date") => {
                let again = mem::replace(&mut self.date, true);
                if again {
                    remove_first(out, from, name, before);
                }
            }
            // RFC 9110, 7.8: the sender of Upgrade also lists it in Connection.
            7 => self.upgrade |= is_name(name, b"upgrade"),
            10 if is_name(name, b"connection") => {
                // The server writes this field itself, but respects the options of the application.
                for option in list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                }
                out.truncate(before);
            }
            10 if is_name(name, b"keep-alive") => out.truncate(before),
            12 if is_name(name, b"content-type") => {
                let again = mem::replace(&mut self.content_type, true);
                if again {
                    remove_first(out, from, name, before);
                }
            }
            14 if is_name(name, b"content-length") => {
                let Some(length) = decimal(value) else {
                    return Err(StartError::ContentLength(Rejected::content_length(value)));
                };
                if self.content_length.replace(length).is_some() {
                    return Err(StartError::ContentLength(Rejected::content_length_again(value)));
                }
                // RFC 9110, 8.6: not allowed in a 204 or an interim response. The length of a 205 is known.
                if matches!(self.status, 101 | 204 | 205) {
                    out.truncate(before);
                }
            }
            17 if is_name(name, b"transfer-encoding") => {
                return Err(StartError::TransferEncoding);
            }
            _ => {}
        }
        Ok(())
    }

    /// The `Content-Length` that the server adds to a response without a body. That of a response to a HEAD is the one
    /// that a GET would get.
    #[cold]
    fn length_without_body(&self, given: FramingContext) -> Option<u64> {
        match self.status {
            205 => Some(0),
            101 | 204 | 304 => None,
            _ if self.content_length.is_some() => None,
            _ => given.total.filter(|&length| length > 0),
        }
    }

    /// Completes the head at the end of `out` with the lines that the server adds. Returns the framing, and whether the
    /// connection persists.
    pub(crate) fn complete(
        &self,
        out: &mut Vec<u8>,
        given: FramingContext,
        date_line: &[u8; 37],
    ) -> (Framing, bool) {
        let Self { status, content_length, date, close, upgrade, .. } = *self;
        let (framing, added) = match (content_length, given.total) {
            _ if is_bodyless(status, given.is_head_request) => {
                (Framing::Bodyless, self.length_without_body(given))
            }
            (Some(length), _) => (Framing::Length(length), None),
            (None, Some(length)) => (Framing::Length(length), Some(length)),
            (None, None) if given.may_chunk => (Framing::Chunked, None),
            (None, None) => (Framing::UntilClose, None),
        };
        if let Some(length) = added {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(out, length);
        }
        if !date {
            out.extend_from_slice(date_line);
        }
        if framing == Framing::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if status == 101 {
            // RFC 9110, 7.8: there is no HTTP on this connection after a 101, so no other option is sent.
            out.extend_from_slice(b"Connection: Upgrade\r\n\r\n");
            return (framing, false);
        }
        let persist = given.persist && !close && framing != Framing::UntilClose;
        if !persist || upgrade || given.announce_keep_alive {
            connection_line(out, persist, upgrade, given);
        }
        out.extend_from_slice(b"\r\n");
        (framing, persist)
    }
}

#[cold]
fn push_large_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a number and CRLF.
#[inline]
fn push_decimal(out: &mut Vec<u8>, number: u64) {
    if number >= 1_000_000 {
        return push_large_decimal(out, number);
    }
    // At most eight bytes: a word, built from its end, whose copy is cheaper than that of a few bytes.
    let (mut word, mut left, mut end) =
        (u64::from(u16::from_le_bytes(*b"\r\n")), number as u32, out.len() + 2);
    loop {
        word = word << 8 | u64::from(b'0' as u32 + left % 10);
        left /= 10;
        end += 1;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

/// Appends the `Connection` field, which is not empty, and `Keep-Alive`.
fn connection_line(out: &mut Vec<u8>, persist: bool, upgrade: bool, given: FramingContext) {
    out.extend_from_slice(match (persist, upgrade) {
        (false, false) => b"Connection: close\r\n",
        (false, true) => b"Connection: upgrade, close\r\n",
        (true, true) if given.announce_keep_alive => b"Connection: upgrade, keep-alive\r\n",
        (true, true) => b"Connection: upgrade\r\n",
        (true, false) => b"Connection: keep-alive\r\n",
    });
    if let (true, true, Some(seconds)) = (persist, given.announce_keep_alive, given.keep_alive_timeout) {
        out.extend_from_slice(b"Keep-Alive: timeout=");
        push_decimal(out, seconds);
    }
}

/// Whether a response with this status and method has no body (RFC 9112, 6.3).
fn is_bodyless(status: u16, is_head_request: bool) -> bool {
    // RFC 9110, 15.3.6: a 205 has no body either; its length is 0.
    is_head_request || matches!(status, 101 | 204 | 205 | 304)
}

/// The code of the status of a final response.
fn final_status(status: &str) -> Result<u16, StartError> {
    match parse_status(status) {
        Some(code @ (101 | 200..=599)) => Ok(code),
        Some(100..200) => Err(StartError::Status(Rejected::not_final(status))),
        _ => Err(StartError::Status(Rejected::status(status))),
    }
}

/// Removes the first line of the field `name` in the head that begins at `from`. `end` is the start of the line that
/// replaces it.
///
/// Few responses have such a field twice, so the line is searched for instead of storing its position.
#[cold]
fn remove_first(out: &mut Vec<u8>, from: usize, name: &[u8], end: usize) {
    let mut start = from;
    for line in out[from..end].split_inclusive(|&byte| byte == b'\n') {
        let next = start + line.len();
        if line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name) {
            out.drain(start..next);
            return;
        }
        start = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::response_lines::interim;
    use alloc::format;
    use alloc::string::{String, ToString};

    #[test]
    fn a_length_is_decimal() {
        for length in [0, 9, 10, 13, 999_999, 1_000_000, 12_345_678, u64::MAX] {
            let mut out = Vec::from(b"a");
            push_decimal(&mut out, length);
            assert_eq!(out, format!("a{length}\r\n").as_bytes());
        }
    }

    const DATE: &[u8; 37] = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

    const GIVEN: FramingContext = FramingContext {
        is_head_request: false,
        may_chunk: true,
        persist: true,
        announce_keep_alive: false,
        keep_alive_timeout: None,
        total: None,
    };

    fn sealed(
        status: &str,
        headers: &[(&str, &str)],
        total: Option<u64>,
        given: FramingContext,
    ) -> Result<(String, Framing, bool), StartError> {
        let mut out = Vec::new();
        let info = ResponseInfo::write(&mut out, Version::Http11, true, status, headers)?;
        let (framing, persist) = info.complete(&mut out, FramingContext { total, ..given }, DATE);
        let text = String::from_utf8(out).unwrap();
        let text = text.replace("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "").replace("\r\n", "|");
        Ok((text.trim_end_matches("||").into(), framing, persist))
    }

    #[test]
    fn framing_follows_from_status_length_and_version() {
        let old = FramingContext { may_chunk: false, ..GIVEN };
        let head = FramingContext { is_head_request: true, ..GIVEN };
        for (status, headers, total, given, wanted) in [
            (
                "200 OK",
                &[][..],
                Some(5),
                GIVEN,
                ("HTTP/1.1 200 OK|Content-Length: 5", Framing::Length(5), true),
            ),
            (
                "200 OK",
                &[("content-LENGTH", "3")],
                Some(5),
                GIVEN,
                ("HTTP/1.1 200 OK|Content-Length: 3", Framing::Length(3), true),
            ),
            (
                "200 OK",
                &[],
                None,
                GIVEN,
                ("HTTP/1.1 200 OK|Transfer-Encoding: chunked", Framing::Chunked, true),
            ),
            ("200 OK", &[], None, old, ("HTTP/1.1 200 OK|Connection: close", Framing::UntilClose, false)),
            ("200 OK", &[], Some(5), head, ("HTTP/1.1 200 OK|Content-Length: 5", Framing::Bodyless, true)),
            ("200 OK", &[], Some(0), head, ("HTTP/1.1 200 OK", Framing::Bodyless, true)),
            (
                "204 No Content",
                &[("Content-Length", "5")],
                Some(5),
                GIVEN,
                ("HTTP/1.1 204 No Content", Framing::Bodyless, true),
            ),
            (
                "205 Reset",
                &[("Content-Length", "5")],
                Some(5),
                GIVEN,
                ("HTTP/1.1 205 Reset|Content-Length: 0", Framing::Bodyless, true),
            ),
            (
                "304 Not Modified",
                &[("Content-Length", "5")],
                None,
                GIVEN,
                ("HTTP/1.1 304 Not Modified|Content-Length: 5", Framing::Bodyless, true),
            ),
            (
                "200",
                &[("connection", "x, Close")],
                Some(0),
                GIVEN,
                ("HTTP/1.1 200 |Content-Length: 0|Connection: close", Framing::Length(0), false),
            ),
            (
                "101 S",
                &[("upgrade", "a"), ("connection", "upgrade")],
                None,
                GIVEN,
                ("HTTP/1.1 101 S|Upgrade: a|Connection: Upgrade", Framing::Bodyless, false),
            ),
        ] {
            let (text, framing, persist) = sealed(status, headers, total, given).unwrap();
            assert_eq!((text.as_str(), framing, persist), wanted, "{status} {headers:?}");
        }
    }

    #[test]
    fn the_last_date_and_the_last_content_type_count() {
        for (headers, lines) in [
            (&[("Date", "1"), ("Date", "2")][..], "|Date: 2"),
            (&[("Date", "1"), ("X", "y"), ("dATE", "2"), ("date", "3")], "|X: y|Date: 3"),
            (
                &[("Content-Type", "a"), ("X", "Content-Type: b"), ("content-type", "c")],
                "|X: Content-Type: b|Content-Type: c",
            ),
            (
                &[("Date", "1"), ("Content-Type", "a"), ("Date", "2"), ("Content-Type", "b"), ("Date", "3")],
                "|Content-Type: b|Date: 3",
            ),
            (
                &[("Dates", "1"), ("Data", "2"), ("Content-Typo", "3"), ("X-Date", "4")],
                "|Dates: 1|Data: 2|Content-Typo: 3|X-Date: 4",
            ),
            (&[("Date", ""), ("Date", "")], "|Date: "),
        ] {
            let head = ResponseHead::new(&Config::default(), "200 Date: 0", headers.iter().copied()).unwrap();
            let text = String::from_utf8(head.text).unwrap().replace("\r\n", "|");
            assert_eq!(
                text.trim_end_matches('|'),
                alloc::format!("HTTP/1.1 200 Date: 0{lines}"),
                "{headers:?}"
            );
        }
        let config = Config { capitalize_response_headers: false, ..Config::default() };
        let head = ResponseHead::new(&config, "200 OK", [("date", "1"), ("DATE", "2")]).unwrap();
        assert_eq!(head.text, b"HTTP/1.1 200 OK\r\nDATE: 2\r\n");
    }

    #[test]
    fn an_upgrade_is_listed_in_connection_once() {
        let heard = FramingContext { announce_keep_alive: true, ..GIVEN };
        let last = FramingContext { persist: false, ..heard };
        for (headers, given, options) in [
            (&[][..], GIVEN, ""),
            (&[("Upgrade", "a")], GIVEN, "|Connection: upgrade"),
            (&[("Upgrade", "a")], heard, "|Connection: upgrade, keep-alive"),
            (&[("Upgrade", "a")], last, "|Connection: upgrade, close"),
            (&[("upGRADE", "a"), ("Connection", "close")], heard, "|Connection: upgrade, close"),
            (
                &[("Connection", "keep-alive, UPGRADE"), ("Upgrade", "a")],
                heard,
                "|Connection: upgrade, keep-alive",
            ),
            (&[("Upgrade", "a"), ("Upgrade", "b"), ("Connection", "upgrade")], GIVEN, "|Connection: upgrade"),
            (&[("Upgraded", "a"), ("Upgrades", "a")], GIVEN, ""),
        ] {
            let (text, ..) = sealed("426 Upgrade Required", headers, Some(0), given).unwrap();
            let (_, after) = text.split_once("|Content-Length: 0").unwrap();
            assert_eq!(after, options, "{headers:?}");
        }
    }

    #[test]
    fn what_http_does_not_allow_is_not_started() {
        let ok = "200 OK";
        let long = "a".repeat(64);
        let (longer, shown) = (long.clone() + "b", format!("header name \"{long}\"... is malformed"));
        for (status, headers, message) in [
            ("20 OK", &[][..], r#"status "20 OK" is malformed"#),
            ("2000 OK", &[], r#"status "2000 OK" is malformed"#),
            ("abc", &[], r#"status "abc" is malformed"#),
            ("", &[], r#"status "" is malformed"#),
            ("100 Continue", &[], r#"status "100 Continue" is interim ("#),
            ("600 X", &[], r#"status "600 X" is malformed"#),
            ("200 O\r\nX: 1", &[], r#"status "200 O\r\nX: 1" is malformed"#),
            (ok, &[("A b", "")], r#"header name "A b" is malformed"#),
            (ok, &[("", "")], r#"header name "" is malformed"#),
            (ok, &[("A\r\nB", "")], r#"header name "A\r\nB" is malformed"#),
            (ok, &[(&(longer.clone() + ":"), "")], &shown),
            (ok, &[("A", "b\r\nC: d")], r#"header `A` has a value with a line feed: "b\r\nC: d" ("#),
            (ok, &[("A", "b\rc")], r#"header `A` has a value with a carriage return: "b\rc" ("#),
            (ok, &[("A", "\0")], r#"header `A` has a value with a null byte: "\x00" ("#),
            (ok, &[("A", "\x1b[0m")], r#"header `A` has a value with a control character: "\x1b[0m" ("#),
            (ok, &[("Content-Length", "5, 5")], r#"header `Content-Length` is malformed: "5, 5" ("#),
            (
                ok,
                &[("Content-Length", "5"), ("content-length", "6")],
                r#"header `Content-Length` is repeated: "6" ("#,
            ),
            (ok, &[("Transfer-Encoding", "chunked")], "header `Transfer-Encoding` is not allowed ("),
        ] {
            let error = sealed(status, headers, None, GIVEN).unwrap_err().to_string();
            assert!(error.starts_with(message), "{status:?} {headers:?}: {error}");
        }
    }

    #[test]
    fn names_are_capitalised_and_values_left_alone() {
        let (text, ..) =
            sealed("200 oK", &[("sOMe-WEirD", "vALue"), ("x-FOO_bar", "")], Some(1), GIVEN).unwrap();
        assert_eq!(text, "HTTP/1.1 200 oK|Some-Weird: vALue|X-Foo_bar: |Content-Length: 1");
    }

    #[test]
    fn an_interim_response_has_no_framing() {
        let mut out = Vec::new();
        assert_eq!(interim(&mut out, true, "103 Early Hints", [("link", "</a>")]), Ok(103));
        assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        for (status, name, message) in [
            ("101 S", "a", r#"status "101 S" is not interim ("#),
            ("200 OK", "a", r#"status "200 OK" is not interim ("#),
            ("103 E", "content-length", "header `Content-Length` is not allowed in an interim response"),
        ] {
            let error = interim(&mut Vec::new(), true, status, [(name, "1")]).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
