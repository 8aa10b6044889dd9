//! Reads what a client is sent as responses, each to the next request of its connection.

use crate::world::time::Nanos;

/// A response that arrived whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// What the application said which request it answers.
    pub(crate) id: Option<usize>,
    pub(crate) body: Vec<u8>,
    /// Whether it promised that the connection stays for another request.
    pub(crate) persists: bool,
    /// Where it ends in the bytes of its connection.
    pub(crate) end: u64,
    pub(crate) at: Nanos,
}

/// The bytes that a client was sent, and the responses in them.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) bytes: Vec<u8>,
    /// Whether the answers to come have no body, in the order of the requests.
    pub(crate) heads: Vec<bool>,
    pub(crate) answers: Vec<Answer>,
    /// Where the answer begins that is not whole.
    from: usize,
    pub(crate) interim: usize,
    /// The rest is no HTTP: the connection was taken over.
    pub(crate) switched: bool,
    /// What is wrong with the bytes.
    pub(crate) wrong: Option<String>,
    /// The end came without a reset.
    pub(crate) ended: bool,
}

enum Length {
    None,
    Bytes(usize),
    Chunked,
    UntilClose,
}

impl Reader {
    pub(crate) fn take(&mut self, bytes: impl Iterator<Item = u8>, now: Nanos) {
        self.bytes.extend(bytes);
        self.read(now);
    }

    /// The server has closed its half.
    pub(crate) fn end(&mut self, now: Nanos) {
        if !self.ended {
            self.ended = true;
            self.read(now);
        }
    }

    /// Whether something of an answer is there that is not whole.
    pub(crate) fn has_part(&self) -> bool {
        !self.switched && self.from < self.bytes.len()
    }

    fn read(&mut self, now: Nanos) {
        while !self.switched && self.wrong.is_none() {
            match self.next(now) {
                Ok(true) => {}
                Ok(false) => return,
                Err(wrong) => self.wrong = Some(wrong),
            }
        }
    }

    /// Reads one answer; false when it is not whole.
    fn next(&mut self, now: Nanos) -> Result<bool, String> {
        let rest = &self.bytes[self.from..];
        let Some(head_end) = find(rest, b"\r\n\r\n").map(|at| at + 4) else { return Ok(false) };
        let head = std::str::from_utf8(&rest[..head_end]).map_err(|_| "a head is not text")?;
        let (line, fields) = head.split_once("\r\n").ok_or("a head without lines")?;
        let status = line.strip_prefix("HTTP/1.").and_then(|line| line.get(2..5)?.parse::<u16>().ok());
        let status = status.ok_or_else(|| format!("`{line}` is not a status line"))?;
        if status < 200 && status != 101 {
            self.interim += 1;
            self.from += head_end;
            return Ok(true);
        }
        let field = |name: &str| {
            let mut lines = fields.split("\r\n");
            lines.find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let no_body = self.heads.get(self.answers.len()) == Some(&true) || matches!(status, 101 | 204 | 304);
        let length = match (field("Transfer-Encoding"), field("Content-Length")) {
            _ if no_body => Length::None,
            (Some(_), _) => Length::Chunked,
            (None, Some(length)) => Length::Bytes(length.parse().map_err(|_| "a Content-Length")?),
            (None, None) => Length::UntilClose,
        };
        let connection = field("Connection").unwrap_or_default().to_ascii_lowercase();
        let persists = match line.as_bytes().get(7) {
            Some(b'0') => connection.contains("keep-alive"),
            _ => !connection.contains("close"),
        } && !matches!(length, Length::UntilClose);
        let id = field("X-Id").and_then(|id| id.parse().ok());
        let after = &rest[head_end..];
        let (body, size) = match length {
            Length::None => (Vec::new(), 0),
            Length::Bytes(length) if after.len() < length => return Ok(false),
            Length::Bytes(length) => (after[..length].to_vec(), length),
            Length::UntilClose if self.ended => (after.to_vec(), after.len()),
            Length::UntilClose => return Ok(false),
            Length::Chunked => match unchunk(after)? {
                Some(body) => body,
                None => return Ok(false),
            },
        };
        self.from += head_end + size;
        self.switched = status == 101;
        self.answers.push(Answer { status, id, body, persists, end: self.from as u64, at: now });
        Ok(true)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The body and its length on the wire; `None` when it is not whole.
fn unchunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&bytes[at..at + line]).map_err(|_| "a chunk size is not text")?;
        #[allow(clippy::disallowed_methods, reason = "the server's own chunks have no sign")]
        let size = usize::from_str_radix(size, 16).map_err(|_| format!("`{size}` is not a chunk size"))?;
        at += line + 2;
        if size == 0 {
            // No trailers are sent here.
            return Ok((bytes.len() >= at + 2).then_some((body, at + 2)));
        }
        let Some(data) = bytes.get(at..at + size + 2) else { return Ok(None) };
        body.extend_from_slice(&data[..size]);
        at += size + 2;
    }
}
