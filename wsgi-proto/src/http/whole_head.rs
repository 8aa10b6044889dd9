//! Reads a head in one pass if it arrived whole and is a usual one.
//!
//! This pass can only accept. A head that is incomplete, malformed, unusual or near a limit is left to the regular way:
//! [`Scan`](crate::http::scan::Scan), `httparse` and [`Head::read`]. An accepted head is the one that the regular way
//! reads from the same bytes. So errors, and heads that arrive in pieces, never depend on this file.
//!
//! In a usual head, no empty line precedes the request line, a colon and one space follow each name, each value has at
//! least one character, and all of them are visible ASCII characters or spaces.

use crate::config::Limits;
use crate::http::head::{Head, Span};
use crate::http::parse::FieldReader;
use crate::http::request_line::RequestLine;
use crate::http::token::token_length;
use crate::http::word;

/// The number of characters of a value that are checked together.
const BLOCK: usize = 4 * word::SIZE;

const CRLF: u16 = u16::from_le_bytes(*b"\r\n");
const TWO_CRLF: u32 = u32::from_le_bytes(*b"\r\n\r\n");

impl Head {
    /// Replaces this head with the one at the start of `buffer`, if it lies in the first `received` bytes, and returns
    /// its length. `None`: it has to be read the regular way, and this head is empty.
    ///
    /// The bytes after the received ones can have any value. They are there to be looked at, which saves a check of
    /// the end for each look.
    // Not a part of `poll`, which has too many other variables.
    #[inline(never)]
    pub(crate) fn read_whole(&mut self, buffer: &[u8], received: usize, limits: &Limits) -> Option<usize> {
        self.clear();
        let end = self.read_usual(buffer, limits).filter(|&end| end <= received);
        match end.and_then(|end| buffer.get(..end)) {
            Some(bytes) => {
                self.info.is_head = self.line.method(bytes) == b"HEAD";
                self.bytes.extend_from_slice(bytes);
            }
            None => self.clear(),
        }
        end
    }

    /// Reads everything except the bytes.
    #[inline(always)]
    fn read_usual(&mut self, buffer: &[u8], limits: &Limits) -> Option<usize> {
        // Positions are counted in 32 bits.
        u32::try_from(buffer.len()).ok()?;
        self.line = RequestLine::parse(buffer, limits).ok()?;
        let fields_at = self.line.length() + "\r\n".len();
        let mut reader = FieldReader::default();
        let end = match buffer.get(fields_at..)? {
            [b'\r', b'\n', ..] => fields_at + "\r\n".len(),
            _ => self.read_field_lines(buffer, fields_at as u32, limits.fields, &mut reader)?,
        };
        // The section is longer than each of its lines.
        if end - fields_at > limits.fields_size.min(limits.field_line) {
            return None;
        }
        reader.finish(&mut self.info, self.line.version(), limits).ok()?;
        Some(end)
    }

    /// Reads the field lines that start at `at`, and returns the end of the empty line after them.
    #[inline(always)]
    fn read_field_lines(
        &mut self,
        buffer: &[u8],
        mut at: u32,
        limit: usize,
        reader: &mut FieldReader,
    ) -> Option<usize> {
        loop {
            let name = Span { start: at, end: name_end(buffer, at)? };
            let start = name.end + ": ".len() as u32;
            let value = Span { start, end: text_end(buffer, start)? };
            // The last four bytes of the line, and the four that follow it.
            let around = word_at(buffer, value.end - 4)?;
            let (last, after) = ((around >> 24) as u8, (around >> 32) as u32);
            let index = self.fields.len();
            if name.start == name.end || last == b' ' || index >= limit {
                return None;
            }
            self.fields.push((name, value));
            if FieldReader::may_need((name.end - name.start) as usize, buffer[at as usize]) {
                reader.read(&mut self.info, name.get(buffer), value.get(buffer), index as u32).ok()?;
            }
            at = value.end + "\r\n".len() as u32;
            if after == TWO_CRLF {
                return Some(at as usize + "\r\n".len());
            }
            if after as u16 != CRLF {
                return None;
            }
        }
    }
}

/// The end of the name at `at`, if a colon, one space and another character follow it.
#[inline(always)]
fn name_end(buffer: &[u8], mut at: u32) -> Option<u32> {
    loop {
        let others = word::no_letter_or_hyphen(word_at(buffer, at)?);
        if others != 0 {
            at += word::first(others) as u32;
            break;
        }
        at += word::SIZE as u32;
    }
    if value_follows(buffer, at) { Some(at) } else { rare_name_end(buffer, at) }
}

/// The same for a name of which all bytes before `at` are letters and hyphens.
#[cold]
fn rare_name_end(buffer: &[u8], at: u32) -> Option<u32> {
    let end = at + token_length(buffer.get(at as usize..)?) as u32;
    value_follows(buffer, end).then_some(end)
}

#[inline(always)]
fn value_follows(buffer: &[u8], at: u32) -> bool {
    let at = at as usize;
    matches!(buffer.get(at..at + 3), Some([b':', b' ', first]) if *first != b' ')
}

