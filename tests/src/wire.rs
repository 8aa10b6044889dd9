//! Raw bytes as text that a person can read and write, and back.
//!
//! Each line of text is a line on the wire, where it ends in CRLF. If its last character is a backslash, the line ends
//! without CRLF. Invisible bytes are written `\r`, `\n`, `\t`, `\0`, `\\` or `\xNN`, and `\{text*3}` is `text` three
//! times.

use std::fmt::Write;

/// Runs of one byte with at least this length are written as a repetition.
const RUN: usize = 40;

/// The bytes of `lines`, each with CRLF unless it ends in a backslash.
///
/// # Errors
///
/// An unknown escape, by name.
pub fn decode<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for line in lines {
        let backslashes = line.bytes().rev().take_while(|&byte| byte == b'\\').count();
        if backslashes % 2 == 1 {
            bytes.extend(unescape(&line[..line.len() - 1])?);
        } else {
            bytes.extend(unescape(line)?);
            bytes.extend(b"\r\n");
        }
    }
    Ok(bytes)
}

/// The bytes of one piece of text, without a line end.
///
/// # Errors
///
/// An unknown escape, by name.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend(plain.bytes());
        let wrong = || format!("no such escape: \\{escape}");
        let kind = escape.chars().next().ok_or_else(wrong)?;
        rest = &escape[kind.len_utf8()..];
        match kind {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let (digits, behind) = rest.split_at_checked(2).ok_or_else(wrong)?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
                rest = behind;
            }
            '{' => {
                let (repeated, behind) = rest.split_once('}').ok_or_else(wrong)?;
                let (part, times) = repeated.rsplit_once('*').ok_or_else(wrong)?;
                bytes.extend(unescape(part)?.repeat(times.parse().map_err(|_| wrong())?));
                rest = behind;
            }
            _ => return Err(wrong()),
        }
    }
    bytes.extend(rest.bytes());
    Ok(bytes)
}

/// The lines that represent `bytes`, each with a line feed. A line is also split after a lone line feed, and before a
/// response that begins where the body of another ends.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = (1..rest.len()).find(|&at| rest[at - 1] == b'\n' || begins_response(&rest[at..]));
        let (line, behind) = rest.split_at(end.unwrap_or(rest.len()));
        if let Some(line) = line.strip_suffix(b"\r\n") {
            escape_line(&mut text, line);
            text.push('\n');
        } else {
            escape_line(&mut text, line);
            text.push_str("\\\n");
        }
        rest = behind;
    }
    text
}

fn begins_response(bytes: &[u8]) -> bool {
    matches!(bytes, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'1'..=b'5', ..])
}

fn escape_line(text: &mut String, line: &[u8]) {
    for (index, run) in line.chunk_by(|one, other| one == other).enumerate() {
        let byte = run[0];
        // Lines that would begin a section or an exchange, and trailing spaces, which are invisible.
        let hidden = index == 0
            && matches!(line, [b'-', b'-', b'-', b' ', ..] | [b'=', b'=', b'=', b' ', ..])
            || byte == b' ' && run.as_ptr_range().end == line.as_ptr_range().end;
        let character = match byte {
            b'\r' => "\\r".into(),
            b'\n' => "\\n".into(),
            b'\t' => "\\t".into(),
            0 => "\\0".into(),
            b'\\' => "\\\\".into(),
            b' '..=b'~' if !hidden => char::from(byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        if run.len() >= RUN {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\{{{character}*{}}}", run.len());
        } else {
            text.push_str(&character.repeat(run.len()));
        }
    }
}

/// `bytes` with every value of a `Date` field masked, for a server with a real clock.
pub fn mask_dates(bytes: &[u8]) -> Vec<u8> {
    const DATE: &[u8] = b"\r\nDate: ";
    let mut masked = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(DATE.len()).position(|part| part == DATE) {
        let (before, value) = rest.split_at(at + DATE.len());
        masked.extend_from_slice(before);
        masked.extend_from_slice(b"(masked)");
        rest = &value[value.windows(2).position(|pair| pair == b"\r\n").unwrap_or(value.len())..];
    }
    masked.extend_from_slice(rest);
    masked
}

/// The difference of two texts, line by line: `-` is only in `wanted`, `+` only in `got`.
pub fn difference(wanted: &str, got: &str) -> String {
    let (wanted, got): (Vec<_>, Vec<_>) = (wanted.lines().collect(), got.lines().collect());
    let shortest = wanted.len().min(got.len());
    let front = (0..shortest).take_while(|&at| wanted[at] == got[at]).count();
    let back =
        (1..=shortest - front).take_while(|&at| wanted[wanted.len() - at] == got[got.len() - at]).count();
    let mut text = String::new();
    let mut show = |mark: char, lines: &[&str]| {
        for line in lines {
            text.extend([mark, ' ']);
            text.push_str(line);
            text.push('\n');
        }
    };
    show(' ', &wanted[..front]);
    show('-', &wanted[front..wanted.len() - back]);
    show('+', &got[front..got.len() - back]);
    show(' ', &wanted[wanted.len() - back..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_being_written_and_read() {
        let all: Vec<u8> = (0..=255).chain([b'a'; 100]).chain(*b"\\\r\n--- b \r\n\r\n=== c\\").collect();
        for end in 0..=all.len() {
            let text = encode(&all[..end]);
            assert_eq!(decode(text.lines()).as_deref(), Ok(&all[..end]), "{text}");
        }
    }

    #[test]
    fn each_response_begins_a_line() {
        assert_eq!(
            encode(b"a\nHTTP/1.1 200\r\n\r\nbHTTP/1.0 5"),
            "a\\n\\\nHTTP/1.1 200\n\nb\\\nHTTP/1.0 5\\\n"
        );
    }

    #[test]
    fn escapes_stand_for_bytes() {
        assert_eq!(unescape(r"a\r\n\x41\\\{b\t*3}\0").unwrap(), b"a\r\nA\\b\tb\tb\t\0");
        assert_eq!(decode(["a", r"b\", r"c\\"]).unwrap(), b"a\r\nbc\\\r\n");
        for wrong in [r"\", r"\q", r"\x4", r"\{a*3", r"\{a}", r"\{a*b}"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dates_are_masked_and_nothing_else() {
        let masked = mask_dates(b"HTTP/1.1 200 OK\r\nDate: Sun, 06\r\nX: Date: a\r\nDate: b\r\n\r\nc");
        assert_eq!(masked, b"HTTP/1.1 200 OK\r\nDate: (masked)\r\nX: Date: a\r\nDate: (masked)\r\n\r\nc");
    }

    #[test]
    fn a_difference_shows_both_sides() {
        assert_eq!(difference("a\nb\nc\n", "a\nd\ne\nc\n"), "  a\n- b\n+ d\n+ e\n  c\n");
        assert_eq!(difference("a\na\n", "a\n"), "  a\n- a\n");
    }
}
