//! Removes the framing of a request body: by length, or chunked (RFC 9112, 6 and 7.1).

use crate::config::Limits;
use crate::error::RequestError;
use crate::http::head::BodyLength;
use crate::http::inbox::Inbox;
use crate::http::scan::Scan;
use crate::http::trailers::Trailers;

/// The result of one decoding step.
#[derive(Debug)]
pub(crate) enum Step {
    /// The given number of data bytes is at the front of the inbox.
    Data(usize),
    /// More bytes have to arrive.
    More,
    End(Trailers),
}

/// The decoder of one body.
#[derive(Debug)]
pub(crate) struct BodyReader {
    state: Decoding,
    /// Data bytes announced so far, for the limit of chunked bodies.
    announced: u64,
    extensions: usize,
}

#[derive(Debug)]
enum Decoding {
    Length(u64),
    /// In a chunk-size line. `seen` bytes of it are consumed.
    Size {
        size: u64,
        digits: bool,
        seen: usize,
        part: SizePart,
    },
    Chunk(u64),
    /// After the data of a chunk.
    ChunkEnd,
    Trailers(Scan),
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SizePart {
    Size,
    /// White space that has to be followed by a semicolon (RFC 9112, 7.1.1: BWS).
    Space,
    Extension,
    LineFeed,
}

impl Decoding {
    const CHUNK_SIZE: Self = Self::Size { size: 0, digits: false, seen: 0, part: SizePart::Size };
}

impl Default for BodyReader {
    fn default() -> Self {
        Self { state: Decoding::Ended, announced: 0, extensions: 0 }
    }
}

impl BodyReader {
    /// Begins a body.
    #[inline]
    pub(crate) fn begin(&mut self, length: BodyLength) {
        match length {
            BodyLength::Known(0) => self.state = Decoding::Ended,
            BodyLength::Known(length) => self.state = Decoding::Length(length),
            BodyLength::Chunked => self.state = Decoding::CHUNK_SIZE,
        }
        (self.announced, self.extensions) = (0, 0);
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, Decoding::Ended)
    }

    /// The number of bytes that are certain to follow, without framing.
    pub(crate) fn remaining(&self) -> u64 {
        match self.state {
            Decoding::Length(left) | Decoding::Chunk(left) => left,
            _ => 0,
        }
    }

    /// The number of bytes still to follow according to the head. It is 0 for a chunked body, whose length is unknown.
    pub(crate) fn declared_remaining(&self) -> u64 {
        if let Decoding::Length(left) = self.state { left } else { 0 }
    }

    /// The number of bytes that are expected to follow, with framing.
    pub(crate) fn expected(&self) -> u64 {
        match self.state {
            Decoding::Length(left) => left,
            Decoding::Trailers(_) | Decoding::Ended => 0,
            _ => u64::MAX,
        }
    }

    /// The maximum number of bytes in the inbox while this body is read.
    pub(crate) fn wanted_space(&self, limits: &Limits) -> usize {
        match self.state {
            Decoding::Trailers(_) => limits.inbox.max(limits.fields_size.saturating_add(2)),
            // At least two, because a CR stays in the inbox until its LF arrives.
            _ => limits.inbox.max(2),
        }
    }

    /// Consumes framing at the front of `inbox` until it finds data or the end, or needs more bytes.
    #[inline]
    pub(crate) fn step(&mut self, inbox: &mut Inbox, limits: &Limits) -> Result<Step, RequestError> {
        loop {
            if let Decoding::Length(left) | Decoding::Chunk(left) = self.state {
                // A slice is never longer than `usize`.
                let ready = inbox.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                return Ok(if ready == 0 { Step::More } else { Step::Data(ready) });
            } else if let Some(step) = self.step_framing(inbox, limits)? {
                return Ok(step);
            }
        }
    }

    /// Like [`step`](Self::step); `None` if data follows.
    fn step_framing(&mut self, inbox: &mut Inbox, limits: &Limits) -> Result<Option<Step>, RequestError> {
        loop {
            match &mut self.state {
                Decoding::Length(_) | Decoding::Chunk(_) => return Ok(None),
                Decoding::Size { .. } => {
                    if !self.size_line(inbox, limits)? {
                        return Ok(Some(Step::More));
                    }
                }
                Decoding::ChunkEnd => match inbox.bytes() {
                    [b'\r', b'\n', ..] => {
                        inbox.consume(2);
                        self.state = Decoding::CHUNK_SIZE;
                    }
                    [] | [b'\r'] => return Ok(Some(Step::More)),
                    _ => return Err(RequestError::ChunkData),
                },
                Decoding::Trailers(scan) => {
                    let Some(section) =
                        scan.advance(inbox.bytes(), limits).map_err(|_| RequestError::Trailer)?
                    else {
                        return Ok(Some(Step::More));
                    };
                    let trailers = Trailers::read(&inbox.bytes()[..section.end], section.fields)?;
                    inbox.consume(section.end);
                    self.state = Decoding::Ended;
                    return Ok(Some(Step::End(trailers)));
                }
                Decoding::Ended => return Ok(Some(Step::End(Trailers::default()))),
            }
        }
    }

