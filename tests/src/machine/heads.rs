//! Compares the ways in which the machine reads a head.
//!
//! A usual head that arrives whole is read in one pass. Heads that arrive in parts, and those for [`Head::parse`], are
//! read the regular way.

use std::sync::Arc;

use wsgi_proto::{BodyEvent, CloseReason, Config, Event, Head, Io, Limits, NO_HEADERS, RequestError};

use super::Machine;

/// Checks that `input` gives the same requests, bodies, errors and answers whether it arrives whole, with its first byte
/// alone, or byte by byte, and that [`Head::parse`] gives the same head or error. Returns whether there is a request.
///
/// # Panics
///
/// When there is a difference.
pub fn compare(config: &Arc<Config>, input: &[u8]) -> bool {
    let whole = play(config, input, &[]);
    let regular = play(config, input, &[1, usize::MAX]);
    let bytewise = play(config, input, &[1]);
    let text = input.escape_ascii();
    assert!(whole.same(&regular), "{text}:\nwhole {whole:?}\nin two parts {regular:?}");
    assert!(whole.same(&bytewise), "{text}:\nwhole {whole:?}\nbyte by byte {bytewise:?}");
    assert!(bytewise.agrees_with_parse(input, &config.limits), "{text}:\nbyte by byte {bytewise:?}");
    !whole.requests.is_empty()
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

    /// Whether [`Head::parse`] gives the first head or error of this result, which has to be that of single bytes.
    fn agrees_with_parse(&self, input: &[u8], limits: &Limits) -> bool {
        match (self.requests.first(), self.refused) {
            (Some(request), _) => {
                Head::parse(&input[..request.received], limits).is_ok_and(|head| same(&head, &request.head))
            }
            (None, refused) => {
                let parsed = Head::parse(&input[..self.received], limits);
                parsed.is_err_and(|parsed| parsed == refused.unwrap_or(RequestError::Incomplete))
            }
        }
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
