//! The framing of a response (RFC 9112, 6; PEP 3333), and the lines that the server adds to its head.

use alloc::vec::Vec;

use crate::http::response_head::ResponseInfo;

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

impl ResponseInfo {
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

#[cold]
fn push_large_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StartError;
    use crate::version::Version;
    use alloc::format;
    use alloc::string::String;

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
    fn a_length_is_decimal() {
        for length in [0, 9, 10, 13, 999_999, 1_000_000, 12_345_678, u64::MAX] {
            let mut out = Vec::from(b"a");
            push_decimal(&mut out, length);
            assert_eq!(out, format!("a{length}\r\n").as_bytes());
        }
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
}