    /// Records that `count` data bytes at the front were consumed.
    pub(crate) fn consumed(&mut self, count: usize) {
        match &mut self.state {
            Decoding::Length(left) => {
                *left = left.saturating_sub(count as u64);
                if *left == 0 {
                    self.state = Decoding::Ended;
                }
            }
            Decoding::Chunk(left) => {
                *left = left.saturating_sub(count as u64);
                if *left == 0 {
                    self.state = Decoding::ChunkEnd;
                }
            }
            _ => debug_assert_eq!(count, 0, "no data was announced"),
        }
    }

    /// Reads more of a chunk-size line. Returns true when the line is complete.
    fn size_line(&mut self, inbox: &mut Inbox, limits: &Limits) -> Result<bool, RequestError> {
        if let Decoding::Size { seen: 0, .. } = self.state
            && let Some((size, length)) = plain_size(inbox.bytes())
            && length <= limits.chunk_line
        {
            inbox.consume(length);
            self.begin_chunk(size, limits)?;
            return Ok(true);
        }
        self.size_line_bytewise(inbox, limits)
    }

    /// Reads more of a chunk-size line, one byte at a time: the line is short, and the result does not depend on how
    /// the input is split.
    fn size_line_bytewise(&mut self, inbox: &mut Inbox, limits: &Limits) -> Result<bool, RequestError> {
        let Decoding::Size { mut size, mut digits, mut seen, mut part } = self.state else { return Ok(true) };
        let (mut used, mut complete) = (0, false);
        for &byte in inbox.bytes() {
            used += 1;
            seen += 1;
            if seen > limits.chunk_line {
                return Err(RequestError::ChunkLine);
            }
            match (part, byte) {
                (SizePart::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    let digit = (byte as char).to_digit(16).unwrap_or_default();
                    // RFC 9112, 7.1: a size that does not fit must not wrap around.
                    size = size.checked_mul(16).ok_or(RequestError::ChunkSize)? + u64::from(digit);
                    digits = true;
                }
                (SizePart::Size, _) if !digits => return Err(RequestError::ChunkSize),
                (SizePart::Size | SizePart::Space, b' ' | b'\t') => part = SizePart::Space,
                (SizePart::Size | SizePart::Space, b';') => part = SizePart::Extension,
                (SizePart::Size | SizePart::Extension, b'\r') => part = SizePart::LineFeed,
                (SizePart::Size | SizePart::Space, _) => return Err(RequestError::ChunkSize),
                (SizePart::Extension, b'\t' | b' '..=b'~' | 0x80..) => {}
                (SizePart::Extension, _) => return Err(RequestError::ChunkExtension),
                (SizePart::LineFeed, b'\n') => {
                    complete = true;
                    break;
                }
                (SizePart::LineFeed, _) => return Err(RequestError::ChunkLine),
            }
            if part == SizePart::Extension {
                self.extensions += 1;
                if self.extensions > limits.chunk_extensions {
                    return Err(RequestError::ChunkExtension);
                }
            }
        }
        inbox.consume(used);
        if !complete {
            self.state = Decoding::Size { size, digits, seen, part };
            return Ok(false);
        }
        self.begin_chunk(size, limits)?;
        Ok(true)
    }

    fn begin_chunk(&mut self, size: u64, limits: &Limits) -> Result<(), RequestError> {
        self.announced = self.announced.saturating_add(size);
        match limits.body {
            Some(limit) if self.announced > limit => return Err(RequestError::BodyTooLarge(limit)),
            _ => {}
        }
        self.state = if size == 0 { Decoding::Trailers(Scan::trailers()) } else { Decoding::Chunk(size) };
        Ok(())
    }
}

