//! How a response gets into the outbox: its head is sealed once, blocks are counted, joined and framed.

use crate::config::KeepAlive;
use crate::error::SendError;
use crate::error::StartError;
use crate::event::{Expectation, Flow};
use crate::exchange::Exchange;
use crate::http::response::{Circumstances, Framing};
use crate::machine::outbox::Piece;
use crate::machine::state::{OurEvent, OurHalf, PeerHalf};
use crate::version::Version;

impl Exchange<'_> {
    /// Takes a block of a response whose head has gone out.
    pub(crate) fn accept(&mut self, mut piece: Piece<'_>) -> Result<(), SendError> {
        let reply = &mut self.0.reply;
        if piece.is_empty() || reply.framing == Framing::Bodyless {
            return Ok(());
        }
        let mut surplus = false;
        if let Framing::Length(left) = &mut reply.framing {
            surplus = piece.len() as u64 > *left;
            piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= piece.len() as u64;
        }
        self.join(piece);
        if surplus { Err(SendError::TooLong(self.0.reply.length)) } else { Ok(()) }
    }

    pub(crate) fn flow(&self) -> Flow {
        if self.is_full() { Flow::Full } else { Flow::Ready }
    }

    pub(crate) fn may_send(&self) -> Result<(), SendError> {
        match self.0.lost {
            _ if !self.0.state.exchange_is_open() => Err(SendError::Finished),
            Some(lost) => Err(SendError::Lost(lost)),
            None if !self.0.reply.is_started() => Err(SendError::NotStarted),
            None => Ok(()),
        }
    }

    /// Whether a response can still be started, or an interim one be sent.
    pub(crate) fn may_start(&self) -> Result<(), StartError> {
        if self.0.state.exchange_is_open() { Ok(()) } else { Err(StartError::Over) }
    }

    pub(crate) fn may_replace(&self) -> Result<(), StartError> {
        match self.0.state.ours() {
            OurHalf::Open => Ok(()),
            OurHalf::Sending => Err(StartError::HeadSent),
            _ => Err(StartError::Over),
        }
    }

    pub(crate) fn is_head_request(&self) -> bool {
        self.0.head.as_ref().is_some_and(|head| head.facts.is_head)
    }

    /// Whether interim responses and chunks may be sent.
    pub(crate) fn speaks_http11(&self) -> bool {
        let client = self.0.head.as_ref().map_or(Version::Http10, |head| head.version());
        client.min(self.0.config.max_http_version) == Version::Http11
    }

    /// Sends the head. `ended`: the application will not read or send after what it has given.
    pub(crate) fn seal(&mut self, ended: bool) -> Result<(), SendError> {
        let (is_head_request, may_chunk) = (self.is_head_request(), self.speaks_http11());
        let machine = &mut *self.0;
        let facts = machine.head.as_ref().map(|head| head.facts).unwrap_or_default();
        // RFC 9112, 9.3.
        let asked = if may_chunk { !facts.close } else { facts.keep_alive && !facts.close };
        // Unread input that will not be drained ends the connection; said when it is known in time.
        let unread = ended
            && machine.state.peer() == PeerHalf::Body
            && (machine.ledger.expectation == Expectation::Pending
                || machine.body.declared_remaining() > machine.config.limits.drain);
        let keepalive = machine.config.keepalive;
        let persist = machine.state.persists() && machine.config.reuses_connections() && asked && !unread;
        let persist = machine.reply.seal(Circumstances {
            is_head_request,
            may_chunk,
            persist,
            announce_keep_alive: facts.keep_alive,
            keep_alive_timeout: match keepalive {
                KeepAlive::For(time) if time.as_secs() >= 1 => Some(time.as_secs()),
                _ => None,
            },
            date_line: machine.date.line(machine.now.unix),
        });
        if !persist {
            machine.state.do_not_persist();
        }
        machine.ledger.response_from = machine.outbox.total();
        machine.ledger.head_length = machine.reply.head_bytes().len() as u64;
        machine.ledger.status = machine.reply.status();
        machine.outbox.copy(machine.reply.head_bytes());
        machine.state.on_ours(OurEvent::HeadSent);
        // Blocks that waited for the minimum size before there was a framing.
        if machine.reply.joined.is_empty() {
            return Ok(());
        }
        let waiting = core::mem::take(&mut machine.reply.joined);
        self.accept(Piece::Borrowed(&waiting))
    }

    pub(crate) fn join(&mut self, piece: Piece<'_>) {
        let reply = &mut self.0.reply;
        if reply.joined.is_empty() && piece.len() >= reply.minimum_chunk_size {
            return self.emit(piece);
        }
        reply.joined.extend_from_slice(piece.as_slice());
        if reply.joined.len() >= reply.minimum_chunk_size {
            let mut joined = core::mem::take(&mut self.0.reply.joined);
            self.emit(Piece::Borrowed(&joined));
            joined.clear();
            self.0.reply.joined = joined;
        }
    }

    /// Sends blocks that did not reach the minimum size.
    pub(crate) fn emit_joined(&mut self) {
        let joined = core::mem::take(&mut self.0.reply.joined);
        self.emit(Piece::Borrowed(&joined));
    }

    pub(crate) fn emit(&mut self, piece: Piece<'_>) {
        if piece.is_empty() {
            return;
        }
        let machine = &mut *self.0;
        machine.ledger.body_length += piece.len() as u64;
        if machine.reply.framing == Framing::Chunked {
            let mut line = [0; 18];
            machine.outbox.copy(chunk_line(&mut line, piece.len()));
            machine.outbox.push(piece);
            machine.outbox.copy(b"\r\n");
        } else {
            machine.outbox.push(piece);
        }
    }
}

/// The size of a chunk in hexadecimal, and CRLF, at the end of `line`.
fn chunk_line(line: &mut [u8; 18], mut size: usize) -> &[u8] {
    line[16..].copy_from_slice(b"\r\n");
    let mut at = 16;
    loop {
        at -= 1;
        line[at] = b"0123456789abcdef"[size & 15];
        size >>= 4;
        if size == 0 {
            return &line[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_size_is_hexadecimal() {
        for size in [0, 9, 10, 255, 4096, usize::MAX] {
            let mut line = [0; 18];
            assert_eq!(chunk_line(&mut line, size), alloc::format!("{size:x}\r\n").as_bytes());
        }
    }
}
