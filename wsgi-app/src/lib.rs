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
//!         start_response.start("404 Not Found", [("Content-Type", "text/plain")])?;
//!         return Ok("Not Found\r\n".into());
//!     }
//!     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!\r\n".into())
//! }
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # is_an_application(hello_world);
//! ```

#![forbid(unsafe_code)]

mod application;
pub mod blocking;
mod connection;
mod context;
mod exchange;
mod io;
mod registry;
mod server;
mod sync;

pub use application::body::Body;
pub use application::environ::{Environ, Errors};
pub use application::input::{Input, Lines};
pub use application::start_response::{StartResponse, Write};
pub use application::upgrade::Stream;
pub use application::{Application, BoxApplication, ResponseFuture, application_fn};
pub use connection::handshake::serve_after_handshake;
pub use connection::serve_connection;
pub use context::log::{Log, LogEntry};
pub use context::runtime::{Clock, Runtime};
pub use exchange::error::{Error, InputError, Result};
pub use io::transport::Transport;
pub use registry::{ConnectionGuard, Report, ServerHandle};
pub use server::accept_error::{AcceptFailure, accept_failure};
pub use server::options::{OptionError, Options};
pub use server::serving::Serving;
pub use server::{BoundAddr, Server};

pub use bytes::Bytes;
pub use wsgi_proto as proto;
pub use wsgi_proto::{
    Address, Endpoints, Head, Record, Rejected, Scheme, SendError, StartError, Trailers, Version,
};
pub use wsgi_proto::{DateError, format_date_time};
pub use wsgi_proto::{Field, FieldBytes, NO_HEADERS};
