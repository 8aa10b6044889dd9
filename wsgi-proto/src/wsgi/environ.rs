//! The CGI and WSGI variables of a request (RFC 3875, 4.1; PEP 3333, `environ` Variables), as far as they are strings.
//!
//! Knows which variables exist and the source of each. Does not know how an application stores them. Variables that are
//! not strings, such as `wsgi.input`, are left out. `wsgi.version` and similar ones are included as strings.
//!
//! A value is only made when it is requested. ASCII values are borrowed from the head. Other bytes become the Unicode
//! characters with the same number (PEP 3333, Unicode Issues): latin-1.

#[cfg(test)]
mod tests;

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use memchr::memchr;

use crate::endpoints::Address;

use crate::config::Config;

use crate::http::head::Head;

use crate::endpoints::Endpoints;

use crate::endpoints::Scheme;
use crate::wsgi::names::{self, Keys};
use crate::wsgi::text::{V4_LENGTH, ascii, decode_path, latin1, part_of, push_latin1, v4_text, write_ip};

/// The largest number of fields that are compared with each other to find repeated ones. More are sorted.
const FEW: usize = 32;

/// The variables with fixed names, in the order of [`Variables::iter`].
const FIXED: [(&str, Fixed); 20] = [
    ("REQUEST_METHOD", Fixed::Method),
    ("SCRIPT_NAME", Fixed::ScriptName),
    ("RAW_PATH_INFO", Fixed::RawPath),
    ("PATH_INFO", Fixed::Path),
    ("QUERY_STRING", Fixed::Query),
    ("CONTENT_TYPE", Fixed::ContentType),
    ("CONTENT_LENGTH", Fixed::ContentLength),
    ("SERVER_PROTOCOL", Fixed::Protocol),
    ("SERVER_NAME", Fixed::ServerName),
    ("SERVER_PORT", Fixed::ServerPort),
    ("REMOTE_ADDR", Fixed::RemoteAddr),
    ("REMOTE_PORT", Fixed::RemotePort),
    ("GATEWAY_INTERFACE", Fixed::Gateway),
    ("wsgi.url_scheme", Fixed::Scheme),
    ("HTTPS", Fixed::Https),
    ("wsgi.version", Fixed::WsgiVersion),
    ("wsgi.input_terminated", Fixed::True),
    ("wsgi.multithread", Fixed::True),
    ("wsgi.multiprocess", Fixed::False),
    ("wsgi.run_once", Fixed::False),
];

/// The source of a variable with a fixed name.
#[derive(Clone, Copy)]
enum Fixed {
    Method,
    ScriptName,
    RawPath,
    Path,
    Query,
    ContentType,
    ContentLength,
    Protocol,
    ServerName,
    ServerPort,
    RemoteAddr,
    RemotePort,
    Gateway,
    Scheme,
    Https,
    WsgiVersion,
    True,
    False,
}