/// The size and the length of a chunk-size line that has arrived whole and is nothing but a size.
fn plain_size(bytes: &[u8]) -> Option<(u64, usize)> {
    // A `u64` has 16 digits.
    let line = &bytes[..bytes.len().min(18)];
    let (mut size, mut digits) = (0, 0);
    while let Some(digit) = line.get(digits).and_then(|byte| (*byte as char).to_digit(16)) {
        size = size << 4 | u64::from(digit);
        digits += 1;
    }
    let is_plain = (1..=16).contains(&digits) && line[digits..].starts_with(b"\r\n");
    is_plain.then_some((size, digits + 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    /// The body, the bytes after it, and the number of trailers. The input is read in pieces of `piece` bytes.
    fn decode(input: &[u8], piece: usize, limits: &Limits) -> Result<(String, String, usize), RequestError> {
        let (mut inbox, mut reader) = (Inbox::default(), BodyReader::default());
        reader.begin(BodyLength::Chunked);
        inbox.ensure_buffer(64);
        let (mut body, mut pieces) = (String::new(), input.chunks(piece));
        loop {
            match reader.step(&mut inbox, limits)? {
                Step::Data(count) => {
                    body.push_str(core::str::from_utf8(&inbox.bytes()[..count]).unwrap());
                    inbox.consume(count);
                    reader.consumed(count);
                }
                Step::More => {
                    let Some(piece) = pieces.next() else { return Err(RequestError::Incomplete) };
                    let space = inbox.space(1 << 20, 0);
                    space[..piece.len()].copy_from_slice(piece);
                    inbox.commit(piece.len());
                }
                Step::End(trailers) => {
                    let rest = core::str::from_utf8(inbox.bytes()).unwrap().to_string();
                    let rest = rest + &pieces.flatten().map(|&byte| byte as char).collect::<String>();
                    return Ok((body, rest, trailers.fields().len()));
                }
            }
        }
    }

    #[test]
    fn chunked_bodies_have_one_reading_or_none() {
        let ok = |body: &str, rest: &str, trailers| Ok((body.into(), rest.into(), trailers));
        for (input, wanted) in [
            ("5\r\nhello\r\n0\r\n\r\nGET", ok("hello", "GET", 0)),
            ("0005\r\nhello\r\nA\r\n0123456789\r\n00\r\n\r\n", ok("hello0123456789", "", 0)),
            ("5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\nA: b\r\nC: d\r\n\r\nG", ok("hello", "G", 2)),
            ("5 ;a\r\nhello\r\n0\r\n\r\n", ok("hello", "", 0)),
            ("5 \r\nhello\r\n0\r\n\r\n", Err(RequestError::ChunkSize)),
            ("\r\nhello\r\n0\r\n\r\n", Err(RequestError::ChunkSize)),
            ("0x5\r\nhello\r\n0\r\n\r\n", Err(RequestError::ChunkSize)),
            ("+5\r\nhello\r\n0\r\n\r\n", Err(RequestError::ChunkSize)),
            ("-1\r\n\r\n", Err(RequestError::ChunkSize)),
            ("10000000000000005\r\nhello\r\n", Err(RequestError::ChunkSize)),
            ("0000000000000005\r\nhello\r\n0\r\n\r\n", ok("hello", "", 0)),
            ("00000000000000005\r\nhello\r\n0\r\n\r\n", ok("hello", "", 0)),
            ("5\nhello\r\n0\r\n\r\n", Err(RequestError::ChunkSize)),
            ("5\r\rhello\r\n0\r\n\r\n", Err(RequestError::ChunkLine)),
            ("5;a\nhello\r\n0\r\n\r\n", Err(RequestError::ChunkExtension)),
            ("5;a\0\r\nhello\r\n0\r\n\r\n", Err(RequestError::ChunkExtension)),
            ("5\r\nhelloX\r\n0\r\n\r\n", Err(RequestError::ChunkData)),
            ("5\r\nhello\n0\r\n\r\n", Err(RequestError::ChunkData)),
            ("5\r\nhell\r\n0\r\n\r\n", Err(RequestError::ChunkData)),
            ("0\r\nA b: c\r\n\r\n", Err(RequestError::Trailer)),
            ("0\r\n A: c\r\n\r\n", Err(RequestError::Trailer)),
            ("0\r\nA: c\n\r\n", Err(RequestError::Trailer)),
            ("0\r\nA: c\r\n", Err(RequestError::Incomplete)),
        ] {
            for piece in (1..=8).chain([1000]) {
                let got = decode(input.as_bytes(), piece, &Limits::default());
                assert_eq!(got, wanted, "{input:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_limit_of_a_chunked_body_is_the_largest_size_served() {
        let limits = Limits { chunk_line: 10, chunk_extensions: 12, body: Some(5), ..Limits::default() };
        for (input, wanted) in [
            ("5;345678\r\nhello\r\n0\r\n\r\n", Ok(())),
            ("5;3456789\r\nhello\r\n0\r\n\r\n", Err(RequestError::ChunkLine)),
            ("1;2345\r\na\r\n1;23456\r\nb\r\n0\r\n\r\n", Ok(())),
            ("1;2345\r\na\r\n1;234567\r\nb\r\n0;\r\n\r\n", Err(RequestError::ChunkExtension)),
            ("6\r\nhello6\r\n0\r\n\r\n", Err(RequestError::BodyTooLarge(5))),
            ("4\r\nhell\r\n2\r\no6\r\n0\r\n\r\n", Err(RequestError::BodyTooLarge(5))),
        ] {
            for piece in (1..=8).chain([1000]) {
                let got = decode(input.as_bytes(), piece, &limits).map(|_| ());
                assert_eq!(got, wanted, "{input:?} in pieces of {piece}");
            }
        }
    }
}
