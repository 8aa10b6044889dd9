//! The same WebSocket on every runtime: in this process, over TCP and TLS, and as the programs that readers start.

use std::io::{Read, Write};
use std::time::Duration;

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Error, Message, WebSocket};
use wsgi_tests::adapters::Running;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::PATIENCE;
use wsgi_tests::program::Program;
use wsgi_tests::runtimes::{Runtime, on_each};
use wsgi_tests::secure::{Stream as Encrypted, trust};
use wsgi_tests::uninterrupted::Uninterrupted;
use wsgi_tokio::{Options, Report};

#[path = "../../src/bin/web_socket_smol.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod on_smol;
#[path = "../../src/bin/web_socket_std.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod on_std;
#[path = "../../src/bin/web_socket.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod on_tokio;

/// Longer than any test may take.
const NEVER: Duration = Duration::from_secs(600);

fn begin(runtime: Runtime, encrypted: bool) -> Running {
    let options = Options::public().log_output(false).graceful_timeout(NEVER);
    let tls = encrypted.then_some(&trust().server);
    match runtime {
        Runtime::Tokio => runtime.begin(tls, options, on_tokio::application, on_std::application),
        _ => runtime.begin(tls, options, on_smol::application, on_std::application),
    }
}

fn report(running: &Running) -> Report {
    running.ended.recv_timeout(PATIENCE).expect("the server ends").expect("the listener is sound")
}

/// Completes the handshake of a client.
fn open<S: Read + Write>(stream: S) -> WebSocket<S> {
    match tungstenite::client("ws://localhost/", stream) {
        Ok((socket, _)) => socket,
        Err(_) => panic!("the server does not shake hands"),
    }
}

/// The code of the Close that the server sends, after which the connection ends in order.
fn goodbye<S: Read + Write>(socket: &mut WebSocket<S>) -> Option<CloseCode> {
    let Ok(Message::Close(frame)) = socket.read() else { panic!("a message before the Close") };
    // It answers the Close.
    let ended = socket.read();
    assert!(matches!(ended, Err(Error::ConnectionClosed)), "{ended:?}");
    frame.map(|frame| frame.code)
}

/// Sends messages of all sizes and reads them again, 1,000 in all.
fn converse<S: Read + Write>(socket: &mut WebSocket<S>) {
    let messages: Vec<Message> = (0..1000_usize)
        .map(|number| match number % 4 {
            0 => Message::text(format!("message {number}")),
            1 => Message::text("ü".repeat(number % 200)),
            2 => Message::binary(vec![number as u8; 100 * (number % 30)]),
            _ => Message::Ping(Bytes::from(number.to_string())),
        })
        .collect();
    for some in messages.chunks(10) {
        some.iter().for_each(|message| socket.write(message.clone()).expect("the connection is open"));
        socket.flush().expect("the connection is open");
        for sent in some {
            let expected = match sent {
                Message::Ping(bytes) => Message::Pong(bytes.clone()),
                sent => sent.clone(),
            };
            assert_eq!(socket.read().expect("the connection is open"), expected);
        }
    }
    let largest = Message::binary(vec![7; 1024 * 1024]);
    socket.send(largest.clone()).expect("the connection is open");
    assert!(socket.read().expect("the connection is open") == largest);
}

#[test]
fn a_thousand_messages_come_back_and_a_client_may_close() {
    on_each("a thousand messages", |runtime| {
        for encrypted in [false, true] {
            let running = begin(runtime, encrypted);
            if encrypted {
                let mut socket = open(Encrypted::connect(running.address));
                converse(&mut socket);
                socket.close(None).expect("the connection is open");
                assert_eq!(goodbye(&mut socket), None);
            } else {
                let mut socket = open(Uninterrupted(Caller::connect(running.address).clone_stream()));
                converse(&mut socket);
                socket.close(None).expect("the connection is open");
                assert_eq!(goodbye(&mut socket), None);
            }
            running.handle.shutdown();
            assert_eq!(report(&running).cut, 0);
        }
    });
}

#[test]
fn a_stop_in_the_middle_says_goodbye_and_ends_with_a_clean_report() {
    fn is_stopped<S: Read + Write>(running: &Running, stream: S) {
        let mut socket = open(stream);
        socket.send(Message::text("a")).expect("the connection is open");
        assert_eq!(socket.read().expect("the connection is open"), Message::text("a"));
        running.handle.shutdown();
        assert_eq!(goodbye(&mut socket), Some(CloseCode::Away));
        drop(socket);
        assert_eq!(report(running), Report { finished: 1, cut: 0 });
    }

    on_each("a stop", |runtime| {
        let running = begin(runtime, false);
        is_stopped(&running, Uninterrupted(Caller::connect(running.address).clone_stream()));
        let running = begin(runtime, true);
        is_stopped(&running, Encrypted::connect(running.address));
    });
}

