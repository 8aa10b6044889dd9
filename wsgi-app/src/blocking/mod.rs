//! What a blocking application sees: the same names as elsewhere, and calls that wait instead of futures.
//!
//! Each call is the async one, run on the thread that calls it: while it waits, that thread moves the connection's bytes.
//! So two threads that read and write one exchange never wait for each other.

pub(crate) mod application;
mod block_on;
mod environ;
mod input;
mod response;
pub(crate) mod serve;
mod stream;

pub use application::{Application, BoxApplication, Outcome, application_fn};
pub use environ::Environ;
pub use input::{Input, Lines};
pub use response::{StartResponse, Write};
pub use stream::Stream;
