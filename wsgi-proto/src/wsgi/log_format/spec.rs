//! The parts of a template: the fields that exist, and the format of each.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::error::Error;
use core::fmt;

use crate::http::token::is_token_byte;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Value(Field, Spec),
    /// The first request field with this name.
    RequestField(String, Spec),
    /// The first response field with this name.
    ResponseField(String, Spec),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ClientIp,
    ClientPort,
    PeerIp,
    DateTime,
    CommonLogTime,
    RequestLine,
    StatusCode,
    BodyLength,
    ResponseLength,
    WallSeconds,
    IsoTime,
}

impl Field {
    pub(super) const ALL: [(&str, Self); 11] = [
        ("client_ip", Self::ClientIp),
        ("client_port", Self::ClientPort),
        ("peer_ip", Self::PeerIp),
        ("date_time", Self::DateTime),
        ("common_log_time", Self::CommonLogTime),
        ("request_line", Self::RequestLine),
        ("status_code", Self::StatusCode),
        ("body_length", Self::BodyLength),
        ("response_length", Self::ResponseLength),
        ("wall_seconds", Self::WallSeconds),
        ("iso_time", Self::IsoTime),
    ];

    pub(super) fn is_text(self) -> bool {
        matches!(
            self,
            Self::ClientIp
                | Self::PeerIp
                | Self::DateTime
                | Self::CommonLogTime
                | Self::IsoTime
                | Self::RequestLine
        )
    }
}

/// The format of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    /// `-`; overrides `zero`.
    pub(super) left: bool,
    /// `0`
    pub(super) zero: bool,
    /// `+`; overrides `space`.
    pub(super) plus: bool,
    pub(super) space: bool,
    /// `#`
    pub(super) point: bool,
    pub(super) width: usize,
    pub(super) precision: Option<usize>,
    pub(super) conversion: Conversion,
}

impl Spec {
    /// Whether text is written as it is.
    pub(super) fn is_plain(self) -> bool {
        self.width == 0 && self.precision.is_none()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    Text,
    Integer,
    Decimal,
}

/// What the name of a placeholder refers to.
enum Source<'n> {
    Value(Field),
    RequestField(&'n str),
    ResponseField(&'n str),
}

/// Reads one placeholder.
///
/// Invariant: `whole` begins with its `%`, and `whole[..at]` has been read.
pub(super) struct Scanner<'a> {
    pub(super) whole: &'a str,
    pub(super) at: usize,
}

impl Scanner<'_> {
    /// The maximum width and precision. A larger one is a mistake, and would make every line that long.
    const LARGEST: usize = 1000;

    pub(super) fn placeholder(&mut self) -> Result<Part, LogFormatError> {
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
        let source = self.source(name)?;
        let spec = self.spec()?;
        let is_text = !matches!(source, Source::Value(field) if !field.is_text());
        if is_text && spec.conversion != Conversion::Text {
            return self.fail(Fault::TextAsNumber);
        }
        Ok(match source {
            Source::Value(field) => Part::Value(field, spec),
            Source::RequestField(name) => Part::RequestField(name.to_owned(), spec),
            Source::ResponseField(name) => Part::ResponseField(name.to_owned(), spec),
        })
    }

    /// Parses a name: one of [`Field::ALL`], or `{Name}i` or `{Name}o` for a header field, as in gunicorn.
    fn source<'n>(&self, name: &'n str) -> Result<Source<'n>, LogFormatError> {
        if let Some(&(_, field)) = Field::ALL.iter().find(|(known, _)| *known == name) {
            return Ok(Source::Value(field));
        }
        let (field, source): (_, fn(&'n str) -> Source<'n>) =
            match name.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
                Some((field, "i")) => (field, Source::RequestField),
                Some((field, "o")) => (field, Source::ResponseField),
                _ => return self.fail(Fault::Name),
            };
        if field.is_empty() || !field.bytes().all(is_token_byte) {
            return self.fail(Fault::FieldName);
        }
        Ok(source(field))
    }

    pub(super) fn spec(&mut self) -> Result<Spec, LogFormatError> {
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

    /// Reads all digits that follow as a number; 0 if there are none.
    pub(super) fn number(&mut self) -> Result<usize, LogFormatError> {
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

    pub(super) fn peek(&self) -> Option<char> {
        self.whole[self.at..].chars().next()
    }

    fn fail<T>(&self, fault: Fault) -> Result<T, LogFormatError> {
        Err(LogFormatError { part: self.whole[..self.at].to_owned(), fault })
    }
}

/// The error for an invalid template of log lines. The message shows the invalid part, the fault, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormatError {
    part: String,
    fault: Fault,
}

impl LogFormatError {
    /// The invalid part of the template, from its `%` to the fault.
    pub fn part(&self) -> &str {
        &self.part
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Stray,
    Open,
    Name,
    FieldName,
    Conversion,
    TextAsNumber,
    TooLarge,
}

impl fmt::Display for LogFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log format has `{}`: ", self.part)?;
        match self.fault {
            Fault::Stray => f.write_str("stray percent sign (expected %(name)s, %(name)d, %(name)f or %%)"),
            Fault::Open => f.write_str("name without end (expected a name in parentheses, as in %(name)s)"),
            Fault::Name => {
                f.write_str("unknown name (expected ")?;
                Field::ALL.iter().enumerate().try_for_each(|(at, (name, _))| {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    f.write_str(name)
                })?;
                f.write_str(", {Name}i or {Name}o)")
            }
            Fault::FieldName => {
                f.write_str("invalid name of a header field (expected a name as in %({User-Agent}i)s)")
            }
            Fault::Conversion => f.write_str("unknown conversion (expected s, d or f)"),
            Fault::TextAsNumber => f.write_str("field is text (expected the conversion s)"),
            Fault::TooLarge => {
                write!(f, "width or precision too large (limit: {})", Scanner::LARGEST)
            }
        }
    }
}

impl Error for LogFormatError {}
