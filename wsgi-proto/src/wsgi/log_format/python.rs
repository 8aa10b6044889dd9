//! Python's `%` formatting of one value.
//!
//! Knows flags, width, precision and conversions. Does not know the meaning of the value.

use alloc::string::{String, ToString};
use core::str;
use core::time::Duration;

use crate::wsgi::log_format::line::Line;
use crate::wsgi::log_format::spec::{Conversion, Spec};

/// Writes an integer in the format of its conversion.
pub(super) fn integer(number: u64, spec: Spec, out: &mut Line) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    match spec.conversion {
        Conversion::Text if spec.is_plain() => out.push(digits.as_bytes()),
        Conversion::Text => pad(cut(digits, spec.precision), spec, out),
        Conversion::Integer => {
            let zeros = spec.precision.unwrap_or(0).saturating_sub(digits.len());
            pad_number(zeros, digits.as_bytes(), 0, spec, out)
        }
        Conversion::Decimal => decimal(number, 0, spec, out),
    }
}

/// Writes a duration in seconds.
pub(super) fn seconds(time: Duration, spec: Spec, out: &mut Line) {
    match spec.conversion {
        Conversion::Text => {
            let text = shortest(time);
            pad(cut(&text, spec.precision), spec, out)
        }
        Conversion::Integer => integer(time.as_secs(), spec, out),
        Conversion::Decimal => decimal(time.as_secs(), time.subsec_nanos(), spec, out),
    }
}

/// Writes a number of seconds and nanoseconds, rounded half to even as in Python.
fn decimal(seconds: u64, nanos: u32, spec: Spec, out: &mut Line) {
    let precision = spec.precision.unwrap_or(6);
    // There are only zeros after the ninth place.
    let places = precision.min(9);
    let (unit, whole) = (POWERS[9 - places], POWERS[places]);
    let (mut seconds, mut fraction, rest) = (seconds, nanos / unit, nanos % unit);
    let odd = if places == 0 { seconds % 2 == 1 } else { fraction % 2 == 1 };
    if rest * 2 > unit || (rest * 2 == unit && odd) {
        fraction += 1;
    }
    if fraction == whole {
        // The buffer holds the 20 digits of the largest integer, so the sum saturates.
        (seconds, fraction) = (seconds.saturating_add(1), 0);
    }

    let mut buffer = [b'0'; 20 + 1 + 9];
    let mut integer = itoa::Buffer::new();
    let integer = integer.format(seconds).as_bytes();
    buffer[..integer.len()].copy_from_slice(integer);
    let mut end = integer.len();
    if precision > 0 || spec.point {
        buffer[end] = b'.';
        end += 1;
    }
    // A leading one keeps the zeros of the fraction.
    let mut digits = itoa::Buffer::new();
    buffer[end..end + places].copy_from_slice(&digits.format(whole + fraction).as_bytes()[1..]);
    pad_number(0, &buffer[..end + places], precision - places, spec, out);
}

/// The powers of ten.
const POWERS: [u32; 10] = {
    let mut powers = [1; 10];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = 10 * powers[at - 1];
        at += 1;
    }
    powers
};

/// The shortest decimal for this number of seconds, like Python's `str`.
#[cold]
fn shortest(time: Duration) -> String {
    // Rounded only once. Otherwise the shortest decimal would not be short.
    let number = time.as_nanos() as f64 / 1e9;
    if number != 0.0 && !(1e-4..1e16).contains(&number) {
        let text = alloc::format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |small| ('-', small));
        return alloc::format!("{digits}e{sign}{exponent:0>2}");
    }
    let mut text = number.to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// Writes `text` in a column of `width` characters. (Python: the flag `0` does not fill text.)
pub(super) fn pad(text: &str, spec: Spec, out: &mut Line) {
    let fill = spec.width.saturating_sub(if spec.width == 0 { 0 } else { text.chars().count() });
    out.repeat(b' ', if spec.left { 0 } else { fill });
    out.push_str(text);
    out.repeat(b' ', if spec.left { fill } else { 0 });
}

/// Writes a number, with zeros on both sides of its digits, in a column of `width` characters.
fn pad_number(zeros_before: usize, digits: &[u8], zeros_after: usize, spec: Spec, out: &mut Line) {
    if spec.width == 0 && zeros_before + zeros_after == 0 && !spec.plus && !spec.space {
        return out.push(digits);
    }
    let sign = match spec {
        Spec { plus: true, .. } => "+",
        Spec { space: true, .. } => " ",
        _ => "",
    };
    let fill = spec.width.saturating_sub(sign.len() + zeros_before + digits.len() + zeros_after);
    let (before, zeros, after) = match spec {
        Spec { left: true, .. } => (0, 0, fill),
        Spec { zero: true, .. } => (0, fill, 0),
        _ => (fill, 0, 0),
    };
    out.repeat(b' ', before);
    out.push_str(sign);
    out.repeat(b'0', zeros + zeros_before);
    out.push(digits);
    out.repeat(b'0', zeros_after);
    out.repeat(b' ', after);
}

