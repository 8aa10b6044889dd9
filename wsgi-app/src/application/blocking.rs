//! The wrapper that makes a blocking application an asynchronous one. The module `blocking` implements it.

/// A blocking application as an asynchronous one, for [`Server`](crate::adapter::Server). Each call returns a future
/// that is immediately ready.
///
/// Its connections need a [`BlockingTransport`](crate::adapter::BlockingTransport); see
/// [`serve_blocking`](crate::adapter::serve_blocking).
#[derive(Debug)]
pub struct Blocking<A>(pub A);
