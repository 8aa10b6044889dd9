//! The request line: `method SP target SP HTTP/DIGIT.DIGIT` (RFC 9112, 3).
//!
//! Knows the grammar of the line and the limits of its words. Does not know how its end is found.
//!
//! A line is read from left to right. The first byte that is not allowed at its position decides the error. A word that
//! is longer than its limit is refused at the byte that exceeds the limit. A line that conforms to the grammar is then
//! checked for its version, for `CONNECT`, and for the form of its target, in this order.

use crate::config::Limits;
use crate::error::RequestError;
use crate::http::target::Target;
use crate::http::token::token_length;
use crate::http::word;
use crate::version::Version;

/// The length of a line without its method and its target.
const SPACES_AND_VERSION: usize = "  HTTP/1.1".len();

/// The positions of the words in a valid request line.
///
/// Invariant: `authority <= path <= path_end <= target_end`, and all of them lie in the line that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine {
    method_end: u32,
    /// The start of the authority. It ends where the path begins, and is empty except in absolute form.
    authority: u32,
    path: u32,
    /// The end of the path. The query, if any, begins after the `?` at this position.
    path_end: u32,
    target_end: u32,
    version: Version,
}

impl Default for RequestLine {
    fn default() -> Self {
        Self { method_end: 0, authority: 0, path: 0, path_end: 0, target_end: 0, version: Version::Http11 }
    }
}

impl RequestLine {
    /// Reads the line at the start of `bytes`. It has to end with CRLF. Bytes after the CRLF are ignored.
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, RequestError> {
        let method_end = token_length(bytes);
        if method_end > limits.method {
            return Err(RequestError::MethodTooLong(limits.method));
        }
        let (method, rest) = bytes.split_at(method_end);
        let (1.., [b' ', rest @ ..]) = (method_end, rest) else { return Err(RequestError::RequestLine) };
        let path_end = target_length::<b'?'>(rest);
        let length = match &rest[path_end..] {
            [b'?', query @ ..] => path_end + 1 + target_length::<b'#'>(query),
            _ => path_end,
        };
        if length > limits.target {
            return Err(RequestError::TargetTooLong(limits.target));
        }
        let (target, rest) = rest.split_at(length);
        if length == 0 {
            return Err(refused_target(rest));
        }
        // Nearly all requests have this version.
        let version = match rest.starts_with(b" HTTP/1.1\r\n") {
            true => Version::Http11,
            false => rare_version(rest)?,
        };
        if method == b"CONNECT" {
            return Err(RequestError::Connect);
        }
        let start = method_end + 1;
        let (before_query, has_query) = (&target[..path_end], path_end < length);
        let (authority, path) = if before_query.first() == Some(&b'/') {
            (start, start)
        } else {
            let parts = Target::parse(method, before_query, has_query)?;
            let path = start + path_end - parts.path.len();
            (path - parts.authority.len(), path)
        };
        Ok(Self {
            method_end: method_end as u32,
            authority: authority as u32,
            path: path as u32,
            path_end: (start + path_end) as u32,
            target_end: (start + length) as u32,
            version,
        })
    }

    /// The length of the line in bytes, without its CRLF.
    pub(crate) fn length(&self) -> usize {
        self.target_end as usize + " HTTP/1.1".len()
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The method in `line`, which has to be the line that was read.
    pub(crate) fn method<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        part(line, 0, self.method_end)
    }

    /// The whole target in `line`.
    pub(crate) fn target<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        part(line, self.method_end + 1, self.target_end)
    }

    /// The host and port of an absolute target in `line`.
    pub(crate) fn authority<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        (self.authority < self.path).then(|| part(line, self.authority, self.path))
    }

    /// The path in `line`. It is empty if an absolute target has none.
    pub(crate) fn path<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        part(line, self.path, self.path_end)
    }

    /// The query in `line`: everything after the first `?` of the target.
    pub(crate) fn query<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        (self.path_end < self.target_end).then(|| part(line, self.path_end + 1, self.target_end))
    }
}

/// Reads the version after a target, to the end of the line.
#[inline(never)]
fn rare_version(rest: &[u8]) -> Result<Version, RequestError> {
    match rest {
        // RFC 9112, 2.3: case matters.
        [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n', ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            match (major, minor) {
                (b'1', b'0') => Ok(Version::Http10),
                // RFC 9110, 2.5: a higher minor version is treated as the highest known one.
                (b'1', _) => Ok(Version::Http11),
                // RFC 9110, 15.6.6: only a well-formed line of another version is answered with 505.
                _ => Err(RequestError::Version),
            }
        }
        _ => Err(refused_target(rest)),
    }
}