/// The end of the visible ASCII characters and spaces at `at`.
#[inline(always)]
fn text_end(buffer: &[u8], mut at: u32) -> Option<u32> {
    let mut block = block_at(buffer, at)?;
    // Compiles to vector instructions, because all bytes are looked at.
    while block.iter().fold(true, |all, byte| all & (b' '..=b'~').contains(byte)) {
        at += BLOCK as u32;
        block = block_at(buffer, at)?;
    }
    for bytes in block.as_chunks().0 {
        let word = u64::from_le_bytes(*bytes);
        let ends = word::below(word, b' ') | word::from_delete(word);
        if ends != 0 {
            return Some(at + word::first(ends) as u32);
        }
        at += word::SIZE as u32;
    }
    None
}

#[inline(always)]
fn word_at(buffer: &[u8], at: u32) -> Option<u64> {
    let at = at as usize;
    buffer.get(at..at + word::SIZE).map(word::of)
}

#[inline(always)]
fn block_at(buffer: &[u8], at: u32) -> Option<&[u8; BLOCK]> {
    let at = at as usize;
    buffer.get(at..at + BLOCK)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    /// What a buffer can hold after the received bytes.
    const LEFT_OVER: [&[u8]; 4] = [b"\r\n", b" ", b"a: b\r\n\r\n", b"\0\xff"];

    /// The head at the start of `received`. It has to be the one that the regular way reads, whatever else the buffer
    /// holds.
    fn read(received: &[u8], limits: &Limits) -> Option<usize> {
        let mut ends = LEFT_OVER.map(|left_over| {
            let mut buffer = received.to_vec();
            buffer.extend(left_over.iter().cycle().take(2 * BLOCK));
            let mut head = Head::default();
            let end = head.read_whole(&buffer, received.len(), limits);
            let regular = end.map_or_else(Head::default, |end| {
                Head::parse(&received[..end], limits).expect("the regular way accepts it")
            });
            let text = received.escape_ascii();
            assert_eq!(
                (head.line, head.info, head.bytes),
                (regular.line, regular.info, regular.bytes),
                "{text}"
            );
            assert_eq!(head.fields, regular.fields, "{text}");
            end
        });
        ends.sort_unstable();
        assert_eq!(ends[0], ends[3], "{}", received.escape_ascii());
        ends[0]
    }

    fn fields(lines: &str) -> String {
        format!("GET / HTTP/1.1\r\n{lines}\r\n")
    }

    #[test]
    fn a_usual_head_is_read_in_one_pass() {
        let long = "x".repeat(200);
        for head in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            "HEAD /a?b HTTP/1.1\r\nHOST: h\r\nConnection: Keep-Alive\r\n\r\n",
            "OPTIONS http://h/a HTTP/1.9\r\nhost: [::1]:80\r\nConnection: a, Close\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 005\r\nExpect: 100-continue\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX_1.2!: a:b, ~ c\r\nA: 1\r\nA-Name-Of-More-Than-A-Word: 2\r\n\r\n",
            &fields(&format!("Host: h\r\nA: {long}\r\nB: {}\r\nC: {}\r\n", &long[..31], &long[..32])),
        ] {
            assert_eq!(read(head.as_bytes(), &Limits::default()), Some(head.len()), "{head}");
            let followed = format!("{head}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(read(followed.as_bytes(), &Limits::default()), Some(head.len()), "{head}");
            for received in 0..head.len() {
                assert_eq!(read(&head.as_bytes()[..received], &Limits::default()), None, "{head}");
            }
        }
    }

    #[test]
    fn any_other_head_is_left_to_the_regular_way() {
        for head in [
            // Valid, but unusual.
            "\r\nGET / HTTP/1.0\r\n\r\n",
            &fields("Host:h\r\n"),
            &fields("Host:  h\r\n"),
            &fields("Host: h \r\n"),
            &fields("Host: h\r\nA: \r\n"),
            &fields("Host: h\r\nA: a\tb\r\n"),
            &fields("Host: h\r\nA: \u{e9}\r\n"),
            // Invalid.
            "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            &fields("Host : h\r\n"),
            &fields("Host: h\r\n: b\r\n"),
            &fields("Host: h\r\nA\r\n"),
            &fields("Host: h\r\nA: b\r\n c\r\n"),
            &fields("Host: h\r\nA: b\0c\r\n"),
            &fields("Host: h\r\nA: b\x7f\r\n"),
            &fields("Host: h\r\nA: b\rc\r\n"),
            &fields("Host: h\r\nA: b\nc: d\r\n"),
            &fields("Host: h\nA: b\r\n"),
            &fields("Host: h\r\nHost: h\r\n"),
            &fields("Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ] {
            assert_eq!(read(head.as_bytes(), &Limits::default()), None, "{head}");
        }
    }

    #[test]
    fn a_head_near_a_limit_is_left_to_the_regular_way() {
        let head = "POST /aa HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n";
        let section = "Host: h\r\nContent-Length: 7\r\n\r\n".len();
        let at_its_limits = Limits {
            method: 4,
            target: 3,
            field_line: section,
            fields_size: section,
            fields: 2,
            body: Some(7),
            ..Limits::default()
        };
        assert_eq!(read(head.as_bytes(), &at_its_limits), Some(head.len()));
        for limits in [
            at_its_limits.method(3),
            at_its_limits.target(2),
            at_its_limits.field_line(section - 1),
            at_its_limits.fields_size(section - 1),
            at_its_limits.fields(1),
            at_its_limits.body(Some(6)),
        ] {
            assert_eq!(read(head.as_bytes(), &limits), None, "{limits:?}");
        }
    }
}
