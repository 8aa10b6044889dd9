//! HTTP/1.1 server for blocking Rust code with a WSGI-style interface, on a sans-IO protocol core.
//!
//! It needs no async runtime and no thread per connection. Unix only.
//!
//! An application is a `fn` that is called once per request. It reads the request from [`Environ`], starts the response
//! with [`StartResponse`] and returns a [`Body`]:
//!
//! ```no_run
//! use wsgi_std::{Body, Environ, Result, StartResponse};
//!
//! fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!\r\n".into())
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     let listener = std::net::TcpListener::bind("127.0.0.1:8090")?;
//!     wsgi_std::serve(listener, hello_world)?;
//!     Ok(())
//! }
//! ```
//!
//! An application can also be a function that returns its response as a value. [`site`] wraps it:
//!
//! ```no_run
//! use wsgi_std::{Environ, IntoResponse, site};
//!
//! fn hello_world(environ: Environ) -> impl IntoResponse {
//!     match environ.path_utf8().as_deref() {
//!         Some("/") => (200, "Hello, World!\r\n"),
//!         _ => (404, "Not Found\r\n"),
//!     }
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     let listener = std::net::TcpListener::bind("127.0.0.1:8090")?;
//!     wsgi_std::serve(listener, site(hello_world))?;
//!     Ok(())
//! }
//! ```
//!
//! [Responses as values](#responses-as-values) describes this form. The server treats both alike.
//!
//! In `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! wsgi-std = "0.1"
//! ```
//!
//! The application may block: call database drivers, read files, sleep. For an `async fn` use
//! [`wsgi-tokio`](https://docs.rs/wsgi-tokio) or [`wsgi-smol`](https://docs.rs/wsgi-smol); their interface has the same
//! names. The protocol is implemented by [`wsgi-proto`](https://docs.rs/wsgi-proto), and the types that applications
//! use by [`wsgi-app`](https://docs.rs/wsgi-app). Everything you need is re-exported here: where an
//! example on the page of a type begins with `use wsgi_app::`, write `use wsgi_std::`. On systems other than Unix
//! the crate is empty.
//!
//! The page `docs/cookbook.md` in the repository has complete programs for common tasks, written for `wsgi-tokio`. Their
//! functions become blocking ones without `async` and `await`.
//!
//! # Responses as values
//!
//! A function of a [`site`] returns anything that implements [`IntoResponse`]: text, bytes, [`Html`], [`Redirect`], a tuple
//! such as `(status, value)` or `(status, headers, value)`, a [`Response`], or a `Result` of them. A [`Response`] has a status,
//! header fields and a [`Body`], which may be a stream or a file. If it is the error of the function, `?` can end the function
//! with any status:
//!
//! ```
//! use wsgi_std::{Environ, IntoResponse, Redirect, Response, site};
//!
//! fn users(environ: Environ) -> Result<Response, Response> {
//!     let (method, path) = (environ.method(), environ.path_utf8().unwrap_or_default());
//!     let segments: Vec<&str> = path.split('/').skip(1).collect();
//!     match (&*method, &*segments) {
//!         ("GET" | "HEAD", ["users", id]) => Ok(user(id)?.into_response()),
//!         ("POST", ["users"]) => {
//!             let form = environ.form(4096)?; // 413 if it is larger, 415 if it is not a form
//!             if !form.iter().any(|(name, _)| name == "name") {
//!                 return Err((400, "the name is missing\n").into_response());
//!             }
//!             Ok(Redirect::to("/users/8").into_response())
//!         }
//!         (_, ["users", ..]) => Err(Response::not_allowed("GET, HEAD, POST")),
//!         _ => Err((404, "no such page\n").into_response()),
//!     }
//! }
//!
//! fn user(id: &str) -> Result<String, Response> {
//!     match id.parse::<u32>() {
//!         Ok(id) => Ok(format!("user {id}\n")),
//!         Err(_) => Err((404, "no such user\n").into_response()),
//!     }
//! }
//! # use wsgi_std::test::Request;
//! # fn form(body: &'static str) -> Request {
//! #     Request::post("/users", body).header("Content-Type", "application/x-www-form-urlencoded")
//! # }
//! # let response = wsgi_std::test::call_blocking(site(users), Request::get("/users/7"));
//! # assert_eq!(response.body().as_bytes(), Some(&b"user 7\n"[..]));
//! # let response = wsgi_std::test::call_blocking(site(users), Request::get("/users/x"));
//! # assert_eq!(response.status().code(), 404);
//! # let response = wsgi_std::test::call_blocking(site(users), Request::get("/"));
//! # assert_eq!(response.status().code(), 404);
//! # let response = wsgi_std::test::call_blocking(site(users), Request::post("/users", "name=Ada"));
//! # assert_eq!(response.status().code(), 415);
//! # let response = wsgi_std::test::call_blocking(site(users), form("name=Ada"));
//! # assert_eq!(response.headers().get("Location").as_deref(), Some("/users/8"));
//! # let response = wsgi_std::test::call_blocking(site(users), form("nick=Ada"));
//! # assert_eq!(response.status().code(), 400);
//! # let response = wsgi_std::test::call_blocking(site(users), Request::new("DELETE", "/users/7"));
//! # assert_eq!(response.headers().get("Allow").as_deref(), Some("GET, HEAD, POST"));
//! ```
//!
//! | to read | call |
//! | --- | --- |
//! | the path and the query as UTF-8 | [`path_utf8`](wsgi_app::Environ::path_utf8), [`query_pairs`](wsgi_app::Environ::query_pairs) |
//! | the path in parts, in which `%2F` is no separator | [`segments`](wsgi_app::Environ::segments) |
//! | a header field, or all with one name | [`header`](wsgi_app::Environ::header), [`headers`](wsgi_app::Environ::headers) |
//! | the cookies | [`cookies`](wsgi_app::Environ::cookies) |
//! | a form | [`form`](Environ::form) |
//! | a query or a form as a value of your type (feature `serde`) | [`query_as`](struct.Environ.html#method.query_as), [`form_as`](struct.Environ.html#method.form_as) |
//! | JSON (feature `json`) | [`json`](struct.Environ.html#method.json); [`Json`](struct.Json.html) as a response sends it |
//! | the body, up to a limit | [`Input::read_all`] |
//!
//! The errors of reading a body have a status: with `?` the client gets 400, 408, 413 or 415. Any other error becomes a 500
//! and an entry in the log. Text converts into such an error, so write `"Hello".into_response()` and not `"Hello".into()`.
//!
//! A closure passes shared state to the function: `site(move |environ| users(database.clone(), environ))`.
//! [`Environ::inform`] sends interim responses.
//!
//! # Threads
//!
//! Connections that wait hold no thread, and no buffer beyond an unfinished head. One poller watches all of them. The
//! thread that polls takes the next ready connection, runs the application, and polls again. If it does not return to
//! the poller within about two milliseconds, another thread takes over the poller. Fast applications therefore run on
//! one thread. Slow ones run side by side, each on its own thread; a thread ends after 2 s without work. The thread
//! that calls [`serve`] accepts connections on the last listener; each other listener of sockets has its own thread. One
//! more thread watches the poller.
//!
//! [`Server::pool`] limits how many threads run the application. The default is [`Options::max_size`]. When all threads
//! are busy, requests wait. The application is called from several threads at the same time, and must be [`Sync`].
//!
//! # Routing and shared state
//!
//! Use a `match` on the method and the path. Put shared state, such as a database pool, into a type and implement
//! [`Application`] for it:
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use wsgi_std::{Application, Body, Environ, NO_HEADERS, Result, StartResponse};
//!
//! #[derive(Default)]
//! struct Site {
//!     visits: AtomicU64,
//! }
//!
//! impl Application for Site {
//!     fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
//!         match (&*environ.method(), &*environ.path()) {
//!             ("GET" | "HEAD", "/visits") => {
//!                 let visits = self.visits.fetch_add(1, Ordering::Relaxed) + 1;
//!                 start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!                 Ok(format!("visit {visits}\n").into())
//!             }
//!             (_, "/visits") => {
//!                 start_response.start("405 Method Not Allowed", [("Allow", "GET, HEAD")])?;
//!                 Ok(Body::empty())
//!             }
//!             _ => {
//!                 start_response.start("404 Not Found", NO_HEADERS)?;
//!                 Ok(Body::empty())
//!             }
//!         }
//!     }
//! }
//! # use std::io::{Read as _, Write as _};
//! # fn ask(application: impl wsgi_std::Application, request: &str) -> Result<String> {
//! #     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! #     let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! #     let server = wsgi_std::Server::new(listener, application).log_output(false);
//! #     let handle = server.handle();
//! #     let serving = std::thread::spawn(|| server.serve());
//! #     client.write_all(request.as_bytes())?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response)?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.join().unwrap()?;
//! #     Ok(response)
//! # }
//! # fn main() -> Result<()> {
//! #     let site = std::sync::Arc::new(Site::default());
//! #     assert!(ask(site.clone(), "GET /visits HTTP/1.0\r\n\r\n")?.ends_with("\r\n\r\nvisit 1\n"));
//! #     assert!(ask(site.clone(), "GET /visits HTTP/1.0\r\n\r\n")?.ends_with("\r\n\r\nvisit 2\n"));
//! #     assert!(ask(site.clone(), "PUT /visits HTTP/1.0\r\n\r\n")?.contains("\r\nAllow: GET, HEAD\r\n"));
//! #     assert!(ask(site, "GET / HTTP/1.0\r\n\r\n")?.starts_with("HTTP/1.1 404 Not Found\r\n"));
//! #     Ok(())
//! # }
//! ```
//!
//! A closure that captures an `Arc` is an application too:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use wsgi_std::{NO_HEADERS, application_fn};
//!
//! let names = Arc::new(Mutex::new(Vec::new()));
//! let application = application_fn(move |environ, start_response| {
//!     names.lock().unwrap().push(environ.path().into_owned());
//!     start_response.start("204 No Content", NO_HEADERS)?;
//!     Ok(().into())
//! });
//! # fn is_an_application(_: impl wsgi_std::Application) {}
//! # is_an_application(application);
//! ```
//!
//! # Request bodies
//!
//! [`Environ::input`] reads the body: [whole](Input::read_to_end), [in pieces](Input::read_some) or [by
//! line](Input::lines). It also implements [`std::io::Read`] and [`std::io::BufRead`], so you can pass it to
//! `std::io::copy` or `serde_json::from_reader`. Reading fails with an [`InputError`] if the client sent a body that is
//! malformed, too large, cut off or late. Pass it on with `?`, and the client gets the matching status, even from
//! within an [`std::io::Error`]:
//!
//! ```
//! use wsgi_std::{Body, Environ, Result, StartResponse};
//!
//! fn count_bytes(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     let bytes = std::io::copy(&mut environ.input(), &mut std::io::sink())?; // 400, 408 or 413
//!     start_response.start("200 OK", [("Content-Type", "application/json")])?;
//!     Ok(format!(r#"{{"bytes": {bytes}}}"#).into())
//! }
//! # use std::io::{Read, Write};
//! # fn ask(request: &str) -> Result<String> {
//! #     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! #     let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! let server = wsgi_std::Server::new(listener, count_bytes).max_body_size(1024 * 1024);
//! #     let server = server.log_output(false);
//! #     let handle = server.handle();
//! #     let serving = std::thread::spawn(|| server.serve());
//! #     client.write_all(request.as_bytes())?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response)?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.join().unwrap()?;
//! #     Ok(response)
//! # }
//! # fn main() -> Result<()> {
//! #     let request = "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\na\nb\nc";
//! #     assert!(ask(request)?.ends_with("\r\n\r\n{\"bytes\": 5}"));
//! #     let request = "POST / HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n";
//! #     assert!(ask(request)?.starts_with("HTTP/1.1 413 "));
//! #     Ok(())
//! # }
//! ```
//!
//! `max_body_size` has no default: an application that reads a whole body into memory needs it, or the limit of
//! [`Input::read_all`]. For JSON, the feature `json` adds [`Environ::json`](struct.Environ.html#method.json) and
//! [`Json`](struct.Json.html).
//!
//! Without [`Options::socket_timeout`], a client that stops in the middle of its body keeps the thread that reads it. Two
//! threads can read and write the same request at the same time.
//!
//! # Streaming
//!
//! | you have | use |
//! | --- | --- |
//! | the whole body | `bytes.into()`; it gets a `Content-Length` |
//! | blocks that are computed on demand; waiting for them is allowed | [`Body::iterator`] |
//! | a file, or a range of it | [`Body::file`]; the range that the client requests: [`Response::with_file`] |
//! | a pipe or another reader | [`Body::reader`] |
//! | code that sends when it has something | [`Write`], which [`StartResponse::start`] returns; also `io::Write` |
//!
//! A body of unknown length is chunked. For a client of HTTP/1.0 it ends with the connection. [`Body::stream`] works
//! too, but its stream is polled outside of any async runtime. Server-sent events:
//!
//! ```
//! use std::time::Duration;
//! use wsgi_std::{Body, Environ, Result, StartResponse};
//!
//! fn events(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     let headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")];
//!     let stream = start_response.start("200 OK", headers)?;
//!     for number in 1..=3 {
//!         stream.write(format!("data: {number}\n\n"))?; // an error if the client disconnected
//!         std::thread::sleep(Duration::from_millis(10));
//!     }
//!     Ok(Body::empty())
//! }
//! # use std::io::{Read as _, Write as _};
//! # fn ask(application: impl wsgi_std::Application, request: &str) -> Result<String> {
//! #     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! #     let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! #     let server = wsgi_std::Server::new(listener, application).log_output(false);
//! #     let handle = server.handle();
//! #     let serving = std::thread::spawn(|| server.serve());
//! #     client.write_all(request.as_bytes())?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response)?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.join().unwrap()?;
//! #     Ok(response)
//! # }
//! # fn main() -> Result<()> {
//! #     let response = ask(events, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! #     assert!(response.contains("\r\nTransfer-Encoding: chunked\r\n"), "{response}");
//! #     assert!(response.ends_with("\r\n9\r\ndata: 3\n\n\r\n0\r\n\r\n"), "{response}");
//! #     Ok(())
//! # }
//! ```
//!
//! Each open stream of events holds one thread. For thousands of them use an async adapter.
//!
//! # Errors and statuses
//!
//! | the application | the client gets |
//! | --- | --- |
//! | returns an error, panics, or returns a body without calling `start` | 500, and the log has the error |
//! | returns an [`InputError`] that the client caused | 400, 408 or 413 |
//!
//! `start` returns a [`StartError`] if it is called twice, or if the status or a header is malformed; then nothing was
//! started. [`StartResponse::restart`] replaces a response whose head was not sent yet.
//!
//! With [`Options::debug`], which is on by default, the body of a 500 shows the error. If a response fails after its
//! head was sent, it is broken off, so that the client can see that it is incomplete. To answer an error of your own
//! with a status, return that response as the error; a type of your own implements [`IntoResponse`]:
//!
//! ```
//! use wsgi_std::{Environ, IntoResponse, Response, site};
//!
//! fn page(environ: Environ) -> Result<&'static str, Response> {
//!     let Ok(number) = environ.query().parse::<usize>() else {
//!         return Err((404, "no such page\n").into_response());
//!     };
//!     Ok(*["zero", "one"].get(number).ok_or("this page is lost")?) // 500
//! }
//! # use std::io::{Read as _, Write as _};
//! # fn ask(application: impl wsgi_std::Application, request: &str) -> wsgi_std::Result<String> {
//! #     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! #     let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! #     let server = wsgi_std::Server::new(listener, application).log_output(false);
//! #     let handle = server.handle();
//! #     let serving = std::thread::spawn(|| server.serve());
//! #     client.write_all(request.as_bytes())?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response)?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.join().unwrap()?;
//! #     Ok(response)
//! # }
//! # fn main() -> wsgi_std::Result<()> {
//! #     assert!(ask(site(page), "GET /?1 HTTP/1.0\r\n\r\n")?.ends_with("\r\n\r\none"));
//! #     assert!(ask(site(page), "GET /?x HTTP/1.0\r\n\r\n")?.starts_with("HTTP/1.1 404 Not Found\r\n"));
//! #     let response = ask(site(page), "GET /?7 HTTP/1.0\r\n\r\n")?;
//! #     assert!(response.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{response}");
//! #     assert!(response.contains("this page is lost"), "{response}");
//! #     Ok(())
//! # }
//! ```
//!
//! # Clients that disconnect
//!
//! The application keeps running when its client disconnects. Its next `write` or `read` returns an error; a [`Body`]
//! that can no longer be sent is dropped, as it is after the last block (the `close()` of WSGI). [`Input::client_gone`]
//! blocks until the client disconnects; call it on a clone of the [`Input`] in another thread. Return
//! [`SendError::Lost`] then: it is not logged as a failure. A hook that was added
//! with [`Environ::add_post_hook`] runs in every case, after the response. Its [`Record`] shows how the response ended.
//!
//! # Upgrades
//!
//! An application can take over the connection and use another protocol, such as WebSocket: start a `101 Switching
//! Protocols` response, then call [`Input::take_over`]. The [`Stream`] that it returns begins with the bytes that were
//! received early. It implements [`std::io::Read`] and [`std::io::Write`], so a WebSocket library can use it. This
//! crate does not parse WebSocket frames.
//!
//! ```
//! use wsgi_std::{Body, Environ, Result, StartResponse};
//!
//! fn echo(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     if environ.header("Upgrade").as_deref() != Some("echo") {
//!         start_response.start("426 Upgrade Required", [("Upgrade", "echo")])?;
//!         return Ok(Body::empty());
//!     }
//!     start_response.start("101 Switching Protocols", [("Upgrade", "echo")])?;
//!     let stream = environ.input().take_over()?;
//!     std::io::copy(&mut &stream, &mut &stream)?;
//!     stream.shutdown()?;
//!     Ok(Body::empty()) // it is not sent
//! }
//! # use std::io::{Read as _, Write as _};
//! # fn ask(application: impl wsgi_std::Application, request: &str) -> Result<String> {
//! #     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! #     let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! #     let server = wsgi_std::Server::new(listener, application).log_output(false);
//! #     let handle = server.handle();
//! #     let serving = std::thread::spawn(|| server.serve());
//! #     client.write_all(request.as_bytes())?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response)?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.join().unwrap()?;
//! #     Ok(response)
//! # }
//! # fn main() -> Result<()> {
//! #     assert!(ask(echo, "GET / HTTP/1.0\r\n\r\n")?.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
//! #     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! #     let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! #     let server = wsgi_std::Server::new(listener, echo).log_output(false);
//! #     let handle = server.handle();
//! #     let serving = std::thread::spawn(|| server.serve());
//! #     let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly, ";
//! #     client.write_all(request)?;
//! #     client.write_all(b"late")?;
//! #     client.shutdown(std::net::Shutdown::Write)?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response)?;
//! #     assert!(response.ends_with("\r\n\r\nearly, late"), "{response}");
//! #     handle.shutdown();
//! #     serving.join().unwrap()?;
//! #     Ok(())
//! # }
//! ```
//!
//! # Options and limits
//!
//! [`Server`] has methods for everyday options; [`Options`] has all of them. The defaults are those of eventlet's
//! manual, and suit development. For clients that you do not trust, use [`Options::public`]: it bounds the size of
//! bodies, each wait and slow transfers, hides errors of the application, and keeps `X-Forwarded-For` out of the log.
//!
//! ```
//! use wsgi_std::{Options, Server};
//! # use wsgi_std::{Body, Environ, Result, StartResponse};
//! # fn hello_world(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
//!
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let server = Server::new(listener, hello_world).options(Options::public());
//! # server.handle().shutdown();
//! # server.log_output(false).serve()?;
//! # std::io::Result::Ok(())
//! ```
//!
//! The size of a request head, the time for it, the number of connections and the time for a stop are limited by
//! default; see [`Options`]. An option that is not allowed is an error before the server accepts anything:
//!
//! ```
//! # use wsgi_std::{Body, Environ, Result, StartResponse, Server};
//! # fn hello_world(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let error = Server::new(listener, hello_world).pool(0).serve().unwrap_err();
//! assert_eq!(error.to_string(), "option pool cannot be 0 (allowed: 1 or more)");
//! # std::io::Result::Ok(())
//! ```
//!
//! # Stopping
//!
//! A [`ServerHandle`] stops the server gracefully from any thread: the listeners and idle connections are closed, and
//! requests that have begun are finished. [`serve`](Server::serve) then returns a [`Report`]. With Ctrl-C, by the crate
//! `signal-hook`:
//!
//! ```no_run
//! use signal_hook::{consts::SIGINT, iterator::Signals};
//! # use wsgi_std::{Body, Environ, Result, Server, StartResponse};
//! # fn hello_world(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
//!
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let server = Server::new(listener, hello_world);
//! let handle = server.handle();
//! let mut signals = Signals::new([SIGINT])?;
//! std::thread::spawn(move || {
//!     if signals.forever().next().is_some() {
//!         handle.shutdown();
//!     }
//! });
//! let report = server.serve()?;
//! println!("{} connections finished, {} cut", report.finished, report.cut);
//! # std::io::Result::Ok(())
//! ```
//!
//! # Listeners
//!
//! Bind listeners yourself. [`Server::listener`] adds one, so that a server can accept on several:
//!
//! ```
//! use std::net::TcpListener;
//! use std::os::unix::net::UnixListener;
//! # use std::io::{Read, Write};
//! # use wsgi_std::{Body, Environ, NO_HEADERS, Result, Server, StartResponse};
//! # fn hello_world(_: Environ, start_response: StartResponse) -> Result<Body> {
//! #     start_response.start("200 OK", NO_HEADERS)?;
//! #     Ok("Hello\n".into())
//! # }
//!
//! # let path = std::env::temp_dir().join(format!("wsgi-std-{}.sock", std::process::id()));
//! let server = Server::new(TcpListener::bind("127.0.0.1:0")?, hello_world)
//!     .listener(UnixListener::bind(&path)?); // the file is not removed afterwards
//! # let handle = server.handle();
//! # let serving = std::thread::spawn(|| server.log_output(false).serve());
//! # let mut client = std::os::unix::net::UnixStream::connect(&path)?;
//! # std::fs::remove_file(&path)?;
//! # client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
//! # let mut response = String::new();
//! # client.read_to_string(&mut response)?;
//! # assert!(response.ends_with("\r\n\r\nHello\n"), "{response}");
//! # drop(client);
//! # handle.shutdown();
//! # serving.join().unwrap()?;
//! # std::io::Result::Ok(())
//! ```
//!
//! [`Listener::incoming`] accepts from any iterator of sockets, which may block: a channel of sockets that another part of
//! the program has accepted, or a function that accepts.
//!
//! Each listener of sockets has its own thread that accepts. If one thread cannot accept connections fast enough, bind
//! several listeners to one port with `SO_REUSEPORT` (`set_reuse_port` of the crate socket2); the system distributes the
//! connections.
//!
//! # Behind a proxy that passes on bytes
//!
//! The feature `proxy-protocol` adds [`Listener::proxy_protocol`](struct.Listener.html#method.proxy_protocol). The proxies
//! that you list must then send a header of the PROXY protocol first, version 1 or 2, and the application and the log see
//! the addresses of their clients:
//!
//! ```
//! # #[cfg(feature = "proxy-protocol")]
//! # fn behind_a_proxy(listener: std::net::TcpListener) -> wsgi_std::Result<()> {
//! let listener = wsgi_std::Listener::from(listener).proxy_protocol("127.0.0.1, 10.0.0.0/8".parse()?);
//! # Ok(()) }
//! ```
//!
//! Connections from other sources, and those without the header, are closed without a response. A proxy that speaks HTTP
//! itself sends `X-Forwarded-For` instead.
//!
//! # Testing
//!
//! [`test::call_blocking`] sends a request to an application and returns the response that a client would get,
//! without a socket, on the calling thread.
//!
//! ```
//! use wsgi_std::test::{Request, call_blocking};
//! use wsgi_std::{Environ, Result, site};
//!
//! fn greet(environ: Environ) -> Result<String> {
//!     let name = environ.input().read_all(100)?;
//!     Ok(format!("Hello, {}!\n", name.escape_ascii()))
//! }
//!
//! let response = call_blocking(site(greet), Request::post("/", "Ada"));
//! assert_eq!(response.status().code(), 200);
//! assert_eq!(response.body().as_str(), Some("Hello, Ada!\n"));
//! ```
//!
//! To test the server over a socket, bind port 0 and read the address from the listener. Once the server runs,
//! [`ServerHandle::addresses`] has it too.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//! use std::thread;
//! use wsgi_std::Server;
//! # use wsgi_std::{Body, Environ, Result, StartResponse};
//! # fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//! #     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//! #     Ok("Hello, World!\r\n".into())
//! # }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let server = Server::new(listener, hello_world).log_output(false);
//! let handle = server.handle();
//! let serving = thread::spawn(|| server.serve());
//!
//! let mut client = TcpStream::connect(address)?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! let mut response = String::new();
//! client.read_to_string(&mut response)?;
//! assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
//! assert!(response.ends_with("\r\n\r\nHello, World!\r\n"), "{response}");
//! assert_eq!(handle.addresses(), [address]);
//!
//! drop(client); // else the stop waits for it, up to `linger_timeout` (2 s)
//! handle.shutdown();
//! let report = serving.join().expect("the server does not panic")?;
//! assert_eq!(report.cut, 0);
//! # std::io::Result::Ok(())
//! ```
//!
//! # TLS
//!
//! The feature `tls` adds [`Listener::tls`](struct.Listener.html#method.tls), which serves HTTPS with a `ServerConfig`
//! of rustls. This crate enables no crypto provider; the program chooses one. With `ring`:
//!
//! ```toml
//! wsgi-std = { version = "0.1", features = ["tls"] }
//! rustls = { version = "0.23", default-features = false, features = ["ring", "std", "tls12"] }
//! ```
//!
//! ```
//! # #[cfg(feature = "tls")]
//! # fn run(config: rustls::ServerConfig, hello_world: impl wsgi_std::Application) -> wsgi_std::Result<()> {
//! use std::sync::Arc;
//! use wsgi_std::{Listener, Server};
//!
//! let listener = std::net::TcpListener::bind("0.0.0.0:443")?;
//! Server::new(Listener::from(listener).tls(Arc::new(config)), hello_world).serve()?;
//! # Ok(()) }
//! ```
//!
//! # Features
//!
//! None is enabled by default.
//!
//! | feature | adds |
//! | --- | --- |
//! | `tls` | HTTPS, with rustls |
//! | `proxy-protocol` | the PROXY protocol, version 1 and 2 |
//! | `json` | [`Json`](struct.Json.html) and [`Environ::json`](struct.Environ.html#method.json), with serde; includes `serde` |
//! | `serde` | [`Environ::query_as`](struct.Environ.html#method.query_as) and [`Environ::form_as`](struct.Environ.html#method.form_as): queries and forms as values of your types |