/// The first `precision` characters of `text`, which `value.rs` has escaped. Fewer if an escape would be cut in two,
/// because its backslash would then escape the next character.
pub(super) fn cut(text: &str, precision: Option<usize>) -> &str {
    let Some(precision) = precision else { return text };
    let (mut end, mut left) = (0, precision);
    while let Some(next) = text[end..].chars().next() {
        let (characters, bytes) = match (next, text.as_bytes().get(end + 1)) {
            ('\\', Some(b'x')) => (4, 4),
            ('\\', _) => (2, 2),
            _ => (1, next.len_utf8()),
        };
        if characters > left {
            break;
        }
        (end, left) = (end + bytes, left - characters);
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wsgi::log_format::LogFormat;
    use crate::wsgi::log_format::spec::Part;
    use alloc::format;

    fn spec(conversion: &str) -> Spec {
        match LogFormat::parse(&format!("%(status_code){conversion}")).unwrap().parts[..] {
            [Part::Value(_, spec)] => spec,
            _ => panic!("{conversion} is not one conversion"),
        }
    }

    fn written(write: impl FnOnce(&mut Line)) -> String {
        let mut out = Line::default();
        write(&mut out);
        out.into_string()
    }

    #[test]
    fn text_is_cut_and_aligned_in_characters() {
        for (conversion, expected) in [
            ("s", "aéb"),
            ("6s", "   aéb"),
            ("-6s", "aéb   "),
            ("06s", "   aéb"),
            ("+s", "aéb"),
            ("2s", "aéb"),
            (".0s", ""),
            (".s", ""),
            (".2s", "aé"),
            ("4.2s", "  aé"),
            (".9s", "aéb"),
        ] {
            let spec = spec(conversion);
            let text = written(|out| pad(cut("aéb", spec.precision), spec, out));
            assert_eq!(text, expected, "{conversion}");
        }
    }

    #[test]
    fn a_precision_does_not_cut_an_escape() {
        for (precision, expected) in [
            (0, ""),
            (1, ""),
            (2, "\\\""),
            (5, "\\\""),
            (6, "\\\"\\x01"),
            (7, "\\\"\\x01"),
            (8, "\\\"\\x01\\\\"),
            (9, "\\\"\\x01\\\\a"),
        ] {
            assert_eq!(cut("\\\"\\x01\\\\a", Some(precision)), expected);
        }
    }

    #[test]
    fn integers_are_formatted_as_in_python() {
        for (conversion, number, expected) in [
            ("d", 0, "0"),
            ("s", 0, "0"),
            ("d", u64::MAX, "18446744073709551615"),
            ("5d", 42, "   42"),
            ("-5d", 42, "42   "),
            ("05d", 42, "00042"),
            ("-05d", 42, "42   "),
            ("+d", 42, "+42"),
            (" d", 42, " 42"),
            ("+ d", 42, "+42"),
            ("+05d", 42, "+0042"),
            ("#d", 42, "42"),
            (".5d", 42, "00042"),
            (".d", 0, "0"),
            ("08.5d", 42, "00000042"),
            ("+08.5d", 42, "+0000042"),
            ("8.5d", 42, "   00042"),
            ("-8.5d", 42, "00042   "),
            ("2d", 12345, "12345"),
            ("05s", 42, "   42"),
            ("+s", 42, "42"),
            (".2s", 200, "20"),
            ("f", 200, "200.000000"),
            ("+.1f", 200, "+200.0"),
            ("#.0f", 5, "5."),
        ] {
            let text = written(|out| integer(number, spec(conversion), out));
            assert_eq!(text, expected, "{conversion}");
        }
    }

    #[test]
    fn seconds_are_formatted_as_in_python() {
        for (conversion, nanos, expected) in [
            ("f", 0, "0.000000"),
            (".6f", 82_000, "0.000082"),
            (".6f", 1_999_999_600, "2.000000"),
            (".0f", 500_000_000, "0"),
            (".0f", 1_500_000_000, "2"),
            (".f", 2_500_000_001, "3"),
            (".1f", 250_000_000, "0.2"),
            (".2f", 375_000_000, "0.38"),
            (".9f", 123_456_789, "0.123456789"),
            (".12f", 82_000, "0.000082000000"),
            ("08.3f", 1_234_560_000, "0001.235"),
            ("-08.2f", 1_500_000_000, "1.50    "),
            (" 8.2f", 1_500_000_000, "    1.50"),
            ("+.2f", 1_500_000_000, "+1.50"),
            ("#.0f", 5_000_000_000, "5."),
            ("d", 3_990_000_000, "3"),
            (".5d", 3_200_000_000, "00003"),
            ("s", 0, "0.0"),
            ("s", 12_000_000_000, "12.0"),
            ("s", 100_000, "0.0001"),
            ("s", 82_000, "8.2e-05"),
            ("s", 150, "1.5e-07"),
            ("s", 1, "1e-09"),
            ("s", 1_234_567_890, "1.23456789"),
            ("10.3s", 123_000, "       0.0"),
        ] {
            let text = written(|out| seconds(Duration::from_nanos(nanos), spec(conversion), out));
            assert_eq!(text, expected, "{conversion} {nanos}");
        }
    }

    #[test]
    fn the_longest_time_can_be_written() {
        for (conversion, expected) in [
            (".9f", "18446744073709551615.999999999"),
            (".0f", "18446744073709551615"),
            ("d", "18446744073709551615"),
            ("s", "1.8446744073709552e+19"),
        ] {
            let text = written(|out| seconds(Duration::MAX, spec(conversion), out));
            assert_eq!(text, expected, "{conversion}");
        }
        let text = written(|out| seconds(Duration::MAX, spec("1000.1000f"), out));
        assert_eq!(text.len(), 20 + 1 + 1000);
    }
}
