//! Plays a [`Scenario`] with a [`Schedule`].

use std::sync::Arc;
use std::time::Duration;

use wsgi_proto::{BodyError, BodyEvent, Buffers, Event, SendError, StartError};

use super::scenario::{Action, Call, Fault, Outcome, Scenario, Schedule, Seen, Text};
use super::{EXTERNAL, Machine};

/// The most milliseconds that a schedule may let pass: far fewer than the shortest deadline.
const TICKS: usize = 500;

/// Plays `scenario`.
///
/// # Panics
///
/// When an invariant of the machine does not hold, or the run does not end.
pub fn play(scenario: &Scenario, schedule: &mut dyn Schedule) -> Outcome {
    let mut player = Player {
        machine: Machine::new(Arc::clone(&scenario.config)),
        scenario,
        given: 0,
        eof: false,
        script: &[],
        over: false,
        outcome: Outcome::default(),
    };
    // Answers of some hundred kilobytes may be written byte by byte.
    let (mut ticks, bound) = (0, 300_000 + 100 * scenario.input.0.len());
    for _ in 0..bound {
        match schedule.action() {
            Action::Round => {
                let driven = player.drive(schedule);
                let mut called = false;
                while player.call() {
                    called = true;
                }
                // A pending call may have changed the machine's next wait.
                let moved = driven || called || player.drive(schedule);
                if player.over || !(moved || player.pass_deadline()) {
                    return player.finish();
                }
            }
            Action::Driver => drop(player.drive(schedule)),
            Action::Application => drop(player.call()),
            Action::ReadAhead => drop(player.read(schedule)),
            Action::Tick if ticks < TICKS => {
                ticks += 1;
                player.machine.advance(Duration::from_millis(1));
            }
            Action::Tick => {}
        }
    }
    panic!("no end after {bound} moves, so far {:?}", player.outcome);
}

struct Player<'s> {
    machine: Machine,
    scenario: &'s Scenario,
    /// Bytes of the input that were read.
    given: usize,
    eof: bool,
    /// The remaining calls of the current script.
    script: &'s [Call],
    over: bool,
    outcome: Outcome,
}

