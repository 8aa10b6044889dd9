//! Tests of what is judged, where, and that no cut of the input changes it.

use super::*;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

fn limits() -> Limits {
    Limits { target: 20, method: 8, field_line: 20, fields_size: 50, fields: 3, ..Limits::default() }
}

fn whole(bytes: &[u8]) -> Result<Option<Section>, RequestError> {
    Scan::default().advance(bytes, &limits())
}

/// The result when `bytes` arrive up to each of `ends`, and the part of the request line that is shown then.
fn cut(
    bytes: &[u8],
    ends: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> (Result<Option<Section>, RequestError>, String) {
    let mut scan = Scan::default();
    let mut result = (Ok(None), String::new());
    for end in ends {
        let found = scan.advance(&bytes[..end], limits);
        result = (found, scan.request_line(&bytes[..end]).escape_ascii().to_string());
        if result.0 != Ok(None) {
            break;
        }
    }
    result
}

/// Checks that the result is the same if the bytes arrive one by one.
fn is_the_same_bytewise(bytes: &[u8], limits: &Limits) -> (Result<Option<Section>, RequestError>, String) {
    let (whole, bytewise) = (cut(bytes, [bytes.len()], limits), cut(bytes, 1..=bytes.len(), limits));
    assert_eq!(whole.0, bytewise.0, "{}", bytes.escape_ascii());
    if whole.0 == Err(RequestError::StrayByte) {
        assert!(whole.1.starts_with(&bytewise.1), "{}", bytes.escape_ascii());
    } else {
        assert_eq!(whole.1, bytewise.1, "{}", bytes.escape_ascii());
    }
    whole
}

#[test]
fn a_line_break_is_found_wherever_it_is() {
    for len in 0..120 {
        for at in 0..=len {
            for byte in [b'\r', b'\n'] {
                let mut bytes = vec![b'\x0b'; len];
                bytes.extend_from_slice(b"\x0c\x8d\x8a");
                bytes.insert(at, byte);
                bytes.push(b'\n');
                assert_eq!(find_line_break(&bytes), Some(at));
                assert_eq!(find_line_break(&bytes[..at]), None);
            }
        }
    }
}

#[test]
fn empty_lines_are_dropped_and_still_counted() {
    let mut scan = Scan::default();
    assert_eq!(scan.advance(b"\r\n\r", &limits()), Ok(None));
    assert_eq!((scan.skip(), scan.skip()), (2, 0));
    assert!(!scan.begun(b"\r"));
    assert_eq!(scan.advance(b"\r\n", &limits()), Ok(None));
    assert_eq!(scan.skip(), 2);
    assert!(!scan.begun(b""));
    let found = scan.advance(b"GET / HTTP/1.1\r\n\r\n", &limits()).unwrap();
    let line = RequestLine::parse(b"GET / HTTP/1.1\r\n", &limits()).unwrap();
    assert_eq!(found, Some(Section { line, start: 0, end: 18, fields: 0 }));
    let mut scan = Scan::default();
    for _ in 0..8 {
        assert_eq!(scan.advance(b"\r\n", &limits()), Ok(None));
        scan.skip();
    }
    assert_eq!(scan.advance(b"\r\n", &limits()), Err(RequestError::EmptyLines));
}

#[test]
fn whole_and_byte_by_byte_agree() {
    let a = |n| "a".repeat(n);
    let cases: Vec<String> = vec![
        "GET / HTTP/1.1\r\n\r\n".into(),
        "\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nGET".into(),
        "\r\n".repeat(9),
        "\n".into(),
        "GET / HTTP/1.1\n".into(),
        "GET /\rHTTP/1.1\r\n".into(),
        " GET".into(),
        format!("GET {}", a(60)),
        format!("GET / HTTP/1.1\r\n{}", a(60)),
        format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}", a(18), a(18), a(60)),
        format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(4)),
        format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(6)),
        format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(7)),
        format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n{}\r\n\r\n", a(18), a(18), a(8)),
        "GET / HTTP/1.1\r\na\r\nb\r\nc\r\nd\r\n\r\n".into(),
    ];
    for case in cases {
        let _ = is_the_same_bytewise(case.as_bytes(), &limits());
    }
}

