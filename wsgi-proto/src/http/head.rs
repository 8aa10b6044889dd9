//! The head of a request: its bytes as received, and offsets into them.
//!
//! A head owns its bytes, so it outlives the receive buffer and needs no lifetime. A connection reuses the `Head` for
//! its next request unless the application kept it.

use alloc::vec::Vec;
use core::fmt;

use crate::http::request_line::RequestLine;
use crate::version::Version;

/// How the end of a request body is found (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Exactly this many bytes follow the head; 0 without `Content-Length` and `Transfer-Encoding`.
    Known(u64),
    /// The body is chunked.
    Chunked,
}

/// A part of [`Head::bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// The position of `part` in `whole`, of which it has to be a slice.
    pub(crate) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr() as usize - whole.as_ptr() as usize;
        debug_assert!(start + part.len() <= whole.len(), "not a slice of the whole");
        Self { start: start as u32, end: (start + part.len()) as u32 }
    }

    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Like [`get`](Self::get), if the whole is ASCII.
    #[inline]
    pub(crate) fn get_text(self, whole: &str) -> &str {
        whole.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(crate) fn get(self, whole: &[u8]) -> &[u8] {
        whole.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// One complete, valid request head.
///
/// Invariant: every span lies in `bytes`; method and field names are tokens; values have no control characters except
/// HTAB, and no white space at either end.
#[derive(Clone, Default)]
pub struct Head {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fields: Vec<(Span, Span)>,
    pub(crate) line: RequestLine,
    pub(crate) info: HeadInfo,
}

/// The information about the framing and the connection, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadInfo {
    pub(crate) body: BodyLength,
    pub(crate) host: Option<u32>,
    pub(crate) is_head: bool,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

impl Default for HeadInfo {
    fn default() -> Self {
        Self {
            body: BodyLength::Known(0),
            host: None,
            is_head: false,
            close: false,
            keep_alive: false,
            expects_continue: false,
        }
    }
}

impl Head {
    /// The head as received, with the empty line at its end. Targets, names and values of the other methods are slices of it.
    ///
    /// ```
    /// # use wsgi_proto::Head;
    /// let received = b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n";
    /// let head = Head::parse(received, &Default::default())?;
    /// assert_eq!(head.as_bytes(), received);
    /// assert!(head.as_bytes().as_ptr_range().contains(&head.target().as_ptr()));
    /// # Ok::<(), wsgi_proto::RequestError>(())
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The method as sent; case matters (RFC 9110, 9.1).
    pub fn method(&self) -> &str {
        match self.line.method(&self.bytes) {
            // The most frequent ones: without the check of the text.
            b"GET" => "GET",
            b"HEAD" => "HEAD",
            b"POST" => "POST",
            // A method is a token, so it is ASCII.
            method => core::str::from_utf8(method).unwrap_or_default(),
        }
    }

    /// The request target as sent.
    pub fn target(&self) -> &[u8] {
        self.line.target(&self.bytes)
    }

    /// The path of the target, not decoded: `/` if an absolute target has no path, `*` for `OPTIONS *`.
    pub fn path(&self) -> &[u8] {
        match self.line.path(&self.bytes) {
            // RFC 9112, 3.2.4: clients send `OPTIONS *` to a proxy in this form.
            [] if self.line.method(&self.bytes) == b"OPTIONS" && self.query().is_none() => b"*",
            [] => b"/",
            path => path,
        }
    }

    /// The query: everything after the first `?` of the target, not decoded.
    pub fn query(&self) -> Option<&[u8]> {
        self.line.query(&self.bytes)
    }

    /// The version of the request: also HTTP/1.1 for a higher minor version (RFC 9110, 2.5).
    pub fn version(&self) -> Version {
        self.line.version()
    }

    /// The request line as sent, without its CRLF.
    pub fn request_line(&self) -> &[u8] {
        self.bytes.get(..self.line.length()).unwrap_or_default()
    }

    /// The requested host, with its port if one was sent: the authority of an absolute target, otherwise the `Host`
    /// field (RFC 9112, 3.2.2).
    pub fn host(&self) -> Option<&[u8]> {
        match self.line.authority(&self.bytes) {
            Some(authority) => Some(authority),
            None => {
                let (_, value) = self.fields.get(self.info.host? as usize)?;
                Some(value.get(&self.bytes))
            }
        }
    }

    /// How the body ends.
    pub fn body_length(&self) -> BodyLength {
        self.info.body
    }

    /// Whether the client waits for a 100 response before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.info.expects_continue
    }

    /// All fields in the order sent: name in its original case, value without white space at its ends.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> + Clone {
        // A name is a token, so it is ASCII.
        self.raw_fields().map(|(name, value)| (core::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// Like [`fields`](Self::fields), with names as bytes, which costs less.
    ///
    /// ```
    /// # use wsgi_proto::Head;
    /// let head = Head::parse(b"GET / HTTP/1.1\r\nHost: a\r\nX-B: 1\r\n\r\n", &Default::default())?;
    /// let fields = head.raw_fields();
    /// assert_eq!(fields.len(), 2);
    /// assert!(fields.eq([(&b"Host"[..], &b"a"[..]), (b"X-B", b"1")]));
    /// # Ok::<(), wsgi_proto::RequestError>(())
    /// ```
    pub fn raw_fields(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.fields.iter().map(|(name, value)| (name.get(&self.bytes), value.get(&self.bytes)))
    }

    /// The values of all fields with this `name`, ignoring case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first field with this `name`, ignoring case.
    ///
    /// ```
    /// # use wsgi_proto::Head;
    /// let head =
    ///     Head::parse(b"GET / HTTP/1.1\r\nHost: a\r\nX-B: 1\r\n\r\n", &Default::default())?;
    /// assert_eq!(head.value("x-b"), Some(&b"1"[..]));
    /// # Ok::<(), wsgi_proto::RequestError>(())
    /// ```
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let wanted = name.as_bytes();
        let (_, value) = self.fields.iter().find(|(field, _)| {
            field.len() == wanted.len() && field.get(&self.bytes).eq_ignore_ascii_case(wanted)
        })?;
        Some(value.get(&self.bytes))
    }

    /// Clears the head for the next request and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.line = RequestLine::default();
        self.info = HeadInfo::default();
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("version", &self.version())
            .field("fields", &self.fields.len())
            .field("body", &self.info.body)
            .finish_non_exhaustive()
    }
}
