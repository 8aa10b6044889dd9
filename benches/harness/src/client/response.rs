//! Counts responses in a stream of bytes. It checks their status and their framing, and ignores their contents.

use std::io;

/// The state of one connection's stream.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    state: State,
    /// The beginning of a head or of a line whose rest has not arrived.
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// The bytes that are left of a body.
    Body(usize),
    ChunkSize,
    /// The bytes that are left of a chunk and its line end.
    Chunk(usize),
    /// The line after the last chunk; there are no trailers.
    LastLine,
}

impl Responses {
    /// Consumes bytes; returns how many responses they end.
    ///
    /// # Errors
    ///
    /// A status other than 200, or a body without `Content-Length` and chunks.
    pub(crate) fn consume(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let mut ended = 0;
        while !bytes.is_empty() {
            match self.state {
                State::Body(left) | State::Chunk(left) if left > bytes.len() => {
                    let left = left - bytes.len();
                    self.state = match self.state {
                        State::Body(_) => State::Body(left),
                        _ => State::Chunk(left),
                    };
                    return Ok(ended);
                }
                State::Body(left) => {
                    bytes = &bytes[left..];
                    self.state = State::Head;
                    ended += 1;
                }
                State::Chunk(left) => {
                    bytes = &bytes[left..];
                    self.state = State::ChunkSize;
                }
                State::Head => {
                    let Some(length) = self.end_of(bytes, b"\r\n\r\n") else { return Ok(ended) };
                    self.state = if self.partial.is_empty() {
                        framing(&bytes[..length])?
                    } else {
                        self.partial.extend_from_slice(&bytes[..length]);
                        framing(&self.partial)?
                    };
                    self.partial.clear();
                    bytes = &bytes[length..];
                    if self.state == State::Body(0) {
                        self.state = State::Head;
                        ended += 1;
                    }
                }
                State::ChunkSize | State::LastLine => {
                    let Some(length) = self.end_of(bytes, b"\r\n") else { return Ok(ended) };
                    self.partial.extend_from_slice(&bytes[..length]);
                    bytes = &bytes[length..];
                    if self.state == State::LastLine {
                        self.state = State::Head;
                        ended += 1;
                    } else {
                        self.state = match chunk_size(&self.partial)? {
                            0 => State::LastLine,
                            size => State::Chunk(size + 2),
                        };
                    }
                    self.partial.clear();
                }
            }
        }
        Ok(ended)
    }

    /// How many of `bytes` reach to the end of `mark`, which may have begun before; keeps them if the mark is absent.
    fn end_of(&mut self, bytes: &[u8], mark: &[u8]) -> Option<usize> {
        if self.partial.is_empty() {
            if let Some(at) = find(bytes, mark) {
                return Some(at + mark.len());
            }
        } else {
            let before = self.partial.len();
            let from = before.saturating_sub(mark.len() - 1);
            self.partial.extend_from_slice(bytes);
            let found = find(&self.partial[from..], mark);
            if let Some(at) = found {
                self.partial.truncate(before);
                return Some(from + at + mark.len() - before);
            }
            return None;
        }
        self.partial.extend_from_slice(bytes);
        None
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// The state after a head.
fn framing(head: &[u8]) -> io::Result<State> {
    let bad = |why: &str| io::Error::other(format!("{why}: {}", String::from_utf8_lossy(head)));
    if head.get(8..12) != Some(b" 200") {
        return Err(bad("not 200"));
    }
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            return length.map(State::Body).ok_or_else(|| bad("a malformed length"));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Ok(State::ChunkSize);
        }
    }
    Err(bad("no length"))
}

#[allow(
    clippy::disallowed_methods,
    reason = "the servers are trusted: a leading `+` would only be a wrong figure"
)]
fn chunk_size(line: &[u8]) -> io::Result<usize> {
    let text = std::str::from_utf8(line).unwrap_or_default().trim_end();
    usize::from_str_radix(text, 16).map_err(|_| io::Error::other(format!("a malformed chunk size: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

    #[test]
    fn responses_are_counted_however_the_stream_is_cut() {
        for size in 1..=STREAM.len() {
            let mut responses = Responses::default();
            let ended: usize = STREAM.chunks(size).map(|piece| responses.consume(piece).unwrap()).sum();
            assert_eq!(
                (ended, responses.state, responses.partial.len()),
                (3, State::Head, 0),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn errors_are_not_counted_as_answers() {
        for wrong in
            ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nDate: x\r\n\r\n"]
        {
            assert!(Responses::default().consume(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