/// The variables of one request.
///
/// Values of the request override [`Config::environ`], which overrides the defaults of the server. The configuration
/// can therefore set these:
///
/// | variable | value if not configured |
/// | --- | --- |
/// | `wsgi.url_scheme` | `http`, or `https` with TLS |
/// | `HTTPS` | `on` with TLS, else absent |
/// | `wsgi.version` | `1.0` |
/// | `wsgi.input_terminated`, `wsgi.multithread` | `true` |
/// | `wsgi.multiprocess`, `wsgi.run_once` | `false` |
/// | `QUERY_STRING`, for a target without `?` | empty |
/// | `CONTENT_TYPE`, if none was sent | absent |
/// | `SERVER_NAME`, `SERVER_PORT`, on a transport without addresses | `unix` and empty |
/// | `HTTP_*`, if no such field was sent | absent |
/// | any name that is not in either table | absent |
///
/// The request and its connection determine these, whatever is configured:
///
/// | variable | value |
/// | --- | --- |
/// | `REQUEST_METHOD` | as sent, case kept |
/// | `SCRIPT_NAME` | empty |
/// | `RAW_PATH_INFO` | the path as sent |
/// | `PATH_INFO` | the path, decoded by [`decode_path`] |
/// | `QUERY_STRING` | everything after the first `?`, as sent |
/// | `CONTENT_TYPE` | the first such field |
/// | `CONTENT_LENGTH` | as sent; absent without the field, because a configured value would be wrong |
/// | `SERVER_PROTOCOL` | the version of the request; `HTTP/1.1` for a higher minor version |
/// | `SERVER_NAME`, `SERVER_PORT` | the address that the peer connected to; an IPv6 address in brackets (RFC 3875, 4.1.14) |
/// | `REMOTE_ADDR`, `REMOTE_PORT` | the address of the peer, without brackets; `unix` and empty on a transport without addresses |
/// | `GATEWAY_INTERFACE` | `CGI/1.1` |
/// | `HTTP_HOST` | the authority of an absolute target, otherwise the field (RFC 9112, 3.2.2) |
/// | `HTTP_*` | the field; its name in upper case, with `_` for `-`; repeated fields joined in order by `,`, `Cookie` by `; ` |
///
/// Some fields do not become `HTTP_*` variables. `Content-Type` and `Content-Length` have their own variables. `Proxy`
/// would be mistaken for the setting `HTTP_PROXY` of HTTP clients (CVE-2016-5385). A name with `_` would be mistaken
/// for one with `-`. A configured `HTTP_PROXY` is kept. A configured value is never joined with one that was sent. If
/// the configuration has a name twice, the last one counts.
///
/// ```
/// # use wsgi_proto::{Address, Config, Head, Endpoints, Variables};
/// let head = Head::parse(
///     b"GET /a%20b?c HTTP/1.1\r\nHost: a\r\nX-B: 1\r\n\r\n",
///     &Default::default(),
/// )?;
/// let (endpoints, config) =
///     (Endpoints::new(Address::Local, Address::Local), Config::default());
/// let variables = Variables::new(&head, &endpoints, &config);
/// assert_eq!(variables.get("PATH_INFO").as_deref(), Some("/a b"));
/// assert_eq!(variables.get("HTTP_X_B").as_deref(), Some("1"));
/// assert!(!variables.contains("HTTP_X_C"));
/// # Ok::<(), wsgi_proto::RequestError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Variables<'a> {
    head: &'a Head,
    endpoints: &'a Endpoints,
    config: &'a Config,
}

impl<'a> Variables<'a> {
    /// The variables of the request `head` on the connection between `endpoints`, with the additions of `config`.
    pub fn new(head: &'a Head, endpoints: &'a Endpoints, config: &'a Config) -> Self {
        Self { head, endpoints, config }
    }

