//! The date formats of HTTP and the access log.
//!
//! Knows the calendar, but no clock and no time zone. Times are seconds since 1970-01-01 00:00:00 UTC without
//! leap seconds, as everywhere in this crate; for local time, add the zone's offset first.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::error::Error;
use core::fmt;

/// 0001-01-01 00:00:00.
const FIRST: i64 = -62_135_596_800;
/// 9999-12-31 23:59:59.
const LAST: i64 = 253_402_300_799;

const SECONDS_A_DAY: u64 = 86_400;
/// Days from 0000-03-01, where the algorithm's years begin, to 0001-01-01.
const DAYS_BEFORE_FIRST: u32 = 306;
const DAYS_IN_4_YEARS: u32 = 1461;
const DAYS_IN_100_YEARS: u32 = 36_524;
const DAYS_IN_400_YEARS: u32 = 146_097;

/// The names of the days, starting with Sunday.
pub(crate) const WEEKDAYS: [[u8; 3]; 7] = [*b"Sun", *b"Mon", *b"Tue", *b"Wed", *b"Thu", *b"Fri", *b"Sat"];
pub(crate) const MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct", *b"Nov",
    *b"Dec",
];

/// Formats a time for HTTP: IMF-fixdate, always in GMT (RFC 9110, 5.6.7).
///
/// `unix` is in seconds since 1970-01-01 00:00:00 UTC, and negative before that. Round fractions of a second down,
/// towards the past.
///
/// The year has four digits, so a time outside the years 0001 to 9999 is an error. (eventlet: such years are written
/// with more digits, or padded with spaces.)
///
/// ```
/// assert_eq!(
///     wsgi_proto::format_date_time(784_111_777).unwrap(),
///     "Sun, 06 Nov 1994 08:49:37 GMT"
/// );
/// assert!(wsgi_proto::format_date_time(i64::MAX).is_err());
/// ```
pub fn format_date_time(unix: i64) -> Result<String, DateError> {
    if !(FIRST..=LAST).contains(&unix) {
        return Err(DateError { unix });
    }
    // The text is ASCII.
    Ok(core::str::from_utf8(&imf_fixdate(unix)).unwrap_or_default().to_owned())
}

/// The error for a time whose year cannot be written with four digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateError {
    unix: i64,
}

impl fmt::Display for DateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unix = self.unix;
        write!(
            f,
            "time {unix} out of range (expected {FIRST} to {LAST} seconds since 1970, the years 0001 to 9999)"
        )
    }
}

impl Error for DateError {}

/// A time as calendar date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    /// 1 to 9999.
    pub(crate) year: u16,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    /// Days since Sunday, 0 to 6.
    pub(crate) weekday: u8,
}

impl Civil {
    /// Converts `unix`, in seconds since 1970, to the proleptic Gregorian calendar. A time outside the years 0001 to
    /// 9999 is replaced by the nearest time within them.
    pub(crate) fn from_unix(unix: i64) -> Self {
        // Counted from the year 0001, all values are positive.
        let seconds = (unix.clamp(FIRST, LAST) - FIRST) as u64;
        let days = (seconds / SECONDS_A_DAY) as u32;
        let second_of_day = (seconds % SECONDS_A_DAY) as u32;
        let minute_of_day = second_of_day / 60;

        // Years that begin in March have their leap day at their end. The position of a day in its year therefore does
        // not depend on leap years, and the lengths of the months follow one formula: 153 days in 5 months.
        let days_since_march = days + DAYS_BEFORE_FIRST;
        let cycle = days_since_march / DAYS_IN_400_YEARS;
        let day_of_cycle = days_since_march % DAYS_IN_400_YEARS;
        // Without the leap days before this day, the cycle has 365 days per year.
        let leap_days = day_of_cycle / (DAYS_IN_4_YEARS - 1) - day_of_cycle / DAYS_IN_100_YEARS
            + day_of_cycle / (DAYS_IN_400_YEARS - 1);
        let year_of_cycle = (day_of_cycle - leap_days) / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
        let after_new_year = months_since_march >= 10;
        let month = if after_new_year { months_since_march - 9 } else { months_since_march + 3 };
        let year = 400 * cycle + year_of_cycle + u32::from(after_new_year);

        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (minute_of_day / 60) as u8,
            minute: (minute_of_day % 60) as u8,
            second: (second_of_day % 60) as u8,
            // 0001-01-01 was a Monday.
            weekday: ((days + 1) % 7) as u8,
        }
    }
}

