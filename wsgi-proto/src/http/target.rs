//! The request target: its four forms, and the host in it (RFC 9112, 3.2).

use crate::error::RequestError;

/// The parts of a target before its query, as slices of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The authority, directly before the path. It is empty except in absolute form.
    pub(crate) authority: &'a [u8],
    /// The path. It is empty if an absolute target has no path.
    pub(crate) path: &'a [u8],
}

impl<'a> Target<'a> {
    /// Splits the part of a target before its query. `*` is only allowed for `OPTIONS` and without a query.
    pub(crate) fn parse(method: &[u8], target: &'a [u8], has_query: bool) -> Result<Self, RequestError> {
        match target {
            [b'/', ..] => Ok(Self { authority: &[], path: target }),
            // RFC 9112, 3.2.4: the asterisk form is only for OPTIONS.
            b"*" if method == b"OPTIONS" && !has_query => Ok(Self { authority: &[], path: target }),
            _ => Self::absolute(target),
        }
    }

    /// RFC 9112, 3.2.2: a server has to accept the absolute form.
    fn absolute(target: &'a [u8]) -> Result<Self, RequestError> {
        let rest = strip_scheme(target).ok_or(RequestError::Target)?;
        let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // RFC 9110, 4.2.1: an http URI with an empty host is invalid; 4.2.4: so is one with user information here.
        if !is_host(authority) || authority.is_empty() || authority[0] == b':' {
            return Err(RequestError::Target);
        }
        Ok(Self { authority, path })
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// Whether `host` is `uri-host [ ":" port ]`; an empty host is valid (RFC 9110, 7.2).
#[inline]
pub(crate) fn is_host(host: &[u8]) -> bool {
    let name = host.iter().position(|&byte| !NAME[byte as usize]).unwrap_or(host.len());
    match &host[name..] {
        [] => true,
        port @ [b':', ..] => is_port(port),
        _ => is_rare_host(host),
    }
}

/// [`is_host`] for a host that has brackets or percent-encoded bytes, or is invalid.
#[inline(never)]
fn is_rare_host(host: &[u8]) -> bool {
    if let [b'[', rest @ ..] = host {
        let Some(end) = memchr::memchr(b']', rest) else { return false };
        return is_ip_literal(&rest[..end]) && is_port(&rest[end + 1..]);
    }
    let mut rest = host;
    loop {
        let name = rest.iter().position(|&byte| !NAME[byte as usize]).unwrap_or(rest.len());
        rest = match &rest[name..] {
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            port => return is_port(port),
        };
    }
}

/// Whether `port` is empty, or a colon and a port number.
fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The bytes of a `reg-name`, besides percent-encoded ones (RFC 3986, 3.2.2). An IPv4 address is a special case.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric()
            || matches!(c, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
            || matches!(c, b'*' | b'+' | b',' | b';' | b'=');
        byte += 1;
    }
    table
};

/// Whether `literal` is an `IPv6address` or `IPvFuture`, without the brackets (RFC 3986, 3.2.2).
fn is_ip_literal(literal: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(literal) else { return false };
    if let [b'v' | b'V', rest @ ..] = literal {
        let Some(dot) = memchr::memchr(b'.', rest) else { return false };
        let (version, address) = (&rest[..dot], &rest[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|&byte| byte == b':' || NAME[byte as usize]);
    }
    text.parse::<core::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_taken_apart() {
        for (method, target, has_query, authority, path) in [
            ("GET", "/a", true, "", "/a"),
            ("GET", "//a/b", false, "", "//a/b"),
            ("OPTIONS", "*", false, "", "*"),
            ("GET", "http://h:80/a", true, "h:80", "/a"),
            ("GET", "HTTPS://h", false, "h", ""),
            ("GET", "http://h", true, "h", ""),
            ("OPTIONS", "http://h", false, "h", ""),
        ] {
            let parts = Target { authority: authority.as_bytes(), path: path.as_bytes() };
            assert_eq!(Target::parse(method.as_bytes(), target.as_bytes(), has_query), Ok(parts), "{target}");
        }
        for (method, bad, has_query) in [
            ("GET", "*", false),
            ("OPTIONS", "*", true),
            ("OPTIONS", "*/a", false),
            ("GET", "", true),
            ("GET", "a", false),
            ("GET", "h:80", false),
            ("GET", "://h/a", false),
            ("GET", "http://", false),
            ("GET", "http://", true),
            ("GET", "http:///a", false),
            ("GET", "http://:80/", false),
            ("GET", "http://u@h/", false),
            ("GET", "ftp://h/", false),
        ] {
            let parsed = Target::parse(method.as_bytes(), bad.as_bytes(), has_query);
            assert_eq!(parsed, Err(RequestError::Target), "{bad}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_address_with_an_optional_port() {
        for good in ["", "h", "h:80", "h:", "a.b-c_d", "1.2.3.4:1", "[::1]", "[::1]:80", "[v1.a:b]", "a%20b"]
        {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "h/x", "h:abc", "h:80:80", "h?x", "h#x", "h^", "h:-80", "a\tb", "a b", "h]", "[h", "{h}",
            "h:+80", "a|b", "u@h", "[::1", "[::1]x", "[g]", "[]", "::1", "h:123456", "a%2", "\u{e9}",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