    /// The value of the variable called exactly `name`; `None` if the request has no such variable.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        Some(self.render(self.find(name)?))
    }

    /// Whether the request has a variable called exactly `name`; cheaper than [`get`](Self::get).
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// All variables with their values, each name once: those of the request line and the connection, then the fields
    /// in the order sent (repeated ones at the position of the first), then those that only the configuration has.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        let this = *self;
        let fixed = FIXED.into_iter().filter_map(move |(name, fixed)| {
            Some((
                Cow::Borrowed(name),
                this.render(this.find_fixed(name, fixed, |field| this.head.value(field))?),
            ))
        });
        let host = this.head.host().map(|host| (Cow::Borrowed("HTTP_HOST"), latin1(host)));
        let (links, mut buffer) = (this.links(), Vec::new());
        let fields = (0..links.len()).filter_map(move |first| {
            if links[first].is_later {
                return None;
            }
            let name = this.variable_name(first, &mut buffer)?.to_owned();
            let rest = core::iter::successors(links[first].next, |&at| links[at].next);
            Some((Cow::Owned(name), this.join(first, rest)))
        });
        let configured = this.only_configured().map(|(name, value)| (name.into(), value.into()));
        fixed.chain(host).chain(fields).chain(configured)
    }

    /// Calls `visit` with the name and value of each variable, in the order of [`iter`](Self::iter). It makes no string
    /// for each of them, so this is the cheapest way to read all variables.
    ///
    /// ```
    /// # use wsgi_proto::{Address, Config, Head, Endpoints, Variables};
    /// # let head = Head::parse(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", &Default::default())?;
    /// # let endpoints = Endpoints::new(Address::Local, Address::Local);
    /// # let config = Config::default();
    /// let mut text = String::new();
    /// Variables::new(&head, &endpoints, &config)
    ///     .for_each(|name, value| text.extend([name, "=", value, "\n"]));
    /// assert!(text.contains("\nPATH_INFO=/a\n") && text.contains("\nHTTP_HOST=a\n"));
    /// # Ok::<(), wsgi_proto::RequestError>(())
    /// ```
    pub fn for_each(&self, mut visit: impl FnMut(&str, &str)) {
        let (fields, bytes) = (&self.head.fields[..], &self.head.bytes[..]);
        if fields.len() > FEW {
            return self.iter().for_each(|(name, value)| visit(&name, &value));
        }
        let text = ascii(bytes);
        // The key of each name, and the fields that have the same key as a later one, as bits.
        let (mut keys, mut all, mut similar) = ([0; FEW], Keys::default(), 0_u32);
        for (at, (key, (name, _))) in keys.iter_mut().zip(fields).enumerate().rev() {
            *key = names::key(name.get(bytes));
            similar |= u32::from(all.contains(*key)) << at;
            all.insert(*key);
        }
        let field = |name: &str| match all.contains(names::key(name.as_bytes())) {
            true => self.head.value(name),
            false => None,
        };
        let mut made = Made { port: itoa::Buffer::new(), address: [0; V4_LENGTH], text: String::new() };
        // Written out, so that the compiler decides each case of `Fixed`.
        macro_rules! visit_fixed {
            ($($at:literal)*) => {$(
                let (name, fixed) = const { FIXED[$at] };
                if let Some(source) = self.find_fixed(name, fixed, field) {
                    visit(name, self.render_in(source, text, &mut made));
                }
            )*};
        }
        visit_fixed!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
        if let Some(host) = self.head.host() {
            visit("HTTP_HOST", self.render_in(Source::Bytes(host), text, &mut made));
        }
        // The fields that have an earlier one of the same name, as bits.
        let (mut later, mut buffer) = (0_u32, Vec::new());
        for (at, &(name, value)) in fields.iter().enumerate() {
            if later >> at & 1 == 1 {
                continue;
            }
            let Some(variable) = names::variable_name(name, keys[at], bytes, &mut buffer) else { continue };
            let is_single = similar >> at & 1 == 0;
            match text {
                Some(text) if is_single => visit(variable, value.get_text(text)),
                None if is_single => visit(variable, &latin1(value.get(bytes))),
                _ => {
                    let (value, again) = self.join_few(at);
                    later |= again;
                    visit(variable, &value);
                }
            }
        }
        for (name, value) in self.only_configured() {
            visit(name, value);
        }
    }

    /// The value of the field at `first` with those of all later ones of the same name, and these as bits. There are
    /// at most [`FEW`] fields.
    #[cold]
    fn join_few(&self, first: usize) -> (Cow<'a, str>, u32) {
        let name = self.field_name(first);
        let same = |&at: &usize| self.field_name(at).eq_ignore_ascii_case(name);
        let rest = (first + 1..self.head.fields.len()).filter(same);
        let again = rest.clone().fold(0, |again, at| again | 1 << at);
        (self.join(first, rest), again)
    }

    /// The variables that only the configuration has.
    fn only_configured(self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let environ = self.config.environ.as_slice();
        let configured = environ.iter().enumerate().filter(move |&(at, (name, _))| {
            let sent = name.strip_prefix("HTTP_").is_some_and(|suffix| self.find_field(suffix).is_some());
            let again = environ[at + 1..].iter().any(|(later, _)| later == name);
            !(sent || again || FIXED.iter().any(|(fixed, _)| fixed == name))
        });
        configured.map(|(_, (name, value))| (name.as_str(), value.as_str()))
    }

    /// Like [`render`](Self::render), in `made` if the value has to be made. `head` is the text of the head, if it is
    /// ASCII.
    // Inlined for each kind of variable, so that its source is not stored and read again.
    #[inline(always)]
    fn render_in<'t>(&self, source: Source<'a>, head: Option<&'t str>, made: &'t mut Made) -> &'t str
    where
        'a: 't,
    {
        let part = match source {
            Source::Text(value) => return value,
            Source::Bytes(part) => part,
            Source::Path(path) if memchr(b'%', path).is_none() => path,
            Source::Host(IpAddr::V4(address)) | Source::Ip(IpAddr::V4(address)) => {
                return v4_text(address, &mut made.address);
            }
            Source::Port(port) => return made.port.format(port),
            Source::Path(path) => return made.keep(decode_path(path)),
            Source::Host(address) => return made.keep(self.render(Source::Host(address))),
            Source::Ip(address) => return made.keep(self.render(Source::Ip(address))),
            Source::Fields { first } => return made.keep(self.render(Source::Fields { first })),
        };
        match head.and_then(|head| part_of(head, part)) {
            Some(value) => value,
            None => made.keep(latin1(part)),
        }
    }

    /// The source of the value of `name`. Does not allocate.
    fn find(&self, name: &str) -> Option<Source<'a>> {
        if let Some(suffix) = name.strip_prefix("HTTP_") {
            return self.find_field(suffix).or_else(|| self.configured(name));
        }
        match FIXED.iter().find(|(fixed, _)| *fixed == name) {
            Some((name, fixed)) => self.find_fixed(name, *fixed, |field| self.head.value(field)),
            None => self.configured(name),
        }
    }

    /// The source of a fixed variable. `field` finds the first field of a name.
    #[inline(always)]
    fn find_fixed(
        &self,
        name: &str,
        fixed: Fixed,
        field: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Option<Source<'a>> {
        let or = |default| Some(self.configured(name).unwrap_or(Source::Text(default)));
        Some(match fixed {
            Fixed::Method => Source::Bytes(self.head.line.method(&self.head.bytes)),
            // eventlet: the application is at the root, and a configured value does not change that.
            Fixed::ScriptName => Source::Text(""),
            Fixed::RawPath => Source::Bytes(self.head.path()),
            Fixed::Path => Source::Path(self.head.path()),
            Fixed::Query => match self.head.query() {
                Some(query) => Source::Bytes(query),
                None => return or(""),
            },
            Fixed::ContentType => match field("Content-Type") {
                Some(value) => Source::Bytes(value),
                None => return self.configured(name),
            },
            Fixed::ContentLength => Source::Bytes(field("Content-Length")?),
            Fixed::Protocol => Source::Text(self.head.version().as_str()),
            Fixed::ServerName => match self.endpoints.local {
                Address::Ip(address) => Source::Host(address.ip()),
                Address::Local => return or("unix"),
            },
            Fixed::ServerPort => match self.endpoints.local {
                Address::Ip(address) => Source::Port(address.port()),
                Address::Local => return or(""),
            },
            Fixed::RemoteAddr => match self.endpoints.remote {
                Address::Ip(address) => Source::Ip(address.ip()),
                Address::Local => Source::Text("unix"),
            },
            Fixed::RemotePort => match self.endpoints.remote {
                Address::Ip(address) => Source::Port(address.port()),
                Address::Local => Source::Text(""),
            },
            Fixed::Gateway => Source::Text("CGI/1.1"),
            Fixed::Scheme => match self.endpoints.scheme {
                Scheme::Http => return or("http"),
                Scheme::Https => return or("https"),
            },
            Fixed::Https => match self.endpoints.scheme {
                Scheme::Http => return self.configured(name),
                Scheme::Https => return or("on"),
            },
            Fixed::WsgiVersion => return or("1.0"),
            Fixed::True => return or("true"),
            Fixed::False => return or("false"),
        })
    }

    fn configured(&self, name: &str) -> Option<Source<'a>> {
        let (_, value) = self.config.environ.iter().rev().find(|(configured, _)| configured == name)?;
        Some(Source::Text(value))
    }

    /// The source of the field that becomes the variable `HTTP_` + `suffix`.
    fn find_field(&self, suffix: &str) -> Option<Source<'a>> {
        match suffix {
            "HOST" => self.head.host().map(Source::Bytes),
            "CONTENT_TYPE" | "CONTENT_LENGTH" | "PROXY" => None,
            _ => (0..self.head.fields.len())
                .find(|&at| is_variable_name(self.field_name(at), suffix.as_bytes()))
                .map(|first| Source::Fields { first }),
        }
    }

    fn render(&self, source: Source<'a>) -> Cow<'a, str> {
        match source {
            Source::Text(text) => Cow::Borrowed(text),
            Source::Bytes(bytes) => latin1(bytes),
            Source::Path(path) => decode_path(path),
            // RFC 3875, 4.1.14: a host name, an IPv4 address, or an IPv6 address in brackets, as in a URL.
            Source::Host(IpAddr::V6(address)) => Cow::Owned(format!("[{address}]")),
            Source::Host(address) | Source::Ip(address) => {
                let mut text = String::with_capacity("255.255.255.255".len());
                // Writing to a string does not fail.
                let _ = write_ip(address, &mut text);
                Cow::Owned(text)
            }
            Source::Port(port) => Cow::Owned(itoa::Buffer::new().format(port).to_owned()),
            Source::Fields { first } => {
                let name = self.field_name(first);
                let rest = (first + 1..self.head.fields.len())
                    .filter(|&at| self.field_name(at).eq_ignore_ascii_case(name));
                self.join(first, rest)
            }
        }
    }

    /// The value of the field at `first`, followed by the values of `rest`, all later fields of the same name.
    fn join(&self, first: usize, rest: impl Iterator<Item = usize>) -> Cow<'a, str> {
        let name = self.field_name(first);
        let mut rest = rest.map(|at| self.field_value(at)).peekable();
        if rest.peek().is_none() {
            return latin1(self.field_value(first));
        }
        // A list is joined by commas (RFC 9110, 5.3), but a comma can be part of a cookie (RFC 6265, 5.4).
        let separator = if name.eq_ignore_ascii_case(b"cookie") { "; " } else { "," };
        let mut joined = latin1(self.field_value(first)).into_owned();
        for value in rest {
            joined.push_str(separator);
            push_latin1(&mut joined, value);
        }
        Cow::Owned(joined)
    }

    /// Links each field to the next one of the same name. Sorting by name makes the time for this nearly proportional
    /// to the number of fields.
    fn links(&self) -> Vec<Link> {
        let count = self.head.fields.len();
        let mut order: Vec<usize> = (0..count).collect();
        let lower = |at: usize| self.field_name(at).iter().map(u8::to_ascii_lowercase);
        order.sort_unstable_by(|&one, &other| lower(one).cmp(lower(other)).then(one.cmp(&other)));
        let mut links = vec![Link::default(); count];
        for pair in order.windows(2) {
            if self.field_name(pair[0]).eq_ignore_ascii_case(self.field_name(pair[1])) {
                links[pair[0]].next = Some(pair[1]);
                links[pair[1]].is_later = true;
            }
        }
        links
    }

    fn variable_name<'b>(&self, at: usize, made: &'b mut Vec<u8>) -> Option<&'b str> {
        let key = names::key(self.field_name(at));
        names::variable_name(self.head.fields[at].0, key, &self.head.bytes, made)
    }

    fn field_name(&self, at: usize) -> &'a [u8] {
        #[cfg(test)]
        tests::NAMES.with(|names| names.set(names.get() + 1));
        self.head.fields[at].0.get(&self.head.bytes)
    }

    fn field_value(&self, at: usize) -> &'a [u8] {
        self.head.fields[at].1.get(&self.head.bytes)
    }
}