#![cfg(unix)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod accept;
mod connection;
mod engine;
pub mod host;
mod incoming;
mod listener;
mod sync;
mod tls;
mod wait;

use std::future::Future;
use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use wsgi_app::adapter::{self as app, Adapter, Blocking, BoundAddr, Runtime, check_alpn};

pub use listener::{IntoListener, Listener};
#[cfg(feature = "tls")]
pub use rustls;

// The application, its requests and responses.
pub use wsgi_app::blocking::{
    Application, BoxApplication, Environ, Input, Lines, Outcome, Site, StartResponse, Stream, Write,
    application_fn, site,
};
pub use wsgi_app::{
    Address, Body, BodyLength, Bytes, Endpoints, Errors, Field, FieldBytes, Head, NO_HEADERS, ResponseHead,
    Scheme, Stopping, Tls, Trailers, Version, format_date_time, parse_date_time,
};
// Responses as values, and calls of applications without a socket.
pub use wsgi_app::{
    Blocks, Headers, HeadersIter, Html, IntoHeadersIter, IntoResponse, Redirect, Response, Status, test,
};
#[cfg(feature = "json")]
pub use wsgi_app::{Json, JsonError};
// Their errors.
#[cfg(feature = "serde")]
pub use wsgi_app::FieldsError;
pub use wsgi_app::{
    BodyError, DateError, Error, FormError, InputError, Lost, Rejected, RequestError, Result, SendError,
    StartError,
};
// The server, its options and its log.
#[cfg(feature = "proxy-protocol")]
pub use wsgi_app::ProxySources;
pub use wsgi_app::{
    KeepAlive, Limits, Log, LogEntry, LogFormat, OptionError, Options, Record, Report, ServerHandle,
};

