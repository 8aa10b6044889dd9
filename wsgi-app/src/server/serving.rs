//! The future that an adapter's `serve` returns.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::registry::Report;

/// A running server: the future that `serve` returns. It completes when the server has stopped, or with the failure of
/// a listener.
// The type has no parameters. With an `async fn`, whose type depends on its arguments, the compiler would report each
// invalid argument three times: for the call, for the future and for its `await`.
#[must_use = "nothing is served before this is awaited"]
pub struct Serving(Pin<Box<dyn Future<Output = io::Result<Report>> + Send>>);

impl Serving {
    /// Wraps the future of an adapter.
    pub fn new(serving: impl Future<Output = io::Result<Report>> + Send + 'static) -> Self {
        Self(Box::pin(serving))
    }
}

impl Future for Serving {
    type Output = io::Result<Report>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}
