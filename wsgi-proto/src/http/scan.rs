//! Finds the end of a head or trailer section, and checks line ends, size limits and the request line on the way.
//!
//! This is the only place that decides where a section ends. It looks for line ends once, remembers its position, and
//! judges every byte only by its position, so the result does not depend on how the input is split. A request line is
//! judged at its end, before any of the fields. If it exceeds a limit, it is judged at the byte that does so.

use crate::config::Limits;
use crate::error::RequestError;
use crate::http::request_line::{RequestLine, overrun};
use crate::http::token::is_token_byte;
use crate::http::word;

/// The number of empty lines that are ignored before a request line (RFC 9112, 2.2 recommends at least one).
const EMPTY_LINES: u32 = 8;

/// The number of bytes that are shown of a request line that is malformed or incomplete.
const SHOWN: usize = 32;

/// The progress of the search. Positions count from the first byte of the section.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    /// The end of the bytes that are judged.
    at: usize,
    /// The start of the current line.
    line: usize,
    /// The request line, once it has been read.
    request_line: RequestLine,
    /// The start of the field lines.
    fields_at: usize,
    /// The number of field lines seen.
    fields: usize,
    /// The number of empty lines seen before the request line.
    empty_lines: u32,
    /// The number of bytes of these empty lines that have not been skipped.
    skippable: usize,
    state: Looking,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Looking {
    #[default]
    RequestLine,
    Fields,
}

/// A complete section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Its request line. Meaningless in a trailer section.
    pub(crate) line: RequestLine,
    /// Its start, after the ignored empty lines.
    pub(crate) start: usize,
    /// Its end, after the last CRLF.
    pub(crate) end: usize,
    /// The number of its field lines.
    pub(crate) fields: usize,
}

impl Scan {
    /// Starts a search for the end of a trailer section, which has only field lines.
    pub(crate) fn trailers() -> Self {
        Self { state: Looking::Fields, ..Self::default() }
    }

    /// Whether no byte has been judged yet.
    pub(crate) fn is_new(&self) -> bool {
        self.at == 0 && self.empty_lines == 0
    }

    /// Begins after `empty_lines` empty lines, which were dropped.
    #[inline]
    pub(crate) fn begin(&mut self, empty_lines: u32) {
        debug_assert!(self.is_new(), "a search of another connection");
        self.empty_lines = empty_lines;
    }

    /// The number of empty lines seen before the request line.
    pub(crate) fn empty_lines(&self) -> u32 {
        self.empty_lines
    }

    /// Returns the number of bytes of ignored empty lines. The caller has to drop them, because the positions are
    /// adjusted.
    pub(crate) fn skip(&mut self) -> usize {
        if self.state == Looking::Fields {
            return 0;
        }
        let skipped = core::mem::take(&mut self.skippable);
        self.line -= skipped;
        self.at -= skipped;
        skipped
    }