use crate::accept::{AcceptTimer, block_on};
use crate::engine::Engine;
use crate::host::{Host, Hosted};
use crate::listener::Accepted;

/// Parts for other engines that serve blocking applications: TLS over a transport, and handing a task over between
/// threads.
pub mod adapter {
    pub use crate::engine::task_state::TaskState;
    pub use crate::tls::TlsTransport;
}

/// Serves `application` on `listener` with the default options. Returns only when the listener fails.
///
/// `listener` is already bound and listening. To set options or to stop the server, use [`Server`].
///
/// # Errors
///
/// The failure of the listener. Errors of single clients do not end the server.
pub fn serve(listener: impl IntoListener, application: impl Application) -> io::Result<Report> {
    Server::new(listener, application).serve()
}

/// Sets up a server: listeners, options, then [`serve`](Self::serve).
///
/// ```no_run
/// use std::time::Duration;
/// use wsgi_std::Server;
///
/// # fn run(site: impl wsgi_std::Application) -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:8090")?;
/// let server = Server::new(listener, site)
///     .debug(false)
///     .keepalive(Duration::from_secs(75))
///     .pool(64)
///     .log(|entry| println!("{}", entry.text()));
/// let handle = server.handle();
/// let serving = std::thread::spawn(|| server.serve());
/// // ...
/// handle.shutdown();
/// let report = serving.join().expect("the server does not panic")?;
/// # Ok(()) }
/// ```
///
/// The methods named like options are short forms for everyday options; [`Options`] has all of them.
#[derive(Debug)]
#[must_use = "nothing is served before `serve` is called"]
pub struct Server<A> {
    listeners: Vec<Listener>,
    application: A,
    options: Options,
    handle: ServerHandle,
    /// The maximum number of threads, instead of one per connection.
    pool: Option<usize>,
    ignores_max_size: bool,
    threads: engine::Threads,
}

