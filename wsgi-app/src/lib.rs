//! The interface of applications for the `wsgi-*` HTTP servers, and the code that runs their connections on any
//! runtime.
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
//!
//! The interface is that of WSGI (PEP 3333), under the names of `eventlet.wsgi`: an application gets [`Environ`] and
//! [`StartResponse`], and returns a [`Body`].
//!
//! A function from a request to a response becomes an application by [`site`]:
//!
//! ```
//! use wsgi_app::{Environ, IntoResponse, site};
//!
//! async fn hello_world(environ: Environ) -> impl IntoResponse {
//!     match environ.path_utf8().as_deref() {
//!         Some("/") => (200, "Hello, World!\r\n"),
//!         _ => (404, "Not Found\r\n"),
//!     }
//! }
//!
//! let application = site(hello_world);
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # is_an_application(application);
//! ```
//!
//! [`test::call`] calls both without a socket.
//!
//! # Which crate to use
//!
//! | you write | depend on |
//! | --- | --- |
//! | a server on tokio, smol, async-std or blocking sockets | `wsgi-tokio`, `wsgi-smol` or `wsgi-std` instead |
//! | an application or middleware for every asynchronous adapter | this crate, its root |
//! | an application or middleware for blocking code | this crate, [`blocking`](mod@blocking) |
//! | an adapter for another runtime or transport | this crate, [`adapter`] |
//! | a driver without `std` or without tasks | `wsgi-proto` |
//!
//! The adapters re-export everything that applications need: read `wsgi_tokio::Body` for `wsgi_app::Body` below.
//!
//! There are two namespaces. The crate root is for applications, and [`blocking`](mod@blocking) has its types with calls that wait.
//! [`adapter`] is for adapters; applications need nothing from it. The crate depends on no runtime and opens no socket.
//!
//! # Cookbook
//!
//! These are short. `docs/cookbook.md` in the repository has complete programs, among them routes, forms, uploads, downloads with
//! ranges, tests, metrics, and a service of systemd.
//!
//! ## Share state
//!
//! An application is called by many connections at the same time, through `&self`. Put shared state into a type:
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use wsgi_app::{Application, Body, Environ, Result, StartResponse};
//!
//! #[derive(Default)]
//! struct Site {
//!     hits: AtomicU64,
//! }
//!
//! impl Application for Site {
//!     async fn call(
//!         &self,
//!         _environ: Environ,
//!         start_response: StartResponse,
//!     ) -> Result<Body> {
//!         let hits = self.hits.fetch_add(1, Ordering::Relaxed) + 1;
//!         start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!         Ok(format!("{hits} hits\n").into())
//!     }
//! }
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # is_an_application(Site::default());
//! ```
//!
//! A closure that clones an `Arc` does the same, see [`Application`]. Values of one request, such as its user, go from
//! middleware to the application by [`Environ::insert`].
//!
//! ## Read the body of a POST
//!
//! ```
//! use wsgi_app::{Body, Environ, NO_HEADERS, Result, StartResponse};
//!
//! async fn greet(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     if environ.method() != "POST" {
//!         start_response.start("405 Method Not Allowed", [("Allow", "POST")])?;
//!         return Ok(Body::empty());
//!     }
//!     let body = environ.input().read_to_end().await?;
//!     let Ok(name) = std::str::from_utf8(&body) else {
//!         start_response.start("400 Bad Request", NO_HEADERS)?;
//!         return Ok(Body::empty());
//!     };
//!     start_response.start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])?;
//!     Ok(format!("Hello, {name}!\n").into())
//! }
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # is_an_application(greet);
//! ```
//!
//! By default a body has no limit: set the option [`max_body_size`](Options::max_body_size), or read in pieces with
//! [`Input::read_some`].
//!
//! ## Send JSON
//!
//! The feature `json` has [`Environ::json`](struct.Environ.html#method.json) for requests and [`Json`](struct.Json.html) for
//! responses, with serde:
//!
//! ```
//! # #[cfg(feature = "json")]
//! # {
//! use wsgi_app::{Environ, Json, site};
//!
//! #[derive(serde::Serialize)]
//! struct Health {
//!     healthy: bool,
//!     jobs: u32,
//! }
//!
//! async fn health(_environ: Environ) -> Json<Health> {
//!     Json(Health { healthy: true, jobs: 3 })
//! }
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # is_an_application(site(health));
//! # }
//! ```
//!
//! Without the feature, JSON is text like any other: `([("Content-Type", "application/json")], text)`.
//!
//! ## Stream
//!
//! [`Body::iterator`], [`Body::stream`] and [`Body::reader`] send blocks that are not all there yet. [`Write`] sends
//! them from the middle of the application:
//!
//! ```
//! use wsgi_app::{Body, Environ, Result, StartResponse};
//!
//! async fn events(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     let headers =
//!         [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")];
//!     let write = start_response.start("200 OK", headers)?;
//!     for number in 0..10 {
//!         // The error of a client that disconnected ends the application here.
//!         write.write(format!("data: {number}\n\n")).await?;
//!     }
//!     Ok(Body::empty())
//! }
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # is_an_application(events);
//! ```
//!
//! ## Turn errors into statuses
//!
//! An application that returns an error need not start a response:
//!
//! | the application | the client gets | the log gets |
//! | --- | --- | --- |
//! | returns an [`Error`] | 500; with the option `debug` its text | an error |
//! | returns an [`InputError`] that the client caused | 400, 408 or 413, see [`Input`](Input#errors) | a debug entry |
//! | returns [`SendError::Lost`], or an [`InputError`] of a lost connection | nothing | nothing |
//! | panics | 500; with the option `debug` the message | an error |
//! | returns `Ok` and started no response | 500 | an error |
//! | fails after the head was sent | a response that is visibly cut | an error, unless the client caused it |
//!
//! For other statuses, return a [`Response`] as the error of a function of a [`site`], or a type that implements
//! [`IntoResponse`], whose page has an example. `?` turns all other errors into the responses of this table:
//!
//! ```
//! use wsgi_app::{Environ, IntoResponse, Response, site};
//!
//! async fn customer(environ: Environ) -> Result<String, Response> {
//!     let path = environ.path_utf8().unwrap_or_default();
//!     let Some(name) = path.strip_prefix("/customers/") else {
//!         return Err((404, "no such customer\n").into_response());
//!     };
//!     let text = environ.input().read_all(1000).await?; // 400, 408 or 413
//!     Ok(format!("{name}: {} bytes\n", text.len()))
//! }
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # is_an_application(site(customer));
//! ```
//!
//! Middleware that gives a status to the errors of other applications looks for them with `is`, and replaces the response
//! that was started:
//!
//! ```
//! use std::io;
//! use wsgi_app::{Application, Body, Environ, Result, StartResponse};
//!
//! /// Responds with 503 if the application returns an [`io::Error`].
//! struct WithUnavailable<A>(A);
//!
//! impl<A: Application> Application for WithUnavailable<A> {
//!     async fn call(
//!         &self,
//!         environ: Environ,
//!         start_response: StartResponse,
//!     ) -> Result<Body> {
//!         match self.0.call(environ, start_response.clone()).await {
//!             Err(error) if error.is::<io::Error>() => {
//!                 // `restart` also replaces a response that was started and not sent.
//!                 start_response.restart(
//!                     "503 Service Unavailable",
//!                     [("Retry-After", "10")],
//!                     error,
//!                 )?;
//!                 Ok(Body::empty())
//!             }
//!             result => result,
//!         }
//!     }
//! }
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # fn check(application: impl Application) { is_an_application(WithUnavailable(application)) }
//! ```
//!
//! An error that went through `anyhow::Error` has lost its type: `is` returns false for it.
//!
//! ## Notice clients that disconnect
//!
//! The server does not cancel an application because its client disconnected, except for a service of the feature `tower`.
//! Reads and writes then return an error. While the application does neither, only [`Input::client_gone`] notices it, which
//! describes [every case](Input::client_gone):
//!
//! ```
//! use std::future::{Future, poll_fn};
//! use std::pin::pin;
//! use std::task::Poll;
//! use wsgi_app::{Body, Environ, NO_HEADERS, Result, StartResponse};
//!
//! # async fn expensive_report() -> String { String::from("report\n") }
//! async fn report(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     environ.add_post_hook(|_, record| match record.lost {
//!         Some(lost) => println!("{} bytes, then: {lost}", record.body_length),
//!         None => println!("{} bytes", record.body_length),
//!     });
//!     let input = environ.input();
//!     let (mut gone, mut work) = (pin!(input.client_gone()), pin!(expensive_report()));
//!     // `select!` of tokio or futures does the same.
//!     let report = poll_fn(|context| match work.as_mut().poll(context) {
//!         Poll::Ready(report) => Poll::Ready(Some(report)),
//!         Poll::Pending => gone.as_mut().poll(context).map(|()| None),
//!     });
//!     let Some(report) = report.await else {
//!         // For the access log: no one reads the response.
//!         start_response.start("499 Client Closed Request", NO_HEADERS)?;
//!         return Ok(Body::empty());
//!     };
//!     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!     Ok(report.into())
//! }
//! # fn is_an_application(_: impl wsgi_app::Application) {}
//! # is_an_application(report);
//! ```
//!
//! A post hook runs after the response, whatever its outcome, and knows how much was sent; see
//! [`Environ::add_post_hook`].
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `futures-io` | off | the I/O traits of smol and async-std for [`Input`] and [`Stream`], and as a [`Body`] |
//! | `tokio-io` | off | the I/O traits of tokio for [`Input`] and [`Stream`], and as a [`Body`]; `wsgi-tokio` switches it on |
//! | `http` | off | the types of `http` and `http-body`: [`Environ::to_http`](struct.Environ.html#method.to_http), [`Input`] and [`Body`] as bodies, `http::Response` as a [`Response`] |
//! | `json` | off | [`Json`](struct.Json.html) and [`Environ::json`](struct.Environ.html#method.json), with serde; includes `serde` |
//! | `serde` | off | [`Environ::query_as`](struct.Environ.html#method.query_as) and [`Environ::form_as`](struct.Environ.html#method.form_as): queries and forms as values of your types |
//! | `tower` | off | [`tower()`](fn.tower.html): an application of a `tower::Service` |
//! | `proxy-protocol` | off | [`ProxySources`](struct.ProxySources.html), and the PROXY protocol of the adapters |
//!
//! # Adapters
//!
//! An adapter implements two traits: [`Transport`](adapter::Transport) moves the bytes of one connection, and
//! [`Adapter`](adapter::Adapter) accepts connections and starts a task for each. [`Server`](adapter::Server) and
//! [`serve_connection`](adapter::serve_connection) do everything else. See [`adapter`] for an example, and
//! `wsgi-smol/examples/own_adapter.rs` for a whole adapter of about a hundred lines.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod application;
pub mod blocking;
mod connection;
mod context;
mod exchange;
mod head;
#[cfg(feature = "http")]
mod http_types;
mod io;
#[cfg(all(test, not(loom)))]
mod locks;
#[cfg(all(test, loom))]
mod model;
mod registry;
mod response;
mod server;
mod sync;
pub mod test;
#[cfg(feature = "tower")]
mod tower;