/// The error for a target that ends before `rest`.
fn refused_target(rest: &[u8]) -> RequestError {
    match rest {
        // RFC 3986, 2: a target consists of ASCII characters. RFC 9112, 3.2: none of its forms has a fragment.
        [b'#' | 0x80.., ..] => RequestError::Target,
        _ => RequestError::RequestLine,
    }
}

fn part(line: &[u8], start: u32, end: u32) -> &[u8] {
    line.get(start as usize..end as usize).unwrap_or_default()
}

/// The number of bytes of an incomplete `line` that show that it cannot become valid: a word is longer than its limit,
/// or all of it is longer than the longest valid line. `None`: it may still become valid.
///
/// [`RequestLine::parse`] returns the same error for these bytes and for any longer part of the line.
pub(crate) fn overrun(line: &[u8], limits: &Limits) -> Option<usize> {
    if line.len() <= limits.method.min(limits.target) {
        return None;
    }
    let method = token_length(up_to(limits.method, line));
    if method > limits.method {
        return Some(limits.method + 1);
    }
    if let (1.., [b' ', target @ ..]) = (method, &line[method..])
        && target.len() > limits.target
        && memchr::memchr(b' ', up_to(limits.target, target)).is_none()
    {
        return Some(method + 1 + limits.target + 1);
    }
    let longest = limits.method.saturating_add(limits.target).saturating_add(SPACES_AND_VERSION);
    (line.len() > longest).then(|| longest + 1)
}

/// The first `limit` bytes and one more, or all bytes if there are fewer.
fn up_to(limit: usize, bytes: &[u8]) -> &[u8] {
    bytes.get(..=limit).unwrap_or(bytes)
}