impl<A> Server<A> {
    /// A server that runs `application` on `listener`, which is already bound and listening.
    pub fn new(listener: impl IntoListener, application: A) -> Self {
        Self {
            listeners: vec![listener.into()],
            application,
            options: Options::default(),
            handle: ServerHandle::new(),
            pool: None,
            ignores_max_size: false,
            threads: engine::Threads::default(),
        }
    }

    /// Adds a listener. Each listener of sockets has its own thread that accepts, so several listeners on one port
    /// (`SO_REUSEPORT`) share the work; the last one is served by the thread that calls [`serve`](Self::serve).
    pub fn listener(mut self, listener: impl IntoListener) -> Self {
        self.listeners.push(listener.into());
        self
    }

    /// Replaces all options, including those that were set before.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets [`Options::debug`].
    pub fn debug(self, on: bool) -> Self {
        self.change(|options| options.debug(on))
    }

    /// Sets [`Options::keepalive`].
    pub fn keepalive(self, keepalive: impl Into<KeepAlive>) -> Self {
        self.change(|options| options.keepalive(keepalive))
    }

    /// Sets [`Options::log`].
    pub fn log(self, log: impl Fn(&LogEntry<'_>) + Send + Sync + 'static) -> Self {
        self.change(|options| options.log(log))
    }

    /// Sets [`Options::log_output`].
    pub fn log_output(self, on: bool) -> Self {
        self.change(|options| options.log_output(on))
    }

    /// Sets [`Options::max_body_size`].
    pub fn max_body_size(self, bytes: impl Into<Option<u64>>) -> Self {
        self.change(|options| options.max_body_size(bytes))
    }

    /// Sets [`Options::max_size`].
    pub fn max_size(self, connections: usize) -> Self {
        self.change(|options| options.max_size(connections))
    }

    /// Sets [`Options::socket_timeout`].
    pub fn socket_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.change(|options| options.socket_timeout(timeout))
    }

