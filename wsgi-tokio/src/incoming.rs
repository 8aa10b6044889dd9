//! Connections from a stream of them, whatever their type.

use std::any::Any;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use wsgi_app::Endpoints;

use crate::socket::{self, Other};

/// How many connections are accepted before other tasks have their turn.
const ACCEPTS: u32 = 64;

/// A connection of a type that is no longer known.
pub(crate) type Erased = Box<dyn socket::Stream>;

type Accepted = io::Result<(Erased, Endpoints)>;

/// A stream of connections.
pub(crate) struct Connections {
    /// `None` once it has ended.
    stream: Option<Pin<Box<dyn Stream<Item = Accepted> + Send>>>,
    /// How many connections were accepted without a pause.
    accepted: u32,
}

impl Connections {
    pub(crate) fn new<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        connections: impl Stream<Item = io::Result<(S, Endpoints)>> + Send + 'static,
    ) -> Self {
        Self { stream: Some(Box::pin(Erasing(Box::pin(connections)))), accepted: 0 }
    }

    pub(crate) fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Accepted> {
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        if self.accepted == ACCEPTS {
            self.accepted = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match stream.as_mut().poll_next(context) {
            Poll::Ready(Some(accepted)) => {
                self.accepted += 1;
                return Poll::Ready(accepted);
            }
            Poll::Ready(None) => self.stream = None,
            Poll::Pending => self.accepted = 0,
        }
        Poll::Pending
    }

    /// Accepts the next connection without a pause.
    pub(crate) fn go_on(&mut self) {
        self.accepted = 0;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.stream.is_none()
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("ended", &self.has_ended()).finish_non_exhaustive()
    }
}

struct Erasing<C>(Pin<Box<C>>);

impl<S, C> Stream for Erasing<C>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    C: Stream<Item = io::Result<(S, Endpoints)>>,
{
    type Item = Accepted;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Accepted>> {
        let next = ready!(self.0.as_mut().poll_next(context));
        Poll::Ready(next.map(|accepted| accepted.map(|(stream, endpoints)| (erase(stream), endpoints))))
    }
}

/// Sockets of tokio keep what they can do. Other streams only read and write.
fn erase<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Erased {
    let mut stream = Some(stream);
    let any: &mut dyn Any = &mut stream;
    if let Some(socket) = any.downcast_mut().and_then(Option::<TcpStream>::take) {
        return Box::new(socket);
    }
    #[cfg(unix)]
    if let Some(socket) = any.downcast_mut().and_then(Option::<UnixStream>::take) {
        return Box::new(socket);
    }
    Box::new(Other(stream.expect("it was not taken")))
}
