//! The names of the variables that fields become: `HTTP_` and the name of the field in upper case, with `_` for `-`.
//!
//! Knows which fields do not become variables. Does not know values. The names of usual fields are found in a table,
//! others are made, eight bytes at a time.

use alloc::vec::Vec;

use crate::http::head::Span;
use crate::http::word;

/// The start of the names.
const PREFIX: &str = "HTTP_";

/// The names of the variables of usual fields. Any field works without being listed here.
const USUAL: [&str; 52] = [
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_CHARSET",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_ACCESS_CONTROL_REQUEST_HEADERS",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    "HTTP_AUTHORIZATION",
    "HTTP_CACHE_CONTROL",
    "HTTP_CONNECTION",
    "HTTP_CONTENT_LENGTH",
    "HTTP_CONTENT_TYPE",
    "HTTP_COOKIE",
    "HTTP_DATE",
    "HTTP_DNT",
    "HTTP_EXPECT",
    "HTTP_FORWARDED",
    "HTTP_FROM",
    "HTTP_HOST",
    "HTTP_IF_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_RANGE",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_KEEP_ALIVE",
    "HTTP_ORIGIN",
    "HTTP_PRAGMA",
    "HTTP_PRIORITY",
    "HTTP_RANGE",
    "HTTP_REFERER",
    "HTTP_SAVE_DATA",
    "HTTP_SEC_CH_UA",
    "HTTP_SEC_CH_UA_MOBILE",
    "HTTP_SEC_CH_UA_PLATFORM",
    "HTTP_SEC_FETCH_DEST",
    "HTTP_SEC_FETCH_MODE",
    "HTTP_SEC_FETCH_SITE",
    "HTTP_SEC_FETCH_USER",
    "HTTP_SEC_GPC",
    "HTTP_TE",
    "HTTP_TRACEPARENT",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_UPGRADE",
    "HTTP_UPGRADE_INSECURE_REQUESTS",
    "HTTP_USER_AGENT",
    "HTTP_VIA",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
    "HTTP_X_REQUEST_ID",
    "HTTP_X_REQUESTED_WITH",
];

/// The maximum length of the name of a usual field, in bytes.
const LONGEST: usize = 32;

/// The bits of a letter that are the same in both cases.
const IGNORE_CASE: u8 = 0xdf;

/// A usual field, in a form that is quick to compare.
#[derive(Clone, Copy)]
struct Usual {
    variable: &'static str,
    is_variable: bool,
    /// The name of the field in upper case, and zeros.
    name: [u8; LONGEST],
    /// The bits of each byte that have to agree.
    mask: [u8; LONGEST],
}

impl Usual {
    const fn new(variable: &'static str) -> Self {
        let (mut name, mut mask) = ([0; LONGEST], [0; LONGEST]);
        let (_, upper) = variable.as_bytes().split_at(PREFIX.len());
        let mut at = 0;
        while at < upper.len() {
            name[at] = if upper[at] == b'_' { b'-' } else { upper[at] };
            mask[at] = IGNORE_CASE;
            // No other byte of a token agrees with these.
            assert!(
                name[at].is_ascii_uppercase() || name[at] == b'-',
                "usual names have only letters and hyphens"
            );
            at += 1;
        }
        Self { variable, is_variable: is_variable(upper), name, mask }
    }

    /// Whether a field's name of the same length is this one, in any case. Later bytes of `sent` are ignored.
    // Inlined, as `variable_name` is: a call would cost as much as the comparison, for each field.
    #[inline(always)]
    fn is(&self, sent: &[u8; LONGEST]) -> bool {
        let differs = |at: usize| (sent[at] ^ self.name[at]) & self.mask[at];
        (0..LONGEST).fold(0, |differ, at| differ | differs(at)) == 0
    }
}

/// The usual fields, and the place of each by its [`key`]. No two of them may have the same key.
static TABLE: ([Usual; USUAL.len()], [u8; 256]) = {
    let (mut table, mut places) = ([Usual::new(USUAL[0]); USUAL.len()], [u8::MAX; 256]);
    let mut at = 0;
    while at < USUAL.len() {
        table[at] = Usual::new(USUAL[at]);
        let key = key(table[at].name.split_at(USUAL[at].len() - PREFIX.len()).0) as usize;
        assert!(places[key] == u8::MAX, "two usual names have the same key");
        places[key] = at as u8;
        at += 1;
    }
    (table, places)
};

/// A number that is the same for equal names of fields, in any case, and rarely the same for others. It depends on the
/// length and the last four bytes.
pub(crate) const fn key(name: &[u8]) -> u8 {
    let end = match name.last_chunk() {
        Some(end) => u32::from_le_bytes(*end),
        None => short_end(name),
    };
    // The factor gives each usual name another key.
    let mixed = (end & u32::from_ne_bytes([IGNORE_CASE; 4])).wrapping_mul(0xfb69_5ffb);
    ((mixed >> 24) as u8).wrapping_add(name.len() as u8)
}

/// The bytes of a name that has less than four.
#[cold]
const fn short_end(name: &[u8]) -> u32 {
    match *name {
        [first, second, third] => u32::from_le_bytes([third, second, first, 0]),
        [first, second] => u32::from_le_bytes([second, first, 0, 0]),
        [only] => only as u32,
        _ => 0,
    }
}

/// A set of keys.
#[derive(Default)]
pub(crate) struct Keys([u64; 4]);

impl Keys {
    pub(crate) fn contains(&self, key: u8) -> bool {
        self.0[usize::from(key / 64)] >> (key % 64) & 1 == 1
    }

    pub(crate) fn insert(&mut self, key: u8) {
        self.0[usize::from(key / 64)] |= 1 << (key % 64);
    }
}