    fn change(mut self, change: impl FnOnce(Options) -> Options) -> Self {
        self.options = change(self.options);
        self
    }

    /// Limits the number of threads that run the application. Requests wait while all are busy. Default: one thread per
    /// connection, up to `max_size`. Allowed: 1 or more.
    ///
    /// An application that waits for its client, in a read of the body or a write of the response, occupies a thread.
    /// As many slow clients as there are threads therefore delay all other requests, each for up to
    /// [`Options::socket_timeout`] or as long as it keeps sending. On an open network, set the limit well above the
    /// number of slow clients to expect, or keep the default. Idle connections, unfinished heads and bodies returned by
    /// the application need no thread.
    pub fn pool(mut self, threads: usize) -> Self {
        (self.pool, self.ignores_max_size) = (Some(threads), false);
        self
    }

    /// Like [`pool`](Self::pool), but `max_size` is ignored, as in eventlet.
    pub fn custom_pool(mut self, threads: usize) -> Self {
        (self.pool, self.ignores_max_size) = (Some(threads), true);
        self
    }

    /// Sets the code that runs around the life of each thread that runs the application, and around its waits. For
    /// programs that embed the server in the runtime of another language; see [`host`].
    pub fn host(mut self, host: impl Host) -> Self {
        self.threads.host = Hosted(Some(Arc::new(host)));
        self
    }

