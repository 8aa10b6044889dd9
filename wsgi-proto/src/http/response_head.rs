//! The head of a response as the application gives it: the rules of `start_response`.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::{fmt, mem};

use crate::config::Config;
use crate::error::{Rejected, StartError};
use crate::http::field::Field;
use crate::http::response_lines::{parse_status, status_line, write_field};
use crate::http::token::{decimal, is_name, list, trim};
use crate::version::Version;

/// The memory for the head of a response: [`write`](Self::write) turns it into a [`ResponseHead`]. It does not belong
/// to an exchange, so an application's iterator does not have to run while a connection is locked.
pub struct Draft {
    pub(crate) text: Vec<u8>,
    pub(crate) version: Version,
    pub(crate) capitalize: bool,
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
    pub(crate) text: Vec<u8>,
    pub(crate) info: ResponseInfo,
    pub(crate) version: Version,
}

/// The properties of a head that affect what the server adds to it. They are noted while its lines are written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResponseInfo {
    /// The code of the status; 0 if there is no head.
    pub(crate) status: u16,
    pub(crate) content_length: Option<u64>,
    content_type: bool,
    pub(crate) date: bool,
    /// Whether `Connection` lists `close`.
    pub(crate) close: bool,
    /// Whether `Upgrade` was sent, or listed in `Connection`.
    pub(crate) upgrade: bool,
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

    /// The status, such as `200 OK`.
    pub fn status(&self) -> &str {
        let line = self.lines().next().and_then(|line| line.get(self.version.as_str().len()..));
        // It was a `str`.
        line.and_then(|status| core::str::from_utf8(status).ok()).unwrap_or_default().trim_ascii()
    }

    /// The names and values of the fields, in order: those that the server keeps, with names as they are sent. The options
    /// of `Connection` are a last field.
    ///
    /// ```
    /// # use wsgi_proto::*;
    /// let headers = [("connection", "close, x"), ("content-type", "text/plain")];
    /// let head = ResponseHead::new(&Config::default(), "200 OK", headers)?;
    /// assert_eq!(head.status(), "200 OK");
    /// let wanted: [(&[u8], &[u8]); 2] =
    ///     [(b"Content-Type", b"text/plain"), (b"Connection", b"close")];
    /// assert!(head.fields().eq(wanted));
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let options: Option<&[u8]> = match (self.info.close, self.info.upgrade) {
            (true, true) => Some(b"close, upgrade"),
            (true, false) => Some(b"close"),
            (false, true) => Some(b"upgrade"),
            (false, false) => None,
        };
        let field = |line| {
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], trim(&line[colon + 1..])))
        };
        let connection = options.map(|options| (&b"Connection"[..], options));
        self.lines().skip(1).filter_map(field).chain(connection)
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Appends the lines to `out`, with the version of the connection.
    #[inline]
    pub(crate) fn copy_to(&self, out: &mut Vec<u8>, version: Version) {
        let from = out.len();
        // The server adds some lines.
        out.reserve(self.text.len() + ADDED);
        out.extend_from_slice(&self.text);
        if self.version != version {
            write_version(&mut out[from..], version);
        }
    }

    pub(crate) fn set_version(&mut self, version: Version) {
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
}

/// The code of the status of a final response.
#[inline(always)]
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
            let head = ResponseHead::new(&Config::default(), status, headers.iter().copied());
            let error = head.unwrap_err().to_string();
            assert!(error.starts_with(message), "{status:?} {headers:?}: {error}");
        }
    }

    #[test]
    fn names_are_capitalised_and_values_left_alone() {
        let headers = [("sOMe-WEirD", "vALue"), ("x-FOO_bar", "")];
        let head = ResponseHead::new(&Config::default(), "200 oK", headers).unwrap();
        assert_eq!(head.text, b"HTTP/1.1 200 oK\r\nSome-Weird: vALue\r\nX-Foo_bar: \r\n");
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
