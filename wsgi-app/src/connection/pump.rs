//! Advances a connection as far as possible without waiting: applies the server's directive, polls the machine, moves
//! bytes, hands over the transport. This is the one loop for the idle wait, the wait with an application, and blocking
//! calls.

use std::mem;
use std::task::Context;

use wsgi_proto::{Event, Io, Lost};

use crate::connection::transfer::{Moved, Transfer};
use crate::exchange::shared::{Directive, Inner};
use crate::io::transport::Transport;

/// Why [`pump`] stopped.
#[derive(Debug)]
pub(crate) enum Pumped {
    /// The machine returned an event that is not I/O.
    Event(Event),
    /// Nothing more is possible without waiting; this is the machine's wait.
    Waits(Io),
    /// More could be done, but the turn is over: other connections have theirs. The answers were written.
    TurnOver,
}

/// Advances the connection. `woken` is true for the first call after a sleep.
// Without inlining, the machine's event is copied twice on its way to each caller.
#[inline(always)]
pub(crate) fn pump<T: Transport>(
    inner: &mut Inner,
    transfer: &mut Transfer<T>,
    mut woken: bool,
    context: &mut Context<'_>,
) -> Pumped {
    loop {
        apply(inner);
        let event = inner.machine.poll(transfer.now);
        match &event {
            Event::Io(io) => {
                let io = inner.wait_for(io);
                match transfer.move_bytes(inner, &io, mem::take(&mut woken), context) {
                    Moved::Some => continue,
                    Moved::Nothing => return Pumped::Waits(io),
                    Moved::TurnOver => return Pumped::TurnOver,
                }
            }
            Event::Request if transfer.turn.is_over() => {
                transfer.write_answers(inner, context);
                return Pumped::TurnOver;
            }
            Event::TakenOver => transfer.hand_over(inner),
            _ => {}
        }
        return Pumped::Event(event);
    }
}

/// Applies the server's directive to the machine. A busy connection ignores [`Directive::MakeRoom`].
#[inline]
pub(crate) fn apply(inner: &mut Inner) {
    if inner.directive != Directive::Serve {
        apply_directive(inner);
    }
}

#[cold]
fn apply_directive(inner: &mut Inner) {
    match inner.directive {
        Directive::Serve => {}
        // The connection is busy.
        Directive::MakeRoom if !inner.machine.can_make_room() => inner.directive = Directive::Serve,
        Directive::MakeRoom => inner.machine.make_room(),
        Directive::Finish => inner.machine.shutdown(),
        Directive::Abort => inner.machine.lost(Lost::Aborted),
    }
}
