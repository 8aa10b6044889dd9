//! Finds the end of a head or trailer section, and checks line ends and size limits on the way.
//!
//! This is the only place that decides where a section ends. It goes over each byte once, remembers where it was, and
//! judges every byte by its position alone, so that it makes no difference in which pieces the bytes arrive.

use crate::config::Limits;

use crate::error::RequestError;

/// How many empty lines before a request line are ignored (RFC 9112, 2.2 asks for at least one).
const EMPTY_LINES: u32 = 8;

/// Where the search has got to. Positions count from the first byte of the section.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    /// Everything before this byte is judged.
    at: usize,
    /// Where the current line began.
    line: usize,
    /// Where the field lines began.
    fields_at: usize,
    /// Field lines seen.
    fields: usize,
    /// Empty lines seen before the request line.
    empty_lines: u32,
    /// Bytes of them that stand before the request line still.
    skippable: usize,
    state: Looking,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Looking {
    #[default]
    RequestLine,
    Fields,
}

/// A whole section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Where it begins: behind the ignored empty lines.
    pub(crate) start: usize,
    /// Its end, behind the last CRLF.
    pub(crate) end: usize,
    /// How many field lines it has.
    pub(crate) fields: usize,
}

impl Scan {
    /// A search for the end of a trailer section: field lines only.
    pub(crate) fn trailers() -> Self {
        Self { state: Looking::Fields, ..Self::default() }
    }

    /// How many bytes of ignored empty lines the caller can drop now. It has to: the positions are moved.
    pub(crate) fn skip(&mut self) -> usize {
        if self.state == Looking::Fields {
            return 0;
        }
        let skipped = core::mem::take(&mut self.skippable);
        self.line -= skipped;
        self.at -= skipped;
        skipped
    }

    /// The request line without its CRLF, once its end was seen.
    pub(crate) fn request_line<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if self.state == Looking::Fields { bytes.get(self.skippable..self.fields_at - 2) } else { None }
    }

    /// Whether a byte of a request has been seen; empty lines before it are not part of it.
    pub(crate) fn begun(&self, bytes: &[u8]) -> bool {
        // A carriage return may turn out to be half an empty line.
        bytes.get(self.line).is_some_and(|&byte| byte != b'\r') || self.state == Looking::Fields
    }

    /// Looks through what has been added to `bytes`, which begins with the first byte of the section each time.
    ///
    /// `None`: the end has not arrived.
    pub(crate) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Section>, RequestError> {
        // Where everything that arrived is smaller than each limit, none of them needs a look.
        let smallest = limits.field_line.min(limits.fields_size).min(limits.target);
        let may_exceed = bytes.len() > smallest.saturating_sub(2);
        loop {
            if self.state == Looking::RequestLine && bytes.len() > self.line {
                first_byte(bytes[self.line])?;
            }
            let Some(found) = find_line_break(&bytes[self.at..]) else {
                self.at = bytes.len();
                if may_exceed {
                    self.fits(self.at, limits)?;
                }
                return Ok(None);
            };
            let end = self.at + found;
            if may_exceed {
                self.fits(end, limits)?;
            }
            if bytes[end] == b'\n' {
                return Err(RequestError::BareLineFeed);
            }
            match bytes.get(end + 1) {
                Some(b'\n') => {}
                Some(_) => return Err(RequestError::BareCarriageReturn),
                None => {
                    self.at = end;
                    return Ok(None);
                }
            }
            if let Some(section) = self.line_ended(end, limits)? {
                return Ok(Some(section));
            }
        }
    }

    /// Takes the line that ends with the CRLF at `end`.
    fn line_ended(&mut self, end: usize, limits: &Limits) -> Result<Option<Section>, RequestError> {
        let (empty, next) = (end == self.line, end + 2);
        match (self.state, empty) {
            (Looking::RequestLine, true) => {
                self.empty_lines += 1;
                if self.empty_lines > EMPTY_LINES {
                    return Err(RequestError::EmptyLines);
                }
                self.skippable = next;
            }
            (Looking::RequestLine, false) => {
                self.state = Looking::Fields;
                self.fields_at = next;
            }
            (Looking::Fields, _) => {
                if next - self.fields_at > limits.fields_size {
                    return Err(RequestError::FieldsTooLong(limits.fields_size));
                }
                if empty {
                    return Ok(Some(Section { start: self.skippable, end: next, fields: self.fields }));
                }
                self.fields += 1;
                if self.fields > limits.fields {
                    return Err(RequestError::TooManyFields(limits.fields));
                }
            }
        }
        (self.line, self.at) = (next, next);
        Ok(None)
    }

    /// Whether a line that goes on to `end` at least is within the limits.
    fn fits(&self, end: usize, limits: &Limits) -> Result<(), RequestError> {
        let line = end - self.line;
        match self.state {
            Looking::RequestLine => {
                let spaces_and_version = "  HTTP/1.1".len();
                if line > limits.method.saturating_add(limits.target).saturating_add(spaces_and_version) {
                    return Err(RequestError::TargetTooLong(limits.target));
                }
            }
            Looking::Fields => {
                // Which limit is passed first depends on the position, not on how far we happen to see.
                let line_limit = self.line.saturating_add(limits.field_line.saturating_sub(2));
                let section_limit = self.fields_at.saturating_add(limits.fields_size.saturating_sub(2));
                if end > line_limit.min(section_limit) && line > 0 {
                    return Err(if line_limit <= section_limit {
                        RequestError::FieldTooLong(limits.field_line)
                    } else {
                        RequestError::FieldsTooLong(limits.fields_size)
                    });
                }
            }
        }
        Ok(())
    }
}