    /// The part of the request line that the log shows if the request is refused: the whole line once its end was
    /// found. For a malformed or incomplete line, it is the first part of the judged bytes.
    pub(crate) fn request_line<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if self.state == Looking::Fields {
            return bytes.get(self.skippable..self.fields_at - 2).unwrap_or_default();
        }
        let judged = bytes.get(self.line..self.at).unwrap_or_default();
        let shown = &judged[..judged.len().min(SHOWN)];
        &shown[..find_line_break(shown).unwrap_or(shown.len())]
    }

    /// Whether a byte of a request has been seen. Empty lines before a request are not part of it.
    pub(crate) fn begun(&self, bytes: &[u8]) -> bool {
        // A carriage return may be the first half of an empty line.
        bytes.get(self.line).is_some_and(|&byte| byte != b'\r') || self.state == Looking::Fields
    }

    /// Searches the bytes that were added to `bytes`, which always begins with the first byte of the section.
    ///
    /// `None`: the end has not arrived.
    pub(crate) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Section>, RequestError> {
        // If all bytes together are below each limit, no limit has to be checked.
        let smallest = limits.field_line.min(limits.fields_size);
        let may_exceed = bytes.len() > smallest.saturating_sub(2);
        loop {
            if self.state == Looking::RequestLine && self.at == self.line && bytes.len() > self.line {
                // Nearly all request lines are valid and arrive whole. All others take the slow path below.
                if let Ok(line) = RequestLine::parse(&bytes[self.line..], limits) {
                    self.accept(line);
                    continue;
                }
                if !can_begin(bytes[self.line]) {
                    self.at = bytes.len();
                    return Err(RequestError::StrayByte);
                }
            }
            let found = find_line_break(&bytes[self.at..]).map(|found| self.at + found);
            let end = found.unwrap_or(bytes.len());
            match self.state {
                Looking::RequestLine => self.request_line_fits(&bytes[self.line..end], limits)?,
                Looking::Fields if may_exceed => self.field_fits(end, limits)?,
                Looking::Fields => {}
            }
            self.at = end;
            match (bytes.get(end), bytes.get(end + 1)) {
                (Some(b'\n'), _) => return Err(RequestError::BareLineFeed),
                (Some(_), Some(b'\n')) => {}
                (Some(_), Some(_)) => return Err(RequestError::BareCarriageReturn),
                (Some(_), None) | (None, _) => return Ok(None),
            }
            if let Some(section) = self.line_ended(bytes, end, limits)? {
                return Ok(Some(section));
            }
        }
    }

    /// Processes the line that ends with the CRLF at `end`.
    fn line_ended(
        &mut self,
        bytes: &[u8],
        end: usize,
        limits: &Limits,
    ) -> Result<Option<Section>, RequestError> {
        let (empty, next) = (end == self.line, end + 2);
        match (self.state, empty) {
            (Looking::RequestLine, true) => {
                self.empty_lines += 1;
                if self.empty_lines > EMPTY_LINES {
                    return Err(RequestError::EmptyLines);
                }
                self.skippable = next;
            }
            (Looking::RequestLine, false) => match RequestLine::parse(&bytes[self.line..], limits) {
                Ok(line) => {
                    self.accept(line);
                    return Ok(None);
                }
                Err(error) => {
                    if error != RequestError::RequestLine {
                        // The log shows the whole line.
                        (self.state, self.fields_at) = (Looking::Fields, next);
                    }
                    return Err(error);
                }
            },
            (Looking::Fields, _) => {
                if next - self.fields_at > limits.fields_size {
                    return Err(RequestError::FieldsTooLong(limits.fields_size));
                }
                if empty {
                    let (start, line) = (self.skippable, self.request_line);
                    return Ok(Some(Section { line, start, end: next, fields: self.fields }));
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

    /// Accepts the request line at the start of the current line.
    fn accept(&mut self, request_line: RequestLine) {
        let next = self.line + request_line.length() + 2;
        self.request_line = request_line;
        self.state = Looking::Fields;
        (self.fields_at, self.line, self.at) = (next, next, next);
    }

    /// Checks that `line`, the part of a request line that has arrived, can still become valid.
    fn request_line_fits(&mut self, line: &[u8], limits: &Limits) -> Result<(), RequestError> {
        let Some(judged) = overrun(line, limits) else { return Ok(()) };
        self.at = self.line + judged;
        Err(RequestLine::parse(line, limits).err().unwrap_or(RequestError::RequestLine))
    }

    /// Checks that a field line that reaches at least to `end` is within the limits.
    fn field_fits(&self, end: usize, limits: &Limits) -> Result<(), RequestError> {
        // The limit that is exceeded first depends on the position, not on how much has arrived.
        let line_limit = self.line.saturating_add(limits.field_line.saturating_sub(2));
        let section_limit = self.fields_at.saturating_add(limits.fields_size.saturating_sub(2));
        if end > line_limit.min(section_limit) && end > self.line {
            return Err(if line_limit <= section_limit {
                RequestError::FieldTooLong(limits.field_line)
            } else {
                RequestError::FieldsTooLong(limits.fields_size)
            });
        }
        Ok(())
    }
}

/// The position of the first CR or LF. Most lines are short, and a call of `memchr` costs more than this search.
fn find_line_break(bytes: &[u8]) -> Option<usize> {
    let short = &bytes[..bytes.len().min(6 * word::SIZE)];
    let mut words = short.chunks_exact(word::SIZE);
    let mut at = 0;
    for bytes in &mut words {
        let bytes = word::of(bytes);
        let found = word::equal(bytes, b'\r') | word::equal(bytes, b'\n');
        if found != 0 {
            return Some(at + word::first(found));
        }
        at += word::SIZE;
    }
    if bytes.len() > short.len() {
        return memchr::memchr2(b'\r', b'\n', &bytes[at..]).map(|found| at + found);
    }
    words.remainder().iter().position(|byte| matches!(byte, b'\r' | b'\n')).map(|found| at + found)
}

/// Whether a request, or an empty line before it, can begin with `byte`. Nothing else is HTTP. The immediate answer
/// saves a TLS client the wait.
fn can_begin(byte: u8) -> bool {
    is_token_byte(byte) || byte == b'\r' || byte == b'\n'
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use alloc::{format, vec};

    fn limits() -> Limits {
        Limits { target: 20, method: 8, field_line: 20, fields_size: 50, fields: 3, ..Limits::default() }
    }

    fn whole(bytes: &[u8]) -> Result<Option<Section>, RequestError> {
        Scan::default().advance(bytes, &limits())
    }

    /// The result when `bytes` arrive up to each of `ends`, and the part of the request line that is shown then.
    fn cut(
        bytes: &[u8],
        ends: impl IntoIterator<Item = usize>,
        limits: &Limits,
    ) -> (Result<Option<Section>, RequestError>, String) {
        let mut scan = Scan::default();
        let mut result = (Ok(None), String::new());
        for end in ends {
            let found = scan.advance(&bytes[..end], limits);
            result = (found, scan.request_line(&bytes[..end]).escape_ascii().to_string());
            if result.0 != Ok(None) {
                break;
            }
        }
        result
    }

    /// Checks that the result is the same if the bytes arrive one by one.
    fn is_the_same_bytewise(
        bytes: &[u8],
        limits: &Limits,
    ) -> (Result<Option<Section>, RequestError>, String) {
        let (whole, bytewise) = (cut(bytes, [bytes.len()], limits), cut(bytes, 1..=bytes.len(), limits));
        assert_eq!(whole.0, bytewise.0, "{}", bytes.escape_ascii());
        if whole.0 == Err(RequestError::StrayByte) {
            assert!(whole.1.starts_with(&bytewise.1), "{}", bytes.escape_ascii());
        } else {
            assert_eq!(whole.1, bytewise.1, "{}", bytes.escape_ascii());
        }
        whole
    }

    #[test]
    fn a_line_break_is_found_wherever_it_is() {
        for len in 0..120 {
            for at in 0..=len {
                for byte in [b'\r', b'\n'] {
                    let mut bytes = vec![b'\x0b'; len];
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
        let line = RequestLine::parse(b"GET / HTTP/1.1\r\n", &limits()).unwrap();
        assert_eq!(found, Some(Section { line, start: 0, end: 18, fields: 0 }));
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
        let cases: Vec<String> = vec![
            "GET / HTTP/1.1\r\n\r\n".into(),
            "\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nGET".into(),
            "\r\n".repeat(9),
            "\n".into(),
            "GET / HTTP/1.1\n".into(),
            "GET /\rHTTP/1.1\r\n".into(),
            " GET".into(),
            format!("GET {}", a(60)),
            format!("GET / HTTP/1.1\r\n{}", a(60)),
            format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}", a(18), a(18), a(60)),
            format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(4)),
            format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(6)),
            format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(7)),
            format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(8)),
            "GET / HTTP/1.1\r\na\r\nb\r\nc\r\nd\r\n\r\n".into(),
        ];
        for case in cases {
            let _ = is_the_same_bytewise(case.as_bytes(), &limits());
        }
    }

    #[test]
    fn a_request_line_is_judged_at_its_end_or_where_it_exceeds_a_limit() {
        use RequestError as E;
        let a = |n| "a".repeat(n);
        for (bytes, error, judged, shown) in [
            ("*1\r\n".to_string(), E::RequestLine, 4, "*1"),
            ("SSH-2.0\r\n".to_string(), E::RequestLine, 9, "SSH-2.0"),
            ("GET / HTTP/1!\r\n".to_string(), E::RequestLine, 15, "GET / HTTP/1!"),
            ("GET / HTTP/2.0\r\n".to_string(), E::Version, 16, "GET / HTTP/2.0"),
            ("GET h:1 HTTP/1.1\r\n".to_string(), E::Target, 18, "GET h:1 HTTP/1.1"),
            ("GET /a#b HTTP/1.1\r\n".to_string(), E::Target, 19, "GET /a#b HTTP/1.1"),
            ("CONNECT h:1 HTTP/1.1\r\n".to_string(), E::Connect, 22, "CONNECT h:1 HTTP/1.1"),
            ("GET / HTTP/1.1\n".to_string(), E::BareLineFeed, 15, "GET / HTTP/1.1"),
            ("GET / HTTP/1.1\r\r\n".to_string(), E::BareCarriageReturn, 16, "GET / HTTP/1.1"),
            ("(\x03\x01".to_string(), E::StrayByte, 1, "(\\x03\\x01"),
            // After an empty line.
            ("\r\n*1\r\n".to_string(), E::RequestLine, 6, "*1"),
            // The ninth byte of a method, whatever follows it.
            (a(100000), E::MethodTooLong(8), 9, "aaaaaaaaa"),
            (format!("{}\r\n", a(9)), E::MethodTooLong(8), 9, "aaaaaaaaa"),
            (format!("{} / HTTP/1.1\r\n", a(9)), E::MethodTooLong(8), 9, "aaaaaaaaa"),
            (format!("{} {}", a(9), a(100)), E::MethodTooLong(8), 9, "aaaaaaaaa"),
            // The first faulty byte decides.
            (format!("{}( / HTTP/1.1\r\n", a(8)), E::RequestLine, 22, "aaaaaaaa( / HTTP/1.1"),
            (format!("{}( / HTTP/1.1\r\n", a(9)), E::MethodTooLong(8), 9, "aaaaaaaaa"),
            // The 21st byte of a target.
            (format!("GET {} HTTP/1.1\r\n", a(21)), E::TargetTooLong(20), 25, "GET aaaaaaaaaaaaaaaaaaaaa"),
            (format!("GET {}\n", a(21)), E::TargetTooLong(20), 25, "GET aaaaaaaaaaaaaaaaaaaaa"),
            (format!("GET {}\x01", a(21)), E::TargetTooLong(20), 25, "GET aaaaaaaaaaaaaaaaaaaaa"),
            (format!("GET \x01{}", a(20)), E::RequestLine, 25, "GET \\x01aaaaaaaaaaaaaaaaaaaa"),
            (format!("GET #{}", a(20)), E::Target, 25, "GET #aaaaaaaaaaaaaaaaaaaa"),
            // Longer than method, target and version together can be.
            (format!("GET / {}", a(40)), E::RequestLine, 39, "GET / aaaaaaaaaaaaaaaaaaaaaaaaaa"),
            (format!("G(T {}", a(40)), E::RequestLine, 39, "G(T aaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            (format!("G(T {}\n", a(40)), E::RequestLine, 39, "G(T aaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            (format!("GET / {}\r\n", a(32)), E::RequestLine, 40, "GET / aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ] {
            let found = is_the_same_bytewise(bytes.as_bytes(), &limits());
            assert_eq!(found, (Err(error), shown.into()), "{bytes:?}");
            let before = cut(bytes.as_bytes(), [judged - 1], &limits());
            assert_eq!(before.0, Ok(None), "{bytes:?} before byte {judged}");
            let at = cut(bytes.as_bytes(), [judged], &limits());
            assert_eq!(at.0, Err(error), "{bytes:?} at byte {judged}");
        }
    }

    #[test]
    fn the_request_line_is_refused_before_the_fields() {
        for (bytes, error) in [
            ("GET / HTTP/3.0\r\nA : b\r\n\r\n", RequestError::Version),
            ("GET a HTTP/1.1\r\nA\n", RequestError::Target),
            ("GET /\r\nA: 345678901234567890\r\n\r\n", RequestError::RequestLine),
        ] {
            assert_eq!(is_the_same_bytewise(bytes.as_bytes(), &limits()).0, Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn what_arrived_of_a_request_line_is_shown() {
        for (bytes, shown) in [
            ("", ""),
            ("\r\n\r", ""),
            ("\r\nGET /li", "GET /li"),
            ("GET /li\r", "GET /li"),
            ("GET / HTTP/1.1\r\n", "GET / HTTP/1.1"),
            ("GET / HTTP/1.1\r\nHost", "GET / HTTP/1.1"),
            ("MMMMMMMM /aaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost", "MMMMMMMM /aaaaaaaaaaaaaaaaaaa HTTP/1.1"),
            ("MMMMMMMM /aaaaaaaaaaaaaaaaaaa HTTP/1.1", "MMMMMMMM /aaaaaaaaaaaaaaaaaaa HT"),
        ] {
            assert_eq!(
                is_the_same_bytewise(bytes.as_bytes(), &limits()),
                (Ok(None), shown.into()),
                "{bytes:?}"
            );
        }
        // Only this one depends on how many bytes have arrived.
        let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 and so on, for some hundred bytes";
        let (found, shown) = cut(hello, [hello.len()], &limits());
        assert_eq!(found, Err(RequestError::StrayByte));
        assert_eq!(shown, hello[..SHOWN].escape_ascii().to_string());
        let (_, shown) = cut(b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", [20], &limits());
        assert_eq!(shown, " GET / HTTP/1.1");
    }

    /// The expected result when `byte` replaces the byte at `place`.
    fn defined(place: &str, byte: u8) -> Result<(), RequestError> {
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        match (place, byte) {
            (_, b'\n') => Err(RequestError::BareLineFeed),
            (_, b'\r') => Err(RequestError::BareCarriageReturn),
            ("first byte", _) if !token => Err(RequestError::StrayByte),
            ("first byte" | "method", _) if token => Ok(()),
            // A space begins the next word, which is one too many here.
            ("path" | "query", b'#' | 0x80..) => Err(RequestError::Target),
            ("path" | "query", b'!'..=b'~') => Ok(()),
            ("path's slash", b'/') => Ok(()),
            ("path's slash", b'!'..) if byte != 0x7f => Err(RequestError::Target),
            ("major", b'1') | ("minor", b'0'..=b'9') => Ok(()),
            ("major", b'0'..=b'9') => Err(RequestError::Version),
            _ => Err(RequestError::RequestLine),
        }
    }

    #[test]
    fn each_byte_at_each_place_has_its_answer() {
        let head = b"GET /a?b HTTP/1.1\r\n\r\n";
        for (place, at) in [
            ("first byte", 0),
            ("method", 1),
            ("method", 2),
            ("path's slash", 4),
            ("path", 5),
            ("query", 7),
            ("major", 14),
            ("minor", 16),
        ] {
            for byte in 0..=255 {
                let mut bytes = head.to_vec();
                bytes[at] = byte;
                // The inserted CR is followed by the CR of the line end.
                let expected = match (byte, at) {
                    (b'\r', 16) => Err(RequestError::BareCarriageReturn),
                    _ => defined(place, byte),
                };
                let (found, _) = is_the_same_bytewise(&bytes, &limits());
                let found = found.map(|section| assert!(section.is_some(), "{place}: {byte:#x}"));
                assert_eq!(found, expected, "{place}: {byte:#x}");
            }
        }
    }

    #[test]
    fn no_cut_changes_what_becomes_of_a_line() {
        const PIECES: [&[u8]; 20] = [
            b"A",
            b"GET",
            b"(",
            b" ",
            b" ",
            b" ",
            b"/",
            b"/aa",
            b"?",
            b"#",
            b"\x80",
            b"\x01",
            b"http://h",
            b"HTTP/1.1",
            b"HTTP/1.1\r\n",
            b"HTTP/2.0\r\n",
            b"\r\n",
            b"\r\n",
            b"\r",
            b"\n",
        ];
        let limits = Limits { target: 5, method: 3, field_line: 20, fields_size: 20, ..limits() };
        let mut seed = 1_u64;
        let mut draw = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..30_000 {
            let mut bytes = Vec::new();
            for _ in 0..=draw(10) {
                bytes.extend_from_slice(PIECES[draw(PIECES.len())]);
            }
            let (found, shown) = is_the_same_bytewise(&bytes, &limits);
            let middle = draw(bytes.len() + 1);
            let halves = cut(&bytes, [middle, bytes.len()], &limits);
            assert_eq!(halves.0, found, "{} at {middle}", bytes.escape_ascii());
            assert!(found == Err(RequestError::StrayByte) || halves.1 == shown, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_section_ends_behind_the_empty_line() {
        let found = whole(b"\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nrest").unwrap();
        let line = RequestLine::parse(b"GET / HTTP/1.1\r\n", &limits()).unwrap();
        assert_eq!(found, Some(Section { line, start: 2, end: 26, fields: 1 }));
    }

    #[test]
    fn a_limit_is_the_largest_size_served() {
        let head = |line: usize| format!("GET / HTTP/1.1\r\n{}\r\n\r\n", "a".repeat(line - 2));
        assert!(whole(head(20).as_bytes()).unwrap().is_some());
        assert_eq!(whole(head(21).as_bytes()), Err(RequestError::FieldTooLong(20)));
        let fields = |n| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(n));
        assert!(whole(fields(3).as_bytes()).unwrap().is_some());
        assert_eq!(whole(fields(4).as_bytes()), Err(RequestError::TooManyFields(3)));
        let section =
            |n: usize| format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n\r\n", "a".repeat(18), "b".repeat(n - 20 - 4));
        let limits = Limits { fields_size: 30, ..limits() };
        assert!(Scan::default().advance(section(30).as_bytes(), &limits).unwrap().is_some());
        assert_eq!(
            Scan::default().advance(section(31).as_bytes(), &limits),
            Err(RequestError::FieldsTooLong(30))
        );
    }
}
