//! What an application of a `wsgi-*` server sees, and how one request runs from its head to its end.
//!
//! The adapters (`wsgi-tokio` and its siblings) re-export what applications need, so an application never has to name this
//! crate. It knows no runtime and no socket: an [`adapter`] brings a [`Transport`](adapter::Transport), and
//! [`serve_connection`](adapter::serve_connection) runs the protocol and the application on it.
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
pub use context::log::{Log, LogEntry};
pub use exchange::error::{Error, InputError, Result};
pub use registry::{Report, ServerHandle};
pub use server::options::{OptionError, Options};

pub use bytes::Bytes;
pub use wsgi_proto::{
    Address, BodyLength, Endpoints, Head, KeepAlive, Limits, Record, Scheme, Trailers, Version,
};
pub use wsgi_proto::{BodyError, Lost, Rejected, RequestError, SendError, StartError};
pub use wsgi_proto::{DateError, LogFormat, format_date_time};
pub use wsgi_proto::{Field, FieldBytes, NO_HEADERS};

/// What an adapter is written with: a [`Transport`](adapter::Transport) for its connections, an
/// [`Adapter`](adapter::Adapter) for its listeners, and the [`Server`](adapter::Server) that runs both. Applications need
/// nothing of it.
///
/// `examples/own_adapter.rs` of `wsgi-smol` is a whole adapter in a hundred lines.
pub mod adapter {
    pub use crate::blocking::application::Blocking;
    pub use crate::blocking::serve::{
        serve as serve_blocking, serve_after_handshake as serve_blocking_after_handshake,
    };
    pub use crate::connection::handshake::serve_after_handshake;
    pub use crate::connection::serve_connection;
    pub use crate::context::runtime::{Clock, Runtime};
    pub use crate::io::blocking::BlockingTransport;
    pub use crate::io::transport::Transport;
    pub use crate::registry::ConnectionGuard;
    pub use crate::server::accept_error::{AcceptFailure, accept_failure};
    pub use crate::server::accept_loop::Adapter;
    pub use crate::server::alpn::check_alpn;
    pub use crate::server::serving::Serving;
    pub use crate::server::{BoundAddr, Server};
}
