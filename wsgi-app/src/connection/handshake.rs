//! The handshake that precedes the first byte of HTTP on a connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::application::Application;
use crate::connection::serve_connection;
use crate::exchange::shared::Directive;
use crate::io::transport::Transport;
use crate::registry::ConnectionGuard;
use crate::server::Server;

/// Runs a (TLS) handshake in the connection's own task, then [serves](serve_connection) the resulting transport.
/// `sleep` is the runtime's timer, used for `handshake_timeout`.
///
/// A failed handshake is logged as a debug entry. If the server stops or needs room during the handshake, the
/// connection closes: no part of a request has been read yet.
pub async fn serve_after_handshake<A: Application, T: Transport, S: Future>(
    server: Arc<Server<A>>,
    guard: ConnectionGuard,
    handshake: impl Future<Output = io::Result<T>>,
    sleep: impl FnOnce(Duration) -> S,
) {
    let timer = sleep(server.handshake_timeout());
    if let Some(transport) = server.handshake(&guard, handshake, timer).await {
        serve_connection(server, guard, transport).await;
    }
}

impl<A> Server<A> {
    async fn handshake<T>(
        &self,
        guard: &ConnectionGuard,
        handshake: impl Future<Output = io::Result<T>>,
        timer: impl Future,
    ) -> Option<T> {
        let (mut handshake, mut timer) = (pin!(handshake), pin!(timer));
        let done = poll_fn(|context| {
            if let Poll::Ready(done) = handshake.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            if timer.as_mut().poll(context).is_ready() {
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
            let mut inner = guard.shared.lock();
            if inner.directive > Directive::Serve {
                return Poll::Ready(None);
            }
            inner.sleep(context);
            drop(inner);
            // The acceptor skips a locked connection. If it has just done so, it has to look again.
            if self.registry.is_crowded() {
                self.registry.look_for_room();
            }
            Poll::Pending
        });
        match done.await? {
            Ok(transport) => Some(transport),
            Err(error) => {
                let endpoints = *guard.shared.lock().machine.endpoints();
                self.context.handshake_failed(&endpoints, &error);
                None
            }
        }
    }
}
