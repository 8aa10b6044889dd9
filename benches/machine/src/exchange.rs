//! One exchange on a connection in memory, driven as an adapter drives it.

use std::hint::black_box;

use bench_common::content::{HELLO, PIECE, PIECES, TEXT};
use bench_common::works::Work;
use wsgi_proto::{BodyEvent, Connection, Event, Flow, Instant, Now, ResponseHead};

const TYPE: (&str, &str) = ("Content-Type", TEXT);
const LENGTH: (&str, &str) = ("Content-Length", "13");

/// How a small answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Head, body and end by a call each, and a record is taken.
    Calls,
    /// One call, without a record.
    OneCall,
    /// The same, with a head that was checked once.
    Kept,
}

/// A connection and the work that it repeats.
pub(crate) struct Bench {
    connection: Connection,
    work: Work,
    answer: Answer,
    head: ResponseHead,
    request: Vec<u8>,
    body: Vec<u8>,
    now: Now,
}

impl Bench {
    /// The work on this connection.
    pub(crate) fn new(mut connection: Connection, work: Work, answer: Answer) -> Self {
        let now = Now::new(Instant::from_nanos(0), 784_111_777);
        assert!(matches!(connection.poll(now), Event::Io(_)));
        if answer != Answer::Calls {
            connection.skip_records();
        }
        let head = ResponseHead::new(connection.config(), "200 OK", [TYPE]).expect("the head is valid");
        Self { connection, work, answer, head, request: work.request(), body: work.body(), now }
    }

    /// One request and its answer.
    pub(crate) fn exchange(&mut self) {
        if self.answer == Answer::Calls { self.exchange_by_calls() } else { self.exchange_by_one_call() }
    }

    fn exchange_by_one_call(&mut self) {
        let rest = receive(&mut self.connection, &self.request);
        assert!(rest.is_empty(), "a head fits into the space for it");
        assert_eq!(self.connection.poll(self.now), Event::Request);
        let mut exchange = self.connection.open_exchange().expect("a request has arrived");
        black_box(exchange.head().path());
        let answered = match self.answer {
            Answer::Kept => exchange.answer_with(&self.head, HELLO),
            _ => exchange.answer("200 OK", [TYPE], HELLO),
        };
        answered.expect("the answer is valid");
        transmit(&mut self.connection);
        assert!(matches!(self.connection.poll(self.now), Event::Io(_)));
    }

    /// The same with every step apart, and the record of both.
    fn exchange_by_calls(&mut self) {
        let rest = receive(&mut self.connection, &self.request);
        assert!(rest.is_empty(), "a head fits into the space for it");
        assert_eq!(self.connection.poll(self.now), Event::Request);
        let head = self.connection.take_request().expect("a request has arrived");
        black_box(head.path());
        match self.work {
            Work::Hello | Work::Browser => {}
            Work::Chunks => self.send_pieces(),
            Work::Upload => self.read_body(),
        }
        if self.work != Work::Chunks {
            self.answer();
        }
        drop(head);
        self.end();
    }

    fn answer(&mut self) {
        let mut exchange = self.connection.exchange().expect("an exchange is open");
        exchange.respond("200 OK", [TYPE, LENGTH]).expect("the head is valid");
        let _ = exchange.send(HELLO).expect("the length matches");
        exchange.finish().expect("the body is complete");
    }

    fn send_pieces(&mut self) {
        let mut exchange = self.connection.exchange().expect("an exchange is open");
        exchange.respond("200 OK", [TYPE]).expect("the head is valid");
        for _ in 0..PIECES {
            let mut exchange = self.connection.exchange().expect("an exchange is open");
            if !matches!(exchange.send(black_box(PIECE)).expect("the client is there"), Flow::Ready) {
                transmit(&mut self.connection);
            }
        }
        self.connection.exchange().expect("an exchange is open").finish().expect("the body is complete");
    }

    fn read_body(&mut self) {
        let mut rest = &self.body[..];
        loop {
            let mut exchange = self.connection.exchange().expect("an exchange is open");
            match exchange.body(self.now).expect("the body is valid") {
                BodyEvent::Data(data) => {
                    let length = black_box(data).len();
                    exchange.consume(length);
                }
                BodyEvent::End(_) => return,
                BodyEvent::Io(_) => rest = receive(&mut self.connection, rest),
            }
        }
    }

    /// Polls until the connection waits for the next request.
    fn end(&mut self) {
        loop {
            match self.connection.poll(self.now) {
                Event::Done => drop(black_box(self.connection.take_record())),
                Event::Io(io) if io.write => transmit(&mut self.connection),
                Event::Io(_) => return,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Copies as much as the connection has space for, like one read of a socket; returns the rest.
fn receive<'a>(connection: &mut Connection, bytes: &'a [u8]) -> &'a [u8] {
    let space = connection.recv_space().expect("the connection reads");
    let length = space.len().min(bytes.len());
    space[..length].copy_from_slice(&bytes[..length]);
    connection.recv_commit(length);
    &bytes[length..]
}

/// Takes everything that waits to be sent, like a write that accepts all of it.
fn transmit(connection: &mut Connection) {
    let mut left = true;
    while left {
        let transmit = connection.transmit();
        let length: usize = transmit.slices().iter().map(|slice| black_box(slice).len()).sum();
        // More may wait after a write of all slices only if there were several.
        left = transmit.slices().len() > 1;
        connection.transmitted(length);
    }
}
