//! The part of a file that a request selects.

use std::ops::Range;

/// The part of a body that `Range` selects.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    /// Not empty, and within the body.
    Some(Range<u64>),
    /// It lies behind the end of the body.
    Nothing,
}

impl Part {
    /// The part of a body of `length` bytes that the value of `Range` selects.
    ///
    /// A server may ignore the field (RFC 9110, 14.2). This one ignores units other than bytes, several ranges, malformed
    /// values, and ranges of an empty body.
    pub(super) fn parse(value: &str, length: u64) -> Self {
        let range = value.split_once('=').filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"));
        let Some((first, last)) = range.and_then(|(_, set)| only_member(set)?.split_once('-')) else {
            return Self::All;
        };
        let range = match (position(first), position(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
            (Some(first), None) if last.is_empty() => first..length,
            // The last bytes; all of them if there are fewer (RFC 9110, 14.1.2).
            (None, Some(count)) if first.is_empty() => length.saturating_sub(count)..length,
            _ => return Self::All,
        };
        match range.is_empty() {
            true if length == 0 => Self::All,
            true => Self::Nothing,
            false => Self::Some(range),
        }
    }
}

/// The member of a list that has only one. Empty members do not count (RFC 9110, 5.6.1.2).
fn only_member(list: &str) -> Option<&str> {
    let mut members =
        list.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty());
    members.next().filter(|_| members.next().is_none())
}

/// A number of any length: one that is too large is behind every end. `None` if it is not a number.
fn position(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_a_part() {
        for (value, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-4", 2..5),
            ("bytes=7-", 7..10),
            ("bytes=7-9", 7..10),
            ("bytes=7-100", 7..10),
            ("bytes=7-18446744073709551615", 7..10),
            ("bytes=7-99999999999999999999", 7..10),
            ("bytes=-3", 7..10),
            ("bytes=-10", 0..10),
            ("bytes=-100", 0..10),
            ("bytes=-99999999999999999999", 0..10),
            ("Bytes=00-01", 0..2),
            ("bytes= 1-2\t", 1..3),
            ("bytes=,1-2, ,", 1..3),
        ] {
            assert_eq!(Part::parse(value, 10), Part::Some(part), "{value}");
        }
    }

    #[test]
    fn a_range_behind_the_end_is_nothing() {
        for value in ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999-", "bytes=-0", "bytes=-00"] {
            assert_eq!(Part::parse(value, 10), Part::Nothing, "{value}");
        }
    }

    #[test]
    fn anything_else_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=,",
            "bytes=4-2",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes=1 - 2",
            "bytes=--1",
            "bytes=a-b",
            "bytes=1-2-3",
            "bytes:1-2",
            "bytes =1-2",
            "lines=1-2",
        ] {
            assert_eq!(Part::parse(value, 10), Part::All, "{value}");
        }
        for value in ["bytes=0-", "bytes=-5", "bytes=1-2"] {
            assert_eq!(Part::parse(value, 0), Part::All, "{value}");
        }
    }
}
