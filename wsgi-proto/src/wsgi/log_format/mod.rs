//! The template of the access log: one line per request (`log_format`).
//!
//! Knows the fields of a log line, and the parts of Python's `%` formatting that they need. Does not know where lines
//! are written. `value.rs` finds the value of a field, `python.rs` formats it, `line.rs` collects the text.

pub(crate) mod line;
mod python;
pub(crate) mod spec;
mod value;

use alloc::string::String;
use alloc::vec::Vec;

use crate::http::date::LogTimeCache;
use crate::wsgi::log_format::line::{Line, LogLine};
use crate::wsgi::log_format::spec::{LogFormatError, Part, Scanner};
use crate::wsgi::log_format::value::Values;
use crate::wsgi::record::Record;

/// A checked template of log lines.
///
/// A placeholder is written `%(name)s`, as in Python. After the name there are flags (`-` left aligned, `0` filled
/// with zeros, `+` or a space before a positive number, `#` always a decimal point), a width, a precision after a `.`,
/// and one of the conversions `s` (text), `d` (integer) and `f` (decimal). `%%` is a percent sign. The names are:
///
/// | name | conversions | content |
/// | --- | --- | --- |
/// | `client_ip` | `s` | like `peer_ip`; after the first `X-Forwarded-For` field, if enabled |
/// | `client_port` | `s d f` | port of the peer; empty for `unix` |
/// | `peer_ip` | `s` | address of the peer, or `unix` |
/// | `date_time` | `s` | local time at the end of the exchange: `06/Nov/1994 08:49:37` |
/// | `common_log_time` | `s` | the same with the zone, as Apache writes it: `06/Nov/1994:08:49:37 +0000` |
/// | `iso_time` | `s` | the same as in RFC 3339: `1994-11-06T08:49:37+00:00` |
/// | `request_line` | `s` | the request line; at most 32 bytes of it if it is malformed or incomplete |
/// | `status_code` | `s d f` | of the final response; 0 if none was sent |
/// | `body_length` | `s d f` | body bytes sent, without head and framing |
/// | `response_length` | `s d f` | all bytes of the response, with head and framing |
/// | `wall_seconds` | `s d f` | from the arrival of the whole head to the end of the exchange |
/// | `{Name}i` | `s` | the request field with this name, as in `%({User-Agent}i)s` |
/// | `{Name}o` | `s` | the response field with this name, as in `%({Content-Type}o)s` |
///
/// Names of header fields match in any case. If a field is repeated, the first one counts; if it is missing, the value
/// is `-`. Response fields are known only if
/// [`Config::record_response_head`](crate::Config::record_response_head) is set; `Options` sets it when a template needs
/// it.
///
/// Text from the client and header fields are escaped: `\"`, `\\`, and `\x0a` for a control character. They therefore
/// cannot end the line or the quotes around them in the template. A precision does not cut an escape. Bytes above 0x9f
/// are treated as latin-1. Of each text, at most 1024 bytes are written after escaping; `...` follows if it was longer.
///
/// A template that begins with `{` is one of JSON objects, such as [`LogFormat::JSON`]: control characters are escaped as
/// JSON requires, `\u000a`. Put values into quotes, except numbers, that is `%(status_code)d` and the like.
///
/// ```
/// use wsgi_proto::LogFormat;
///
/// assert!(
///     LogFormat::parse("%(client_ip)s %(status_code)d %(wall_seconds).3f %%").is_ok()
/// );
/// let error = LogFormat::parse("%(status)s").unwrap_err();
/// assert!(
///     error
///         .to_string()
///         .starts_with("log format has `%(status)`: unknown name (expected client_ip, ")
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat {
    parts: Vec<Part>,
    /// Whether lines are JSON objects.
    json: bool,
}

impl LogFormat {
    /// The template of [`LogFormat::default`] (eventlet).
    pub const DEFAULT_TEMPLATE: &str = "%(client_ip)s - - [%(date_time)s] \"%(request_line)s\" %(status_code)s \
                                        %(body_length)s %(wall_seconds).6f";

    /// The template of Apache's common log format: [`COMBINED`](Self::COMBINED) without the two header fields.
    pub const COMMON: &str = "%(peer_ip)s - - [%(common_log_time)s] \"%(request_line)s\" %(status_code)d \
                              %(body_length)d";

