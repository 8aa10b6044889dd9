//! Character classes and small parsers for field values (RFC 9110, 5.6).

use crate::http::word;

/// Whether `byte` is allowed in a token (RFC 9110, 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// The length of the token at the start of `bytes`.
pub(crate) fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(bytes.len())
}

/// Whether the token `name` equals `known`, ignoring case. `known` has to consist of letters and hyphens. If its length
/// is constant, this compiles to a few comparisons without a loop.
#[inline]
pub(crate) fn is_name(name: &[u8], known: &[u8]) -> bool {
    // The bit 0x20 is the case of a letter; a hyphen without it is a control character, which is not allowed in a
    // token.
    const CASE: u8 = 0x20;
    let different = |different, (a, b): (&u8, &u8)| different | (a ^ b);
    name.len() == known.len() && name.iter().zip(known).fold(0, different) & !CASE == 0
}

/// Appends the token `name` to `out`. With `capitalize`, it is spelled `Like-This` (eventlet: 6.2) or as registered.
/// Returns false, and appends unusable bytes to `out`, if `name` is not a token.
pub(crate) fn push_name(out: &mut alloc::vec::Vec<u8>, name: &[u8], capitalize: bool) -> bool {
    if capitalize && push_frequent(out, name) {
        return true;
    }
    let start = out.len();
    out.extend_from_slice(name);
    let (first, later) = if capitalize { (&UPPER, &LOWER) } else { (&AS_IS, &AS_IS) };
    let (mut spelling, mut valid) = (first, !name.is_empty());
    for byte in &mut out[start..] {
        *byte = spelling[*byte as usize];
        valid &= *byte != 0;
        spelling = if *byte == b'-' { first } else { later };
    }
    if capitalize && let Some(registered) = registered(&out[start..]) {
        out[start..].copy_from_slice(registered.as_bytes());
    }
    valid
}

/// Appends the spelling `Like-This` of a name that most responses have, if it is written as most applications write it:
/// it is found faster than it is spelled. Returns false, without effect, for other names.
fn push_frequent(out: &mut alloc::vec::Vec<u8>, name: &[u8]) -> bool {
    // Comparisons and copies of a known length; a match would compare each byte.
    let mut is = |spelled: &[u8], lower: &[u8]| {
        let is_frequent = name == spelled || name == lower;
        if is_frequent {
            out.extend_from_slice(spelled);
        }
        is_frequent
    };
    match name.len() {
        8 => is(b"Location", b"location"),
        10 => is(b"Set-Cookie", b"set-cookie"),
        12 => is(b"Content-Type", b"content-type"),
        13 => is(b"Cache-Control", b"cache-control"),
        14 => is(b"Content-Length", b"content-length"),
        _ => false,
    }
}

/// Names in use that are registered with a spelling other than `Like-This` (IANA, HTTP Field Name Registry; DNT: W3C).
/// The most frequent one is first.
const REGISTERED: [&str; 15] = [
    "ETag",
    "Accept-CH",
    "CDN-Cache-Control",
    "DAV",
    "DNT",
    "DPoP-Nonce",
    "MIME-Version",
    "NEL",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "TE",
    "WWW-Authenticate",
];

/// The registered spelling of the field `name`, if it is not `Like-This`.
fn registered(name: &[u8]) -> Option<&'static str> {
    let letters = FIRST_LETTERS.get(name.len())?;
    if letters & first_letter(*name.first()?) == 0 { None } else { look_up(name) }
}

#[cold]
fn look_up(name: &[u8]) -> Option<&'static str> {
    REGISTERED.iter().copied().find(|registered| is_name(name, registered.as_bytes()))
}

/// The first letters of the names above, by length. Almost no other name matches both.
const FIRST_LETTERS: [u32; 25] = {
    let mut letters = [0; 25];
    let mut at = 0;
    while at < REGISTERED.len() {
        let name = REGISTERED[at].as_bytes();
        letters[name.len()] |= first_letter(name[0]);
        at += 1;
    }
    letters
};

/// One bit per letter, regardless of case.
const fn first_letter(byte: u8) -> u32 {
    1 << (byte & 31)
}

/// The spelling of each token byte; zero for bytes that are not allowed in a token.
const AS_IS: [u8; 256] = spelled(Case::AsIs);
const UPPER: [u8; 256] = spelled(Case::Upper);
const LOWER: [u8; 256] = spelled(Case::Lower);

enum Case {
    AsIs,
    Upper,
    Lower,
}

const fn spelled(case: Case) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        if TOKEN[byte] {
            table[byte] = match case {
                Case::AsIs => c,
                Case::Upper => c.to_ascii_uppercase(),
                Case::Lower => c.to_ascii_lowercase(),
            };
        }
        byte += 1;
    }
    table
}

