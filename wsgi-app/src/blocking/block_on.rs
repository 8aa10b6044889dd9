//! Runs a handle's asynchronous call to completion on the calling thread.
//!
//! Over a [`BlockingTransport`] the thread itself moves the connection's bytes while it waits. Otherwise the connection's
//! task does that: the thread sleeps until that task, or another handle, wakes it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::context::parker::Parker;
use crate::exchange::handle::Handle;
use crate::io::blocking::BlockingTransport;

impl Handle {
    /// Runs one asynchronous call to completion on this thread.
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
        call: Pin<&mut impl Future<Output = R>>,
        end: Option<Instant>,
    ) -> Option<R> {
        match self.blocking_transport() {
            Some(transport) => self.block_on_transport(&transport, call, end),
            // If it was a blocking one, the connection is over, which wakes all that wait.
            None => park_on(call, end),
        }
    }

    /// Moves the connection's bytes while the call waits.
    fn block_on_transport<R>(
        &self,
        transport: &Arc<dyn BlockingTransport>,
        mut call: Pin<&mut impl Future<Output = R>>,
        end: Option<Instant>,
    ) -> Option<R> {
        let waker = transport.waker();
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = call.as_mut().poll(&mut context) {
                return Some(result);
            }
            if is_over(end) {
                return None;
            }
            // Anything that has happened since the call was polled has woken this thread's waker.
            if let Some(io) = self.move_bytes(transport, &mut context) {
                let deadline = io.deadline.and_then(|(at, _)| self.server_context().clock.deadline(at));
                let deadline = deadline.into_iter().chain(end).min();
                // If the wait fails, the next read or write returns the reason.
                let _ = transport.wait(io.read, io.write, deadline);
            }
        }
    }

    /// Waits until everything was sent, if it is this thread that sends it. Otherwise the connection's task sends it while
    /// the application continues, as PEP 3333 allows.
    pub(super) fn flush_itself(&self) {
        if self.blocking_transport().is_some() {
            self.flush();
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
        } else {
            // The connection's task notifies handles before it reads and after that. The second time, it has read.
            for _ in 0..2 {
                self.block_on(self.noticed());
            }
        }
        self.look(|exchange| exchange.client_gone()).unwrap_or(true)
    }

    /// Ready when the connection's task has notified the handles that wait.
    fn noticed(&self) -> impl Future<Output = ()> {
        let mut asked = false;
        poll_fn(move |context| {
            if asked {
                return Poll::Ready(());
            }
            asked = true;
            self.poll_notice(context)
        })
    }
}

/// Runs `call` to completion on this thread, which sleeps until it is woken. `None` after `end`.
fn park_on<R>(mut call: Pin<&mut impl Future<Output = R>>, end: Option<Instant>) -> Option<R> {
    let parker = Parker::current();
    let waker = Waker::from(Arc::clone(&parker));
    let mut context = Context::from_waker(&waker);
    loop {
        match call.as_mut().poll(&mut context) {
            Poll::Ready(result) => return Some(result),
            Poll::Pending if is_over(end) => return None,
            Poll::Pending => parker.park(end),
        }
    }
}

fn is_over(end: Option<Instant>) -> bool {
    end.is_some_and(|end| end <= Instant::now())
}