#[test]
fn a_request_line_is_judged_at_its_end_or_where_it_exceeds_a_limit() {
    use RequestError as E;
    let a = |n| "a".repeat(n);
    for (bytes, error, judged, shown) in [
        ("*1\r\n".to_string(), E::RequestLine, 4, "*1"),
        ("SSH-2.0\r\n".to_string(), E::RequestLine, 9, "SSH-2.0"),
        ("GET / HTTP/1!\r\n".to_string(), E::RequestLine, 15, "GET / HTTP/1!"),
        ("GET / HTTP/2.0\r\n".to_string(), E::Version, 16, "GET / HTTP/2.0"),
        ("GET h:1 HTTP/1.1\r\n".to_string(), E::Target, 18, "GET h:1 HTTP/1.1"),
        ("GET /a#b HTTP/1.1\r\n".to_string(), E::Target, 19, "GET /a#b HTTP/1.1"),
        ("CONNECT h:1 HTTP/1.1\r\n".to_string(), E::Connect, 22, "CONNECT h:1 HTTP/1.1"),
        ("GET / HTTP/1.1\n".to_string(), E::BareLineFeed, 15, "GET / HTTP/1.1"),
        ("GET / HTTP/1.1\r\r\n".to_string(), E::BareCarriageReturn, 16, "GET / HTTP/1.1"),
        ("(\x03\x01".to_string(), E::StrayByte, 1, "(\\x03\\x01"),
        // After an empty line.
        ("\r\n*1\r\n".to_string(), E::RequestLine, 6, "*1"),
        // The ninth byte of a method, whatever follows it.
        (a(100000), E::MethodTooLong(8), 9, "aaaaaaaaa"),
        (format!("{}\r\n", a(9)), E::MethodTooLong(8), 9, "aaaaaaaaa"),
        (format!("{} / HTTP/1.1\r\n", a(9)), E::MethodTooLong(8), 9, "aaaaaaaaa"),
        (format!("{} {}", a(9), a(100)), E::MethodTooLong(8), 9, "aaaaaaaaa"),
        // The first faulty byte decides.
        (format!("{}( / HTTP/1.1\r\n", a(8)), E::RequestLine, 22, "aaaaaaaa( / HTTP/1.1"),
        (format!("{}( / HTTP/1.1\r\n", a(9)), E::MethodTooLong(8), 9, "aaaaaaaaa"),
        // The 21st byte of a target.
        (format!("GET {} HTTP/1.1\r\n", a(21)), E::TargetTooLong(20), 25, "GET aaaaaaaaaaaaaaaaaaaaa"),
        (format!("GET {}\n", a(21)), E::TargetTooLong(20), 25, "GET aaaaaaaaaaaaaaaaaaaaa"),
        (format!("GET {}\x01", a(21)), E::TargetTooLong(20), 25, "GET aaaaaaaaaaaaaaaaaaaaa"),
        (format!("GET \x01{}", a(20)), E::RequestLine, 25, "GET \\x01aaaaaaaaaaaaaaaaaaaa"),
        (format!("GET #{}", a(20)), E::Target, 25, "GET #aaaaaaaaaaaaaaaaaaaa"),
        // Longer than method, target and version together can be.
        (format!("GET / {}", a(40)), E::RequestLine, 39, "GET / aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        (format!("G(T {}", a(40)), E::RequestLine, 39, "G(T aaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        (format!("G(T {}\n", a(40)), E::RequestLine, 39, "G(T aaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        (format!("GET / {}\r\n", a(32)), E::RequestLine, 40, "GET / aaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ] {
        let found = is_the_same_bytewise(bytes.as_bytes(), &limits());
        assert_eq!(found, (Err(error), shown.into()), "{bytes:?}");
        let before = cut(bytes.as_bytes(), [judged - 1], &limits());
        assert_eq!(before.0, Ok(None), "{bytes:?} before byte {judged}");
        let at = cut(bytes.as_bytes(), [judged], &limits());
        assert_eq!(at.0, Err(error), "{bytes:?} at byte {judged}");
    }
}

#[test]
fn the_request_line_is_refused_before_the_fields() {
    for (bytes, error) in [
        ("GET / HTTP/3.0\r\nA : b\r\n\r\n", RequestError::Version),
        ("GET a HTTP/1.1\r\nA\n", RequestError::Target),
        ("GET /\r\nA: 345678901234567890\r\n\r\n", RequestError::RequestLine),
    ] {
        assert_eq!(is_the_same_bytewise(bytes.as_bytes(), &limits()).0, Err(error), "{bytes:?}");
    }
}

#[test]
fn what_arrived_of_a_request_line_is_shown() {
    for (bytes, shown) in [
        ("", ""),
        ("\r\n\r", ""),
        ("\r\nGET /li", "GET /li"),
        ("GET /li\r", "GET /li"),
        ("GET / HTTP/1.1\r\n", "GET / HTTP/1.1"),
        ("GET / HTTP/1.1\r\nHost", "GET / HTTP/1.1"),
        ("MMMMMMMM /aaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost", "MMMMMMMM /aaaaaaaaaaaaaaaaaaa HTTP/1.1"),
        ("MMMMMMMM /aaaaaaaaaaaaaaaaaaa HTTP/1.1", "MMMMMMMM /aaaaaaaaaaaaaaaaaaa HT"),
    ] {
        assert_eq!(is_the_same_bytewise(bytes.as_bytes(), &limits()), (Ok(None), shown.into()), "{bytes:?}");
    }
    // Only this one depends on how many bytes have arrived.
    let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 and so on, for some hundred bytes";
    let (found, shown) = cut(hello, [hello.len()], &limits());
    assert_eq!(found, Err(RequestError::StrayByte));
    assert_eq!(shown, hello[..SHOWN].escape_ascii().to_string());
    let (_, shown) = cut(b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", [20], &limits());
    assert_eq!(shown, " GET / HTTP/1.1");
}

/// The expected result when `byte` replaces the byte at `place`.
fn defined(place: &str, byte: u8) -> Result<(), RequestError> {
    let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match (place, byte) {
        (_, b'\n') => Err(RequestError::BareLineFeed),
        (_, b'\r') => Err(RequestError::BareCarriageReturn),
        ("first byte", _) if !token => Err(RequestError::StrayByte),
        ("first byte" | "method", _) if token => Ok(()),
        // A space begins the next word, which is one too many here.
        ("path" | "query", b'#' | 0x80..) => Err(RequestError::Target),
        ("path" | "query", b'!'..=b'~') => Ok(()),
        ("path's slash", b'/') => Ok(()),
        ("path's slash", b'!'..) if byte != 0x7f => Err(RequestError::Target),
        ("major", b'1') | ("minor", b'0'..=b'9') => Ok(()),
        ("major", b'0'..=b'9') => Err(RequestError::Version),
        _ => Err(RequestError::RequestLine),
    }
}

#[test]
fn each_byte_at_each_place_has_its_answer() {
    let head = b"GET /a?b HTTP/1.1\r\n\r\n";
    for (place, at) in [
        ("first byte", 0),
        ("method", 1),
        ("method", 2),
        ("path's slash", 4),
        ("path", 5),
        ("query", 7),
        ("major", 14),
        ("minor", 16),
    ] {
        for byte in 0..=255 {
            let mut bytes = head.to_vec();
            bytes[at] = byte;
            // The inserted CR is followed by the CR of the line end.
            let expected = match (byte, at) {
                (b'\r', 16) => Err(RequestError::BareCarriageReturn),
                _ => defined(place, byte),
            };
            let (found, _) = is_the_same_bytewise(&bytes, &limits());
            let found = found.map(|section| assert!(section.is_some(), "{place}: {byte:#x}"));
            assert_eq!(found, expected, "{place}: {byte:#x}");
        }
    }
}

#[test]
fn no_cut_changes_what_becomes_of_a_line() {
    const PIECES: [&[u8]; 20] = [
        b"A",
        b"GET",
        b"(",
        b" ",
        b" ",
        b" ",
        b"/",
        b"/aa",
        b"?",
        b"#",
        b"\x80",
        b"\x01",
        b"http://h",
        b"HTTP/1.1",
        b"HTTP/1.1\r\n",
        b"HTTP/2.0\r\n",
        b"\r\n",
        b"\r\n",
        b"\r",
        b"\n",
    ];
    let limits = Limits { target: 5, method: 3, field_line: 20, fields_size: 20, ..limits() };
    let mut seed = 1_u64;
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..30_000 {
        let mut bytes = Vec::new();
        for _ in 0..=draw(10) {
            bytes.extend_from_slice(PIECES[draw(PIECES.len())]);
        }
        let (found, shown) = is_the_same_bytewise(&bytes, &limits);
        let middle = draw(bytes.len() + 1);
        let halves = cut(&bytes, [middle, bytes.len()], &limits);
        assert_eq!(halves.0, found, "{} at {middle}", bytes.escape_ascii());
        assert!(found == Err(RequestError::StrayByte) || halves.1 == shown, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_section_ends_behind_the_empty_line() {
    let found = whole(b"\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nrest").unwrap();
    let line = RequestLine::parse(b"GET / HTTP/1.1\r\n", &limits()).unwrap();
    assert_eq!(found, Some(Section { line, start: 2, end: 26, fields: 1 }));
}

#[test]
fn a_limit_is_the_largest_size_served() {
    let head = |line: usize| format!("GET / HTTP/1.1\r\n{}\r\n\r\n", "a".repeat(line - 2));
    assert!(whole(head(20).as_bytes()).unwrap().is_some());
    assert_eq!(whole(head(21).as_bytes()), Err(RequestError::FieldTooLong(20)));
    let fields = |n| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(n));
    assert!(whole(fields(3).as_bytes()).unwrap().is_some());
    assert_eq!(whole(fields(4).as_bytes()), Err(RequestError::TooManyFields(3)));
    let section =
        |n: usize| format!("GET / HTTP/1.1\r\n{}\r\n{}\r\n\r\n", "a".repeat(18), "b".repeat(n - 20 - 4));
    let limits = Limits { fields_size: 30, ..limits() };
    assert!(Scan::default().advance(section(30).as_bytes(), &limits).unwrap().is_some());
    assert_eq!(
        Scan::default().advance(section(31).as_bytes(), &limits),
        Err(RequestError::FieldsTooLong(30))
    );
}
