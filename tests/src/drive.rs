//! Plays an exchange of the [`table`](crate::table) on the machine: no socket, no clock.

use wsgi_proto::{
    Address, BodyError, BodyEvent, Buffers, Connection, Endpoints, Event, Flow, Instant, Now, RequestError,
};

use crate::script::{Op, Seen};
use crate::table::{Afterwards, Answer, Exchange};

/// Sun, 06 Nov 1994 08:49:37 GMT, the moment of every exchange.
const UNIX: i64 = 784_111_777;

/// More rounds than any exchange of the table needs.
const ROUNDS: usize = 1_000_000;

/// How the client's bytes are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Like in the table.
    Whole,
    /// One at a time.
    Bytewise,
    /// In two pieces, the first of this length.
    At(usize),
}

/// The answer when the client's bytes are split like this.
///
/// # Errors
///
/// The machine does not stop, or a client that sends its next part only after an answer gets none.
pub fn answer(exchange: &Exchange, cut: Cut) -> Result<Answer, String> {
    let all = exchange.client.concat();
    let pieces: Vec<&[u8]> = match cut {
        Cut::Whole => exchange.client.iter().map(Vec::as_slice).collect(),
        Cut::Bytewise => all.chunks(1).collect(),
        Cut::At(at) => vec![&all[..at], &all[at..]],
    };
    Drive::new(exchange, pieces, cut == Cut::Whole)?.run()
}

struct Drive<'t> {
    exchange: &'t Exchange,
    connection: Connection,
    now: Now,
    pool: Vec<Buffers>,
    pieces: std::vec::IntoIter<&'t [u8]>,
    piece: &'t [u8],
    /// Whether the client sends each piece only after an answer to the one before.
    in_turns: bool,
    answered: usize,
    requests: usize,
    application: Application<'t>,
    eof: bool,
    bytes: Vec<u8>,
}

