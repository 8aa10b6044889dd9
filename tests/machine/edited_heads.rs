//! Every edit of one byte in a few requests. The machine reads the result alike whether it arrives whole, in two parts or
//! byte by byte, and like `Head::parse`.
//!
//! A usual head that arrives whole is read in one pass. Heads that arrive in parts, and those for `Head::parse`, are read
//! the regular way. So every input compares the two.

use std::sync::Arc;

use wsgi_proto::{BodyEvent, CloseReason, Config, Event, Head, Io, Limits, NO_HEADERS, RequestError};
use wsgi_tests::machine::Machine;

/// Requests that together have every feature of a head. Most of the heads are usual ones.
const SEEDS: [&str; 14] = [
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "GET /a?b=c HTTP/1.1\r\nhost: h:80\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX: 0123456789012345678901234567890123456789\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:h\r\nA-Long-Name: a  b \r\nX1_y:\t\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nConnection: a, Close\r\nEmpty: \r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nA: \u{e9}\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "HEAD / HTTP/1.0\r\n\r\nGET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello worldGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\nabc",
    "OPTIONS http://h:80/a HTTP/1.1\r\nHost: [::1]\r\nhost-x: h\r\n\r\n",
    "\r\nOPTIONS * HTTP/1.9\r\nHost: h%20\r\nKeep-Alive: 1\r\n\r\n",
];

/// The bytes that have a meaning in a head, and one of each class of other bytes.
const BYTES: [u8; 18] = [
    b'\r', b'\n', b'\t', b' ', b':', b',', b'-', b'.', b'0', b'1', b'a', b'S', b'/', b'#', b'(', 0, 0x7f,
    0x80,
];

/// Every edit of one byte of `seed`: replace, insert, delete, truncate. The last one is `seed` itself.
fn edits(seed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let with = |at: usize, removed: usize, added: &[u8]| [&seed[..at], added, &seed[at + removed..]].concat();
    let each = move |at| {
        let replaced = BYTES.iter().map(move |&byte| with(at, 1, &[byte]));
        let inserted = BYTES.iter().map(move |&byte| with(at, 0, &[byte]));
        let other_case = with(at, 1, &[seed[at] ^ 0x20]);
        replaced.chain(inserted).chain([with(at, 1, &[]), other_case, seed[..at].to_vec()])
    };
    (0..seed.len()).flat_map(each).chain([seed.to_vec()])
}

/// The result of one input.
#[derive(Debug, Default)]
struct Outcome {
    requests: Vec<Request>,
    refused: Option<RequestError>,
    /// The bytes that were received at the end of the last exchange.
    received: usize,
    closed: Option<CloseReason>,
    sent: Vec<u8>,
}

#[derive(Debug)]
struct Request {
    head: Arc<Head>,
    /// The bytes that were received when the head was complete.
    received: usize,
    body: Vec<u8>,
    body_error: bool,
}

/// Whether two heads are equal in everything that is public.
fn same(a: &Head, b: &Head) -> bool {
    a.request_line() == b.request_line()
        && (a.method(), a.target(), a.path(), a.query()) == (b.method(), b.target(), b.path(), b.query())
        && (a.version(), a.host()) == (b.version(), b.host())
        && (a.body_length(), a.expects_continue()) == (b.body_length(), b.expects_continue())
        && a.fields().eq(b.fields())
}

impl Outcome {
    fn same(&self, other: &Self) -> bool {
        let pairs = self.requests.iter().zip(&other.requests);
        self.requests.len() == other.requests.len()
            && pairs
                .into_iter()
                .all(|(a, b)| same(&a.head, &b.head) && (&a.body, a.body_error) == (&b.body, b.body_error))
            && (self.refused, self.closed, &self.sent) == (other.refused, other.closed, &other.sent)
    }
}

