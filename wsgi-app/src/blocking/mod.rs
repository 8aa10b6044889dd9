//! The types of blocking applications: the same names as in the crate root, with calls that wait instead of futures.
//!
//! ```
//! use wsgi_app::blocking::{Environ, StartResponse};
//! use wsgi_app::{Body, Result};
//!
//! fn greet(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     let name = environ.input().read_to_end()?;
//!     let write = start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!     write.write("Hello, ")?;
//!     write.write(name)?;
//!     Ok("!\r\n".into())
//! }
//! # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
//! # is_an_application(greet);
//! ```
//!
//! `wsgi-std` serves such applications, and [`blocking()`](fn@crate::blocking) makes applications for the asynchronous
//! adapters of them. [`Body`](crate::Body), [`Errors`](crate::Errors), [`Error`](crate::Error) and the other types of the crate
//! root are the same for both kinds.
//!
//! Each call is the asynchronous one, run on the calling thread. On `wsgi-std` that thread moves the connection's bytes while it
//! waits; on an asynchronous adapter it sleeps, and the connection's task moves them. So two threads that read and write one
//! exchange never wait for each other.

pub(crate) mod application;
mod block_on;
mod blocks;
mod direct;
mod environ;
mod input;
pub(crate) mod on_threads;
mod raw;
mod response;
pub(crate) mod serve;
mod site;
mod stream;
mod taken_over;

pub use crate::response::site::Site;
pub use application::{Application, BoxApplication, Outcome, application_fn};
pub use environ::Environ;
pub use input::{Input, Lines};
pub use on_threads::OnThreads;
pub use response::{StartResponse, Write};
pub use site::site;
pub use stream::Stream;
