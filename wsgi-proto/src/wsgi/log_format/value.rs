//! Writes the fields of a log line in the format of their placeholders.
//!
//! Knows the source of each field, and which fields contain text from the client. Does not know templates.

use core::fmt::Write;
use core::net::SocketAddr;

use crate::endpoints::Address;
use crate::http::date::{self, LogTimeCache};
use crate::http::word;
use crate::wsgi::log_format::line::Line;
use crate::wsgi::log_format::python::{cut, integer, pad, seconds};
use crate::wsgi::log_format::spec::{Field, Spec};
use crate::wsgi::record::Record;
use crate::wsgi::text::{V4_LENGTH, v4_ascii, write_ip};

/// The maximum length of one value that a client or an application chose, in bytes after escaping. A client could
/// otherwise make each line as long as four times its longest head.
const LONGEST: usize = 1024;

/// The values for one log line.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) record: &'a Record,
    pub(super) log_x_forwarded_for: bool,
}

impl Values<'_> {
    pub(super) fn write(self, field: Field, spec: Spec, time: &mut LogTimeCache, out: &mut Line) {
        match field {
            Field::ClientIp
            | Field::PeerIp
            | Field::DateTime
            | Field::CommonLogTime
            | Field::IsoTime
            | Field::RequestLine => {
                formatted(spec, out, |out| self.text(field, time, out));
            }
            Field::ClientPort => match self.record.endpoints.remote {
                Address::Ip(address) => integer(address.port().into(), spec, out),
                // There is no number, whatever the conversion.
                Address::Local => pad("", spec, out),
            },
            Field::StatusCode => integer(self.record.status.into(), spec, out),
            Field::BodyLength => integer(self.record.body_length, spec, out),
            Field::ResponseLength => integer(self.record.response_length, spec, out),
            Field::WallSeconds => seconds(self.record.elapsed, spec, out),
        }
    }

    pub(super) fn write_request_field(self, name: &str, spec: Spec, out: &mut Line) {
        let value = self.record.head.as_ref().and_then(|head| head.value(name));
        header_field(value, spec, out);
    }

    pub(super) fn write_response_field(self, name: &str, spec: Spec, out: &mut Line) {
        header_field(self.record.response_field(name), spec, out);
    }

    fn text(self, field: Field, time: &mut LogTimeCache, out: &mut Line) {
        let record = self.record;
        match field {
            Field::RequestLine => match &record.head {
                Some(head) => escape_bounded(head.request_line(), out),
                None => escape_bounded(&record.partial_request_line, out),
            },
            Field::DateTime => {
                let local = record.unix.saturating_add(record.zone_offset.into());
                out.push(time.date_time(local));
            }
            Field::CommonLogTime => {
                let local = record.unix.saturating_add(record.zone_offset.into());
                out.push(&date::common_log_time(time.date_time(local), record.zone_offset));
            }
            Field::IsoTime => {
                let local = record.unix.saturating_add(record.zone_offset.into());
                out.push(&date::iso_time(local, record.zone_offset));
            }
            _ => {
                if field == Field::ClientIp {
                    self.forwarded_for(out);
                }
                match record.endpoints.remote {
                    Address::Ip(SocketAddr::V4(address)) => {
                        out.push(v4_ascii(*address.ip(), &mut [0; V4_LENGTH]));
                    }
                    // A line takes everything.
                    Address::Ip(address) => _ = write_ip(address.ip(), out),
                    Address::Local => out.push(b"unix"),
                }
            }
        }
    }

    /// Writes the first `X-Forwarded-For` field and a comma; nothing if it is empty. (eventlet: without spaces.)
    fn forwarded_for(self, out: &mut Line) {
        let Some(head) = self.record.head.as_ref().filter(|_| self.log_x_forwarded_for) else { return };
        match head.value("X-Forwarded-For") {
            Some(value) if value.iter().any(|&byte| byte != b' ') => {
                let written = bounded(value, |byte| if byte == b' ' { 0 } else { escaped_length(byte) });
                written.split(|&byte| byte == b' ').for_each(|word| escape(word, out));
                out.push(if written.len() < value.len() { b"...," } else { b"," });
            }
            _ => {}
        }
    }
}