/// The first second of a day, in seconds since 1970. `month` counts from 1, and `day` may be one of a longer month.
pub(crate) fn unix(year: u16, month: u8, day: u8) -> i64 {
    // As in `Civil::from_unix`, years begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let year = u32::from(year);
    let day_of_year = (153 * u32::from(month) + 2) / 5 + u32::from(day) - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
    FIRST + (i64::from(days) - i64::from(DAYS_BEFORE_FIRST)) * SECONDS_A_DAY as i64
}

/// Formats a time like [`format_date_time`] (`Sun, 06 Nov 1994 08:49:37 GMT`), but without allocating. A time out of
/// range is replaced by the nearest time in range.
pub(crate) fn imf_fixdate(unix: i64) -> [u8; 29] {
    let civil = Civil::from_unix(unix);
    let mut text = *b"Www, dd Mmm yyyy hh:mm:ss GMT";
    text[..3].copy_from_slice(&WEEKDAYS[usize::from(civil.weekday)]);
    text[5..7].copy_from_slice(&two_digits(civil.day));
    text[8..11].copy_from_slice(&MONTHS[usize::from(civil.month - 1)]);
    text[12..16].copy_from_slice(&four_digits(civil.year));
    text[17..25].copy_from_slice(&clock(civil));
    text
}

/// Formats a time for the access log: `06/Nov/1994 08:49:37` (eventlet: English months, no zone). `local` is in seconds
/// since 1970 with the zone's offset added. A time out of range is replaced by the nearest time in range.
pub(crate) fn log_date_time(local: i64) -> [u8; 20] {
    let civil = Civil::from_unix(local);
    let mut text = *b"dd/Mmm/yyyy hh:mm:ss";
    text[..2].copy_from_slice(&two_digits(civil.day));
    text[3..6].copy_from_slice(&MONTHS[usize::from(civil.month - 1)]);
    text[7..11].copy_from_slice(&four_digits(civil.year));
    text[12..].copy_from_slice(&clock(civil));
    text
}

/// Formats a time as Apache's logs do: `06/Nov/1994:08:49:37 +0100`. `date_time` is a local time for the access log, and
/// `zone_offset`, in seconds, is part of it.
pub(crate) fn common_log_time(date_time: &[u8; 20], zone_offset: i32) -> [u8; 26] {
    let mut text = *b"dd/Mmm/yyyy:hh:mm:ss +hhmm";
    text[..20].copy_from_slice(date_time);
    text[11] = b':';
    // Offsets are below 26 hours.
    let minutes = (zone_offset.unsigned_abs() / 60).min(99 * 60 + 59);
    text[21] = if zone_offset < 0 { b'-' } else { b'+' };
    text[22..24].copy_from_slice(&two_digits((minutes / 60) as u8));
    text[24..].copy_from_slice(&two_digits((minutes % 60) as u8));
    text
}

/// Formats a time as in RFC 3339: `1994-11-06T08:49:37+01:00`. `zone_offset` is in seconds; it is part of `local`.
pub(crate) fn iso_time(local: i64, zone_offset: i32) -> [u8; 25] {
    let civil = Civil::from_unix(local);
    let zone = common_log_time(&log_date_time(local), zone_offset);
    let mut text = *b"yyyy-mm-ddThh:mm:ss+hh:mm";
    text[..4].copy_from_slice(&four_digits(civil.year));
    text[5..7].copy_from_slice(&two_digits(civil.month));
    text[8..10].copy_from_slice(&two_digits(civil.day));
    text[11..19].copy_from_slice(&clock(civil));
    text[19..22].copy_from_slice(&zone[21..24]);
    text[23..].copy_from_slice(&zone[24..]);
    text
}

fn clock(civil: Civil) -> [u8; 8] {
    let [h, hh] = two_digits(civil.hour);
    let [m, mm] = two_digits(civil.minute);
    let [s, ss] = two_digits(civil.second);
    [h, hh, b':', m, mm, b':', s, ss]
}

fn two_digits(number: u8) -> [u8; 2] {
    [b'0' + number / 10, b'0' + number % 10]
}

fn four_digits(number: u16) -> [u8; 4] {
    let [a, b] = two_digits((number / 100) as u8);
    let [c, d] = two_digits((number % 100) as u8);
    [a, b, c, d]
}

/// The `Date` line of the last requested second: a busy server answers many requests within one second.
///
/// Invariant: `line` contains `imf_fixdate(unix)`.
#[derive(Clone, Debug)]
pub(crate) struct DateCache {
    unix: i64,
    line: [u8; 37],
}

