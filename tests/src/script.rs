//! Applications as data: the operations of an application for one request, one per line.
//!
//! | line | the application |
//! | --- | --- |
//! | `read all` | reads the whole body; if that fails, it fails with that error |
//! | `read 5` | reads five bytes, or to the end |
//! | `try read all` | reads the whole body; an error is stored as `$error`, and the script continues |
//! | `respond 200 OK` | starts the response; indented lines after it are its fields |
//! | `replace 500 Oops` | replaces the response because of an error (`exc_info`) |
//! | `body text` | returns the whole body as one block of known length |
//! | `send text` | returns one block of a body of unknown length |
//! | `trailers` | ends the response; indented lines after it are trailer fields |
//! | `inform 103 Early Hints` | sends an interim response, with the indented lines as fields |
//! | `continue headers` | sets the indented lines as fields of the 100 that the first read sends |
//! | `minimum chunk size 10` | has blocks joined to that size |
//! | `fail text` | fails with an error of that text |
//! | `abort` | aborts the response |
//! | `shutdown` | stops the server gracefully, in the middle of this request |
//! | `take over` | takes the stream over and echoes it |
//!
//! After the last line the response is finished. A rejected operation makes the application fail with the text of that
//! error. Texts have the escapes of [`wire`](crate::wire) and these words: `$method`, `$path`, `$query`, `$host`,
//! `$version`; `$body` and `$length`, of the bytes read; `$trailers`; `$error`.

use crate::wire::unescape;

/// Names and values of fields, as bytes, because an application may try to send anything.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// One operation of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `read all`
    ReadAll,
    /// `read 5`
    Read(usize),
    /// `try read all`
    TryReadAll,
    /// `respond 200 OK`
    Respond(String, Fields),
    /// `replace 500 Oops`
    Replace(String, Fields),
    /// `body text`
    Body(Text),
    /// `send text`
    Send(Text),
    /// `trailers`
    Trailers(Fields),
    /// `inform 103 Early Hints`
    Inform(String, Fields),
    /// `continue headers`
    ContinueHeaders(Fields),
    /// `minimum chunk size 10`
    MinimumChunkSize(usize),
    /// `fail text`
    Fail(String),
    /// `abort`
    Abort,
    /// `shutdown`
    Shutdown,
    /// `take over`
    TakeOver,
}

/// A scripted application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The operations, in order.
    pub ops: Vec<Op>,
}

impl Default for Script {
    /// Reads everything and echoes the request.
    fn default() -> Self {
        let plain = vec![(b"Content-Type".to_vec(), b"text/plain".to_vec())];
        let text = Text(b"$method $path [$body]\n".to_vec());
        Self { ops: vec![Op::ReadAll, Op::Respond("200 OK".into(), plain), Op::Body(text)] }
    }
}

impl Script {
    /// Parses a script, one operation per line.
    ///
    /// # Errors
    ///
    /// The line that is malformed.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut ops = Vec::new();
        for line in lines {
            match line.strip_prefix(' ') {
                Some(field) => {
                    let fields = ops.last_mut().and_then(Op::fields).ok_or_else(|| wrong(line))?;
                    let (name, value) = field.trim_start().split_once(": ").ok_or_else(|| wrong(line))?;
                    fields.push((unescape(name)?, unescape(value)?));
                }
                None => ops.push(Op::parse(line)?),
            }
        }
        Ok(Self { ops })
    }
}

