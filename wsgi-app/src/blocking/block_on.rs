//! Runs a handle's asynchronous call to completion on the calling thread, which moves the connection's bytes while it
//! waits.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::exchange::handle::Handle;

impl Handle {
    /// Runs one asynchronous call to completion on this thread, which moves the connection's bytes while it waits.
    pub(super) fn block_on<R>(&self, call: impl Future<Output = R>) -> R {
        let mut call = pin!(call);
        loop {
            if let Some(result) = self.block_until(call.as_mut(), None) {
                return result;
            }
        }
    }

    /// Like [`block_on`](Self::block_on). `None` after `end`.
    pub(super) fn block_until<R>(
        &self,
        mut call: Pin<&mut impl Future<Output = R>>,
        end: Option<Instant>,
    ) -> Option<R> {
        // Without a transport the connection is over, so the call is about to return.
        let transport = self.blocking_transport();
        let waker = transport.as_ref().map_or_else(|| Waker::noop().clone(), |transport| transport.waker());
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = call.as_mut().poll(&mut context) {
                return Some(result);
            }
            if end.is_some_and(|end| end <= Instant::now()) {
                return None;
            }
            match &transport {
                // Anything that has happened since the call was polled has woken this thread's waker.
                Some(transport) => {
                    if let Some(io) = self.move_bytes(transport, &mut context) {
                        let deadline =
                            io.deadline.and_then(|(at, _)| self.server_context().clock.deadline(at));
                        let deadline = deadline.into_iter().chain(end).min();
                        // If the wait fails, the next read or write returns the reason.
                        let _ = transport.wait(io.read, io.write, deadline);
                    }
                }
                None => std::thread::yield_now(),
            }
        }
    }

    /// Whether the client has closed its side, as far as that is known without waiting, or the exchange is over.
    pub(super) fn is_client_gone(&self) -> bool {
        self.with(|mut exchange| exchange.watch_peer());
        if let Some(transport) = self.blocking_transport() {
            let waker = transport.waker();
            let mut context = Context::from_waker(&waker);
            // The transport might not know yet that there is something to read. If the wait fails, the read returns the
            // reason.
            let _ = transport.wait(true, false, Some(Instant::now()));
            while self.move_bytes(&transport, &mut context).is_none() {}
        }
        self.look(|exchange| exchange.client_gone()).unwrap_or(true)
    }
}