/// Plays `input` with reads of the sizes in `reads`; the last size repeats, and without any, all reads are large. Each
/// request is answered after its body.
fn play(config: &Arc<Config>, input: &[u8], reads: &[usize]) -> Outcome {
    let mut machine = Machine::new(Arc::clone(config));
    let (mut outcome, mut received, mut sizes) = (Outcome::default(), 0, reads.iter());
    let mut size = usize::MAX;
    loop {
        let event = if machine.connection.exchange().is_some() {
            match read_body(&mut machine, outcome.requests.last_mut().expect("an exchange is open")) {
                Some(io) => Event::Io(io),
                None => {
                    machine.exchange().answer("200 OK", NO_HEADERS, "answer").expect("nothing was started");
                    continue;
                }
            }
        } else {
            machine.poll()
        };
        match event {
            Event::Request => {
                let head = machine.connection.take_request().expect("it was announced");
                outcome.requests.push(Request { head, received, body: Vec::new(), body_error: false });
            }
            Event::Done => {
                outcome.refused = machine.connection.take_record().expect("it was announced").refused;
                outcome.received = received;
            }
            Event::Io(io) if io.write => machine.flush(),
            Event::Io(_) if received < input.len() => {
                size = sizes.next().copied().unwrap_or(size);
                let rest = &input[received..];
                received += machine.receive(&rest[..rest.len().min(size)]);
            }
            Event::Io(Io { last_read: true, .. }) => machine.connection.recv_nothing(),
            Event::Io(_) => machine.connection.recv_eof(),
            Event::ShutdownWrite | Event::Abort => machine.connection.write_closed(),
            Event::Closed(reason) => {
                outcome.closed = Some(reason);
                break;
            }
            Event::TakenOver => unreachable!("no stream is taken over"),
        }
    }
    outcome.sent = machine.sent().to_vec();
    outcome
}

/// Reads the part of the body that has arrived. `None`: it is complete or malformed.
fn read_body(machine: &mut Machine, request: &mut Request) -> Option<Io> {
    let now = machine.now();
    let mut exchange = machine.exchange();
    loop {
        match exchange.body(now) {
            Ok(BodyEvent::Data(data)) => {
                request.body.extend_from_slice(data);
                let length = data.len();
                exchange.consume(length);
            }
            Ok(BodyEvent::End(_)) => return None,
            Ok(BodyEvent::Io(io)) => return Some(io),
            Err(_) => {
                request.body_error = true;
                return None;
            }
        }
    }
}

/// Checks that `Head::parse` agrees with the machine about the first head of `input`.
fn agrees_with_parse(input: &[u8], bytewise: &Outcome, limits: &Limits) -> bool {
    match (bytewise.requests.first(), bytewise.refused) {
        (Some(request), _) => {
            Head::parse(&input[..request.received], limits).is_ok_and(|head| same(&head, &request.head))
        }
        (None, refused) => {
            let parsed = Head::parse(&input[..bytewise.received], limits);
            parsed.is_err_and(|parsed| parsed == refused.unwrap_or(RequestError::Incomplete))
        }
    }
}

fn check(limits: Limits) {
    let config = Arc::new(Config::default().limits(limits));
    let (mut inputs, mut accepted) = (0, 0);
    for seed in SEEDS {
        for input in edits(seed.as_bytes()) {
            let whole = play(&config, &input, &[]);
            let regular = play(&config, &input, &[1, usize::MAX]);
            let bytewise = play(&config, &input, &[1]);
            let text = input.escape_ascii();
            assert!(whole.same(&regular), "{text}:\nwhole {whole:?}\nregular {regular:?}");
            assert!(whole.same(&bytewise), "{text}:\nwhole {whole:?}\nbyte by byte {bytewise:?}");
            assert!(agrees_with_parse(&input, &bytewise, &limits), "{text}: {bytewise:?}");
            inputs += 1;
            accepted += usize::from(!whole.requests.is_empty());
        }
    }
    assert!(inputs > 30_000 && accepted > inputs / 10, "{accepted} of {inputs}");
}

#[test]
fn an_edited_head_is_read_in_one_way() {
    check(Limits::default());
}

#[test]
fn an_edited_head_near_a_limit_is_read_in_one_way() {
    check(Limits::default().target(20).method(7).field_line(40).fields_size(60).fields(3));
}
