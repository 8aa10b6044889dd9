//! What a blocking application sees: the same names as elsewhere, and calls that wait instead of futures.
//!
//! Every call is the async one, run by the thread that calls it: while it waits, this very thread moves the
//! connection's bytes over its [`BlockingTransport`]. So two threads that read and write one exchange never wait for
//! each other.

mod application;
mod block_on;
mod environ;
mod input;
mod response;
mod serve;
mod stream;

pub use crate::io::blocking::BlockingTransport;
pub use application::{Application, Blocking, BoxApplication, Outcome, application_fn};
pub use environ::Environ;
pub use input::{Input, Lines};
pub use response::{StartResponse, Write};
pub use serve::{serve, serve_after_handshake};
pub use stream::Stream;
