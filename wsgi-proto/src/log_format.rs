//! The template of the access log: one line for each request (`log_format`).
//!
//! Knows Python's `%` formatting, as far as a log needs it, and the fields there are; does not know where lines go.
//! `value.rs` finds what the fields contain, `python.rs` formats it.

mod python;
mod value;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use crate::Record;
use value::Line;

/// A checked template of log lines.
///
/// A placeholder is written `%(name)s`, as in Python: after the name come flags (`-` left aligned, `0` filled with
/// zeros, `+` or a space before a positive number, `#` always a decimal point), a width, a precision after a `.`, and
/// one of the conversions `s` (text), `d` (integer) and `f` (decimal). `%%` is a percent sign. The names are:
///
/// | name | conversions | content |
/// | --- | --- | --- |
/// | `client_ip` | `s` | address of the peer, or `unix`; what the first `X-Forwarded-For` says before it, if wanted |
/// | `client_port` | `s d f` | port of the peer; empty for `unix` |
/// | `date_time` | `s` | local time at the end of the exchange: `06/Nov/1994 08:49:37` |
/// | `request_line` | `s` | the request line; up to 32 bytes of what arrived if it is malformed or incomplete |
/// | `status_code` | `s d f` | of the final response; 0 if none was sent |
/// | `body_length` | `s d f` | body bytes sent, without head and framing |
/// | `response_length` | `s d f` | all bytes of the response, with head and framing |
/// | `wall_seconds` | `s d f` | from the arrival of the whole head to the end of the exchange |
///
/// What the client sent is escaped: `\"`, `\\`, and `\x0a` for a control character. So it can neither end the line nor
/// the quotes that stand around it in the template; a precision does not cut an escape. Bytes above 0x9f are taken as
/// latin-1.
///
/// ```
/// use wsgi_proto::LogFormat;
///
/// assert!(LogFormat::parse("%(client_ip)s %(status_code)d %(wall_seconds).3f %%").is_ok());
/// let error = LogFormat::parse("%(status)s").unwrap_err();
/// assert!(error.to_string().starts_with("log format has `%(status)`: unknown name, allowed are client_ip, "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat {
    parts: Vec<Part>,
}

impl LogFormat {
    /// The template of [`LogFormat::default`] (eventlet).
    pub const DEFAULT_TEMPLATE: &str = "%(client_ip)s - - [%(date_time)s] \"%(request_line)s\" %(status_code)s \
                                        %(body_length)s %(wall_seconds).6f";

    /// Checks `template`. The error names the first part of it that is wrong.
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
        Ok(Self { parts })
    }

    /// Writes the line of one exchange, without a line end.
    ///
    /// With `log_x_forwarded_for` and if the first `X-Forwarded-For` field of the request is not empty, `client_ip` is
    /// that field without its spaces, a comma, and the address of the peer. Fails only if `out` does.
    pub fn write(
        &self,
        record: &Record,
        log_x_forwarded_for: bool,
        out: &mut (impl fmt::Write + ?Sized),
    ) -> fmt::Result {
        let line = Line { record, log_x_forwarded_for };
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => out.write_str(text),
            Part::Value(field, spec) => line.write(*field, *spec, out),
        })
    }
}

impl Default for LogFormat {
    fn default() -> Self {
        Self::parse(Self::DEFAULT_TEMPLATE).expect("a test parses the default template")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Field, Spec),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    ClientIp,
    ClientPort,
    DateTime,
    RequestLine,
    StatusCode,
    BodyLength,
    ResponseLength,
    WallSeconds,
}

impl Field {
    const ALL: [(&str, Self); 8] = [
        ("client_ip", Self::ClientIp),
        ("client_port", Self::ClientPort),
        ("date_time", Self::DateTime),
        ("request_line", Self::RequestLine),
        ("status_code", Self::StatusCode),
        ("body_length", Self::BodyLength),
        ("response_length", Self::ResponseLength),
        ("wall_seconds", Self::WallSeconds),
    ];