    /// Sets the size of the stack of each thread that runs the application, in bytes. Default: that of std, which is 2 MiB
    /// unless the environment variable `RUST_MIN_STACK` sets another one.
    ///
    /// If the system cannot provide it, [`serve`](Self::serve) returns an error.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.threads.stack_size = Some(bytes);
        self
    }

    /// Keeps threads that have run the application, even when they have no work, until the server stops. By default a
    /// thread ends after 2 s without work. Use it if starting a thread is expensive, or if the application keeps something
    /// valuable, such as a connection to a database, in thread-local variables. Threads are still started only when there
    /// is work for them. With [`pool`](Self::pool), the descriptor that each of them needs to wait is open from the
    /// beginning, so that the number of open descriptors does not grow with the number of threads.
    pub fn keep_threads(mut self, on: bool) -> Self {
        self.threads.kept = on;
        self
    }

    /// A handle that stops and observes the server from any thread, before and while it runs.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until [`ServerHandle::shutdown`] is called or a listener fails. The server then closes its listeners and
    /// idle connections, finishes requests that have begun, and cuts those that remain at
    /// [`Options::graceful_timeout`]. If an application does not return even then, its thread keeps running.
    ///
    /// # Errors
    ///
    /// An [`OptionError`] in an error of the kind [`io::ErrorKind::InvalidInput`], before anything is accepted: an
    /// option is not allowed, or the ALPN of a listener offers `h2`. Otherwise the failure of a listener, or an error
    /// of the system when it creates the poller or a thread.
    pub fn serve(self) -> io::Result<Report>
    where
        A: Application,
    {
        let Self { mut listeners, application, options, handle, pool, ignores_max_size, mut threads } = self;
        if pool == Some(0) {
            let option = if ignores_max_size { "custom_pool" } else { "pool" };
            return Err(OptionError::new(option, 0, "1 or more").into());
        }
        listeners.iter().try_for_each(|listener| check_alpn(listener.alpn_protocols()))?;
        let (limit, waiting) = descriptors(pool);
        let runtime =
            Runtime::default().descriptor_limit(limit).ignore_max_size(ignores_max_size).block_in_place();
        let server = app::Server::with_runtime(options, &handle, Blocking(application), runtime)?;
        listeners.iter_mut().try_for_each(|listener| listener.prepare(server.limits_slow_readers()))?;
        // By default one more thread, for the poller.
        threads.most = pool.unwrap_or_else(|| server.max_size().saturating_add(1));
        if threads.kept && pool.is_some() {
            threads.reserved = waiting;
        }
        let engine = Engine::start(threads)?;
        // The last listener of sockets belongs to this thread, and so do those that have their own thread already.
        let last = listeners.iter().rposition(Listener::is_socket);
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (number, listener) in listeners.into_iter().enumerate() {
            let is_other = Some(number) != last && listener.is_socket();
            if is_other { others.push(listener) } else { own.push(listener) }
        }
        let ended = thread::scope(|scope| {
            let accepting = others.into_iter().map(|listener| {
                server.announce(&handle, &listener.bound_addr());
                let threads = Threads::new(&engine, &server);
                let (server, handle) = (&server, &handle);
                let guard = server.accepts_beside();
                let accept = move || {
                    threads.accept(vec![listener], async |listeners, threads| {
                        server.accept_beside(guard, handle, listeners, threads).await
                    })
                };
                thread::Builder::new().name("wsgi-std-accept".into()).spawn_scoped(scope, accept)
            });
            let started: io::Result<Vec<_>> = accepting.collect();
            if started.is_err() {
                handle.shutdown();
            }
            let threads = Threads::new(&engine, &server);
            let ended =
                threads.accept(own, async |listeners, threads| server.run(&handle, listeners, threads).await);
            let others = started?.into_iter().map(|thread| thread.join().expect("accepting does not panic"));
            others.collect::<io::Result<()>>().and(ended)
        });
        engine.stop();
        ended
    }
}

