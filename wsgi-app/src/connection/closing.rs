//! Closes a connection: its sending half, by a reset, and what is left at its end.

use std::task::{Context, Poll, ready};

use wsgi_proto::{CloseReason, Instant};

use crate::application::Application;
use crate::connection::Connection;
use crate::connection::call::Request;
use crate::connection::pump::apply;
use crate::connection::transfer::Transfer;
use crate::context::pool;
use crate::io::transport::Transport;

impl<A: Application, T: Transport> Connection<A, T> {
    /// Closes our half of the connection. Waits at most `linger_timeout` for the transport.
    pub(super) fn poll_shutdown(&mut self, since: Instant, context: &mut Context<'_>) -> Poll<()> {
        let Self { transfer: Transfer { transport, server_context, .. }, guard, .. } = self;
        if let Some(transport) = transport
            && transport.poll_shutdown(context).is_pending()
        {
            let mut inner = guard.shared.lock();
            apply(&mut inner);
            if inner.machine.is_lost() {
                return Poll::Ready(());
            }
            inner.sleep(context);
            drop(inner);
            let clock = &server_context.clock;
            match clock.deadline(since.after(server_context.config.linger_timeout)) {
                // A transport may rely on this comparison with the clock.
                Some(deadline) if deadline <= clock.monotonic() => {}
                Some(deadline) => ready!(transport.poll_deadline(context, deadline)),
                None => return Poll::Pending,
            }
        }
        let mut inner = guard.shared.lock();
        inner.machine.write_closed();
        // The wait for the peer's close is a new one.
        inner.waits_since = None;
        Poll::Ready(())
    }

    /// Prepares the transport to reset the connection when it is dropped, which happens next.
    pub(super) fn poll_abort(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(transport) = &mut self.transfer.transport {
            // If it cannot be reset, dropping it still closes it.
            let _ = ready!(transport.poll_abort(context));
        }
        self.guard.shared.lock().machine.write_closed();
        Poll::Ready(())
    }

    /// Returns the memory to the pool, and logs why the connection ended.
    pub(super) fn end(&mut self, reason: Option<CloseReason>) {
        let mut inner = self.guard.shared.lock();
        let (buffers, endpoints) = (inner.machine.take_buffers(), *inner.machine.endpoints());
        drop(inner);
        buffers.into_iter().for_each(pool::put_buffers);
        self.request.take().into_iter().for_each(Request::keep);
        if let Some(reason) = reason {
            self.transfer.server_context.closed(&endpoints, reason);
        }
    }
}
