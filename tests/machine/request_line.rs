//! Request lines: each byte at each position, when a malformed one is answered, and how the log shows it.

use wsgi_proto::{Config, Event, Io, Limits, LogFormat, NO_HEADERS, RequestError, Variables, Version};
use wsgi_tests::machine::Machine;
use wsgi_tests::machine::play::play;
use wsgi_tests::machine::scenario::{Call, Outcome, Pieces, Scenario, Text, Whole};

/// The outcome of `input`, whole and in pieces.
fn outcome(input: &[u8]) -> Outcome {
    let scenario = Scenario {
        config: Config::default().into(),
        input: Text(input.to_vec()),
        eof: true,
        scripts: vec![vec![Call::Respond("200 OK", vec![]), Call::Send(5)]],
    };
    let whole = play(&scenario, &mut Whole);
    for piece in [1, 3] {
        let pieces = play(&scenario, &mut Pieces(piece));
        assert_eq!(whole.difference(&pieces), None, "{} in pieces of {piece}", input.escape_ascii());
    }
    whole
}

/// The status for a request with `byte` in the part that `place` names.
fn status(place: &str, byte: u8) -> u16 {
    let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let target = byte.is_ascii_graphic() && byte != b'#';
    let served = match place {
        "method" => token,
        "path" | "query" => target,
        "minor version" => byte.is_ascii_digit(),
        "major version" if byte != b'1' && byte.is_ascii_digit() => return 505,
        "major version" => byte == b'1',
        _ => panic!("{place}"),
    };
    if served { 200 } else { 400 }
}

#[test]
fn each_byte_at_each_place_of_the_line_is_served_or_refused() {
    for (place, before, after) in [
        ("method", "", "ET /a?b HTTP/1.1"),
        ("method", "G", "T /a?b HTTP/1.1"),
        ("method", "GE", " /a?b HTTP/1.1"),
        ("path", "GET /", "?b HTTP/1.1"),
        ("path", "GET /aaaaaaaa", "aaaaaaaa HTTP/1.1"),
        ("path", "GET http://h/", "a HTTP/1.1"),
        ("query", "GET /?", " HTTP/1.1"),
        ("query", "GET /?aaaaaaaa", "aaaaaaaa HTTP/1.1"),
        ("query", "GET http://h?", "a HTTP/1.1"),
        ("major version", "GET / HTTP/", ".1"),
        ("minor version", "GET / HTTP/1.", ""),
    ] {
        for byte in 0..=255 {
            let line = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            let outcome = outcome(&[&line[..], b"\r\nHost: h\r\n\r\n"].concat());
            let status = status(place, byte);
            let [record] = &outcome.records[..] else { panic!("{place} {byte:#x}: {outcome:?}") };
            assert_eq!(record.status, status, "{place} {byte:#x}");
            if status == 200 {
                assert_eq!(record.request_line, Some(Text(line)), "{place} {byte:#x}");
                assert_eq!(outcome.seen.len(), 1, "{place} {byte:#x}");
            } else {
                assert_eq!(record.request_line, None, "{place} {byte:#x}");
                assert!(outcome.seen.is_empty(), "{place} {byte:#x}");
                let shown = &record.partial_request_line.0;
                assert!(!shown.is_empty() || b"\r\n".contains(&byte), "{place} {byte:#x}");
                assert!(line.starts_with(shown), "{place} {byte:#x}");
            }
        }
    }
}

/// The log line of the answered request.
fn logged(machine: &mut Machine) -> String {
    let record = machine.record();
    let mut line = String::new();
    let format = LogFormat::parse("%(request_line)s %(status_code)d").expect("a valid template");
    format.append(&record, false, &mut line);
    line
}

