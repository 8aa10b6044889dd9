//! Dates as clients send them.
//!
//! Knows the three formats of RFC 9110, 5.6.7, but no clock.

use crate::http::date::{Civil, MONTHS, WEEKDAYS, unix};

const LONG_WEEKDAYS: [&[u8]; 7] =
    [b"Sunday", b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday"];

/// Parses a date of HTTP, such as the value of `If-Modified-Since`, as seconds since 1970-01-01 00:00:00 UTC. `None` if it is
/// malformed, or not a date of the calendar.
///
/// All three formats of RFC 9110, 5.6.7, are accepted: the one that [`format_date_time`](crate::format_date_time) writes, and
/// the obsolete ones of RFC 850 and of C's `asctime`. A year of two digits, as RFC 850 has it, is one from 1970 to 2069.
/// Whether the day of the week fits the date is not checked.
///
/// ```
/// use wsgi_proto::parse_date_time;
///
/// assert_eq!(parse_date_time("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
/// assert_eq!(parse_date_time("Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
/// assert_eq!(parse_date_time("Sun Nov  6 08:49:37 1994"), Some(784_111_777));
/// assert_eq!(parse_date_time("yesterday"), None);
/// ```
pub fn parse_date_time(text: &str) -> Option<i64> {
    let text = text.as_bytes();
    imf_fixdate(text).or_else(|| rfc850(text)).or_else(|| asctime(text))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &[u8]) -> Option<i64> {
    let [b',', b' ', day @ .., b' ', b'G', b'M', b'T'] = text.strip_prefix(short_weekday(text)?)? else {
        return None;
    };
    let [d, dd, b' ', m, mm, mmm, b' ', y, yy, yyy, yyyy, b' ', clock @ ..] = day else { return None };
    time(number(&[*y, *yy, *yyy, *yyyy])?, &[*m, *mm, *mmm], number(&[*d, *dd])?, clock)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(text: &[u8]) -> Option<i64> {
    let rest = LONG_WEEKDAYS.iter().find_map(|weekday| text.strip_prefix(*weekday))?;
    let [b',', b' ', day @ .., b' ', b'G', b'M', b'T'] = rest else { return None };
    let [d, dd, b'-', m, mm, mmm, b'-', y, yy, b' ', clock @ ..] = day else { return None };
    let year = number(&[*y, *yy])?;
    let year = if year < 70 { 2000 + year } else { 1900 + year };
    time(year, &[*m, *mm, *mmm], number(&[*d, *dd])?, clock)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<i64> {
    let rest = text.strip_prefix(short_weekday(text)?)?;
    let [b' ', m, mm, mmm, b' ', d, dd, b' ', clock @ .., b' ', y, yy, yyy, yyyy] = rest else { return None };
    let day = if *d == b' ' { number(&[*dd]) } else { number(&[*d, *dd]) };
    time(number(&[*y, *yy, *yyy, *yyyy])?, &[*m, *mm, *mmm], day?, clock)
}

fn short_weekday(text: &[u8]) -> Option<&'static [u8; 3]> {
    WEEKDAYS.iter().find(|weekday| text.starts_with(*weekday))
}

fn number(digits: &[u8]) -> Option<u16> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0')))
}

/// The seconds since 1970; `None` if there is no such time.
fn time(year: u16, month: &[u8; 3], day: u16, clock: &[u8]) -> Option<i64> {
    let [h, hh, b':', m, mm, b':', s, ss] = clock else { return None };
    let month = MONTHS.iter().position(|name| name == month)? as u8 + 1;
    let (day, hour) = (day as u8, number(&[*h, *hh])? as u8);
    let (minute, second) = (number(&[*m, *mm])? as u8, number(&[*s, *ss])? as u8);
    if year == 0 || day == 0 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let midnight = unix(year, month, day);
    // The 31st of a shorter month is a day of the next one, and a day after the year 9999 is replaced by the last one.
    let civil = Civil::from_unix(midnight);
    let is_in_month = (civil.month, civil.day) == (month, day);
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    is_in_month.then_some(midnight + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::date::imf_fixdate as format;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn what_is_written_is_read_back() {
        // Every day from 1900 to 2100 and some others, each at another time of day.
        let days = (-25_567..47_847_i64).map(|day| day * 86_400 + (day * 1013).rem_euclid(86_400));
        for unix in days.chain([-62_135_596_800, -1, 0, 1, 253_402_300_799]) {
            let text = String::from_utf8(format(unix).to_vec()).expect("ASCII");
            assert_eq!(parse_date_time(&text), Some(unix), "{text}");
        }
    }

    #[test]
    fn a_text_with_any_two_bytes_changed_is_a_time_of_the_calendar_or_none() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            for (at, other) in (0..text.len()).flat_map(|at| (at..text.len()).map(move |other| (at, other))) {
                for (byte, next) in (0..128).flat_map(|byte| b" 0369:-".iter().map(move |next| (byte, *next)))
                {
                    let mut bytes = text.as_bytes().to_vec();
                    (bytes[at], bytes[other]) = (byte, next);
                    let changed = String::from_utf8(bytes).expect("ASCII");
                    if let Some(unix) = parse_date_time(&changed) {
                        let written = String::from_utf8(format(unix).to_vec()).expect("ASCII");
                        assert_eq!(parse_date_time(&written), Some(unix), "{changed:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn obsolete_formats_are_read() {
        for (text, expected) in [
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Saturday, 01-Jan-00 00:00:00 GMT", 946_684_800),
            ("Wednesday, 31-Dec-69 23:59:59 GMT", 3_155_759_999),
            ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Sat Nov 26 08:49:37 1994", 785_839_777),
            // The day of the week is not compared, and a leap second is the next second.
            ("Mon, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
        ] {
            assert_eq!(parse_date_time(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_date() {
        let good = "Sun, 06 Nov 1994 08:49:37 GMT";
        for length in 0..good.len() {
            assert_eq!(parse_date_time(&good[..length]), None, "{length}");
        }
        for text in [
            "yesterday",
            "0",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun,  6 Nov 1994 08:49:37 GMT",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Wed, 29 Feb 1995 08:49:37 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Fri, 32 Dec 9999 08:49:37 GMT",
            "Sun, 06 Nov 0000 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:3\u{b2} GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sun Nov    08:49:37 1994",
        ] {
            assert_eq!(parse_date_time(text), None, "{text}");
        }
        assert_eq!(parse_date_time(&format!("{good}\n")), None);
    }
}
