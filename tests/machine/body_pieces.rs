//! Pieces of a body that share the memory of the receive buffer: they keep their bytes, whatever arrives later, and a body
//! does not depend on how it is read and split.

use bytes::Bytes;
use wsgi_proto::{BodyEvent, Config, Event, Io, Limits};
use wsgi_tests::machine::Machine;
use wsgi_tests::machine::choose::{Choose, Seeded};

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// A request with `body`, and the next one.
fn requests(body: &[u8], chunked: bool, choices: &mut Seeded) -> Vec<u8> {
    let mut bytes = b"POST / HTTP/1.1\r\nHost: h\r\n".to_vec();
    if chunked {
        bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        let mut rest = body;
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(rest.len().min(1 + choices.below(30_000)));
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend([chunk, b"\r\n"].concat());
            rest = later;
        }
        bytes.extend(b"0\r\n\r\n");
    } else {
        bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
        bytes.extend(body);
    }
    bytes.extend(NEXT.bytes());
    bytes
}

/// Reads the body of the open exchange; `input` are the bytes that have not arrived yet. Some pieces are copied, some
/// are taken and kept, some are taken and dropped, and some are received without the machine's buffer. Returns the body, and the pieces that were kept with their offsets.
fn read(machine: &mut Machine, input: &mut &[u8], choices: &mut Seeded) -> (Vec<u8>, Vec<(usize, Bytes)>) {
    let (mut body, mut kept) = (Vec::new(), Vec::new());
    loop {
        let now = machine.now();
        let mut exchange = machine.exchange();
        match exchange.body(now).expect("the body is sound") {
            BodyEvent::Data(data) => {
                let count = if choices.once_in(2) { data.len() } else { 1 + choices.below(data.len()) };
                let at = body.len();
                body.extend_from_slice(&data[..count]);
                match choices.below(3) {
                    0 => exchange.consume(count),
                    drops => {
                        let taken = exchange.take_data(count);
                        assert_eq!(taken, body[at..]);
                        if drops == 1 {
                            kept.push((at, taken));
                        }
                    }
                }
            }
            BodyEvent::End(_) => return (body, kept),
            BodyEvent::Io(_) => {
                let most = input.len().min(1 + choices.below(70_000));
                let direct = most.min(exchange.direct_room());
                if direct > 0 && choices.once_in(2) {
                    body.extend_from_slice(&input[..direct]);
                    exchange.recv_direct(direct);
                    *input = &input[direct..];
                    continue;
                }
                let count = machine.receive(&input[..most]);
                assert_ne!(count, 0, "there is no room, or nothing more to read");
                *input = &input[count..];
            }
        }
    }
}

#[test]
fn a_body_is_the_same_however_its_pieces_are_taken() {
    for seed in 0..400 {
        let mut choices = Seeded(seed);
        let limits = Limits::default().inbox([1024, 20_000, 65_536, 300_000][choices.below(4)]);
        let mut machine = Machine::new(Config::default().limits(limits));
        let mut kept = Vec::new();
        for _ in 0..3 {
            let sent = body(1 + choices.below(200_000));
            let bytes = requests(&sent, choices.once_in(2), &mut choices);
            let mut input = &bytes[..];
            while machine.poll() != Event::Request {
                let count = machine.receive(&input[..input.len().min(1 + choices.below(20_000))]);
                input = &input[count..];
            }
            machine.connection.take_request().expect("it was announced");
            let (received, pieces) = read(&mut machine, &mut input, &mut choices);
            assert_eq!(received, sent, "seed {seed}");
            kept.push((sent, pieces));
            machine.answer("");
            machine.record();
            // The request behind it was not touched.
            while machine.poll() != Event::Request {
                let count = machine.receive(input);
                input = &input[count..];
            }
            assert_eq!(machine.connection.take_request().expect("it was announced").target(), b"/next");
            assert!(input.is_empty());
            machine.answer("");
            machine.record();
            machine.flush();
            machine.io();
            assert!(machine.take_buffers(), "seed {seed}");
        }
        for (sent, pieces) in &kept {
            for (at, piece) in pieces {
                assert_eq!(piece[..], sent[*at..at + piece.len()], "seed {seed}");
            }
        }
    }
}

#[test]
fn a_large_piece_is_the_receive_buffer_itself_which_is_used_again_once_it_is_dropped() {
    let mut machine = Machine::new(Config::default());
    machine.open("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    let mut addresses = Vec::new();
    let mut kept = None;
    for _ in 0..4 {
        assert_eq!(machine.receive(&[b'x'; 10_000]), 10_000);
        let now = machine.now();
        let mut exchange = machine.exchange();
        let Ok(BodyEvent::Data(data)) = exchange.body(now) else { panic!("it has arrived") };
        let at = data.as_ptr();
        let piece = exchange.take_data(usize::MAX);
        assert_eq!((piece.as_ptr(), piece.len()), (at, 10_000), "it was not copied");
        addresses.push(at);
        // The second one is kept.
        kept = kept.or((addresses.len() == 2).then_some(piece));
    }
    assert_eq!((addresses[0], addresses[2]), (addresses[1], addresses[3]));
    assert_ne!(addresses[1], addresses[2], "a piece that is kept is not overwritten");
    assert_eq!(kept.expect("the second one"), [b'x'; 10_000][..]);
}

#[test]
fn a_buffer_whose_bytes_the_application_keeps_is_replaced_for_the_next_request() {
    let mut machine = Machine::new(Config::default());
    let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n".to_owned() + &"a".repeat(9000);
    let mut kept = Vec::new();
    for _ in 0..3 {
        machine.open(&request);
        let now = machine.now();
        let mut exchange = machine.exchange();
        assert!(matches!(exchange.body(now), Ok(BodyEvent::Data(data)) if data.len() == 9000));
        kept.push(exchange.take_data(usize::MAX));
        machine.answer("");
        machine.record();
        machine.flush();
        assert!(matches!(machine.io(), Io { read: true, .. }));
        assert!(machine.take_buffers(), "an idle connection holds no buffer");
    }
    assert!(kept.iter().all(|piece| *piece == "a".repeat(9000)));
    let first = kept[0].as_ptr();
    assert!(kept[1..].iter().all(|piece| piece.as_ptr() != first));
}