#[test]
fn a_bad_request_line_is_answered_at_its_end_and_logged() {
    let a = |count| "a".repeat(count);
    for (sent, log) in [
        ("SSH-2.0-OpenSSH_9.2\r\n".into(), "SSH-2.0-OpenSSH_9.2 400".into()),
        ("*1\r\n".into(), "*1 400".into()),
        ("GET / HTTP/1!\r\n".into(), "GET / HTTP/1! 400".into()),
        ("nonsense \"quoted\"\r\n".into(), "nonsense \\\"quoted\\\" 400".into()),
        ("GET /\t HTTP/1.1\r\n".into(), "GET /\\x09 HTTP/1.1 400".into()),
        // Immediately: such bytes may contain no lines at all.
        (
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{3}".into(),
            "\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\x03 400".into(),
        ),
        ("\u{5}\u{1}\0".into(), "\\x05\\x01\\x00 400".into()),
        (format!("\0{}", a(100)), format!("\\x00{} 400", a(31))),
        // At most 32 bytes of anything that is not a request line.
        (format!("GET / {}\r\n", a(100)), format!("GET / {} 400", a(26))),
        (format!("({}", a(100)), format!("({} 400", a(31))),
        (a(33), format!("{} 501", a(32))),
        (format!("GET /{}", a(8192)), format!("GET /{} 414", a(27))),
        // The whole line if it is a request line.
        (format!("GET /{} HTTP/2.0\r\n", a(100)), format!("GET /{} HTTP/2.0 505", a(100))),
        (format!("GET /{}# HTTP/1.1\r\n", a(100)), format!("GET /{}# HTTP/1.1 400", a(100))),
        (format!("GET {} HTTP/1.1\r\n", a(100)), format!("GET {} HTTP/1.1 400", a(100))),
        ("CONNECT h:1 HTTP/1.1\r\n".into(), "CONNECT h:1 HTTP/1.1 501".into()),
        (format!("GET /{} HTTP/1.1\r\nA : b\r\n\r\n", a(100)), format!("GET /{} HTTP/1.1 400", a(100))),
        (format!("GET /{} HTTP/1.1\r\n\r\n", a(100)), format!("GET /{} HTTP/1.1 400", a(100))),
    ] {
        let (sent, log): (String, String) = (sent, log);
        let mut machine = Machine::new(Config::default());
        machine.receive(sent.as_bytes());
        assert!(machine.take_sent().is_empty());
        machine.poll();
        assert!(machine.take_sent().starts_with("HTTP/1.1 "), "{sent:?}");
        assert_eq!(logged(&mut machine), log, "{sent:?}");
    }
}

#[test]
fn what_arrived_of_a_request_that_stays_incomplete_is_logged() {
    for (sent, log) in [
        ("GET /li", "GET /li 400"),
        ("GET / HTTP/1.1\r", "GET / HTTP/1.1 400"),
        ("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaa 400"),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1 400"),
    ] {
        let mut machine = Machine::new(Config::default());
        machine.receive(sent.as_bytes());
        assert!(matches!(machine.poll(), Event::Io(Io { read: true, write: false, .. })), "{sent:?}");
        machine.connection.recv_eof();
        machine.poll();
        assert!(machine.take_sent().starts_with("HTTP/1.1 400 "), "{sent:?}");
        assert_eq!(logged(&mut machine), log, "{sent:?}");
    }
}

#[test]
fn a_higher_minor_version_is_http_11_to_the_application_and_to_the_client() {
    for minor in 2..=9 {
        let mut machine = Machine::new(Config::default());
        let head = machine.open(format!(
            "POST /a HTTP/1.{minor}\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        ));
        assert_eq!(head.version(), Version::Http11);
        let variables = Variables::new(&head, machine.connection.endpoints(), machine.connection.config());
        assert_eq!(variables.get("SERVER_PROTOCOL").as_deref(), Some("HTTP/1.1"));
        let now = machine.now();
        let _ = machine.exchange().body(now);
        assert_eq!(machine.take_sent(), "HTTP/1.1 100 Continue\r\n\r\n");
        machine.receive_all(b"hello");
        let mut exchange = machine.exchange();
        let _ = exchange.body(now);
        exchange.consume(5);
        exchange.respond("200 OK", NO_HEADERS).expect("nothing was started");
        let _ = exchange.send("hello").expect("the response was started");
        exchange.finish().expect("it has begun");
        let sent = machine.take_sent();
        assert!(
            sent.starts_with("HTTP/1.1 200 OK\r\n") && sent.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            "{sent}"
        );
        assert_eq!(logged(&mut machine), format!("POST /a HTTP/1.{minor} 200"));
        // The connection persists.
        assert!(matches!(machine.poll(), Event::Io(Io { read: true, write: false, .. })));
        machine.receive(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(machine.poll(), Event::Request);
    }
}

#[test]
fn a_method_or_a_target_that_is_too_long_is_refused_for_what_it_is() {
    let limits = Limits::default();
    let a = |count| "a".repeat(count);
    for (sent, error) in [
        (format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", a(200)), RequestError::MethodTooLong(limits.method)),
        (format!("{}\r\n\r\n", a(200)), RequestError::MethodTooLong(limits.method)),
        (a(100_000), RequestError::MethodTooLong(limits.method)),
        (format!("{} {}", a(33), a(100_000)), RequestError::MethodTooLong(limits.method)),
        (format!("{} {}", a(32), a(100_000)), RequestError::TargetTooLong(limits.target)),
        (format!("GET / {}", a(100_000)), RequestError::RequestLine),
        (format!("GET {}\u{e9} {}", a(20), a(100_000)), RequestError::Target),
    ] {
        let outcome = outcome(sent.as_bytes());
        let refused =
            outcome.records.iter().map(|record| (record.refused, record.status)).collect::<Vec<_>>();
        assert_eq!(refused, [(Some(error), error.status())], "{}", &sent[..50]);
    }
}
