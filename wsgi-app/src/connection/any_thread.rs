//! Moves the bytes of a blocking application's connection on any thread, while another one may be in its task.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Waker};

use wsgi_proto::{Io, SendError};

use crate::connection::pump::{Pumped, pump};
use crate::connection::transfer::Transfer;
use crate::exchange::handle::Handle;
use crate::exchange::shared::WakeList;
use crate::io::blocking::{BlockingTransport, Polled};

/// The number of bytes from which on they are written immediately: a write of them is worth its system call.
const ENOUGH: usize = 16 * 1024;

impl Handle {
    /// Leaves what was sent in the outbox, so that it is written together with what follows. Another thread writes it
    /// within a few milliseconds, whatever the application does, as PEP 3333 allows. Returns false if the caller has to
    /// write now.
    pub(crate) fn flush_soon(&self) -> bool {
        let Some(transport) = self.blocking_transport() else { return false };
        let mut inner = self.lock();
        let most = self.server_context().config.limits.outbox;
        match inner.exchange(self.serial()) {
            // Nothing waits.
            None => return true,
            Some(exchange) if exchange.is_flushed() => return true,
            Some(exchange) if exchange.room() + ENOUGH <= most || exchange.is_full() => return false,
            Some(_) => {}
        }
        let is_scheduled = inner.flushes_soon;
        drop(inner);
        is_scheduled || self.schedule_flush(&transport)
    }

    /// Sends a block that [`flush_soon`](Self::flush_soon) would leave in the outbox. Returns false if that is not possible
    /// without a wait, or if the body is dropped: then no byte of the block was sent.
    pub(crate) fn send_soon(&self, block: &[u8]) -> Result<bool, SendError> {
        let most = self.server_context().config.limits.outbox;
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        if !inner.flushes_soon {
            // The other thread must not take this lock and that of the transport in the other order.
            drop(inner);
            if !self.blocking_transport().is_some_and(|transport| self.schedule_flush(&transport)) {
                return Ok(false);
            }
            inner = self.lock();
            if !inner.flushes_soon {
                // It has come and gone.
                return Ok(false);
            }
        }
        let Some(exchange) = inner.exchange(self.serial()) else { return Ok(false) };
        if exchange.drops_body() || exchange.room() + ENOUGH <= most + block.len() {
            return Ok(false);
        }
        if !exchange.head_is_sent() {
            inner.machine.set_now(self.now());
        }
        let Some(mut exchange) = inner.exchange(self.serial()) else { return Ok(false) };
        let sent = exchange.send(block);
        inner.touch(&mut wake_list);
        match sent {
            Err(SendError::Full) => Ok(false),
            Err(error) => Err(error),
            // Only the head that went out with the block shows that there is no body: a source whose blocks are dropped might
            // never end.
            Ok(_) => Ok(!inner.exchange(self.serial()).is_some_and(|exchange| exchange.drops_body())),
        }
    }

    /// Lets another thread write what waits to be sent within a few milliseconds. Returns false if there is none.
    fn schedule_flush(&self, transport: &Arc<dyn BlockingTransport>) -> bool {
        if mem::replace(&mut self.lock().flushes_soon, true) {
            return true;
        }
        let handle = self.clone();
        let is_accepted = transport.flush_soon(Box::new(move || handle.flush_now()));
        if !is_accepted {
            self.lock().flushes_soon = false;
        }
        is_accepted
    }

    /// Writes what waits to be sent. Returns true if nothing is left, or another flush was scheduled.
    fn flush_now(&self) -> bool {
        // Bytes that are sent from now on schedule their own flush.
        self.lock().flushes_soon = false;
        let Some(transport) = self.blocking_transport() else { return true };
        let mut context = Context::from_waker(Waker::noop());
        // The first time, the application may have to be notified of what was written.
        let waits = (0..2).find_map(|_| self.move_bytes(&transport, &mut context));
        waits.is_some_and(|io| !io.write) || mem::replace(&mut self.lock().flushes_soon, true)
    }

    /// Advances the connection as far as possible without waiting. Returns what the machine waits for, or `None` if the
    /// call has to be polled again first.
    pub(crate) fn move_bytes(
        &self,
        transport: &Arc<dyn BlockingTransport>,
        context: &mut Context<'_>,
    ) -> Option<Io> {
        let mut transfer = Transfer::new(Polled(Arc::clone(transport)), Arc::clone(self.server_context()));
        transfer.begin_turn();
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        let pumped = pump(&mut inner, &mut transfer, false, context);
        if inner.take_notice() {
            inner.wake_application(context, &mut wake_list);
            inner.touch(&mut wake_list);
            return None;
        }
        match pumped {
            Pumped::Waits(io) => Some(io),
            Pumped::Event(_) => {
                // The exchange is over. The event is for the connection's own task, which the transport might not wake.
                inner.touch(&mut wake_list);
                Some(Io::default())
            }
            // Turns are for tasks that share a thread; this call has its own.
            Pumped::TurnOver => None,
        }
    }
}