/// The place of a field among those of the same name.
#[derive(Clone, Default)]
struct Link {
    /// The next field of this name.
    next: Option<usize>,
    /// Whether there is an earlier field of this name.
    is_later: bool,
}

/// The source of a variable's value, before it is rendered.
enum Source<'a> {
    Text(&'a str),
    /// Latin-1.
    Bytes(&'a [u8]),
    /// Latin-1 with percent escapes.
    Path(&'a [u8]),
    /// In brackets if it is an IPv6 address.
    Host(IpAddr),
    Ip(IpAddr),
    Port(u16),
    /// This field and all later ones of the same name.
    Fields {
        first: usize,
    },
}

/// Whether the field `name` becomes the variable `HTTP_` + `suffix`.
fn is_variable_name(name: &[u8], suffix: &[u8]) -> bool {
    name.len() == suffix.len()
        && name.iter().zip(suffix).all(|(&sent, &asked)| match sent {
            b'-' => asked == b'_',
            b'_' => false,
            _ => asked == sent.to_ascii_uppercase(),
        })
}

/// Values that are made while all variables are visited, each until the next one.
struct Made {
    port: itoa::Buffer,
    address: [u8; V4_LENGTH],
    text: String,
}

impl Made {
    fn keep<'t>(&'t mut self, value: Cow<'t, str>) -> &'t str {
        match value {
            Cow::Borrowed(value) => value,
            Cow::Owned(value) => {
                self.text = value;
                &self.text
            }
        }
    }
}