/// Where the first CR or LF is. Most lines are short, and calling `memchr` costs more than looking at them.
fn find_line_break(bytes: &[u8]) -> Option<usize> {
    const WORD: usize = size_of::<u64>();
    const ONES: u64 = u64::from_le_bytes([1; WORD]);
    const HIGH: u64 = u64::from_le_bytes([0x80; WORD]);
    let short = &bytes[..bytes.len().min(6 * WORD)];
    let mut words = short.chunks_exact(WORD);
    let mut at = 0;
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let (cr, lf) = (word ^ (ONES * b'\r' as u64), word ^ (ONES * b'\n' as u64));
        // The lowest byte that is zero in either has its high bit set here; higher ones may be wrong.
        let found = ((cr.wrapping_sub(ONES) & !cr) | (lf.wrapping_sub(ONES) & !lf)) & HIGH;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += WORD;
    }
    if bytes.len() > short.len() {
        return memchr::memchr2(b'\r', b'\n', &bytes[at..]).map(|found| at + found);
    }
    words.remainder().iter().position(|byte| matches!(byte, b'\r' | b'\n')).map(|found| at + found)
}

/// What cannot begin a method is no HTTP; answering at once spares a peer that speaks TLS the wait.
fn first_byte(byte: u8) -> Result<(), RequestError> {
    if crate::http::token::is_token_byte(byte) || byte == b'\r' || byte == b'\n' {
        Ok(())
    } else {
        Err(RequestError::StrayByte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn limits() -> Limits {
        Limits { target: 20, method: 8, field_line: 20, fields_size: 50, fields: 3, ..Limits::default() }
    }

    fn whole(bytes: &[u8]) -> Result<Option<Section>, RequestError> {
        Scan::default().advance(bytes, &limits())
    }

    fn bytewise(bytes: &[u8]) -> Result<Option<Section>, RequestError> {
        let mut scan = Scan::default();
        for end in 1..=bytes.len() {
            if let Some(section) = scan.advance(&bytes[..end], &limits())? {
                return Ok(Some(section));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_line_break_is_found_wherever_it_is() {
        for len in 0..120 {
            for at in 0..=len {
                for byte in [b'\r', b'\n'] {
                    let mut bytes = alloc::vec![b'\x0b'; len];
                    bytes.extend_from_slice(b"\x0c\x8d\x8a");
                    bytes.insert(at, byte);
                    bytes.push(b'\n');
                    assert_eq!(find_line_break(&bytes), Some(at));
                    assert_eq!(find_line_break(&bytes[..at]), None);
                }
            }
        }
    }

    #[test]
    fn empty_lines_are_dropped_and_still_counted() {
        let mut scan = Scan::default();
        assert_eq!(scan.advance(b"\r\n\r", &limits()), Ok(None));
        assert_eq!((scan.skip(), scan.skip()), (2, 0));
        assert!(!scan.begun(b"\r"));
        assert_eq!(scan.advance(b"\r\n", &limits()), Ok(None));
        assert_eq!(scan.skip(), 2);
        assert!(!scan.begun(b""));
        let found = scan.advance(b"GET / HTTP/1.1\r\n\r\n", &limits()).unwrap();
        assert_eq!(found, Some(Section { start: 0, end: 18, fields: 0 }));
        let mut scan = Scan::default();
        for _ in 0..8 {
            assert_eq!(scan.advance(b"\r\n", &limits()), Ok(None));
            scan.skip();
        }
        assert_eq!(scan.advance(b"\r\n", &limits()), Err(RequestError::EmptyLines));
    }

    #[test]
    fn whole_and_byte_by_byte_agree() {
        let a = |n| "a".repeat(n);
        let cases: Vec<alloc::string::String> = alloc::vec![
            "GET / HTTP/1.1\r\n\r\n".into(),
            "\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nGET".into(),
            "\r\n".repeat(9),
            "\n".into(),
            "GET / HTTP/1.1\n".into(),
            "GET /\rHTTP/1.1\r\n".into(),
            " GET".into(),
            alloc::format!("GET {}", a(60)),
            alloc::format!("GET / HTTP/1.1\r\n{}", a(60)),
            alloc::format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}", a(18), a(18), a(60)),
            alloc::format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(4)),
            alloc::format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(6)),
            alloc::format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(7)),
            alloc::format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(8)),
            "GET / HTTP/1.1\r\na\r\nb\r\nc\r\nd\r\n\r\n".into(),
        ];
        for case in cases {
            assert_eq!(whole(case.as_bytes()), bytewise(case.as_bytes()), "{case:?}");
        }
    }

    #[test]
    fn a_section_ends_behind_the_empty_line() {
        let found = whole(b"\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nrest").unwrap();
        assert_eq!(found, Some(Section { start: 2, end: 26, fields: 1 }));
    }

    #[test]
    fn a_limit_is_the_largest_size_served() {
        let head = |line: usize| alloc::format!("GET / HTTP/1.1\r\n{}\r\n\r\n", "a".repeat(line - 2));
        assert!(whole(head(20).as_bytes()).unwrap().is_some());
        assert_eq!(whole(head(21).as_bytes()), Err(RequestError::FieldTooLong(20)));
        let fields = |n| alloc::format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(n));
        assert!(whole(fields(3).as_bytes()).unwrap().is_some());
        assert_eq!(whole(fields(4).as_bytes()), Err(RequestError::TooManyFields(3)));
        let section = |n: usize| {
            alloc::format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n\r\n", "a".repeat(18), "b".repeat(n - 20 - 4))
        };
        let limits = Limits { fields_size: 30, ..limits() };
        assert!(Scan::default().advance(section(30).as_bytes(), &limits).unwrap().is_some());
        assert_eq!(
            Scan::default().advance(section(31).as_bytes(), &limits),
            Err(RequestError::FieldsTooLong(30))
        );
    }
}