    fn is_text(self) -> bool {
        matches!(self, Self::ClientIp | Self::DateTime | Self::RequestLine)
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spec {
    /// `-`; wins over `zero`.
    left: bool,
    /// `0`
    zero: bool,
    /// `+`; wins over `space`.
    plus: bool,
    space: bool,
    /// `#`
    point: bool,
    width: usize,
    precision: Option<usize>,
    conversion: Conversion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conversion {
    Text,
    Integer,
    Decimal,
}

/// Reads one placeholder.
///
/// Invariant: `whole` begins with its `%`, and `whole[..at]` has been read.
struct Scanner<'a> {
    whole: &'a str,
    at: usize,
}

impl Scanner<'_> {
    /// Widths and precisions are for columns; a larger one is a slip, and would make every line that long.
    const LARGEST: usize = 1000;

    fn placeholder(&mut self) -> Result<Part, LogFormatError> {
        if self.peek() != Some('(') {
            return self.fail(Fault::Stray);
        }
        let name = match self.whole[self.at..].find(')') {
            Some(length) => &self.whole[self.at + 1..self.at + length],
            None => {
                self.at = self.whole.len();
                return self.fail(Fault::Open);
            }
        };
        self.at += name.len() + 2;
        let Some(&(_, field)) = Field::ALL.iter().find(|(known, _)| *known == name) else {
            return self.fail(Fault::Name);
        };
        let spec = self.spec()?;
        if field.is_text() && spec.conversion != Conversion::Text {
            return self.fail(Fault::TextAsNumber);
        }
        Ok(Part::Value(field, spec))
    }

    fn spec(&mut self) -> Result<Spec, LogFormatError> {
        let mut spec = Spec {
            left: false,
            zero: false,
            plus: false,
            space: false,
            point: false,
            width: 0,
            precision: None,
            conversion: Conversion::Text,
        };
        while let Some(flag) = self.peek() {
            match flag {
                '-' => spec.left = true,
                '0' => spec.zero = true,
                '+' => spec.plus = true,
                ' ' => spec.space = true,
                '#' => spec.point = true,
                _ => break,
            }
            self.at += 1;
        }
        spec.width = self.number()?;
        if self.peek() == Some('.') {
            self.at += 1;
            spec.precision = Some(self.number()?);
        }
        let conversion = self.peek();
        self.at += conversion.map_or(0, char::len_utf8);
        spec.conversion = match conversion {
            Some('s') => Conversion::Text,
            Some('d') => Conversion::Integer,
            Some('f') => Conversion::Decimal,
            _ => return self.fail(Fault::Conversion),
        };
        Ok(spec)
    }

    /// As many digits as there are; without any, 0.
    fn number(&mut self) -> Result<usize, LogFormatError> {
        let mut number = 0;
        while let Some(digit) = self.peek().and_then(|next| next.to_digit(10)) {
            self.at += 1;
            number = number * 10 + digit as usize;
            if number > Self::LARGEST {
                return self.fail(Fault::TooLarge);
            }
        }
        Ok(number)
    }

    fn peek(&self) -> Option<char> {
        self.whole[self.at..].chars().next()
    }

    fn fail<T>(&self, fault: Fault) -> Result<T, LogFormatError> {
        Err(LogFormatError { part: self.whole[..self.at].to_owned(), fault })
    }
}

/// A template of log lines that cannot be used. It says which part is wrong, how, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormatError {
    part: String,
    fault: Fault,
}

impl LogFormatError {
    /// The wrong part of the template, from its `%` to where it goes wrong.
    pub fn part(&self) -> &str {
        &self.part
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Stray,
    Open,
    Name,
    Conversion,
    TextAsNumber,
    TooLarge,
}

impl fmt::Display for LogFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log format has `{}`: ", self.part)?;
        match self.fault {
            Fault::Stray => {
                f.write_str("stray percent sign, allowed are %(name)s, %(name)d, %(name)f and %%")
            }
            Fault::Open => f.write_str("name without end, allowed is a name in parentheses, as in %(name)s"),
            Fault::Name => {
                f.write_str("unknown name, allowed are ")?;
                Field::ALL.iter().enumerate().try_for_each(|(at, (name, _))| {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    f.write_str(name)
                })
            }
            Fault::Conversion => f.write_str("unknown conversion, allowed are s, d and f"),
            Fault::TextAsNumber => f.write_str("this is text, allowed is the conversion s"),
            Fault::TooLarge => {
                write!(f, "width or precision too large, allowed are numbers up to {}", Scanner::LARGEST)
            }
        }
    }
}

impl Error for LogFormatError {}

#[cfg(test)]
mod tests {
    use super::*;
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
            ("%", "%", "stray percent sign, allowed are"),
            ("50% of %(status_code)s", "%", "stray percent sign"),
            ("%s", "%", "stray percent sign"),
            ("%%%", "%", "stray percent sign"),
            ("a %(client_ip", "%(client_ip", "name without end, allowed is"),
            (
                "%(client)s b",
                "%(client)",
                "unknown name, allowed are client_ip, client_port, date_time, request_line,",
            ),
            ("%()s", "%()", "unknown name"),
            ("%(Client_ip)s", "%(Client_ip)", "unknown name"),
            ("%(client_ip)", "%(client_ip)", "unknown conversion, allowed are s, d and f"),
            ("%(client_ip)r", "%(client_ip)r", "unknown conversion"),
            ("%(status_code)ld", "%(status_code)l", "unknown conversion"),
            ("%(status_code)%", "%(status_code)%", "unknown conversion"),
            ("%(status_code)5é", "%(status_code)5é", "unknown conversion"),
            ("%(status_code)*d", "%(status_code)*", "unknown conversion"),
            ("%(status_code)5-d", "%(status_code)5-", "unknown conversion"),
            ("%(status_code).-5d", "%(status_code).-", "unknown conversion"),
            ("x%(client_ip)5d", "%(client_ip)5d", "this is text, allowed is the conversion s"),
            ("%(date_time)f", "%(date_time)f", "this is text"),
            ("%(request_line)d", "%(request_line)d", "this is text"),
            (
                "%(status_code)1001d",
                "%(status_code)1001",
                "width or precision too large, allowed are numbers up to 1000",
            ),
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