pub use application::blocks::Blocks;
pub use application::body::Body;
pub use application::environ::{Environ, Errors};
pub use application::input::{Input, Lines};
pub use application::start_response::{StartResponse, Write, Writing};
pub use application::upgrade::Stream;
pub use application::{Application, BoxApplication, ResponseFuture, application_fn};
pub use blocking::on_threads::blocking;
pub use context::log::{Log, LogEntry};
pub use exchange::error::{Error, InputError, Result};
pub use exchange::stopping::Stopping;
pub use head::headers::{Headers, HeadersIter, IntoHeadersIter};
pub use head::status::Status;
pub use io::tls::Tls;
pub use registry::{Report, ServerHandle};
pub use response::Response;
#[cfg(feature = "serde")]
pub use response::fields::FieldsError;
pub use response::form::FormError;
pub use response::into_response::{Html, IntoResponse, Redirect};
#[cfg(feature = "json")]
pub use response::json::{Json, JsonError};
pub use response::site::{Site, site};
pub use server::options::{OptionError, Options};
#[cfg(feature = "proxy-protocol")]
pub use server::proxy_sources::ProxySources;
#[cfg(feature = "tower")]
pub use tower::upgrade::Upgrade;
#[cfg(feature = "tower")]
pub use tower::{Tower, tower};