    /// One JSON object per line:
    ///
    /// ```text
    /// {"time": "1994-11-06T08:49:37+00:00", "peer": "192.0.2.1", "client": "192.0.2.1", "request": "GET /list HTTP/1.1",
    ///  "status": 200, "bytes": 11, "seconds": 0.000082, "referer": "-", "agent": "Mozilla/5.0"}
    /// ```
    ///
    /// `client` is `%(client_ip)s`, so it begins with `X-Forwarded-For` if that is enabled.
    pub const JSON: &str = "{\"time\": \"%(iso_time)s\", \"peer\": \"%(peer_ip)s\", \"client\": \"%(client_ip)s\", \
                            \"request\": \"%(request_line)s\", \"status\": %(status_code)d, \"bytes\": %(body_length)d, \
                            \"seconds\": %(wall_seconds).6f, \"referer\": \"%({Referer}i)s\", \
                            \"agent\": \"%({User-Agent}i)s\"}";

    /// The template of Apache's combined log format:
    ///
    /// ```text
    /// 192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] "GET /list HTTP/1.1" 200 11 "https://example.org/" "Mozilla/5.0"
    /// ```
    ///
    /// The first value is the peer, without `X-Forwarded-For`. The time is the end of the exchange. The length of a
    /// response without body is 0.
    pub const COMBINED: &str = "%(peer_ip)s - - [%(common_log_time)s] \"%(request_line)s\" %(status_code)d \
                                %(body_length)d \"%({Referer}i)s\" \"%({User-Agent}i)s\"";

    /// Parses `template`. The error contains its first invalid part.
    pub fn parse(template: &str) -> Result<Self, LogFormatError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, from_percent)) = rest.find('%').map(|at| rest.split_at(at)) {
            text.push_str(before);
            if let Some(after) = from_percent.strip_prefix("%%") {
                text.push('%');
                rest = after;
                continue;
            }
            if !text.is_empty() {
                parts.push(Part::Text(core::mem::take(&mut text)));
            }
            let mut scanner = Scanner { whole: from_percent, at: 1 };
            parts.push(scanner.placeholder()?);
            rest = &from_percent[scanner.at..];
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts, json: template.starts_with('{') })
    }

    /// Appends the line of one exchange to `out`, without a line end.
    ///
    /// With `log_x_forwarded_for`, and if the first `X-Forwarded-For` field of the request is not empty, `client_ip` is
    /// that field without its spaces, a comma, and the address of the peer.
    pub fn append(&self, record: &Record, log_x_forwarded_for: bool, out: &mut String) {
        self.write(record, log_x_forwarded_for, &mut LogTimeCache::default(), out);
    }

    /// Formats the line of one exchange like [`append`](Self::append), in memory that is used again. For logs of many
    /// lines: the date is formatted only once per second.
    ///
    /// ```
    /// use wsgi_proto::{LogFormat, LogLine, Record};
    ///
    /// fn print_all(records: &[Record]) {
    ///     let (format, mut memory) = (LogFormat::default(), LogLine::default());
    ///     for record in records {
    ///         println!("{}", format.line(record, false, &mut memory));
    ///     }
    /// }
    /// # print_all(&[]);
    /// ```
    pub fn line<'m>(&self, record: &Record, log_x_forwarded_for: bool, memory: &'m mut LogLine) -> &'m str {
        memory.text.clear();
        self.write(record, log_x_forwarded_for, &mut memory.time, &mut memory.text);
        &memory.text
    }

    fn write(&self, record: &Record, log_x_forwarded_for: bool, time: &mut LogTimeCache, out: &mut String) {
        let values = Values { record, log_x_forwarded_for };
        let mut line = Line::after(core::mem::take(out));
        let start = line.len();
        for part in &self.parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Value(field, spec) => values.write(*field, *spec, time, &mut line),
                Part::RequestField(name, spec) => values.write_request_field(name, *spec, &mut line),
                Part::ResponseField(name, spec) => values.write_response_field(name, *spec, &mut line),
            }
        }
        if self.json {
            line.escape_as_json(start);
        }
        *out = line.into_string();
    }

    /// Whether lines contain response fields, so that records need their
    /// [`response_head`](crate::Record::response_head).
    pub fn uses_response_head(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::ResponseField(..)))
    }
}