/// Writes the value of a header field; `-` if it is missing.
fn header_field(value: Option<&[u8]>, spec: Spec, out: &mut Line) {
    formatted(spec, out, |out| escape_bounded(value.unwrap_or(b"-"), out));
}

/// Writes text in the format of its placeholder.
fn formatted(spec: Spec, out: &mut Line, write: impl FnOnce(&mut Line)) {
    if spec.is_plain() {
        return write(out);
    }
    let mut text = Line::default();
    write(&mut text);
    pad(cut(&text.into_string(), spec.precision), spec, out);
}

/// Writes the first [`LONGEST`] bytes of text from a client escaped, and `...` if there are more.
fn escape_bounded(bytes: &[u8], out: &mut Line) {
    let written = bounded(bytes, escaped_length);
    escape(written, out);
    if written.len() < bytes.len() {
        out.push(b"...");
    }
}

/// The longest beginning of `bytes` that has at most [`LONGEST`] bytes when it is written; `length` is that of one byte.
fn bounded(bytes: &[u8], length: impl Fn(u8) -> usize) -> &[u8] {
    if bytes.len() <= LONGEST / ESCAPE {
        return bytes;
    }
    let mut left = LONGEST;
    let end = bytes.iter().position(|&byte| {
        let fits = left.checked_sub(length(byte));
        left = fits.unwrap_or(left);
        fits.is_none()
    });
    &bytes[..end.unwrap_or(bytes.len())]
}

/// The length of the longest escape.
const ESCAPE: usize = 4;

/// The number of bytes that [`escape`] writes for `byte`.
fn escaped_length(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | 0xa0.. => 2,
        plain if is_plain(plain) => 1,
        _ => ESCAPE,
    }
}

/// Writes text from a client escaped, so that it cannot end its line or its quotes.
fn escape(mut bytes: &[u8], out: &mut Line) {
    loop {
        let (before, rest) = bytes.split_at(plain(bytes));
        out.push(before);
        let [special, after @ ..] = rest else { return };
        match *special {
            b'"' => out.push(b"\\\""),
            b'\\' => out.push(b"\\\\"),
            // A line takes everything.
            latin1 @ 0xa0.. => _ = out.write_char(char::from(latin1)),
            control => _ = write!(out, "\\x{control:02x}"),
        }
        bytes = after;
    }
}

