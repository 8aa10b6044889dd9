//! Reading the request body.

use crate::error::BodyError;
use crate::error::RequestError;
use crate::event::{BodyEvent, Event, Io};
use crate::exchange::Exchange;
use crate::http::request_body::Step;
use crate::http::trailers::Trailers;
use crate::machine::progress::Expectation;
use crate::machine::state::{OurHalf, PeerEvent, PeerHalf};
use crate::time::Now;

/// What reading on came to.
enum Advance {
    Data(usize),
    End,
    Io(Io),
}

impl Exchange<'_> {
    /// What has arrived of the body. The first call sends the 100 that a client waits for, whether or not body bytes
    /// are there (RFC 9110, 10.1.1).
    ///
    /// # Errors
    ///
    /// The same one each time, once the body turned out bad, too late or cut off. The application may still answer.
    pub fn body(&mut self, now: Now) -> Result<BodyEvent<'_>, BodyError> {
        self.0.now = now;
        Ok(match self.advance_body()? {
            Advance::Data(count) => BodyEvent::Data(&self.0.inbox.bytes()[..count]),
            Advance::End => BodyEvent::End(self.0.progress.trailers.get_or_insert_default()),
            Advance::Io(io) => BodyEvent::Io(io),
        })
    }

    fn advance_body(&mut self) -> Result<Advance, BodyError> {
        if !self.0.state.exchange_is_open() {
            return Err(BodyError::Finished);
        }
        if let Some(lost) = self.0.state.lost() {
            return Err(BodyError::Lost(lost));
        }
        self.send_due_continue();
        loop {
            let machine = &mut *self.0;
            if let Some(error) = machine.progress.failure {
                return Err(BodyError::Request(error));
            }
            if machine.state.peer() == PeerHalf::Done {
                return Ok(Advance::End);
            }
            match machine.body.step(&mut machine.inbox, &machine.config.limits) {
                Ok(Step::Data(count)) => return Ok(Advance::Data(count)),
                Ok(Step::End(trailers)) => {
                    machine.progress.trailers = Some(trailers);
                    machine.state.on_peer(PeerEvent::BodyEnded);
                }
                Ok(Step::More) if machine.state.has_ended_input() => self.fail_body(RequestError::Incomplete),
                Ok(Step::More) => {
                    machine.progress.wants_body = true;
                    // Without an answer a deadline has just passed, and what it caused says so.
                    if let Some(Event::Io(io)) = machine.wait(true) {
                        return Ok(Advance::Io(io));
                    } else if let Some(lost) = machine.state.lost() {
                        return Err(BodyError::Lost(lost));
                    }
                }
                Err(error) => self.fail_body(error),
            }
        }
    }

    /// Takes the first `n` bytes of what [`body`](Self::body) showed; more than that counts as all of it.
    pub fn consume(&mut self, n: usize) {
        let machine = &mut *self.0;
        // Behind the end of the response, what is left of the body is the machine's to drain.
        if machine.state.peer() != PeerHalf::Body || !machine.state.exchange_is_open() {
            return;
        }
        let available =
            machine.inbox.len().min(usize::try_from(machine.body.remaining()).unwrap_or(usize::MAX));
        let taken = n.min(available);
        machine.inbox.consume(taken);
        machine.body.consumed(taken);
        if machine.body.has_ended() {
            machine.state.on_peer(PeerEvent::BodyEnded);
        }
    }

    fn fail_body(&mut self, error: RequestError) {
        self.0.progress.failure = Some(error);
        self.0.state.on_peer(PeerEvent::Failed);
    }

    /// The automatic 100, if one is due and a final response has not begun.
    fn send_due_continue(&mut self) {
        if self.0.progress.expectation == Expectation::Pending && self.0.state.ours() == OurHalf::Open {
            self.0.progress.expectation = Expectation::None;
            self.copy_continue();
        }
    }

    pub(super) fn copy_continue(&mut self) {
        let machine = &mut *self.0;
        machine.outbox.copy(b"HTTP/1.1 100 Continue\r\n");
        machine.outbox.copy(&machine.progress.continue_fields);
        machine.outbox.copy(b"\r\n");
    }

    /// The trailer fields, once the end of the body was read.
    pub fn trailers(&self) -> Option<&Trailers> {
        (self.0.state.peer() == PeerHalf::Done).then_some(self.0.progress.trailers.as_ref())?
    }

    /// Whether the peer closed its sending half, or the connection is lost. Known while bytes are read: of the body,
    /// or because of [`watch_peer`](Self::watch_peer).
    pub fn client_gone(&self) -> bool {
        self.0.state.has_ended_input()
    }

    /// Why the body cannot be read on, as far as that is known; [`body`](Self::body) gives the same error.
    pub fn body_error(&self) -> Option<BodyError> {
        let lost = self.0.state.lost().map(BodyError::Lost);
        lost.or_else(|| self.0.progress.failure.map(BodyError::Request))
    }

    /// From now on the driver is asked to read even when no body is due, so that a peer that leaves is noticed.
    /// Requests sent ahead are kept, within the limits of the receive buffer.
    pub fn watch_peer(&mut self) {
        self.0.progress.watches = true;
    }
}