#[test]
fn a_client_that_does_not_answer_the_close_holds_up_a_stop_only_for_a_while() {
    on_each("a silent client", |runtime| {
        let running = begin(runtime, false);
        let mut client = Caller::connect(running.address);
        client.send(HANDSHAKE);
        assert_eq!(client.answer().status, 101);
        running.handle.shutdown();
        // The graceful timeout of this server is far away.
        assert_eq!(report(&running), Report { finished: 1, cut: 0 });
        assert_eq!(client.bytes(4), [0x88, 2, 0x03, 0xe9], "Close 1001");
        assert!(client.ends());
    });
}

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A frame of a client, masked with zeros.
fn frame(code: u8, text: &str) -> Vec<u8> {
    [&[0x80 | code, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[test]
fn frames_in_the_segment_of_the_handshake_are_not_lost() {
    on_each("early frames", |runtime| {
        let running = begin(runtime, false);
        let mut client = Caller::connect(running.address);
        client.send([HANDSHAKE.as_bytes(), &frame(1, "early"), &frame(2, "too")].concat());
        let answer = client.answer();
        assert_eq!(answer.status, 101);
        // The example of RFC 6455, 1.3.
        assert_eq!(answer.field("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(client.bytes(7), b"\x81\x05early");
        assert_eq!(client.bytes(5), b"\x82\x03too");
    });
}

#[test]
fn clients_that_break_the_rules_are_told_which_one() {
    on_each("bad frames", |runtime| {
        let running = begin(runtime, false);
        for (what, sent, code) in [
            ("a frame of a server", b"\x81\x01a".to_vec(), CloseCode::Protocol),
            ("not UTF-8", [0x81, 0x81, 0, 0, 0, 0, 0xff].into(), CloseCode::Invalid),
            // 1 MiB and 1 byte, of which nothing has arrived.
            ("too long", [0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0].into(), CloseCode::Size),
        ] {
            let mut client = Caller::connect(running.address);
            client.send(HANDSHAKE);
            assert_eq!(client.answer().status, 101);
            client.send(sent);
            let code = u16::from(code).to_be_bytes();
            assert_eq!(client.bytes(4), [&[0x88, 2], &code[..]].concat(), "{what}");
            client.half_close();
            assert!(client.ends(), "{what}");
        }
    });
}

#[test]
fn requests_that_are_no_handshake_get_an_answer_of_http() {
    on_each("no handshakes", |runtime| {
        let running = begin(runtime, false);
        let without = |field: &str| {
            let lines = HANDSHAKE.lines().filter(|line| !line.starts_with(field));
            lines.map(|line| format!("{line}\r\n")).collect::<String>()
        };
        for (request, status, field) in [
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 426, Some(("Upgrade", "websocket"))),
            (without("Upgrade"), 426, Some(("Sec-WebSocket-Version", "13"))),
            (HANDSHAKE.replace("websocket", "h2c"), 426, Some(("Upgrade", "websocket"))),
            (HANDSHAKE.replace("Version: 13", "Version: 8"), 426, Some(("Sec-WebSocket-Version", "13"))),
            (without("Sec-WebSocket-Version"), 426, Some(("Sec-WebSocket-Version", "13"))),
            (HANDSHAKE.replace("GET", "POST"), 405, Some(("Allow", "GET"))),
            (without("Sec-WebSocket-Key"), 400, None),
            (HANDSHAKE.replace("dGhl", ""), 400, None),
            (HANDSHAKE.replace("dGhl", "dG!l"), 400, None),
            (HANDSHAKE.replace("keep-alive, Upgrade", "keep-alive"), 400, None),
            (HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"), 400, None),
            (HANDSHAKE.replace("Host", "Origin: https://evil.example\r\nHost"), 403, None),
            (HANDSHAKE.replace("Host", "Origin: https://app.example.evil\r\nHost"), 403, None),
            (HANDSHAKE.replace("Host", "Origin: null\r\nHost"), 403, None),
            (HANDSHAKE.replace("Host", "Origin: https://app.example\r\nHost"), 101, None),
        ] {
            let mut client = Caller::connect(running.address);
            client.send(&request);
            let answer = client.answer();
            assert_eq!(answer.status, status, "{request}");
            if let Some((name, value)) = field {
                assert_eq!(answer.field(name), Some(value), "{request}");
            }
        }
    });
}

#[test]
fn the_programs_send_messages_back_until_ctrl_c() {
    for program in [
        env!("CARGO_BIN_EXE_web_socket"),
        env!("CARGO_BIN_EXE_web_socket_smol"),
        env!("CARGO_BIN_EXE_web_socket_async_std"),
        env!("CARGO_BIN_EXE_web_socket_std"),
    ] {
        let mut recipe = Program::start(program);
        let mut socket = open(Uninterrupted(recipe.connect().clone_stream()));
        socket.send(Message::text("a")).expect("the connection is open");
        assert_eq!(socket.read().expect("the connection is open"), Message::text("a"));
        recipe.send_signal("INT");
        assert_eq!(goodbye(&mut socket), Some(CloseCode::Away), "{program}");
        drop(socket);
        recipe.end();
    }
}