/// The number of bytes at the start of `bytes` that are allowed in a target: visible ASCII characters except `#` and
/// `END`.
///
/// They include characters that RFC 3986 requires to be escaped but browsers send as they are: brackets, braces, pipe,
/// caret, backslash, backtick, quotes.
fn target_length<const END: u8>(bytes: &[u8]) -> usize {
    let mut words = bytes.chunks_exact(word::SIZE);
    let mut length = 0;
    for bytes in &mut words {
        let found = word::of(bytes);
        let ends = word::below(found, b'!')
            | word::from_delete(found)
            | word::equal(found, b'#')
            | word::equal(found, END);
        if ends != 0 {
            return length + word::first(ends);
        }
        length += word::SIZE;
    }
    let rest = words.remainder();
    let ends = |&byte: &u8| !(b'!'..=b'~').contains(&byte) || byte == b'#' || byte == END;
    length + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};

    fn limits() -> Limits {
        Limits { method: 8, target: 20, ..Limits::default() }
    }

    fn parse(line: &str) -> Result<RequestLine, RequestError> {
        RequestLine::parse(format!("{line}\r\nand what follows").as_bytes(), &limits())
    }

    #[test]
    fn a_line_is_taken_apart() {
        for (line, method, authority, path, query) in [
            ("GET / HTTP/1.1", "GET", None, "/", None),
            ("GET /? HTTP/1.1", "GET", None, "/", Some("")),
            ("GET /a/b?c HTTP/1.1", "GET", None, "/a/b", Some("c")),
            ("GET /a?b?c/d HTTP/1.1", "GET", None, "/a", Some("b?c/d")),
            ("GET //a/b HTTP/1.1", "GET", None, "//a/b", None),
            ("!#$%&'*+ / HTTP/1.1", "!#$%&'*+", None, "/", None),
            ("-.^_`|~z / HTTP/1.1", "-.^_`|~z", None, "/", None),
            ("get / HTTP/1.1", "get", None, "/", None),
            ("OPTIONS * HTTP/1.1", "OPTIONS", None, "*", None),
            ("OPTIONS http://h HTTP/1.1", "OPTIONS", Some("h"), "", None),
            ("GET http://h:80/a?b HTTP/1.1", "GET", Some("h:80"), "/a", Some("b")),
            ("GET HTTP://h?a=/b HTTP/1.1", "GET", Some("h"), "", Some("a=/b")),
            ("GET https://[::1]/ HTTP/1.1", "GET", Some("[::1]"), "/", None),
            // Characters that browsers do not escape.
            (
                "GET /[{|}^\\`\"'<>]?[{|}^\\`\"'<>] HTTP/1.1",
                "GET",
                None,
                "/[{|}^\\`\"'<>]",
                Some("[{|}^\\`\"'<>]"),
            ),
        ] {
            let limits = Limits { target: 30, ..limits() };
            let parsed = RequestLine::parse(format!("{line}\r\n").as_bytes(), &limits).unwrap();
            let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
            let bytes = line.as_bytes();
            assert_eq!(text(parsed.method(bytes)), method, "{line}");
            assert_eq!(parsed.authority(bytes).map(text).as_deref(), authority, "{line}");
            assert_eq!(text(parsed.path(bytes)), path, "{line}");
            assert_eq!(parsed.query(bytes).map(text).as_deref(), query, "{line}");
            assert_eq!(Some(text(parsed.target(bytes)).as_str()), line.split(' ').nth(1), "{line}");
            assert_eq!(parsed.length(), line.len(), "{line}");
        }
    }

    #[test]
    fn a_line_that_breaks_a_rule_is_refused() {
        use RequestError as E;
        let a = |n| "a".repeat(n);
        for (line, error) in [
            ("".to_string(), E::RequestLine),
            ("GET".to_string(), E::RequestLine),
            ("GET ".to_string(), E::RequestLine),
            ("GET /".to_string(), E::RequestLine),
            ("GET / ".to_string(), E::RequestLine),
            ("GET / HTTP/1.1 ".to_string(), E::RequestLine),
            ("GET / HTTP/1.1 x".to_string(), E::RequestLine),
            ("GET  / HTTP/1.1".to_string(), E::RequestLine),
            ("GET  HTTP/1.1".to_string(), E::RequestLine),
            ("GET /  HTTP/1.1".to_string(), E::RequestLine),
            ("GET /\tHTTP/1.1".to_string(), E::RequestLine),
            ("GET\t/ HTTP/1.1".to_string(), E::RequestLine),
            (" GET / HTTP/1.1".to_string(), E::RequestLine),
            ("GET / /a HTTP/1.1".to_string(), E::RequestLine),
            ("G(T / HTTP/1.1".to_string(), E::RequestLine),
            ("G\u{e9}T / HTTP/1.1".to_string(), E::RequestLine),
            ("GET /\0 HTTP/1.1".to_string(), E::RequestLine),
            ("GET /?\x1f HTTP/1.1".to_string(), E::RequestLine),
            ("GET /\x7f HTTP/1.1".to_string(), E::RequestLine),
            ("GET /\u{e9} HTTP/1.1".to_string(), E::Target),
            ("GET /?\u{e9} HTTP/1.1".to_string(), E::Target),
            ("GET /# HTTP/1.1".to_string(), E::Target),
            ("GET /?#a HTTP/1.1".to_string(), E::Target),
            ("GET http://h#a HTTP/1.1".to_string(), E::Target),
            ("GET # HTTP/1.1".to_string(), E::Target),
            ("GET ?a HTTP/1.1".to_string(), E::Target),
            ("GET h:80 HTTP/1.1".to_string(), E::Target),
            ("GET * HTTP/1.1".to_string(), E::Target),
            ("OPTIONS *? HTTP/1.1".to_string(), E::Target),
            ("GET http://?a HTTP/1.1".to_string(), E::Target),
            ("CONNECT h:80 HTTP/1.1".to_string(), E::Connect),
            ("CONNECT / HTTP/1.1".to_string(), E::Connect),
            (format!("{} / HTTP/1.1", a(9)), E::MethodTooLong(8)),
            (a(9), E::MethodTooLong(8)),
            (format!("GET /{} HTTP/1.1", a(20)), E::TargetTooLong(20)),
            (format!("GET /?{} HTTP/1.1", a(19)), E::TargetTooLong(20)),
            (format!("GET {}", a(21)), E::TargetTooLong(20)),
            // The first error decides.
            ("G(T /# HTTP/2.0".to_string(), E::RequestLine),
            ("GET /#\0 HTTP/2.0".to_string(), E::Target),
            ("GET /\0# HTTP/2.0".to_string(), E::RequestLine),
            ("GET /# a b c".to_string(), E::Target),
            (format!("{} / HTTP/2.0", a(9)), E::MethodTooLong(8)),
            (format!("{} {} HTTP/2.0", a(9), a(21)), E::MethodTooLong(8)),
            (format!("{}(", a(9)), E::MethodTooLong(8)),
            (format!("{}(", a(8)), E::RequestLine),
            (format!("GET {}# HTTP/2.0", a(20)), E::Target),
            (format!("GET {}# HTTP/2.0", a(21)), E::TargetTooLong(20)),
            // Then the version, the method, the form of the target.
            ("CONNECT * HTTP/2.0".to_string(), E::Version),
            ("CONNECT * HTTP/1.1".to_string(), E::Connect),
        ] {
            assert_eq!(parse(&line), Err(error), "{line:?}");
        }
    }

    #[test]
    fn a_version_of_http_1_is_served_as_one_that_is_known() {
        for (version, expected) in [
            ("HTTP/1.0", Ok(Version::Http10)),
            ("HTTP/1.1", Ok(Version::Http11)),
            ("HTTP/1.2", Ok(Version::Http11)),
            ("HTTP/1.5", Ok(Version::Http11)),
            ("HTTP/1.9", Ok(Version::Http11)),
            ("HTTP/0.9", Err(RequestError::Version)),
            ("HTTP/0.0", Err(RequestError::Version)),
            ("HTTP/2.0", Err(RequestError::Version)),
            ("HTTP/2.1", Err(RequestError::Version)),
            ("HTTP/9.9", Err(RequestError::Version)),
            ("HTTP/1", Err(RequestError::RequestLine)),
            ("HTTP/1.", Err(RequestError::RequestLine)),
            ("HTTP/2", Err(RequestError::RequestLine)),
            ("HTTP/1.10", Err(RequestError::RequestLine)),
            ("HTTP/11.1", Err(RequestError::RequestLine)),
            ("HTTP/01.1", Err(RequestError::RequestLine)),
            ("HTTP/1.x", Err(RequestError::RequestLine)),
            ("HTTP/x.1", Err(RequestError::RequestLine)),
            ("HTTP/1,1", Err(RequestError::RequestLine)),
            ("HTTP/-.1", Err(RequestError::RequestLine)),
            ("HTTP 1.1", Err(RequestError::RequestLine)),
            ("HTTP-1.1", Err(RequestError::RequestLine)),
            ("http/1.1", Err(RequestError::RequestLine)),
            ("Http/1.1", Err(RequestError::RequestLine)),
            ("HTTPS/1.1", Err(RequestError::RequestLine)),
            ("XTTP/1.1", Err(RequestError::RequestLine)),
            ("HTTP/\u{661}.1", Err(RequestError::RequestLine)),
        ] {
            let parsed = parse(&format!("GET / {version}"));
            assert_eq!(parsed.map(|line| line.version()), expected, "{version}");
        }
    }

    #[test]
    fn a_target_ends_at_the_first_byte_that_is_not_allowed_in_it() {
        for before in 0..40 {
            for after in [0, 10] {
                for byte in 0..=255_u8 {
                    let mut bytes = alloc::vec![b'a'; before];
                    bytes.push(byte);
                    bytes.resize(before + 1 + after, b'b');
                    let in_query = matches!(byte, b'!'..=b'~') && byte != b'#';
                    let in_path = in_query && byte != b'?';
                    let length = |goes_on| if goes_on { bytes.len() } else { before };
                    assert_eq!(target_length::<b'?'>(&bytes), length(in_path), "{byte:#x} at {before}");
                    assert_eq!(target_length::<b'#'>(&bytes), length(in_query), "{byte:#x} at {before}");
                }
            }
        }
    }

    #[test]
    fn a_line_is_given_up_where_a_word_or_all_of_it_is_too_long() {
        let a = |n| "a".repeat(n);
        for (line, expected) in [
            (a(8), None),
            (a(9), Some(9)),
            (format!("{} {}", a(8), a(20)), None),
            (format!("{} {}", a(8), a(21)), Some(30)),
            (format!("{} {} HTTP/1.1", a(8), a(20)), None),
            (format!("{} {} HTTP/1.1x", a(8), a(20)), Some(39)),
            (format!("GET {} {}", a(20), a(13)), None),
            (format!("GET {} {}", a(20), a(14)), Some(39)),
            (format!("G(T{}", a(35)), None),
            (format!("G(T{}", a(36)), Some(39)),
            (format!(" {}", a(37)), None),
            (format!(" {}", a(38)), Some(39)),
        ] {
            assert_eq!(overrun(line.as_bytes(), &limits()), expected, "{line}");
        }
        let none = Limits { method: usize::MAX, target: usize::MAX, ..limits() };
        assert_eq!(overrun(a(1000).as_bytes(), &none), None);
        let least = Limits { method: 0, target: 0, ..limits() };
        assert_eq!(overrun(b"a", &least), Some(1));
        assert_eq!(overrun(b"", &least), None);
    }
}