impl Default for LogFormat {
    fn default() -> Self {
        Self::parse(Self::DEFAULT_TEMPLATE).expect("a test parses the default template")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wsgi::log_format::spec::Field;
    use alloc::string::ToString;

    #[test]
    fn the_default_template_is_valid() {
        assert_eq!(LogFormat::default().parts.len(), 11);
    }

    #[test]
    fn every_name_is_known() {
        for (name, field) in Field::ALL {
            let template = alloc::format!("%({name})s");
            let format = LogFormat::parse(&template).unwrap();
            assert!(matches!(format.parts[..], [Part::Value(found, _)] if found == field), "{name}");
        }
    }

    #[test]
    fn names_of_header_fields_are_tokens() {
        let spec = |template| match LogFormat::parse(template).unwrap().parts.remove(0) {
            Part::RequestField(name, spec) => ("i", name, spec.width),
            Part::ResponseField(name, spec) => ("o", name, spec.width),
            other => panic!("{template}: {other:?}"),
        };
        assert_eq!(spec("%({User-Agent}i)s"), ("i", "User-Agent".to_string(), 0));
        assert_eq!(spec("%({x_y!}o)-20s"), ("o", "x_y!".to_string(), 20));
        assert!(LogFormat::parse("%({ETag}o)s").unwrap().uses_response_head());
        assert!(!LogFormat::parse(LogFormat::COMBINED).unwrap().uses_response_head());
    }

    #[test]
    fn text_and_percent_signs_are_joined() {
        let format = LogFormat::parse("a%%b é %%%(status_code)d%%").unwrap();
        let [Part::Text(before), Part::Value(Field::StatusCode, _), Part::Text(after)] = &format.parts[..]
        else {
            panic!("{format:?}");
        };
        assert_eq!((before.as_str(), after.as_str()), ("a%b é %", "%"));
        assert_eq!(LogFormat::parse("").unwrap().parts, []);
    }

    #[test]
    fn a_wrong_template_is_refused_with_the_part_and_what_is_allowed() {
        for (template, part, message) in [
            ("%", "%", "stray percent sign (expected"),
            ("50% of %(status_code)s", "%", "stray percent sign"),
            ("%s", "%", "stray percent sign"),
            ("%%%", "%", "stray percent sign"),
            ("a %(client_ip", "%(client_ip", "name without end (expected"),
            (
                "%(client)s b",
                "%(client)",
                "unknown name (expected client_ip, client_port, peer_ip, date_time, common_log_time, request_line,",
            ),
            ("%()s", "%()", "unknown name"),
            ("%(Client_ip)s", "%(Client_ip)", "unknown name"),
            ("%({}i)s", "%({}i)", "invalid name of a header field (expected"),
            ("%({a b}i)s", "%({a b}i)", "invalid name of a header field"),
            ("%({a}}o)s", "%({a}}o)", "invalid name of a header field"),
            ("%({a}e)s", "%({a}e)", "unknown name"),
            ("%(a}i)s", "%(a}i)", "unknown name"),
            ("%({Age}o)d", "%({Age}o)d", "field is text"),
            ("%(client_ip)", "%(client_ip)", "unknown conversion (expected s, d or f)"),
            ("%(client_ip)r", "%(client_ip)r", "unknown conversion"),
            ("%(status_code)ld", "%(status_code)l", "unknown conversion"),
            ("%(status_code)%", "%(status_code)%", "unknown conversion"),
            ("%(status_code)5é", "%(status_code)5é", "unknown conversion"),
            ("%(status_code)*d", "%(status_code)*", "unknown conversion"),
            ("%(status_code)5-d", "%(status_code)5-", "unknown conversion"),
            ("%(status_code).-5d", "%(status_code).-", "unknown conversion"),
            ("x%(client_ip)5d", "%(client_ip)5d", "field is text (expected the conversion s)"),
            ("%(date_time)f", "%(date_time)f", "field is text"),
            ("%(request_line)d", "%(request_line)d", "field is text"),
            ("%(status_code)1001d", "%(status_code)1001", "width or precision too large (limit: 1000)"),
            ("%(wall_seconds).99999999999999999999f", "%(wall_seconds).9999", "width or precision too large"),
        ] {
            let error = LogFormat::parse(template).unwrap_err();
            assert_eq!(error.part(), part, "{template}");
            let expected = alloc::format!("log format has `{part}`: {message}");
            assert!(error.to_string().starts_with(&expected), "{template}: {error}");
        }
    }

    #[test]
    fn the_largest_width_and_precision_are_allowed() {
        assert!(LogFormat::parse("%(wall_seconds)+-# 01000.1000f").is_ok());
    }
}