/// The number of bytes before the first that is escaped.
fn plain(bytes: &[u8]) -> usize {
    let Some(last) = bytes.len().checked_sub(word::SIZE) else {
        return bytes.iter().position(|&byte| !is_plain(byte)).unwrap_or(bytes.len());
    };
    let mut at = 0;
    loop {
        // The last word overlaps the one before, whose bytes are plain.
        at = at.min(last);
        let word = word::of(&bytes[at..at + word::SIZE]);
        let escaped = word::below(word, b' ')
            | word::from_delete(word)
            | word::equal(word, b'"')
            | word::equal(word, b'\\');
        if escaped != 0 {
            return at + word::first(escaped);
        }
        if at == last {
            return bytes.len();
        }
        at += word::SIZE;
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::net::SocketAddr;
    use core::time::Duration;

    use crate::endpoints::Address;

    use crate::http::head::Head;

    use crate::config::Limits;

    use crate::wsgi::log_format::LogFormat;
    use crate::wsgi::log_format::line::LogLine;

    use crate::endpoints::Endpoints;

    use crate::wsgi::log_format::value::LONGEST;
    use crate::wsgi::record::Record;

    fn record(head: &[u8]) -> Record {
        let remote: SocketAddr = "127.0.0.1:1234".parse().unwrap();
        Record {
            head: (!head.is_empty()).then(|| Arc::new(Head::parse(head, &Limits::default()).unwrap())),
            partial_request_line: Vec::new(),
            endpoints: Endpoints::new(remote.into(), Address::Local),
            status: 200,
            body_length: 11,
            response_length: 113,
            elapsed: Duration::from_micros(82),
            unix: 784_111_777,
            zone_offset: 0,
            refused: None,
            lost: None,
            cut: false,
            response_head:
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: \"1\"\r\nX-A: 2\r\nX-Empty: \r\n\r\n"
                    .to_vec(),
        }
    }

    fn with_fields(fields: &str) -> Record {
        record(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes())
    }

    fn partial(request_line: &[u8]) -> Record {
        Record { partial_request_line: request_line.to_vec(), ..record(b"") }
    }

    fn line(template: &str, record: &Record) -> String {
        let mut out = String::new();
        LogFormat::parse(template).unwrap().append(record, true, &mut out);
        out
    }

    #[test]
    fn the_default_line_is_that_of_eventlet() {
        let mut out = String::new();
        let record = record(b"GET /list?a HTTP/1.1\r\nHost: h\r\n\r\n");
        LogFormat::default().append(&record, true, &mut out);
        assert_eq!(out, "127.0.0.1 - - [06/Nov/1994 08:49:37] \"GET /list?a HTTP/1.1\" 200 11 0.000082");
    }

    #[test]
    fn each_name_has_its_content() {
        let record = with_fields("");
        for (name, expected) in [
            ("client_ip", "127.0.0.1"),
            ("client_port", "1234"),
            ("peer_ip", "127.0.0.1"),
            ("date_time", "06/Nov/1994 08:49:37"),
            ("common_log_time", "06/Nov/1994:08:49:37 +0000"),
            ("request_line", "GET / HTTP/1.1"),
            ("status_code", "200"),
            ("body_length", "11"),
            ("response_length", "113"),
            ("wall_seconds", "8.2e-05"),
            ("iso_time", "1994-11-06T08:49:37+00:00"),
        ] {
            assert_eq!(line(&format!("%({name})s"), &record), expected);
        }
    }

    #[test]
    fn transports_without_addresses_are_called_unix() {
        let mut record = with_fields("X-Forwarded-For: 192.0.2.1\r\n");
        record.endpoints = Endpoints::new(Address::Local, Address::Local);
        assert_eq!(line("%(client_ip)s:%(client_port)s %(client_port)3d", &record), "192.0.2.1,unix:    ");
    }

    #[test]
    fn addresses_are_written_without_brackets() {
        let mut record = with_fields("");
        record.endpoints.remote = Address::Ip("[2001:db8::1]:80".parse().unwrap());
        assert_eq!(line("%(client_ip)s %(client_port)d", &record), "2001:db8::1 80");
        record.endpoints.remote = Address::Ip("255.0.10.1:0".parse().unwrap());
        assert_eq!(line("%(client_ip)s %(client_port)d", &record), "255.0.10.1 0");
    }

    #[test]
    fn forwarded_addresses_stand_before_the_peer() {
        for (fields, expected) in [
            ("", "127.0.0.1"),
            ("X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n", "1.2.3.4,5.6.7.8,127.0.0.1"),
            ("x-forwarded-for: a\r\nX-Forwarded-For: b\r\n", "a,127.0.0.1"),
            ("X-Forwarded-For:  \r\n", "127.0.0.1"),
            ("X-Forwarded-For:\r\nX-Forwarded-For: b\r\n", "127.0.0.1"),
            ("X_Forwarded_For: a\r\n", "127.0.0.1"),
            ("X-Forwarded-For: \"\tA\\\r\n", "\\\"\\x09A\\\\,127.0.0.1"),
        ] {
            let record = with_fields(fields);
            assert_eq!(line("%(client_ip)s", &record), expected);
            let mut out = String::new();
            LogFormat::parse("%(client_ip)s").unwrap().append(&record, false, &mut out);
            assert_eq!(out, "127.0.0.1");
        }
    }

    #[test]
    fn log_times_are_local() {
        for (zone_offset, expected) in [
            (0, "06/Nov/1994 08:49:37"),
            (3600, "06/Nov/1994 09:49:37"),
            (-9 * 3600, "05/Nov/1994 23:49:37"),
            (5 * 3600 + 1800, "06/Nov/1994 14:19:37"),
        ] {
            assert_eq!(line("%(date_time)s", &Record { zone_offset, ..with_fields("") }), expected);
        }
    }

    #[test]
    fn common_log_times_have_the_zone() {
        for (zone_offset, expected) in [
            (3600, "06/Nov/1994:09:49:37 +0100"),
            (-9 * 3600 - 1800, "05/Nov/1994:23:19:37 -0930"),
            (-1800, "06/Nov/1994:08:19:37 -0030"),
            (12 * 3600 + 2700, "06/Nov/1994:21:34:37 +1245"),
            (26 * 3600, "07/Nov/1994:10:49:37 +2600"),
        ] {
            assert_eq!(line("%(common_log_time)s", &Record { zone_offset, ..with_fields("") }), expected);
        }
    }

    #[test]
    fn iso_times_have_the_zone() {
        for (zone_offset, expected) in [
            (3600, "1994-11-06T09:49:37+01:00"),
            (-9 * 3600 - 1800, "1994-11-05T23:19:37-09:30"),
            (12 * 3600 + 2700, "1994-11-06T21:34:37+12:45"),
        ] {
            assert_eq!(line("%(iso_time)s", &Record { zone_offset, ..with_fields("") }), expected);
        }
    }

    #[test]
    fn a_template_of_an_object_gives_json() {
        let sent = with_fields("Referer: a\t\"b\"\\x\u{e9}\r\nUser-Agent: c\\\\x01\r\n");
        assert_eq!(
            line(LogFormat::JSON, &sent),
            "{\"time\": \"1994-11-06T08:49:37+00:00\", \"peer\": \"127.0.0.1\", \"client\": \"127.0.0.1\", \
             \"request\": \"GET / HTTP/1.1\", \"status\": 200, \"bytes\": 11, \"seconds\": 0.000082, \
             \"referer\": \"a\\u0009\\\"b\\\"\\\\xÃ©\", \"agent\": \"c\\\\\\\\x01\"}"
        );
        let refused = line("{\"r\": \"%(request_line)s\"}", &partial(b"\x16\x03\\x\"\r\n"));
        assert_eq!(refused, "{\"r\": \"\\u0016\\u0003\\\\x\\\"\\u000d\\u000a\"}");
        // Other templates keep the escapes of a log line.
        assert!(line(LogFormat::COMBINED, &sent).contains("a\\x09"));
        let line = line("{\"port\": %(client_port)d, \"age\": \"%({Age}o)s\"}", &sent);
        assert_eq!(line, "{\"port\": 1234, \"age\": \"-\"}");
    }

    #[test]
    fn the_common_format_is_that_of_apache() {
        let record = with_fields("X-Forwarded-For: 1.2.3.4\r\n");
        assert_eq!(
            line(LogFormat::COMMON, &record),
            "127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET / HTTP/1.1\" 200 11"
        );
    }

    #[test]
    fn the_combined_format_is_that_of_apache() {
        let record = with_fields("X-Forwarded-For: 1.2.3.4\r\nUser-Agent: an \"agent\"\r\n");
        assert_eq!(
            line(LogFormat::COMBINED, &record),
            "127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET / HTTP/1.1\" 200 11 \"-\" \"an \\\"agent\\\"\""
        );
        // A request that was refused has no fields.
        assert!(line(LogFormat::COMBINED, &partial(b"GET")).ends_with(" \"GET\" 200 11 \"-\" \"-\""));
    }

    #[test]
    fn header_fields_are_found_by_their_names_and_escaped() {
        let record = with_fields("X-A: first\r\nx-a: second\r\nX-B: \t\"bé\"\\\r\nX-C:\r\n");
        for (template, expected) in [
            ("%({X-A}i)s %({x-a}i)s", "first first"),
            ("%({X-B}i)s", "\\\"bÃ©\\\"\\\\"),
            ("[%({X-C}i)s] %({X-D}i)s %({X}i)s", "[] - -"),
            ("%({X-A}i)7s|%({X-A}i)-7s|%({X-A}i).3s|%({X-D}i)3s", "  first|first  |fir|  -"),
            ("%({Content-Type}o)s %({CONTENT-TYPE}o)s", "text/plain text/plain"),
            ("%({X-A}o)s [%({X-Empty}o)s]", "\\\"1\\\" []"),
            ("%({X-A}o).3s %({Content}o)s %({HTTP}o)s", "\\\"1 - -"),
        ] {
            assert_eq!(line(template, &record), expected, "{template}");
        }
        assert_eq!(line("%({X-A}o)s", &Record { response_head: Vec::new(), ..with_fields("") }), "-");
    }

    #[test]
    fn a_client_adds_at_most_1024_bytes_to_each_field() {
        for (sent, expected) in [
            ("a".repeat(1024), "a".repeat(1024)),
            ("a".repeat(1025), "a".repeat(1024) + "..."),
            ("a".repeat(1023) + "\\", "a".repeat(1023) + "..."),
            ("\"".repeat(600), "\\\"".repeat(512) + "..."),
            ("\t".repeat(8000), "\\x09".repeat(256) + "..."),
            ("é".repeat(2000), "Ã©".repeat(256) + "..."),
        ] {
            let record = with_fields(&format!("X-Forwarded-For: b{sent}b\r\nX-A: b{sent}b\r\n"));
            let shown = line("%({X-A}i)s", &record);
            assert!(shown.len() <= LONGEST + 3, "{}", shown.len());
            assert!(shown.len() > LONGEST - 4, "{}", shown.len());
            assert_eq!(line("%(client_ip)s", &record), shown + ",127.0.0.1");
            assert_eq!(line("%(request_line)s", &partial(sent.as_bytes())), expected);
        }
        // Spaces are left out, so they do not count.
        let record = with_fields(&format!("X-Forwarded-For: {}\r\n", "a ".repeat(1024)));
        assert_eq!(line("%(client_ip)s", &record), "a".repeat(1024) + ",127.0.0.1");
    }

    #[test]
    fn one_request_is_one_line_within_its_quotes() {
        for (sent, expected) in [
            (&b""[..], ""),
            (b"GET /\"a\\ HTTP/1.1", "GET /\\\"a\\\\ HTTP/1.1"),
            (b"\x00\t\r\n\x1b\x1f ~\x7f", "\\x00\\x09\\x0d\\x0a\\x1b\\x1f ~\\x7f"),
            (b"\x80\x85\x9f\xa0\xe9\xff", "\\x80\\x85\\x9f\u{a0}éÿ"),
            // The ClientHello of a TLS client.
            (b"\x16\x03\x01\x02\x00\x01\x00\x01", "\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01"),
        ] {
            assert_eq!(line("%(request_line)s", &partial(sent)), expected);
        }
        let all: Vec<u8> = (0..=255).collect();
        let text = line("%(request_line)s", &partial(&all));
        assert!(!text.contains(char::is_control));
        assert_eq!(text.matches('"').count(), text.matches("\\\"").count());
    }

    #[test]
    fn a_line_is_appended() {
        let mut out = String::from("é: ");
        LogFormat::parse("%(status_code)d").unwrap().append(&with_fields(""), true, &mut out);
        assert_eq!(out, "é: 200");
    }

    #[test]
    fn lines_in_the_same_memory_are_those_that_are_appended() {
        let (format, mut memory) = (LogFormat::default(), LogLine::default());
        for unix in [0, 784_111_777, 784_111_777, 784_111_778, 0] {
            for (status, zone_offset) in [(200, 0), (404, 3600)] {
                let record = Record { unix, zone_offset, status, ..with_fields("") };
                let mut expected = String::new();
                format.append(&record, true, &mut expected);
                assert_eq!(format.line(&record, true, &mut memory), expected);
            }
        }
    }

    #[test]
    fn the_first_special_byte_is_found_at_every_place() {
        for byte in 0..=255 {
            for length in [1, 7, 8, 9, 15, 16, 20] {
                for at in 0..length {
                    let mut bytes = [b'a'; 20];
                    bytes[at] = byte;
                    let expected = if super::is_plain(byte) { length } else { at };
                    assert_eq!(super::plain(&bytes[..length]), expected, "{byte} at {at} of {length}");
                }
            }
        }
        assert_eq!(super::plain(b""), 0);
    }
}
