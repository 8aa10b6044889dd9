//! Turns a complete head section, whose request line has been read, into a [`Head`]. `httparse` reads the fields; this
//! module applies the rules of RFC 9110 and 9112 to them.

use alloc::vec;

use httparse::{EMPTY_HEADER, Header};

use crate::config::Limits;
use crate::error::RequestError;
use crate::http::head::{BodyLength, Head, HeadInfo, Span};
use crate::http::scan::{Scan, Section};
use crate::http::target::is_host;
use crate::http::token::{decimal, is_name, list, trim};
use crate::version::Version;

/// The sizes of the arrays for the fields. Small arrays cost less to initialise; more than `USUAL_FIELDS` are
/// allocated.
const FEW_FIELDS: usize = 8;
const SOME_FIELDS: usize = 24;
const USUAL_FIELDS: usize = 100;

impl Head {
    /// Parses one complete head: request line, fields, empty line, and nothing after it. Empty lines before it are
    /// ignored.
    ///
    /// # Errors
    ///
    /// The error with which a server refuses the same bytes, by default; [`RequestError::Incomplete`] if the end is missing or
    /// bytes follow it.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, RequestError> {
        let section = Scan::default().advance(bytes, limits)?.ok_or(RequestError::Incomplete)?;
        if section.end != bytes.len() {
            return Err(RequestError::Incomplete);
        }
        let mut head = Self::default();
        head.read(&bytes[section.start..section.end], &section, limits, true)?;
        Ok(head)
    }

    /// Replaces this head with the one in `bytes`, which are the whole `section` that the scan found. A head of HTTP/1.1
    /// may have no `Host` if `require_host` is false.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        section: &Section,
        limits: &Limits,
        require_host: bool,
    ) -> Result<(), RequestError> {
        self.clear();
        self.bytes.extend_from_slice(bytes);
        self.line = section.line;
        self.info.is_head = section.line.method(bytes) == b"HEAD";
        match section.fields {
            count @ ..=FEW_FIELDS => {
                self.read_fields(bytes, &mut [EMPTY_HEADER; FEW_FIELDS][..count], limits, require_host)
            }
            count @ ..=SOME_FIELDS => {
                self.read_fields(bytes, &mut [EMPTY_HEADER; SOME_FIELDS][..count], limits, require_host)
            }
            count @ ..=USUAL_FIELDS => {
                self.read_fields(bytes, &mut [EMPTY_HEADER; USUAL_FIELDS][..count], limits, require_host)
            }
            count => self.read_fields(bytes, &mut vec![EMPTY_HEADER; count], limits, require_host),
        }
    }

    fn read_fields<'b>(
        &mut self,
        bytes: &'b [u8],
        memory: &mut [Header<'b>],
        limits: &Limits,
        require_host: bool,
    ) -> Result<(), RequestError> {
        let section = bytes.get(self.line.length() + "\r\n".len()..).unwrap_or_default();
        let headers = match httparse::parse_headers(section, memory) {
            // The scan found the end and counted the lines; the parser has to agree.
            Ok(httparse::Status::Complete((used, headers))) if used == section.len() => headers,
            Ok(_) | Err(_) => return Err(RequestError::Field),
        };
        let mut fields = FieldReader::default();
        for (index, field) in headers.iter().enumerate() {
            let (name, value) = (field.name.as_bytes(), trim(field.value));
            self.fields.push((Span::of(name, bytes), Span::of(value, bytes)));
            if name.first().is_some_and(|&first| FieldReader::may_need(name.len(), first)) {
                fields.read(&mut self.info, name, value, index as u32)?;
            }
        }
        if require_host {
            fields.finish(&mut self.info, self.line.version(), limits)
        } else {
            fields.finish_body(&mut self.info, self.line.version(), limits)
        }
    }
}

/// Reads the fields that affect the framing or the connection.
#[derive(Debug, Default)]
pub(crate) struct FieldReader {
    hosts: u32,
    content_length: Option<u64>,
    codings: Codings,
}

#[derive(Debug, Default, Clone, Copy)]
struct Codings {
    present: bool,
    chunked: u32,
    other: bool,
    last_is_chunked: bool,
}

impl FieldReader {
    /// Whether a field with this name may have to be [read](Self::read). Its length and first letter exclude most fields.
    #[inline(always)]
    pub(crate) fn may_need(length: usize, first: u8) -> bool {
        matches!(length, 4 | 6 | 10 | 14 | 17) && matches!(first | 0x20, b'c' | b'e' | b'h' | b't')
    }

