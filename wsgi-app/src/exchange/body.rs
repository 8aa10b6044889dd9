//! Reading the request body, under the lock of the connection.

use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use wsgi_proto::{BodyEvent, Io, Now};

use crate::exchange::error::InputError;
use crate::exchange::shared::{Directive, Inner, WakeList};

/// The part of the data that a reader takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taken {
    /// The reader has copied this number of bytes.
    Copied(usize),
    /// This number of bytes is taken, without a copy if possible.
    Shared(usize),
}

impl Inner {
    /// Passes the received bytes of the body to `take`, if the exchange `serial` is open. Its result goes with the bytes
    /// of [`Taken::Shared`]. Without a result, `take` is called again for the bytes that follow.
    pub(super) fn poll_body<R>(
        &mut self,
        serial: u64,
        now: impl Fn() -> Now,
        context: &mut Context<'_>,
        wake_list: &mut WakeList,
        mut take: impl FnMut(&[u8]) -> (Taken, Option<R>),
    ) -> Poll<Result<Option<(R, Bytes)>, InputError>> {
        loop {
            let Some(mut exchange) = self.exchange(serial) else { return Poll::Ready(Err(InputError::Over)) };
            match exchange.body_at(&now) {
                Ok(BodyEvent::Data(data)) => {
                    let (taken, result) = take(data);
                    let (count, bytes) = match taken {
                        Taken::Copied(count) => {
                            exchange.consume(count);
                            (count, Bytes::new())
                        }
                        Taken::Shared(count) => (count, exchange.take_data(count)),
                    };
                    self.read += count as u64;
                    if let Some(result) = result {
                        return Poll::Ready(Ok(Some((result, bytes))));
                    }
                }
                Ok(BodyEvent::End(_)) => return Poll::Ready(Ok(None)),
                Ok(BodyEvent::Io(_)) => {
                    self.wait(context, wake_list);
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// The number of bytes of the body that its reader may take from the transport itself; 0 if that is fewer than
    /// `least`, or if something else has to be done first.
    pub(crate) fn direct_room(&mut self, serial: u64, least: usize, now: impl FnOnce() -> Now) -> usize {
        let reads_as_usual = self.directive != Directive::Serve || !self.peeked.is_empty();
        let Some(mut exchange) = self.exchange(serial).filter(|_| !reads_as_usual) else { return 0 };
        if exchange.direct_room() < least {
            return 0;
        }
        // The wait for the client begins now.
        match exchange.body_at(now) {
            Ok(BodyEvent::Io(Io { read: true, write: false, last_read: false, .. })) => {
                exchange.direct_room()
            }
            _ => 0,
        }
    }

    /// Reports bytes that the reader of the body has taken from the transport.
    pub(crate) fn recv_direct(&mut self, serial: u64, count: usize) {
        if let Some(mut exchange) = self.exchange(serial) {
            exchange.recv_direct(count);
            self.read += count as u64;
        }
    }

    /// Returns the bytes of the body that were read last: they count as peeked.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.read -= bytes.len() as u64;
        self.peeked = bytes;
    }

    /// Consumes the first `count` peeked bytes.
    pub(super) fn take_peeked(&mut self, count: usize) {
        let count = count.min(self.peeked.len());
        self.peeked.advance(count);
        self.read += count as u64;
    }
}