/// Accepts on the calling thread, and passes connections to the engine.
struct Threads<'s, A> {
    engine: &'s Arc<Engine>,
    server: &'s Arc<app::Server<Blocking<A>>>,
    timer: AcceptTimer,
}

impl<'s, A: Application> Threads<'s, A> {
    fn new(engine: &'s Arc<Engine>, server: &'s Arc<app::Server<Blocking<A>>>) -> Self {
        Self { engine, server, timer: AcceptTimer::default() }
    }

    /// Runs `accept`, which accepts on `listeners`, on this thread.
    fn accept<R>(
        &self,
        listeners: Vec<Listener>,
        accept: impl AsyncFnOnce(Vec<Arc<Listener>>, &Self) -> R,
    ) -> R {
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        let weak: Vec<Weak<Listener>> = listeners.iter().map(Arc::downgrade).collect();
        let accepting = accept(listeners, self);
        block_on(accepting, &wait::waker(), &self.timer, |deadline| listener::wait(&weak, deadline))
    }
}

impl<A: Application> Adapter for Threads<'_, A> {
    type Listener = Arc<Listener>;
    type Accepted = Accepted;

    fn bound_addr(&self, listener: &Arc<Listener>) -> BoundAddr {
        listener.bound_addr()
    }

    fn poll_accept(
        &self,
        listener: &mut Arc<Listener>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Accepted>> {
        listener.poll_accept(context)
    }

    fn has_ended(&self, listener: &Arc<Listener>) -> bool {
        listener.has_ended()
    }

    fn start(&self, accepted: Accepted) {
        connection::begin(self.engine, self.server, accepted);
    }

    fn sleep(&self, time: Duration) -> impl Future {
        self.timer.sleep(time)
    }
}

/// The number of descriptors that connections may use, of those that this process may open, and how many threads have
/// theirs beside them. Each of the `threads` may wait for its client, and then has descriptors, too; without a limit there
/// are as many threads as connections. So there are always enough descriptors for a connection with a waiting thread.
fn descriptors(threads: Option<usize>) -> (Option<usize>, usize) {
    let threads = threads.unwrap_or(usize::MAX);
    let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current else {
        return (None, threads);
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let waiting = threads.min(limit / (1 + wait::DESCRIPTORS));
    (Some(limit - waiting * wait::DESCRIPTORS), waiting)
}