    /// Reads the field number `index` of a head. `name` is a token.
    pub(crate) fn read(
        &mut self,
        info: &mut HeadInfo,
        name: &[u8],
        value: &[u8],
        index: u32,
    ) -> Result<(), RequestError> {
        match name.len() {
            4 if is_name(name, b"host") => {
                self.hosts += 1;
                info.host = Some(index);
                if self.hosts > 1 || !is_host(value) {
                    return Err(RequestError::Host);
                }
            }
            6 if is_name(name, b"expect") => info.expects_continue |= expects_continue(value),
            10 if is_name(name, b"connection") => info.read_options(value),
            14 if is_name(name, b"content-length") => {
                let length = decimal(value).ok_or(RequestError::ContentLength)?;
                // RFC 9112, 6.3: a repeated length is refused, even an equal one.
                if self.content_length.replace(length).is_some() {
                    return Err(RequestError::ContentLength);
                }
            }
            17 if is_name(name, b"transfer-encoding") => self.codings.read(value),
            _ => {}
        }
        Ok(())
    }

    /// Checks that there is a `Host`, and decides how the body ends.
    pub(crate) fn finish(
        self,
        info: &mut HeadInfo,
        version: Version,
        limits: &Limits,
    ) -> Result<(), RequestError> {
        // RFC 9112, 3.2.
        if version == Version::Http11 && self.hosts != 1 {
            return Err(RequestError::Host);
        }
        self.finish_body(info, version, limits)
    }

    /// Decides how the body ends (RFC 9112, 6.3).
    #[inline(always)]
    fn finish_body(self, info: &mut HeadInfo, version: Version, limits: &Limits) -> Result<(), RequestError> {
        if self.codings.present {
            if self.content_length.is_some() {
                return Err(RequestError::LengthAndCoding);
            }
            if version == Version::Http10 {
                return Err(RequestError::CodingInHttp10);
            }
            self.codings.judge()?;
            info.body = BodyLength::Chunked;
        } else {
            info.body = BodyLength::Known(self.content_length.unwrap_or(0));
        }
        // RFC 9110, 10.1.1: a 100 is only for HTTP/1.1, and only if a body follows.
        info.expects_continue &= version == Version::Http11 && info.body != BodyLength::Known(0);
        match (info.body, limits.body) {
            (BodyLength::Known(length), Some(limit)) if length > limit => {
                Err(RequestError::BodyTooLarge(limit))
            }
            _ => Ok(()),
        }
    }
}

#[inline(never)]
fn expects_continue(value: &[u8]) -> bool {
    list(value).any(|element| element.eq_ignore_ascii_case(b"100-continue"))
}

impl HeadInfo {
    /// Reads the value of a `Connection` field.
    #[inline]
    fn read_options(&mut self, value: &[u8]) {
        // Most clients that send the field send this.
        if is_name(value, b"keep-alive") {
            self.keep_alive = true;
        } else {
            self.read_option_list(value);
        }
    }