impl Player<'_> {
    /// Handles the machine's next event. True when anything happened.
    fn drive(&mut self, schedule: &mut dyn Schedule) -> bool {
        if self.over {
            return false;
        }
        let event = self.machine.poll();
        if let Event::Io(io) = event {
            let mut moved = false;
            if io.write {
                let most = self.machine.writable();
                moved |= self.machine.transmit(schedule.write(most)) > 0;
                if io.last_write && !moved {
                    self.machine.connection.transmitted(0);
                    moved = true;
                }
            }
            if io.read {
                self.machine.take_buffers();
                let read = self.read(schedule);
                if io.last_read && !read {
                    self.machine.connection.recv_nothing();
                    moved = true;
                }
                let left = self.given < self.scenario.input.0.len() || self.scenario.eof && !self.eof;
                assert!(read || !left, "a read without room");
                moved |= read;
            }
            return moved;
        }
        self.outcome.events.push(event);
        match event {
            Event::Request => self.take_request(),
            Event::Done => {
                let record = self.machine.connection.take_record().expect("it was announced");
                self.outcome.records.push(record.into());
            }
            Event::ShutdownWrite | Event::Abort => self.machine.connection.write_closed(),
            Event::Closed(reason) => {
                self.outcome.reason = Some(reason);
                self.over = true;
            }
            Event::TakenOver | Event::Io(_) => self.over = true,
        }
        true
    }

    fn take_request(&mut self) {
        let head = self.machine.connection.take_request().expect("it was announced");
        let (scripts, number) = (&self.scenario.scripts, self.outcome.seen.len());
        self.script = scripts.get(number % scripts.len().max(1)).map_or(&[], Vec::as_slice);
        self.outcome.seen.push(Seen { request_line: Text(head.request_line().to_vec()), ..Seen::default() });
    }

    /// Reads if there is room and any bytes remain. True if bytes were read.
    fn read(&mut self, schedule: &mut dyn Schedule) -> bool {
        let rest = &self.scenario.input.0[self.given..];
        if rest.is_empty() {
            let ends = self.scenario.eof && !self.eof;
            if ends {
                self.eof = true;
                self.machine.connection.recv_eof();
            }
            return ends;
        }
        if !self.machine.connection.has_buffers() {
            self.machine.connection.provide_buffers(Buffers::new());
        }
        let Some(space) = self.machine.connection.recv_space() else { return false };
        let most = space.len().min(rest.len());
        let count = schedule.read(self.given, most);
        self.given += self.machine.receive(&rest[..count]);
        true
    }

    /// The client is silent: lets the machine's deadline pass. False without a deadline.
    fn pass_deadline(&mut self) -> bool {
        let Event::Io(io) = self.machine.poll() else { return true };
        let Some((at, _)) = io.deadline else { return false };
        self.machine.advance(at.since(self.machine.now().instant));
        true
    }

    /// Makes the application's next call. False when it would wait, or there is no exchange.
    fn call(&mut self) -> bool {
        if self.machine.connection.exchange().is_none() {
            return false;
        }
        let (call, rest) = self.script.split_first().unwrap_or((&Call::Finish, &[]));
        let unscripted = self.script.is_empty();
        let done = match call {
            Call::Read(total) => self.read_body(*total),
            Call::Look => self.read_body(0),
            call => self.respond(call),
        };
        match done {
            Ok(true) => {}
            // Flushes, then repeats the call.
            Ok(false) | Err(Fault::Send(SendError::Full) | Fault::Start(StartError::Full)) => return false,
            Err(fault) => self.outcome.seen.last_mut().expect("an exchange is open").errors.push(fault),
        }
        self.script = rest;
        if unscripted && let Some(mut exchange) = self.machine.connection.exchange() {
            exchange.fail("");
        }
        true
    }

    /// Reads until `total` bytes were read. False when it has to wait.
    fn read_body(&mut self, total: usize) -> Result<bool, Fault> {
        let (now, mut exchange) =
            (self.machine.now(), self.machine.connection.exchange().expect("it is open"));
        let seen = self.outcome.seen.last_mut().expect("an exchange is open");
        loop {
            match exchange.body(now) {
                Ok(BodyEvent::Data(data)) => {
                    let wanted = total.saturating_sub(seen.body.0.len());
                    let taken = wanted.min(data.len());
                    // Both ways of reading give the same bytes.
                    if taken % 2 == 0 {
                        seen.body.0.extend_from_slice(&data[..taken]);
                        exchange.consume(taken);
                    } else {
                        seen.body.0.extend_from_slice(&exchange.take_data(taken));
                    }
                    if taken == wanted {
                        return Ok(true);
                    }
                }
                Ok(BodyEvent::End(trailers)) => {
                    let fields =
                        trailers.fields().map(|(name, value)| (name.to_owned(), Text(value.to_vec())));
                    seen.trailers = fields.collect();
                    return Ok(true);
                }
                Ok(BodyEvent::Io(_)) => return Ok(false),
                Err(error) => return Err(Fault::Body(error)),
            }
        }
    }

    /// All other calls. False when it has to wait.
    fn respond(&mut self, call: &Call) -> Result<bool, Fault> {
        let seen = self.outcome.seen.last_mut().expect("an exchange is open");
        let mut exchange = self.machine.connection.exchange().expect("it is open");
        match call {
            Call::Read(_) | Call::Look => {}
            Call::Inform(status) => exchange.inform(status, [("x-interim", "1")]).map_err(Fault::Start)?,
            Call::ContinueHeaders => exchange.continue_headers([("x-go", "on")]).map_err(Fault::Start)?,
            Call::Respond(status, fields) => {
                exchange.respond(status, fields).map_err(Fault::Start)?;
            }
            Call::Replace(status, fields) => {
                exchange.replace(status, fields).map_err(Fault::Start)?;
            }
            Call::Announce(total) => exchange.announce_length(*total),
            Call::Join(bytes) => exchange.set_minimum_chunk_size(*bytes),
            Call::Send(count) => drop(exchange.send(&vec![b'x'; *count][..]).map_err(Fault::Send)?),
            Call::Give(count) => drop(exchange.send(vec![b'y'; *count]).map_err(Fault::Send)?),
            Call::External(count) => drop(exchange.send_external(*count).map_err(Fault::Send)?),
            Call::Supply(count) => exchange.supply_external(&vec![EXTERNAL; *count][..]),
            Call::Echo => drop(exchange.send(&seen.body.0[..]).map_err(Fault::Send)?),
            Call::Flush => return Ok(exchange.is_flushed()),
            Call::FlushFirst => exchange.flush_before_record(),
            Call::Watch => exchange.watch_peer(),
            Call::Shutdown => self.machine.connection.shutdown(),
            Call::Finish => exchange.finish().map_err(Fault::Send)?,
            Call::FinishWith(trailers) => {
                exchange.finish_with(trailers.iter().copied()).map_err(Fault::Send)?
            }
            Call::Abort => exchange.abort(),
            Call::Fail(text) => exchange.fail(text),
            Call::Refuse => {
                if let Some(Fault::Body(BodyError::Request(error))) = seen.errors.last() {
                    exchange.refuse(*error);
                }
            }
            Call::TakeOver => {
                let mut stream = exchange.take_over().map_err(Fault::Send)?;
                stream.extend_from_slice(&self.scenario.input.0[self.given..]);
                seen.stream = Some(Text(stream));
            }
        }
        Ok(true)
    }

    fn finish(self) -> Outcome {
        Outcome { output: Text(self.machine.sent().to_vec()), ..self.outcome }
    }
}
