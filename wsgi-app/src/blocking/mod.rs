//! What a blocking application sees: the same names as elsewhere, and calls that wait instead of futures.
//!
//! Every call is the async one, run by the thread that calls it: while it waits, this very thread moves the
//! connection's bytes over its [`Wire`]. So two threads that read and write one exchange never wait for each other.
//!
//! The rest is for engines: a [`Desk`] where threads get their work, and a [`Slot`] for each connection.

mod alarms;
mod application;
mod block_on;
mod desk;
mod environ;
mod input;
mod life;
mod response;
mod serve;
mod slot;
mod stream;
mod sync;
#[cfg(feature = "tls")]
mod tls;

pub use crate::io::blocking::Wire;
pub use alarms::{Alarms, Timer};
pub use application::{Application, Blocking};
pub use desk::{Came, Desk, Work};
pub use environ::Environ;
pub use input::{Input, Lines};
pub use life::{Alarm, run_life};
pub use response::{StartResponse, Write};
pub use serve::{Tls, serve};
pub use slot::Slot;
pub use stream::Stream;