impl Op {
    fn parse(line: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| wrong(line));
        let string = |text: &str| String::from_utf8(unescape(text)?).map_err(|_| wrong(line));
        Ok(match line {
            "read all" => Self::ReadAll,
            "try read all" => Self::TryReadAll,
            "trailers" => Self::Trailers(Fields::new()),
            "continue headers" => Self::ContinueHeaders(Fields::new()),
            "abort" => Self::Abort,
            "shutdown" => Self::Shutdown,
            "take over" => Self::TakeOver,
            _ => {
                if let Some(count) = line.strip_prefix("minimum chunk size ") {
                    return Ok(Self::MinimumChunkSize(number(count)?));
                }
                match line.split_once(' ').ok_or_else(|| wrong(line))? {
                    ("read", count) => Self::Read(number(count)?),
                    ("respond", status) => Self::Respond(string(status)?, Fields::new()),
                    ("replace", status) => Self::Replace(string(status)?, Fields::new()),
                    ("inform", status) => Self::Inform(string(status)?, Fields::new()),
                    ("body", text) => Self::Body(Text(unescape(text)?)),
                    ("send", text) => Self::Send(Text(unescape(text)?)),
                    ("fail", text) => Self::Fail(string(text)?),
                    _ => return Err(wrong(line)),
                }
            }
        })
    }

    fn fields(&mut self) -> Option<&mut Fields> {
        match self {
            Self::Respond(_, fields)
            | Self::Replace(_, fields)
            | Self::Inform(_, fields)
            | Self::Trailers(fields)
            | Self::ContinueHeaders(fields) => Some(fields),
            _ => None,
        }
    }
}

fn wrong(line: &str) -> String {
    format!("not an operation: {line}")
}

/// Bytes with words such as `$body`, which stand for the application's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Vec<u8>);

/// The values of the words in a [`Text`].
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// `$method`
    pub method: Vec<u8>,
    /// `$path`, as sent
    pub path: Vec<u8>,
    /// `$query`, as sent
    pub query: Vec<u8>,
    /// `$host`
    pub host: Vec<u8>,
    /// `$version`
    pub version: Vec<u8>,
    /// `$body`, as far as it was read
    pub body: Vec<u8>,
    /// `$trailers`: `name=value` each
    pub trailers: Vec<u8>,
    /// `$error`
    pub error: Vec<u8>,
}

impl Seen {
    /// Trailer fields in the format of `$trailers`.
    pub fn list<'f>(fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> Vec<u8> {
        let text = |(name, value): (&str, &[u8])| [name.as_bytes(), b"=", value].concat();
        fields.map(text).collect::<Vec<_>>().join(&b" "[..])
    }
}

impl Text {
    /// The text with its words replaced.
    pub fn render(&self, seen: &Seen) -> Vec<u8> {
        let length = seen.body.len().to_string().into_bytes();
        let words: [(&[u8], &[u8]); 9] = [
            (b"$method", &seen.method),
            (b"$path", &seen.path),
            (b"$query", &seen.query),
            (b"$host", &seen.host),
            (b"$version", &seen.version),
            (b"$body", &seen.body),
            (b"$length", &length),
            (b"$trailers", &seen.trailers),
            (b"$error", &seen.error),
        ];
        let mut rendered = Vec::new();
        let mut rest = &self.0[..];
        while let Some(&byte) = rest.first() {
            if let Some((word, value)) = words.iter().find(|(word, _)| rest.starts_with(word)) {
                rendered.extend_from_slice(value);
                rest = &rest[word.len()..];
            } else {
                rendered.push(byte);
                rest = &rest[1..];
            }
        }
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_line_by_line() {
        let lines =
            ["read 5", "respond 200 OK", "  A: b\\r\\nc", "send $body,$$length", "trailers", "  T: u"];
        let script = Script::parse(lines).unwrap();
        assert_eq!(
            script.ops,
            [
                Op::Read(5),
                Op::Respond("200 OK".into(), vec![(b"A".to_vec(), b"b\r\nc".to_vec())]),
                Op::Send(Text(b"$body,$$length".to_vec())),
                Op::Trailers(vec![(b"T".to_vec(), b"u".to_vec())]),
            ]
        );
        for wrong in ["", "read", "read x", "  A: b", "sing"] {
            assert!(Script::parse([wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_replaced_once() {
        let seen = Seen { body: b"$path".to_vec(), path: b"/".to_vec(), ..Seen::default() };
        assert_eq!(Text(b"$body$$path $length".to_vec()).render(&seen), b"$path$/ 5");
    }
}
