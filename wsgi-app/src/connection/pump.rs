//! Moves a connection on, as far as that is possible without waiting: applies what the server wants, asks the machine, moves
//! bytes, hands over. The one loop for the idle wait, for the wait with an application, and for blocking calls.

use std::mem;
use std::task::Context;

use wsgi_proto::{Event, Io, Lost};

use crate::connection::transfer::Transfer;
use crate::exchange::shared::{Directive, Inner};
use crate::io::transport::Transport;

/// How far a connection was moved on.
#[derive(Debug)]
pub(crate) enum Pumped {
    /// The machine says something that no transport can do.
    Event(Event),
    /// Nothing more is possible at once; this is what the machine waits for.
    Waits(Io),
    /// It is the turn of the other connections.
    Spent,
}

/// Moves the connection on. `woken`: for the first time after a sleep.
// Without it, what the machine says is copied twice on its way to each caller.
#[inline(always)]
pub(crate) fn pump<T: Transport>(
    inner: &mut Inner,
    transfer: &mut Transfer<T>,
    mut woken: bool,
    context: &mut Context<'_>,
) -> Pumped {
    loop {
        apply(inner);
        match inner.machine.poll(transfer.now) {
            Event::Io(_) if transfer.is_spent() => return Pumped::Spent,
            Event::Io(io) if transfer.move_bytes(inner, io, mem::take(&mut woken), context) => {}
            Event::Io(io) => return Pumped::Waits(io),
            event => {
                if event == Event::TakenOver {
                    transfer.hand_over(inner);
                }
                return Pumped::Event(event);
            }
        }
    }
}

/// Carries out what the server wants of this connection, as far as it is time for it.
pub(crate) fn apply(inner: &mut Inner) {
    match inner.directive {
        Directive::Serve => {}
        // It is busy.
        Directive::MakeRoom if !inner.machine.can_make_room() => inner.directive = Directive::Serve,
        Directive::MakeRoom => inner.machine.make_room(),
        Directive::Finish => inner.machine.shutdown(),
        Directive::Abort => inner.machine.lost(Lost::Aborted),
    }
}
