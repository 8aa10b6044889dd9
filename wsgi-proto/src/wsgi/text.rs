//! Converts bytes of a head, and addresses, to text.
//!
//! Knows latin-1 and percent escapes. Does not know the purpose of the text.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use memchr::memchr;

/// Converts each byte to the character with the same number, as PEP 3333 requires. Borrows `bytes` if all are ASCII.
///
/// ```
/// assert_eq!(wsgi_proto::latin1(b"caf\xe9"), "café");
/// ```
pub fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match ascii(bytes) {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// Decodes the path of a request for `PATH_INFO`. Each `%` with two hexadecimal digits is replaced, once, by the byte
/// that they encode. Everything else is unchanged, including malformed escapes and `+`. The bytes are converted by
/// [`latin1`].
///
/// The result can contain any byte, even from `%00` and `%2F`; only `raw` shows the difference. (eventlet)
///
/// ```
/// assert_eq!(wsgi_proto::decode_path(b"/a%20b%252F%zz+"), "/a b%2F%zz+");
/// ```
pub fn decode_path(raw: &[u8]) -> Cow<'_, str> {
    let Some(mut escape) = memchr(b'%', raw) else { return latin1(raw) };
    let mut path = String::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        push_latin1(&mut path, &rest[..escape]);
        rest = &rest[escape + 1..];
        match rest {
            [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                path.push(char::from(hex_value(*high) << 4 | hex_value(*low)));
                rest = after;
            }
            _ => path.push('%'),
        }
        let Some(next) = memchr(b'%', rest) else { break };
        escape = next;
    }
    push_latin1(&mut path, rest);
    Cow::Owned(path)
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Appends the result of [`latin1`] to `text`.
pub(crate) fn push_latin1(text: &mut String, bytes: &[u8]) {
    match ascii(bytes) {
        Some(ascii) => text.push_str(ascii),
        None => text.extend(bytes.iter().copied().map(char::from)),
    }
}

/// The text of `bytes` if all are ASCII.
pub(crate) fn ascii(bytes: &[u8]) -> Option<&str> {
    // `is_ascii` would look at up to 63 bytes at the end one by one.
    let all = bytes.iter().fold(0, |all, byte| all | byte);
    if all.is_ascii() { core::str::from_utf8(bytes).ok() } else { None }
}

/// Writes an address for `REMOTE_ADDR` and the log: without brackets.
pub(crate) fn write_ip(address: IpAddr, out: &mut (impl fmt::Write + ?Sized)) -> fmt::Result {
    let IpAddr::V4(address) = address else { return write!(out, "{address}") };
    out.write_str(v4_text(address, &mut [0; V4_LENGTH]))
}

/// The maximum length of an IPv4 address, with a dot at its end.
pub(crate) const V4_LENGTH: usize = "255.255.255.255.".len();

/// The text of `address`, several times faster than its `Display`.
pub(crate) fn v4_text(address: Ipv4Addr, text: &mut [u8; V4_LENGTH]) -> &str {
    core::str::from_utf8(v4_ascii(address, text)).unwrap_or_default()
}

/// The same as bytes.
pub(crate) fn v4_ascii(address: Ipv4Addr, text: &mut [u8; V4_LENGTH]) -> &[u8] {
    let mut length = 0;
    for octet in address.octets() {
        if let Some(place) = text[length..].first_chunk_mut() {
            *place = OCTETS[usize::from(octet)];
        }
        length += 2 + usize::from(octet >= 10) + usize::from(octet >= 100);
    }
    &text[..length - 1]
}

/// The decimal digits of each octet, and a dot or more.
static OCTETS: [[u8; 4]; 256] = {
    let mut octets = [[b'.'; 4]; 256];
    let mut octet = 0_u8;
    loop {
        octets[octet as usize] = match [octet / 100 + b'0', octet / 10 % 10 + b'0', octet % 10 + b'0'] {
            [b'0', b'0', ones] => [ones, b'.', b'.', b'.'],
            [b'0', tens, ones] => [tens, ones, b'.', b'.'],
            [hundreds, tens, ones] => [hundreds, tens, ones, b'.'],
        };
        if octet == u8::MAX {
            break octets;
        }
        octet += 1;
    }
};

/// The text of `part`, if it is a part of `whole`.
pub(crate) fn part_of<'a>(whole: &'a str, part: &[u8]) -> Option<&'a str> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    whole.get(start..start + part.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn latin1_has_a_character_for_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        assert!(latin1(&all).chars().map(u32::from).eq(0..256));
        assert!(matches!(latin1(&all[..128]), Cow::Borrowed(_)));
    }

    #[test]
    fn paths_are_decoded_once() {
        for (raw, expected) in [
            (&b""[..], ""),
            (b"/", "/"),
            (b"*", "*"),
            (b"/a%20b", "/a b"),
            (b"%2f%2F%41", "//A"),
            (b"/%2541", "/%41"),
            (b"/%%41", "/%A"),
            (b"/a+b", "/a+b"),
            (b"/%00", "/\0"),
            (b"/%C3%A9%e9", "/Ã©é"),
            (b"/%zz%4z%z4%4%", "/%zz%4z%z4%4%"),
            (b"/%+1%-1% 1%0x", "/%+1%-1% 1%0x"),
            (b"/\xe9%41\xe9", "/éAé"),
        ] {
            assert_eq!(decode_path(raw), expected, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn addresses_are_written_as_they_are_displayed() {
        for octet in 0..=255 {
            for address in [Ipv4Addr::new(octet, 0, 255, octet), Ipv4Addr::new(1, octet, 99, 10)] {
                assert_eq!(v4_text(address, &mut [b'x'; V4_LENGTH]), address.to_string());
            }
        }
        let mut text = String::new();
        write_ip("2001:db8::7".parse().unwrap(), &mut text).unwrap();
        assert_eq!(text, "2001:db8::7");
    }

    #[test]
    fn only_a_part_of_the_whole_has_its_text() {
        let (whole, other) = (String::from("GET /a"), String::from("GET /a"));
        assert_eq!(part_of(&whole, &whole.as_bytes()[4..]), Some("/a"));
        assert_eq!(part_of(&whole, whole.as_bytes()), Some("GET /a"));
        assert_eq!(part_of(&whole, &other.as_bytes()[4..]), None);
        assert_eq!(part_of(&whole[..5], &whole.as_bytes()[4..]), None);
    }
}