impl<'t> Drive<'t> {
    fn new(exchange: &'t Exchange, pieces: Vec<&'t [u8]>, in_turns: bool) -> Result<Self, String> {
        let endpoints = Endpoints::new(Address::Local, Address::Local);
        let mut pieces = pieces.into_iter();
        Ok(Self {
            exchange,
            connection: Connection::new(exchange.config()?.into(), endpoints),
            now: Now::new(Instant::from_nanos(0), UNIX),
            pool: vec![Buffers::new()],
            piece: pieces.next().unwrap_or_default(),
            pieces,
            in_turns,
            answered: 0,
            requests: 0,
            application: Application::default(),
            eof: false,
            bytes: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Answer, String> {
        let mut closing = false;
        for _ in 0..ROUNDS {
            self.application.advance(&mut self.connection, self.now, self.exchange.debug())?;
            let event = self.connection.poll(self.now);
            if event != self.connection.poll(self.now) {
                return Err(format!("two polls returned different events, the first is {event:?}"));
            }
            match event {
                Event::Request => self.begin()?,
                Event::Done => {
                    drop(self.connection.take_record().ok_or("a record was announced but is missing")?)
                }
                Event::Io(io) if io.write => self.transmit(),
                Event::Io(io) if io.read && self.piece_is_there()? => self.feed()?,
                Event::Io(io) if io.read && self.sends_eof(closing) => {
                    self.connection.recv_eof();
                    self.eof = true;
                }
                Event::Io(io) if io.last_read => self.connection.recv_nothing(),
                Event::Io(io) => match io.deadline {
                    Some((at, _)) if self.exchange.afterwards == Afterwards::FallsSilent => {
                        self.now.instant = at
                    }
                    _ if io.read && self.connection.is_busy() => return Ok(self.end("open, in a request")),
                    _ if io.read => return Ok(self.end("open, idle")),
                    _ => return Err(format!("nothing can end the wait for {io:?}")),
                },
                Event::ShutdownWrite | Event::Abort => {
                    closing = true;
                    self.connection.write_closed();
                }
                Event::TakenOver => {
                    self.bytes.append(&mut self.application.unread);
                    self.bytes.extend_from_slice(self.piece);
                    self.bytes.extend(self.pieces.by_ref().flatten());
                    return Ok(self.end("taken over"));
                }
                Event::Closed(reason) => return Ok(self.end(&format!("closed, {reason}"))),
            }
        }
        Err("the machine does not stop".into())
    }

    fn begin(&mut self) -> Result<(), String> {
        let head = self.connection.take_request().ok_or("a request was announced but is missing")?;
        let apps = &self.exchange.apps;
        let seen = Seen {
            method: head.method().into(),
            path: head.path().into(),
            query: head.query().unwrap_or_default().into(),
            host: head.host().unwrap_or_default().into(),
            version: head.version().as_str().into(),
            ..Seen::default()
        };
        let ops = apps.get(self.requests).or(apps.last()).map(|script| script.ops.as_slice());
        self.application = Application { ops: ops.unwrap_or_default(), seen, ..Application::default() };
        self.requests += 1;
        Ok(())
    }

    fn transmit(&mut self) {
        let bytes = self.connection.transmit().slices().concat();
        self.connection.transmitted(bytes.len());
        self.bytes.extend(bytes);
    }

    /// Whether the client has bytes to send now.
    fn piece_is_there(&mut self) -> Result<bool, String> {
        while self.piece.is_empty() {
            let Some(next) = self.pieces.next() else { return Ok(false) };
            if self.in_turns && self.bytes.len() == self.answered {
                return Err(format!(
                    "the client waits for an answer before it sends {:?}",
                    next.escape_ascii()
                ));
            }
            self.answered = self.bytes.len();
            self.piece = next;
        }
        Ok(true)
    }

    fn feed(&mut self) -> Result<(), String> {
        // Buffers that an idle connection has returned are provided again, like from a pool.
        self.pool.extend(self.connection.take_buffers());
        if !self.connection.has_buffers() {
            self.connection
                .provide_buffers(self.pool.pop().ok_or("the only buffers were taken and not returned")?);
        }
        let space = self.connection.recv_space().ok_or("the machine requests a read but has no room")?;
        let count = space.len().min(self.piece.len());
        space[..count].copy_from_slice(&self.piece[..count]);
        self.connection.recv_commit(count);
        self.piece = &self.piece[count..];
        Ok(())
    }

    fn sends_eof(&self, closing: bool) -> bool {
        let closes = match self.exchange.afterwards {
            Afterwards::Closes => true,
            Afterwards::Waits => closing,
            Afterwards::FallsSilent => false,
        };
        closes && !self.eof
    }

    fn end(self, end: &str) -> Answer {
        Answer { bytes: self.bytes, end: end.into() }
    }
}

/// A script that processes one request, as far as it gets without waiting.
#[derive(Debug, Default)]
struct Application<'t> {
    ops: &'t [Op],
    seen: Seen,
    /// How much of the body was read when the current operation began.
    read: Option<usize>,
    unread: Vec<u8>,
}

/// How an operation ended.
enum Step {
    Next,
    /// The operation continues when more has arrived or been sent.
    Later,
    /// The application failed with this error.
    Failed(String),
    Refused(RequestError),
}

impl Application<'_> {
    fn advance(&mut self, connection: &mut Connection, now: Now, debug: bool) -> Result<(), String> {
        while let Some(mut exchange) = connection.exchange() {
            let Some(op) = self.ops.first() else {
                // The end of the response, or an application that never started one.
                if let Err(error) = exchange.finish() {
                    self.fail(connection, &error.to_string(), debug);
                }
                return Ok(());
            };
            match self.step(op, connection, now) {
                Step::Next => self.ops = &self.ops[1..],
                Step::Later => return Ok(()),
                Step::Failed(text) => self.fail(connection, &text, debug),
                Step::Refused(error) => connection.exchange().ok_or("no exchange to refuse")?.refuse(error),
            }
        }
        Ok(())
    }

    fn fail(&self, connection: &mut Connection, text: &str, debug: bool) {
        if let Some(mut exchange) = connection.exchange() {
            // The same text as in the runner of applications.
            let text = if debug { format!("the application failed: {text}\n") } else { String::new() };
            exchange.fail(&text);
        }
    }

    fn step(&mut self, op: &Op, connection: &mut Connection, now: Now) -> Step {
        match op {
            Op::ReadAll => return self.read(usize::MAX, connection, now),
            Op::Read(count) => return self.read(*count, connection, now),
            Op::TryReadAll => {
                return match self.read(usize::MAX, connection, now) {
                    Step::Refused(error) => {
                        self.seen.error = error.to_string().into();
                        Step::Next
                    }
                    step => step,
                };
            }
            Op::Shutdown => {
                connection.shutdown();
                return Step::Next;
            }
            _ => {}
        }
        let Some(mut exchange) = connection.exchange() else { return Step::Next };
        let done = match op {
            Op::Respond(status, fields) => {
                exchange.respond(status, fields).map_err(|error| error.to_string())
            }
            Op::Replace(status, fields) => {
                exchange.replace(status, fields).map_err(|error| error.to_string())
            }
            Op::Inform(status, fields) => exchange.inform(status, fields).map_err(|error| error.to_string()),
            Op::ContinueHeaders(fields) => {
                exchange.continue_headers(fields).map_err(|error| error.to_string())
            }
            Op::Body(_) | Op::Send(_) if exchange.is_full() => return Step::Later,
            Op::Body(text) => {
                let text = text.render(&self.seen);
                exchange.announce_length(text.len() as u64);
                exchange.send(text).map(|_: Flow| ()).map_err(|error| error.to_string())
            }
            Op::Send(text) => {
                exchange.send(text.render(&self.seen)).map(|_: Flow| ()).map_err(|error| error.to_string())
            }
            Op::Trailers(fields) => exchange.finish_with(fields).map_err(|error| error.to_string()),
            Op::MinimumChunkSize(size) => {
                exchange.set_minimum_chunk_size(*size);
                Ok(())
            }
            Op::Fail(text) => Err(text.clone()),
            Op::Abort => {
                exchange.abort();
                Ok(())
            }
            Op::TakeOver => {
                exchange.take_over().map(|unread| self.unread = unread).map_err(|error| error.to_string())
            }
            Op::ReadAll | Op::TryReadAll | Op::Read(_) | Op::Shutdown => Ok(()),
        };
        done.map_or_else(Step::Failed, |()| Step::Next)
    }

    fn read(&mut self, count: usize, connection: &mut Connection, now: Now) -> Step {
        let wanted = self.read.get_or_insert(self.seen.body.len()).saturating_add(count);
        while self.seen.body.len() < wanted {
            let Some(mut exchange) = connection.exchange() else { return Step::Next };
            let taken = match exchange.body(now) {
                Ok(BodyEvent::Data(data)) => {
                    let taken = data.len().min(wanted - self.seen.body.len());
                    self.seen.body.extend_from_slice(&data[..taken]);
                    taken
                }
                Ok(BodyEvent::End(trailers)) => {
                    self.seen.trailers = Seen::list(trailers.fields());
                    break;
                }
                Ok(BodyEvent::Io(_)) => return Step::Later,
                Err(BodyError::Request(error)) => {
                    self.read = None;
                    return Step::Refused(error);
                }
                Err(error) => return Step::Failed(error.to_string()),
            };
            exchange.consume(taken);
        }
        self.read = None;
        Step::Next
    }
}