pub use bytes::Bytes;
pub use wsgi_proto::{
    Address, BodyLength, Endpoints, Head, KeepAlive, Limits, Record, ResponseHead, Scheme, Trailers, Version,
};
pub use wsgi_proto::{BodyError, Lost, Rejected, RequestError, SendError, StartError};
pub use wsgi_proto::{DateError, LogFormat, format_date_time, parse_date_time};
pub use wsgi_proto::{Field, FieldBytes, NO_HEADERS};

pub mod adapter {
    //! The types for adapters: traits to implement, and the server that they run in. Applications do not need them.
    //!
    //! | you implement | for |
    //! | --- | --- |
    //! | [`Transport`] | one connection: read, write, shut down, wait for a deadline |
    //! | [`Adapter`] | the listeners: accept, start a task for a connection, sleep |
    //! | [`Clock`], in a [`Runtime`] | a runtime whose time can be paused or simulated; optional |
    //! | [`BlockingTransport`] | one connection of a blocking application, in place of [`Transport`] |
    //!
    //! | you call | to |
    //! | --- | --- |
    //! | [`Server::new`], [`Server::with_runtime`] | check the options and build a server |
    //! | [`Server::run`] | accept on all listeners until the server stops |
    //! | [`Server::admit`] | register an accepted connection, for `max_size` and for the stop |
    //! | [`serve_connection`] | run the connection until it ends |
    //! | [`serve_after_handshake`] | run a TLS handshake first |
    //! | [`ProxyProtocol`], [`ProxyPrelude`] | receive the header of the PROXY protocol, as the first part of a handshake |
    //! | [`serve_blocking`], [`serve_blocking_after_handshake`], [`Blocking`] | do the same for blocking applications |
    //!
    //! This transport is in memory. It serves one request without a socket and without a runtime, which is also a way
    //! to test an application:
    //!
    //! ```
    //! use std::future::Future;
    //! use std::io::{self, IoSlice, Read, Write};
    //! use std::pin::pin;
    //! use std::sync::{Arc, Mutex};
    //! use std::task::{Context, Poll, Waker};
    //! use std::time::Instant;
    //!
    //! use wsgi_app::adapter::{Server, Transport, serve_connection};
    //! use wsgi_app::{
    //!     Address, Body, Endpoints, Environ, Options, Result, ServerHandle, StartResponse,
    //! };
    //!
    //! async fn hello_world(environ: Environ, start_response: StartResponse) -> Result<Body> {
    //!     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    //!     Ok(format!("Hello from {}\n", environ.path()).into())
    //! }
    //!
    //! struct Memory {
    //!     request: &'static [u8],
    //!     response: Arc<Mutex<Vec<u8>>>,
    //! }
    //!
    //! impl Transport for Memory {
    //!     fn poll_read(
    //!         &mut self,
    //!         _: &mut Context<'_>,
    //!         space: &mut [u8],
    //!     ) -> Poll<io::Result<usize>> {
    //!         Poll::Ready(self.request.read(space))
    //!     }
    //!
    //!     fn poll_write(
    //!         &mut self,
    //!         _: &mut Context<'_>,
    //!         slices: &[IoSlice<'_>],
    //!     ) -> Poll<io::Result<usize>> {
    //!         Poll::Ready(self.response.lock().unwrap().write_vectored(slices))
    //!     }
    //!
    //!     fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
    //!         Poll::Ready(Ok(()))
    //!     }
    //!
    //!     fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
    //!         Poll::Pending // an adapter arms a timer here
    //!     }
    //! }
    //!
    //! let server = Server::new(
    //!     Options::default().log_output(false),
    //!     &ServerHandle::new(),
    //!     hello_world,
    //! )?;
    //! let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    //! let response = Arc::default();
    //! let memory =
    //!     Memory { request: b"GET /a HTTP/1.0\r\n\r\n", response: Arc::clone(&response) };
    //!
    //! // An adapter spawns this future as a task.
    //! let mut connection = pin!(serve_connection(server, guard, memory));
    //! let mut context = Context::from_waker(Waker::noop());
    //! while connection.as_mut().poll(&mut context).is_pending() {}
    //!
    //! let response = response.lock().unwrap();
    //! assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
    //! assert!(response.ends_with(b"\r\n\r\nHello from /a\n"));
    //! # Ok::<(), wsgi_app::OptionError>(())
    //! ```
    //!
    //! `examples/own_adapter.rs` of `wsgi-smol` is a whole adapter of about a hundred lines.

