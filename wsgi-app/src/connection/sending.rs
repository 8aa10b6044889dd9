//! Sends the body of a response. Blocks that are ready are taken from the application first, without a lock, and then
//! sent together under one.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use wsgi_proto::{Exchange, SendError};

use crate::application::body::{Body, Kind};
use crate::connection::file::send_file;
use crate::connection::request::Failure;
use crate::exchange::error::Error;
use crate::exchange::handle::Handle;

/// The largest number of blocks that are sent under one lock.
const BATCH: usize = 16;

type FileSending = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A body that is being sent.
#[derive(Default)]
pub(crate) struct Sending {
    /// The blocks that were not taken yet. It is dropped after the last one was sent.
    source: Kind,
    /// No more blocks are taken.
    ended: bool,
    /// Blocks that were taken, and are sent next.
    batch: VecDeque<Bytes>,
    /// The number of bytes for which the outbox had room. No more are taken at a time.
    room: usize,
    /// What must happen before the next block is taken.
    waits_for: Wait,
    /// The length of the body, to be announced before its first block.
    length: Option<u64>,
    /// Sends the body, if it is a file.
    file: Option<FileSending>,
    /// The reason why the source ended early. The blocks before it are sent.
    error: Option<Error>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wait {
    #[default]
    Nothing,
    /// The outbox is no longer full.
    Room,
    /// Everything was transmitted, or is transmitted soon by another thread.
    Flush,
}

impl Sending {
    /// Begins with another body.
    pub(crate) fn begin(&mut self, body: Body) {
        (self.room, self.waits_for, self.length) = (0, Wait::Nothing, None);
        self.ended = true;
        match body.0 {
            Kind::Empty => {}
            Kind::Bytes(bytes) => {
                self.length = Some(bytes.len() as u64);
                self.batch.push_back(bytes);
            }
            Kind::Blocks(blocks) => {
                self.length = Some(blocks.iter().map(|block| block.len() as u64).sum());
                self.batch.extend(blocks.into_iter().filter(|block| !block.is_empty()));
            }
            source => (self.source, self.ended) = (source, false),
        }
    }

    /// Sends the body and ends the response. Then nothing is left of the body.
    pub(crate) fn poll(&mut self, handle: &Handle, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Kind::File(_) = self.source
            && let Kind::File(range) = mem::take(&mut self.source)
        {
            self.file = Some(Box::pin(send_file(handle.clone(), range)));
        }
        if let Some(file) = &mut self.file {
            let sent = ready!(file.as_mut().poll(context));
            self.file = None;
            sent?;
            // What follows ends the response.
            self.ended = true;
        }
        loop {
            match self.waits_for {
                Wait::Nothing => {}
                Wait::Room => ready!(handle.poll_until(context, |exchange| !exchange.is_full())),
                Wait::Flush if handle.flush_soon() => {}
                Wait::Flush => ready!(handle.poll_until(context, |exchange| exchange.is_flushed())),
            }
            self.waits_for = Wait::Nothing;
            let is_pending = self.take_blocks(context);
            let has_blocks = !self.batch.is_empty();
            let sent = match handle.with(|mut exchange| self.send(&mut exchange)) {
                Some(sent) => sent,
                // The exchange is already over: the application took over the connection.
                None if has_blocks => Err(SendError::Finished),
                None => Ok(!is_pending),
            };
            if sent? {
                // The application's values are dropped here, and not under the lock.
                self.source = Kind::Empty;
                return Poll::Ready(
                    self.error.take().map_or(Ok(()), |error| Err(Failure::Application(error))),
                );
            }
            if is_pending && self.waits_for == Wait::Nothing {
                return Poll::Pending;
            }
        }
    }

    /// Sends what was taken, as far as there is room: the source has panicked.
    pub(crate) fn send_rest(&mut self, handle: &Handle) {
        handle.with(|mut exchange| self.send(&mut exchange));
    }

    /// Drops the body.
    pub(crate) fn clear(&mut self) {
        self.source = Kind::Empty;
        self.batch.clear();
        self.file = None;
        self.error = None;
    }

    /// Takes the blocks that are ready. Returns whether the source has to be polled again when it wakes the task.
    fn take_blocks(&mut self, context: &mut Context<'_>) -> bool {
        if self.ended || !self.batch.is_empty() {
            return false;
        }
        match &mut self.source {
            Kind::Empty | Kind::Bytes(_) | Kind::Blocks(_) | Kind::File(_) => {}
            // Each block is on its way before the next one is requested (PEP 3333).
            Kind::Iterator(blocks) => match blocks.find(is_not_empty) {
                Some(Ok(block)) => {
                    self.batch.push_back(block);
                    return false;
                }
                Some(Err(error)) => self.error = Some(error),
                None => {}
            },
            Kind::Stream(blocks) => {
                let mut length = 0;
                loop {
                    match blocks.as_mut().poll_next(context) {
                        Poll::Pending => return true,
                        Poll::Ready(Some(Ok(block))) if block.is_empty() => {}
                        Poll::Ready(Some(Ok(block))) => {
                            length += block.len();
                            self.batch.push_back(block);
                            // The first block shows whether the response has a body at all.
                            if length >= self.room || self.batch.len() >= BATCH {
                                return false;
                            }
                        }
                        Poll::Ready(Some(Err(error))) => {
                            self.error = Some(error);
                            break;
                        }
                        Poll::Ready(None) => break,
                    }
                }
            }
        }
        self.ended = true;
        false
    }

    /// Sends the blocks that were taken. Returns true when the response is complete.
    fn send(&mut self, exchange: &mut Exchange<'_>) -> Result<bool, SendError> {
        if let Some(length) = self.length.take() {
            exchange.announce_length(length);
        }
        for _ in 0..BATCH {
            if self.batch.is_empty() {
                break;
            }
            if exchange.is_full() {
                self.waits_for = Wait::Room;
                return Ok(false);
            }
            let _ = exchange.send(self.batch.pop_front().unwrap_or_default())?;
        }
        self.room = exchange.room();
        if !self.batch.is_empty() {
            return Ok(false);
        }
        if self.error.is_some() {
            return Ok(true);
        }
        // A source whose blocks are discarded, as for HEAD, might never end.
        if self.ended || exchange.drops_body() {
            return exchange.finish().map(|()| true);
        }
        if matches!(self.source, Kind::Iterator(_)) {
            self.waits_for = Wait::Flush;
        } else if self.room == 0 {
            self.waits_for = Wait::Room;
        }
        Ok(false)
    }
}

fn is_not_empty<E>(block: &Result<Bytes, E>) -> bool {
    block.as_ref().is_ok_and(|block| !block.is_empty()) || block.is_err()
}
