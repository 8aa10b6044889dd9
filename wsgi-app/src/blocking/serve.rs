//! Serves one connection of a blocking application.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::blocking::application::{Application, Blocking};
use crate::connection::handshake;
use crate::connection::serve_connection;
use crate::io::blocking::{Line, Wire, unless_it_blocks};
use crate::registry::ConnectionGuard;
use crate::server::Server;

/// Serves one connection of a blocking application until it ends, as [`serve_connection`] does for others. It wakes
/// nobody: whoever polls it has to learn from elsewhere when the wire is ready again, or when a deadline comes.
pub fn serve<A: Application, W: Wire>(
    server: Arc<Server<Blocking<A>>>,
    guard: ConnectionGuard,
    wire: W,
) -> impl Future<Output = ()> + Send + use<A, W> {
    let wire = Arc::new(wire);
    let weak: Weak<W> = Arc::downgrade(&wire);
    guard.wire(weak);
    serve_connection(server, guard, Line(wire))
}

/// As [`serve`], after a handshake (of TLS), which `shake_hands` is called for until it does not block any more.
///
/// A wire that could not be made is a handshake that failed. What becomes of one that fails, or takes too long, says
/// [`wsgi_app::serve_after_handshake`](crate::serve_after_handshake).
pub async fn serve_after_handshake<A: Application, W: Wire>(
    server: Arc<Server<Blocking<A>>>,
    guard: ConnectionGuard,
    wire: io::Result<W>,
    shake_hands: impl Fn(&W) -> io::Result<()> + Send,
) {
    let wire = wire.map(Arc::new);
    if let Ok(wire) = &wire {
        let weak: Weak<W> = Arc::downgrade(wire);
        guard.wire(weak);
    }
    let reminded = wire.as_ref().ok().cloned();
    let shaken = async move {
        let wire = wire?;
        poll_fn(|_| unless_it_blocks(|| shake_hands(&wire))).await?;
        Ok(Line(wire))
    };
    handshake::serve_after_handshake(server, guard, shaken, |time| sleep(reminded, time)).await;
}

/// Ready after `time`, when the wire has been reminded of it.
fn sleep(wire: Option<Arc<impl Wire>>, time: Duration) -> impl Future<Output = ()> {
    let end = Instant::now().checked_add(time);
    poll_fn(move |_| match end {
        Some(end) if end <= Instant::now() => Poll::Ready(()),
        Some(end) => {
            wire.iter().for_each(|wire| wire.remind(end));
            Poll::Pending
        }
        None => Poll::Pending,
    })
}