impl DateCache {
    /// Creates a cache that holds the start of 1970, so that nothing has to be formatted.
    pub(crate) const fn new() -> Self {
        Self { unix: 0, line: *b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" }
    }

    /// Returns the whole `Date` field line for `unix`.
    pub(crate) fn line(&mut self, unix: i64) -> &[u8; 37] {
        if self.unix != unix {
            self.unix = unix;
            self.line[6..35].copy_from_slice(&imf_fixdate(unix));
        }
        &self.line
    }
}

impl Default for DateCache {
    fn default() -> Self {
        Self::new()
    }
}

/// The date and time of the last log line, for the same reason.
///
/// Invariant: `text` contains `log_date_time(local)`.
#[derive(Clone, Debug)]
pub(crate) struct LogTimeCache {
    local: i64,
    text: [u8; 20],
}

impl LogTimeCache {
    /// Creates a cache that holds the start of 1970.
    pub(crate) const fn new() -> Self {
        Self { local: 0, text: *b"01/Jan/1970 00:00:00" }
    }

    /// Returns [`log_date_time`] of `local`.
    pub(crate) fn date_time(&mut self, local: i64) -> &[u8; 20] {
        if self.local != local {
            *self = Self { local, text: log_date_time(local) };
        }
        &self.text
    }
}

impl Default for LogTimeCache {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn dates_are_written_as_imf_fixdate() {
        for (unix, expected) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
            (FIRST, "Mon, 01 Jan 0001 00:00:00 GMT"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (-62_035_887_477, "Sun, 29 Feb 0004 01:02:03 GMT"),
            (-2_203_891_201, "Wed, 28 Feb 1900 23:59:59 GMT"),
            (-2_203_891_200, "Thu, 01 Mar 1900 00:00:00 GMT"),
            (951_825_600, "Tue, 29 Feb 2000 12:00:00 GMT"),
            (1_735_603_200, "Tue, 31 Dec 2024 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (13_574_563_200, "Tue, 29 Feb 2400 00:00:00 GMT"),
        ] {
            assert_eq!(format_date_time(unix).as_deref(), Ok(expected), "{unix}");
        }
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let mut day = Civil::from_unix(FIRST);
        assert_eq!((day.year, day.month, day.day, day.weekday), (1, 1, 1, 1));
        for unix in (FIRST..=LAST).step_by(SECONDS_A_DAY as usize).skip(1) {
            let leap = if day.year.is_multiple_of(100) {
                day.year.is_multiple_of(400)
            } else {
                day.year.is_multiple_of(4)
            };
            let days_in_month = match day.month {
                2 => 28 + u8::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day.weekday = (day.weekday + 1) % 7;
            day.day += 1;
            if day.day > days_in_month {
                (day.day, day.month) = (1, day.month + 1);
            }
            if day.month > 12 {
                (day.month, day.year) = (1, day.year + 1);
            }
            assert_eq!(Civil::from_unix(unix), day, "{unix}");
        }
        assert_eq!((day.year, day.month, day.day), (9999, 12, 31));
    }

    #[test]
    fn every_second_of_a_day_has_its_time() {
        for second in 0..86_400_i64 {
            let civil = Civil::from_unix(784_080_000 + second);
            let sum = i64::from(civil.hour) * 3600 + i64::from(civil.minute) * 60 + i64::from(civil.second);
            assert_eq!((sum, civil.day), (second, 6));
            assert!(civil.hour < 24 && civil.minute < 60 && civil.second < 60);
        }
    }

    #[test]
    fn years_without_four_digits_are_an_error() {
        for unix in [FIRST - 1, LAST + 1, i64::MIN, i64::MAX] {
            let error = format_date_time(unix).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(&unix.to_string()) && message.contains("0001 to 9999"), "{message}");
        }
    }

    #[test]
    fn the_machine_takes_the_nearest_date_it_can_write() {
        assert_eq!(imf_fixdate(i64::MIN), imf_fixdate(FIRST));
        assert_eq!(imf_fixdate(i64::MAX), imf_fixdate(LAST));
    }

    #[test]
    fn log_times_have_english_months_and_no_zone() {
        assert_eq!(&log_date_time(784_111_777), b"06/Nov/1994 08:49:37");
        assert_eq!(&log_date_time(FIRST), b"01/Jan/0001 00:00:00");
    }

    #[test]
    fn a_cached_date_is_the_date() {
        let (mut cache, mut log) = (DateCache::new(), LogTimeCache::default());
        for unix in [0, 0, 784_111_777, 784_111_777, 784_111_778, 0, i64::MAX] {
            assert_eq!(cache.line(unix)[6..35], imf_fixdate(unix));
            assert_eq!(*log.date_time(unix), log_date_time(unix));
        }
    }
}