    pub use crate::application::blocking::Blocking;
    pub use crate::blocking::serve::{
        serve as serve_blocking, serve_after_handshake as serve_blocking_after_handshake,
    };
    pub use crate::connection::handshake::serve_after_handshake;
    pub use crate::connection::proxy::{ProxyPrelude, ProxyProtocol};
    #[cfg(feature = "proxy-protocol")]
    pub use crate::connection::proxy_header::{ProxyHeader, ProxyHeaderError, parse_proxy_header};
    pub use crate::connection::serve_connection;
    pub use crate::context::runtime::{Clock, Runtime};
    pub use crate::io::blocking::{BlockingTransport, Flush};
    pub use crate::io::transport::Transport;
    pub use crate::registry::{AcceptGuard, ConnectionGuard};
    pub use crate::server::accept_error::{AcceptFailure, accept_failure};
    pub use crate::server::accept_loop::Adapter;
    pub use crate::server::alpn::check_alpn;
    pub use crate::server::serving::Serving;
    pub use crate::server::{BoundAddr, Server};

    pub mod raw {
        //! Applications that send their response by calls of the machine, without `environ` and `start_response`.
        //!
        //! They are for programs that embed the server in another language. Where applications block, as on `wsgi-std`,
        //! a [`Raw`] can be served like any application:
        //!
        //! ```
        //! use wsgi_app::adapter::raw::{Raw, RawRequest};
        //! use wsgi_app::{Body, InputError, Result};
        //!
        //! fn sum(request: &RawRequest) -> Result<Body> {
        //!     let (mut space, mut sum) = ([0; 16 * 1024], 0_u64);
        //!     while let count @ 1.. = request.read_into(&mut space)? {
        //!         sum += space[..count].iter().map(|&byte| u64::from(byte)).sum::<u64>();
        //!     }
        //!     let (headers, body) = ([("Content-Type", "text/plain")], format!("{sum}\n"));
        //!     // One lock for the whole response.
        //!     let sent = request.with(|mut exchange| exchange.answer("200 OK", headers, body.as_bytes()));
        //!     sent.ok_or(InputError::Over)??;
        //!     Ok(Body::empty())
        //! }
        //!
        //! let application = Raw::new(sum);
        //! # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
        //! # is_an_application(application);
        //! ```
        //!
        //! A long response is sent in several calls:
        //!
        //! ```
        //! use wsgi_app::adapter::raw::{Flow, RawRequest};
        //! use wsgi_app::{Body, InputError, NO_HEADERS, Result};
        //!
        //! fn numbers(request: &RawRequest) -> Result<Body> {
        //!     let begun = request.with(|mut exchange| exchange.respond("200 OK", NO_HEADERS));
        //!     begun.ok_or(InputError::Over)??;
        //!     for number in 0..1_000_000 {
        //!         let line = format!("{number}\n");
        //!         let sent = request.with(|mut exchange| exchange.send(line.as_bytes()));
        //!         match sent.ok_or(InputError::Over)?? {
        //!             Flow::Ready => {}
        //!             Flow::Full => request.wait_for_room(), // `flush` waits for each block
        //!         }
        //!     }
        //!     Ok(Body::empty()) // ends the response
        //! }
        //! # wsgi_app::adapter::raw::Raw::new(numbers);
        //! ```

        pub use crate::application::raw::{Raw, RawApplication, RawRequest};
        pub use wsgi_proto::{AnswerError, Config, Exchange, Flow, Variables};
    }
}