/// The name of the variable that the field `name` becomes, a part of `head` with this [`key`]. `None` if it becomes
/// another variable or none. An unusual name is made in `made`.
///
/// A name with `_` would be mistaken for one with `-`, so it makes no variable.
#[inline(always)]
pub(crate) fn variable_name<'a>(name: Span, key: u8, head: &[u8], made: &'a mut Vec<u8>) -> Option<&'a str> {
    let (table, places) = &TABLE;
    let usual = table.get(usize::from(places[usize::from(key)]));
    let sent = head.get(name.start as usize..).and_then(|rest| rest.first_chunk());
    match usual.zip(sent) {
        Some((usual, sent)) if usual.variable.len() == PREFIX.len() + name.len() && usual.is(sent) => {
            usual.is_variable.then_some(usual.variable)
        }
        // Also the last field of a short head.
        _ => make_name(name, head, made),
    }
}

/// Makes the name of any field.
#[inline(never)]
fn make_name<'a>(name: Span, head: &[u8], made: &'a mut Vec<u8>) -> Option<&'a str> {
    let length = name.len();
    made.reserve(64);
    made.resize(PREFIX.len() + length.next_multiple_of(word::SIZE), 0);
    let (prefix, words) = made.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX.as_bytes());
    let mut underscores = 0;
    let (mut at, mut left) = (name.start as usize, length);
    for made in words.chunks_exact_mut(word::SIZE) {
        let (variable, underscore) = word::variable_name(word_at(head, at));
        made.copy_from_slice(&variable.to_le_bytes());
        // The last word has bytes after the name.
        underscores |= underscore << (8 * word::SIZE.saturating_sub(left));
        (at, left) = (at + word::SIZE, left.saturating_sub(word::SIZE));
    }
    // A name is a token, so it is ASCII.
    let variable = core::str::from_utf8(made.get(..PREFIX.len() + length)?).ok()?;
    (underscores == 0 && is_variable(variable.as_bytes().split_at_checked(PREFIX.len())?.1))
        .then_some(variable)
}

/// The word of `head` at `at`; zeros after the end.
fn word_at(head: &[u8], at: usize) -> u64 {
    let rest = head.get(at..).unwrap_or_default();
    rest.first_chunk().map_or_else(
        || rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        |bytes| u64::from_le_bytes(*bytes),
    )
}

/// Whether a field becomes a variable of this name after the prefix, and not another one or none.
const fn is_variable(name: &[u8]) -> bool {
    !matches!(name, b"HOST" | b"CONTENT_TYPE" | b"CONTENT_LENGTH" | b"PROXY")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

    /// The name of the variable of a field, by the rule alone.
    fn expected(name: &str) -> Option<String> {
        let upper = name.to_ascii_uppercase().replace('-', "_");
        (is_variable(upper.as_bytes()) && !name.contains('_')).then(|| format!("HTTP_{upper}"))
    }

    /// Checks a field of this name in a head, with each of some `after` behind the name.
    #[track_caller]
    fn check(name: &str) {
        for after in ["", ":", ": \u{e9}\u{e9}_-az\u{ff}\r\n\r\n", &format!(": {}\r\n", "_a".repeat(20))] {
            let head = format!("GET / HTTP/1.1\r\n{name}{after}");
            let start = "GET / HTTP/1.1\r\n".len() as u32;
            let span = Span { start, end: start + name.len() as u32 };
            let mut made = vec![b'x'; 3];
            let variable = variable_name(span, key(name.as_bytes()), head.as_bytes(), &mut made);
            assert_eq!(variable, expected(name).as_deref(), "{head}");
        }
    }

    #[test]
    fn usual_fields_are_found_in_any_case() {
        for variable in USUAL {
            let lower = variable[PREFIX.len()..].to_ascii_lowercase().replace('_', "-");
            let mixed: String = lower
                .chars()
                .enumerate()
                .map(|(at, c)| if at % 3 == 0 { c.to_ascii_uppercase() } else { c })
                .collect();
            for name in [&lower, &mixed, &lower.to_ascii_uppercase()] {
                check(name);
                assert_eq!(key(name.as_bytes()), key(lower.as_bytes()), "{name}");
            }
        }
    }

    #[test]
    fn names_that_differ_from_usual_ones_are_not_mistaken_for_them() {
        const TOKEN: &str = "!#$%&'*+-.^_`|~09azAZmM";
        for variable in USUAL {
            let lower = variable[PREFIX.len()..].to_ascii_lowercase().replace('_', "-");
            for at in 0..lower.len() {
                for byte in TOKEN.chars() {
                    let mut other = lower.clone();
                    other.replace_range(at..=at, byte.encode_utf8(&mut [0; 4]));
                    check(&other);
                }
            }
            check(&lower[1..]);
            check(&format!("{lower}s"));
            check(&format!("x{lower}"));
        }
    }

    #[test]
    fn unusual_names_of_any_length_become_variables() {
        for length in 1..70 {
            for part in ["x", "-", "aZ-09", "~|`^.+*'&%$#!", "z{", "@["] {
                check(
                    &part
                        .repeat(length)
                        .chars()
                        .filter(|c| !"{@[".contains(*c))
                        .take(length)
                        .collect::<String>(),
                );
            }
            check(&format!("{}_", "x-".repeat(length)));
            check(&format!("_{}", "x-".repeat(length)));
        }
        check("proxy");
        check("Proxy-");
        check(&"Very-Long-Name".repeat(1000));
    }

    #[test]
    fn equal_names_have_equal_keys() {
        for name in ["", "a", "te", "dnt", "host", "x-a~b", "x-very-long-name"] {
            assert_eq!(key(name.as_bytes()), key(name.to_ascii_uppercase().as_bytes()), "{name}");
        }
    }
}