    #[inline(never)]
    fn read_option_list(&mut self, value: &[u8]) {
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

impl Codings {
    #[inline(never)]
    fn read(&mut self, value: &[u8]) {
        self.present = true;
        let mut empty = true;
        // Empty elements count as unknown codings, so a value that only resembles `chunked` is not accepted.
        for coding in value.split(|&byte| byte == b',') {
            empty = false;
            self.last_is_chunked = trim(coding).eq_ignore_ascii_case(b"chunked");
            self.chunked += u32::from(self.last_is_chunked);
            self.other |= !self.last_is_chunked;
        }
        self.other |= empty;
    }

    fn judge(self) -> Result<(), RequestError> {
        match self {
            Self { chunked: 1, other: false, .. } => Ok(()),
            // RFC 9112, 6.3: the end of such a body cannot be found.
            Self { chunked: 1.., last_is_chunked: false, .. } | Self { chunked: 2.., .. } => {
                Err(RequestError::CodingOrder)
            }
            _ => Err(RequestError::TransferCoding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn parse(head: &str) -> Result<Head, RequestError> {
        Head::parse(head.as_bytes(), &Limits::default())
    }

    fn with(fields: &str) -> Result<Head, RequestError> {
        parse(&format!("POST /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
    }

    #[test]
    fn a_head_keeps_what_was_sent() {
        let head = parse("GET http://a:1/b?c HTTP/1.1\r\nHost: h\r\nX-A:  1 \r\nx-a:\r\n\r\n").unwrap();
        assert_eq!(head.method(), "GET");
        assert_eq!(head.target(), b"http://a:1/b?c");
        assert_eq!((head.path(), head.query()), (&b"/b"[..], Some(&b"c"[..])));
        assert_eq!(head.host(), Some(&b"a:1"[..]));
        assert_eq!(head.request_line(), b"GET http://a:1/b?c HTTP/1.1");
        let fields: vec::Vec<_> = head.fields().collect();
        assert_eq!(fields, [("Host", &b"h"[..]), ("X-A", b"1"), ("x-a", b"")]);
        assert_eq!(parse("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().path(), b"*");
    }

    #[test]
    fn a_bad_request_line_is_refused() {
        for (line, error) in [
            ("GET /a", RequestError::RequestLine),
            ("GET /a HTTP/2.0", RequestError::Version),
            ("GET /a HTTP/1.10", RequestError::RequestLine),
            ("GET  /a HTTP/1.1", RequestError::RequestLine),
            ("GET /a  HTTP/1.1", RequestError::RequestLine),
            ("GET /a HTTP/1.1 ", RequestError::RequestLine),
            ("GET /a b HTTP/1.1", RequestError::RequestLine),
            ("GET /a\tHTTP/1.1", RequestError::RequestLine),
            ("GET /a\0 HTTP/1.1", RequestError::RequestLine),
            ("GET /a http/1.1", RequestError::RequestLine),
            ("G(T /a HTTP/1.1", RequestError::RequestLine),
            ("CONNECT h:1 HTTP/1.1", RequestError::Connect),
            ("GET h:1 HTTP/1.1", RequestError::Target),
        ] {
            assert_eq!(parse(&format!("{line}\r\nHost: h\r\n\r\n")).unwrap_err(), error, "{line}");
        }
    }

    #[test]
    fn framing_has_one_reading_or_none() {
        for (fields, wanted) in [
            ("", Ok(BodyLength::Known(0))),
            ("Content-Length: 005\r\n", Ok(BodyLength::Known(5))),
            ("Transfer-Encoding: Chunked\r\n", Ok(BodyLength::Chunked)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(RequestError::ContentLength)),
            ("Content-Length: 5, 5\r\n", Err(RequestError::ContentLength)),
            ("Content-Length: +5\r\n", Err(RequestError::ContentLength)),
            ("Content-Length:\r\n", Err(RequestError::ContentLength)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(RequestError::LengthAndCoding)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(RequestError::TransferCoding)),
            ("Transfer-Encoding: chunked, gzip\r\n", Err(RequestError::CodingOrder)),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(RequestError::CodingOrder)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(RequestError::CodingOrder)),
            ("Transfer-Encoding: chunked,\r\n", Err(RequestError::CodingOrder)),
            ("Transfer-Encoding:\r\n", Err(RequestError::TransferCoding)),
            ("Transfer-Encoding: xchunked\r\n", Err(RequestError::TransferCoding)),
        ] {
            assert_eq!(with(fields).map(|head| head.body_length()), wanted, "{fields:?}");
        }
    }

    #[test]
    fn a_higher_minor_version_is_http_11_and_logged_as_received() {
        let head = parse("GET /a HTTP/1.9\r\nHost: h\r\n\r\n").unwrap();
        assert_eq!((head.version(), head.request_line()), (Version::Http11, &b"GET /a HTTP/1.9"[..]));
        assert_eq!(parse("GET /a HTTP/1.2\r\n\r\n").unwrap_err(), RequestError::Host);
        let body = parse("POST / HTTP/1.2\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert_eq!(body.body_length(), BodyLength::Chunked);
    }

    #[test]
    fn fields_are_read_whatever_their_number() {
        for count in [0, 1, 7, 8, 9, 23, 24, 25, 99, 100] {
            let head = parse(&format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count))).unwrap();
            assert_eq!(head.fields().len(), count);
            assert!(head.fields().all(|field| field == ("A", b"b")));
        }
    }

    #[test]
    fn http_10_has_no_transfer_coding_and_needs_no_host() {
        assert_eq!(parse("GET / HTTP/1.0\r\n\r\n").unwrap().version(), Version::Http10);
        let coded = parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(coded.unwrap_err(), RequestError::CodingInHttp10);
    }

    #[test]
    fn a_malformed_field_refuses_the_request() {
        for fields in [
            "A b: c\r\n",
            "A : b\r\n",
            ": b\r\n",
            "A\r\n",
            " A: b\r\n",
            "A: b\r\n c\r\n",
            "A: b\0c\r\n",
            "\u{e9}: b\r\n",
        ] {
            assert_eq!(with(fields).unwrap_err(), RequestError::Field, "{fields:?}");
        }
    }

    #[test]
    fn more_fields_than_usual_are_read_when_the_limit_allows() {
        let limits = Limits { fields: 300, ..Limits::default() };
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(299));
        assert_eq!(Head::parse(head.as_bytes(), &limits).unwrap().fields().len(), 300);
    }

    #[test]
    fn the_connection_options_are_a_list_over_all_fields() {
        let head = with("Connection: foo\r\nConnection: a, CLOSE ,b\r\n").unwrap();
        assert!(head.info.close && !head.info.keep_alive);
    }
}
