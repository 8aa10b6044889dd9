//! What an application of a `wsgi-*` server sees, and how one request runs from its head to its end.
//!
//! The adapters (`wsgi-tokio` and its siblings) re-export this crate; an application never has to name it. It knows
//! no runtime and no socket: an adapter brings a [`Transport`], and [`serve_connection`] runs the protocol and the
//! application on it.
//!
//! ```
//! use wsgi_app::{Body, Environ, Result, StartResponse};
//!
//! async fn hello_world(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     if environ.path() != "/" {
//!         start_response.send("404 Not Found", [("Content-Type", "text/plain")])?;
//!         return Ok("Not Found\r\n".into());
//!     }
//!     start_response.send("200 OK", [("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!\r\n".into())
//! }
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # is_an_application(hello_world);
//! ```

#![forbid(unsafe_code)]

mod accept;
mod application;
pub mod blocking;
mod body;
mod builder;
mod clock;
mod drive;
mod environ;
mod error;
mod fields;
#[cfg(feature = "futures-io")]
mod futures_io;
mod guard;
mod handshake;
mod input;
mod link;
mod log;
mod options;
mod register;
mod run;
mod serve;
mod server;
mod shared;
mod start_response;
mod take_over;
mod transport;

pub use accept::{AcceptFailure, accept_failure};
pub use application::Application;
pub use body::Body;
pub use drive::serve_connection;
pub use environ::{Environ, Errors};
pub use error::{Error, InputError, Result};
pub use handshake::serve_after_handshake;
pub use input::{Input, Lines};
pub use log::{Log, LogEntry};
pub use options::{OptionError, Options};
pub use register::{Permit, Report, ServerHandle};
pub use serve::Place;
pub use server::Server;
pub use start_response::{StartResponse, Write};
pub use take_over::Stream;
pub use transport::Transport;

pub use bytes::Bytes;
pub use wsgi_proto as proto;
pub use wsgi_proto::{Address, Head, Peer, Record, Scheme, SendError, StartError, Trailers, Version};
pub use wsgi_proto::{DateError, format_date_time};
