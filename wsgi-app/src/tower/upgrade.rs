//! The stream of a connection that a service takes over, on its way to the service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wsgi_proto::SendError;

use crate::application::upgrade::Stream;
use crate::sync::{Mutex, lock};

/// Feature `tower`. The raw stream of the connection, once the service has answered with 101: a future.
///
/// A request with an `Upgrade` field has it among its extensions. Clone it out of there, spawn a task that awaits it, and
/// answer with 101:
///
/// ```
/// use std::convert::Infallible;
/// use wsgi_app::{Body, Input, Upgrade};
///
/// async fn echo(request: http::Request<Input>) -> Result<http::Response<String>, Infallible> {
///     let mut response = http::Response::new(String::new());
///     let Some(upgrade) = request.extensions().get::<Upgrade>().cloned() else {
///         *response.status_mut() = http::StatusCode::UPGRADE_REQUIRED;
///         return Ok(response);
///     };
///     // With tokio: `tokio::spawn(…)`.
///     let task = async move {
///         let mut stream = upgrade.await?;
///         stream.write_all(b"Hello\n").await?;
///         stream.shutdown().await?;
///         Ok::<(), wsgi_app::Error>(())
///     };
///     # drop(task);
///     *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
///     response.headers_mut().insert("Upgrade", http::HeaderValue::from_static("echo"));
///     Ok(response)
/// }
/// ```
///
/// The first clone that is awaited gets the stream. A stop of the server waits for it until `graceful_timeout`, wherever it is;
/// [`Stream::stopping`] is ready when the stop begins.
///
/// # Errors
///
/// [`SendError::NotSwitching`] if the service gave another answer; those of
/// [`Input::take_over`](crate::Input::take_over).
#[derive(Clone)]
pub struct Upgrade(Arc<Mutex<State>>);

enum State {
    Waiting(Vec<Waker>),
    Ready(Result<Stream, SendError>),
    Taken,
}

impl Upgrade {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State::Waiting(Vec::new()))))
    }

    pub(crate) fn complete(&self, stream: Result<Stream, SendError>) {
        let before = std::mem::replace(&mut *lock(&self.0), State::Ready(stream));
        if let State::Waiting(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl Future for Upgrade {
    type Output = Result<Stream, SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0);
        match &mut *state {
            State::Waiting(wakers) => {
                if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
            State::Taken => Poll::Ready(Err(SendError::Finished)),
            State::Ready(_) => match std::mem::replace(&mut *state, State::Taken) {
                State::Ready(stream) => Poll::Ready(stream),
                State::Waiting(_) | State::Taken => Poll::Ready(Err(SendError::Finished)),
            },
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}
