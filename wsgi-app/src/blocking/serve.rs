//! Runs one connection of a blocking application.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use crate::application::blocking::Blocking;
use crate::blocking::application::Application;
use crate::connection::handshake;
use crate::connection::serve_connection;
use crate::io::blocking::{BlockingTransport, Polled, unless_it_blocks};
use crate::registry::ConnectionGuard;
use crate::server::Server;

/// Serves one connection of a blocking application until it ends: [`serve_connection`] for a [`BlockingTransport`].
///
/// The transport does not wake the future. Poll it again when the transport is ready, or when the deadline of
/// [`remind`](BlockingTransport::remind) has passed.
pub fn serve<A: Application, T: BlockingTransport>(
    server: Arc<Server<Blocking<A>>>,
    guard: ConnectionGuard,
    transport: T,
) -> impl Future<Output = ()> + Send + use<A, T> {
    let transport = Arc::new(transport);
    let weak: Weak<T> = Arc::downgrade(&transport);
    guard.set_blocking_transport(weak);
    serve_connection(server, guard, Polled(transport))
}

/// Serves one connection of a blocking application after a handshake, such as that of TLS. `shake_hands` is called at
/// each poll until it no longer returns [`WouldBlock`](io::ErrorKind::WouldBlock).
///
/// If `transport` is an error, the handshake has failed.
/// [`serve_after_handshake`](crate::adapter::serve_after_handshake) describes handshakes that fail or take too long.
pub async fn serve_after_handshake<A: Application, T: BlockingTransport>(
    server: Arc<Server<Blocking<A>>>,
    guard: ConnectionGuard,
    transport: io::Result<T>,
    mut shake_hands: impl FnMut(&T) -> io::Result<()> + Send,
) {
    let transport = transport.map(Arc::new);
    if let Ok(transport) = &transport {
        let weak: Weak<T> = Arc::downgrade(transport);
        guard.set_blocking_transport(weak);
    }
    let reminded = transport.as_ref().ok().cloned();
    let shaken = async move {
        let transport = transport?;
        poll_fn(|_| unless_it_blocks(|| shake_hands(&transport))).await?;
        Ok(Polled(transport))
    };
    let context = Arc::clone(&server.context);
    let sleep = |time: Duration| {
        let (context, reminded) = (Arc::clone(&context), reminded.clone());
        let end = context.clock.monotonic().checked_add(time);
        poll_fn(move |_| match end {
            Some(end) if end <= context.clock.monotonic() => Poll::Ready(()),
            Some(end) => {
                // The transport has the connection polled again then.
                reminded.iter().for_each(|transport| transport.remind(end));
                Poll::Pending
            }
            None => Poll::Pending,
        })
    };
    handshake::serve_after_handshake(server, guard, shaken, sleep).await;
}