/// Whether `bytes` may be a field value: no control characters except HTAB (RFC 9110, 5.5).
pub(crate) fn is_field_value(bytes: &[u8]) -> bool {
    let allowed = |bytes: &[u8]| bytes.iter().all(|&byte| VALUE[byte as usize]);
    // Most values are visible ASCII and spaces.
    let visible = |word| word::below(word, b' ') | word::from_delete(word) == 0;
    let Some(last) = bytes.last_chunk() else { return allowed(bytes) };
    // The last word may overlap the one before it.
    let words = bytes.as_chunks::<{ word::SIZE }>().0.iter().chain([last]);
    words.into_iter().all(|bytes| visible(u64::from_le_bytes(*bytes)) || allowed(bytes))
}

const VALUE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte == b'\t' as usize || byte >= b' ' as usize && byte != 0x7f;
        byte += 1;
    }
    table
};

/// `value` without white space at its ends (RFC 9110, 5.6.3).
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    // Most values have none.
    if let [first, .., last] = value
        && *first > b' '
        && *last > b' '
    {
        return value;
    }
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The elements of a comma-separated list, without empty ones (RFC 9110, 5.6.1.2).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// `1*DIGIT` as a number; `None` if it is something else or does not fit (RFC 9110, 8.6).
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    #[test]
    fn a_decimal_is_digits_that_fit() {
        for (text, number) in [
            ("0", Some(0)),
            ("005", Some(5)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+5", None),
            ("5 ", None),
            ("1_0", None),
            ("0x5", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_known_in_any_case_and_no_other_token_is_taken_for_it() {
        for name in ["content-type", "Content-Type", "CONTENT-TYPE"] {
            assert!(is_name(name.as_bytes(), b"content-type"), "{name}");
        }
        for name in ["", "content-typ", "content-types", "content_type"] {
            assert!(!is_name(name.as_bytes(), b"content-type"), "{name}");
        }
        for byte in (0..=255).filter(|&byte| is_token_byte(byte)) {
            assert_eq!(is_name(&[byte], b"z"), byte.eq_ignore_ascii_case(&b'z'), "{byte:#x}");
            assert_eq!(is_name(&[byte], b"-"), byte == b'-', "{byte:#x}");
        }
    }

    fn pushed(name: &str, capitalize: bool) -> String {
        let mut out = Vec::new();
        assert!(push_name(&mut out, name.as_bytes(), capitalize), "{name}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_registered_spelling_wins_over_capitalisation() {
        for name in REGISTERED {
            for given in [name, &name.to_ascii_lowercase(), &name.to_ascii_uppercase()] {
                assert_eq!(pushed(given, true), name, "{given}");
                assert_eq!(pushed(given, false), given);
            }
        }
        for (given, name) in [
            ("content-md5s", "Content-Md5s"),
            ("content-type", "Content-Type"),
            ("Content-Type", "Content-Type"),
            ("cONTENT-TYPE", "Content-Type"),
            ("content-length", "Content-Length"),
            ("cONTENT-lENGTH", "Content-Length"),
            ("cache-control", "Cache-Control"),
            ("location", "Location"),
            ("set-cookie", "Set-Cookie"),
            ("etags", "Etags"),
            ("X-ETag", "X-Etag"),
            ("exit", "Exit"),
            ("eta", "Eta"),
            ("sec-websocket", "Sec-Websocket"),
            ("sec-websocket-kez", "Sec-Websocket-Kez"),
            ("www_authenticate", "Www_authenticate"),
            ("t", "T"),
        ] {
            assert_eq!(pushed(given, true), name);
        }
    }

    #[test]
    fn a_registered_spelling_differs_from_capitalisation() {
        for name in REGISTERED {
            let lower = name.to_ascii_lowercase();
            let parts = lower.split('-').map(|part| part[..1].to_ascii_uppercase() + &part[1..]);
            assert_ne!(parts.collect::<Vec<_>>().join("-"), name);
        }
    }

    #[test]
    fn empty_list_elements_are_left_out() {
        let elements: Vec<_> = list(b" a ,, b\t,").collect();
        assert_eq!(elements, [&b"a"[..], b"b"]);
    }

    #[test]
    fn control_characters_are_not_a_field_value() {
        for byte in 0..=255_u8 {
            let allowed = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            for (before, after) in (0..20).flat_map(|before| [(before, 0), (before, 1), (before, 20)]) {
                let value = [&[b'a'].repeat(before)[..], &[byte], &[0xff].repeat(after)].concat();
                assert_eq!(is_field_value(&value), allowed, "{}", value.escape_ascii());
            }
        }
    }
}
