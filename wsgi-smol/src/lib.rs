//! HTTP/1.1 server for smol, async-std and `futures-io` streams with a WSGI-style interface, on a sans-IO protocol
//! core.
//!
//! An application is an `async fn` that is called once per request. It reads the request from [`Environ`], starts the
//! response with [`StartResponse`] and returns a [`Body`]:
//!
//! ```no_run
//! use wsgi_smol::{Body, Environ, Result, StartResponse};
//!
//! async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!\r\n".into())
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     smol::block_on(async {
//!         let listener = smol::net::TcpListener::bind("127.0.0.1:8090").await?;
//!         wsgi_smol::serve(listener, hello_world).await?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! An application can also be a function that returns its response as a value. [`site`] wraps it:
//!
//! ```no_run
//! use wsgi_smol::{Environ, IntoResponse, site};
//!
//! async fn hello_world(environ: Environ) -> impl IntoResponse {
//!     match environ.path_utf8().as_deref() {
//!         Some("/") => (200, "Hello, World!\r\n"),
//!         _ => (404, "Not Found\r\n"),
//!     }
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     smol::block_on(async {
//!         let listener = smol::net::TcpListener::bind("127.0.0.1:8090").await?;
//!         wsgi_smol::serve(listener, site(hello_world)).await?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! [Responses as values](#responses-as-values) describes this form. The server treats both alike.
//!
//! In `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! wsgi-smol = "0.1"
//! smol = "2"
//! ```
//!
//! A connection is one task, and the application runs in it, without a channel or a hop to another thread. It must not
//! block: put a call that blocks into [`unblock`](https://docs.rs/smol/latest/smol/fn.unblock.html), and wrap an application
//! that blocks in [`blocking()`](fn@blocking), or use [`wsgi-std`](https://docs.rs/wsgi-std), where all applications may block.
//! A connection that waits for a request holds no buffer.
//!
//! Applications have the same interface as those of [`wsgi-tokio`](https://docs.rs/wsgi-tokio), and differ only in the
//! crate that they import. The protocol is implemented by [`wsgi-proto`](https://docs.rs/wsgi-proto), and the types
//! that applications use by [`wsgi-app`](https://docs.rs/wsgi-app). Everything you need is re-exported here: where an
//! example on the page of a type begins with `use wsgi_app::`, write `use wsgi_smol::`.
//!
//! The page `docs/cookbook.md` in the repository has complete programs for common tasks, written for `wsgi-tokio`. On smol they
//! differ in `main`, and in what reads files and sleeps.
//!
//! # Responses as values
//!
//! A function of a [`site`] returns anything that implements [`IntoResponse`]: text, bytes, [`Html`], [`Redirect`], a tuple
//! such as `(status, value)` or `(status, headers, value)`, a [`Response`], or a `Result` of them. A [`Response`] has a status,
//! header fields and a [`Body`], which may be a stream or a file. If it is the error of the function, `?` can end the function
//! with any status:
//!
//! ```
//! use wsgi_smol::{Environ, IntoResponse, Redirect, Response, site};
//!
//! async fn users(environ: Environ) -> Result<Response, Response> {
//!     let (method, path) = (environ.method(), environ.path_utf8().unwrap_or_default());
//!     let segments: Vec<&str> = path.split('/').skip(1).collect();
//!     match (&*method, &*segments) {
//!         ("GET" | "HEAD", ["users", id]) => Ok(user(id)?.into_response()),
//!         ("POST", ["users"]) => {
//!             let form = environ.form(4096).await?; // 413 if it is larger, 415 if it is not a form
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
//! # use wsgi_smol::test::Request;
//! # fn form(body: &'static str) -> Request {
//! #     Request::post("/users", body).header("Content-Type", "application/x-www-form-urlencoded")
//! # }
//! # smol::block_on(async {
//! #     let response = wsgi_smol::test::call(site(users), Request::get("/users/7")).await;
//! #     assert_eq!(response.body().as_bytes(), Some(&b"user 7\n"[..]));
//! #     let response = wsgi_smol::test::call(site(users), Request::get("/users/x")).await;
//! #     assert_eq!(response.status().code(), 404);
//! #     let response = wsgi_smol::test::call(site(users), Request::get("/")).await;
//! #     assert_eq!(response.status().code(), 404);
//! #     let response = wsgi_smol::test::call(site(users), Request::post("/users", "name=Ada")).await;
//! #     assert_eq!(response.status().code(), 415);
//! #     let response = wsgi_smol::test::call(site(users), form("name=Ada")).await;
//! #     assert_eq!(response.headers().get("Location").as_deref(), Some("/users/8"));
//! #     let response = wsgi_smol::test::call(site(users), form("nick=Ada")).await;
//! #     assert_eq!(response.status().code(), 400);
//! #     let response = wsgi_smol::test::call(site(users), Request::new("DELETE", "/users/7")).await;
//! #     assert_eq!(response.headers().get("Allow").as_deref(), Some("GET, HEAD, POST"));
//! # });
//! ```
//!
//! | to read | call |
//! | --- | --- |
//! | the path and the query as UTF-8 | [`path_utf8`](Environ::path_utf8), [`query_pairs`](Environ::query_pairs) |
//! | the path in parts, in which `%2F` is no separator | [`segments`](Environ::segments) |
//! | a header field, or all with one name | [`header`](Environ::header), [`headers`](Environ::headers) |
//! | the cookies | [`cookies`](Environ::cookies) |
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
//! # Routing and shared state
//!
//! Use a `match` on the method and the path. Put shared state, such as a database pool, into a type and implement
//! [`Application`] for it:
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use wsgi_smol::{Application, Body, Environ, NO_HEADERS, Result, StartResponse};
//!
//! #[derive(Default)]
//! struct Site {
//!     visits: AtomicU64,
//! }
//!
//! impl Application for Site {
//!     async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
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
//! # use smol::io::{AsyncReadExt, AsyncWriteExt};
//! # fn ask(application: impl wsgi_smol::Application, request: &str) -> Result<String> {
//! #     smol::block_on(async {
//! #         let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! #         let mut client = smol::net::TcpStream::connect(listener.local_addr()?).await?;
//! #         let server = wsgi_smol::Server::new(listener, application).log_output(false);
//! #         let (handle, serving) = (server.handle(), smol::spawn(server.serve()));
//! #         client.write_all(request.as_bytes()).await?;
//! #         let mut response = String::new();
//! #         client.read_to_string(&mut response).await?;
//! #         drop(client);
//! #         handle.shutdown();
//! #         serving.await?;
//! #         Ok(response)
//! #     })
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
//! A closure that captures an `Arc` is an application too; see [`Application`] for both forms and for middleware.
//!
//! # Request bodies
//!
//! [`Environ::input`] reads the body: [whole](Input::read_to_end), [in pieces](Input::read_some) or [by
//! line](Input::lines). It also implements `AsyncRead` of `futures-io`. Reading fails with an [`InputError`] if the client
//! sent a body that is malformed, too large, cut off or late. Pass it on with `?`, and the client gets the matching
//! status:
//!
//! ```
//! use wsgi_smol::{Body, Environ, Result, StartResponse};
//!
//! async fn count_lines(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     let (mut count, mut lines) = (0, environ.input().lines());
//!     while let Some(_line) = lines.next().await? { // 400, 408 or 413
//!         count += 1;
//!     }
//!     start_response.start("200 OK", [("Content-Type", "application/json")])?;
//!     Ok(format!(r#"{{"lines": {count}}}"#).into())
//! }
//! # use smol::io::{AsyncReadExt, AsyncWriteExt};
//! # async fn ask(request: &str) -> Result<String> {
//! #     let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let mut client = smol::net::TcpStream::connect(listener.local_addr()?).await?;
//! let server = wsgi_smol::Server::new(listener, count_lines).max_body_size(1024 * 1024);
//! #     let server = server.log_output(false);
//! #     let (handle, serving) = (server.handle(), smol::spawn(server.serve()));
//! #     client.write_all(request.as_bytes()).await?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).await?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.await?;
//! #     Ok(response)
//! # }
//! # fn main() -> Result<()> {
//! #     let request = "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\na\nb\nc";
//! #     assert!(smol::block_on(ask(request))?.ends_with("\r\n\r\n{\"lines\": 3}"));
//! #     let request = "POST / HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n";
//! #     assert!(smol::block_on(ask(request))?.starts_with("HTTP/1.1 413 "));
//! #     Ok(())
//! # }
//! ```
//!
//! `max_body_size` has no default: an application that reads a whole body into memory needs it, or the limit of
//! [`Input::read_all`]. For JSON, the feature `json` adds [`Environ::json`](struct.Environ.html#method.json) and
//! [`Json`](struct.Json.html).
//!
//! # Streaming
//!
//! | you have | use |
//! | --- | --- |
//! | the whole body | `bytes.into()`; it gets a `Content-Length` |
//! | blocks that are computed without waiting | [`Body::iterator`] |
//! | a file, or a range of it | [`Body::file`]; the range that the client requests: [`Response::with_file`] |
//! | another reader that does not wait | [`Body::reader`] |
//! | a [`smol::stream::Stream`] of `Result<Bytes>` | [`Body::stream`] |
//! | code that sends when it has something | [`Write::write`] on the handle that [`StartResponse::start`] returns |
//!
//! A body of unknown length is chunked. For a client of HTTP/1.0 it ends with the connection. If the client reads
//! slowly, `write` waits and streams are not polled. Server-sent events:
//!
//! ```
//! use std::time::Duration;
//! use smol::{Timer, stream};
//! use wsgi_smol::{Body, Bytes, Environ, Result, StartResponse};
//!
//! async fn events(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     let headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")];
//!     start_response.start("200 OK", headers)?;
//!     Ok(Body::stream(stream::unfold(1, |number| async move {
//!         if number > 3 {
//!             return None;
//!         }
//!         Timer::after(Duration::from_millis(10)).await;
//!         Some((Ok(Bytes::from(format!("data: {number}\n\n"))), number + 1))
//!     })))
//! }
//! # use smol::io::{AsyncReadExt, AsyncWriteExt};
//! # fn ask(application: impl wsgi_smol::Application, request: &str) -> Result<String> {
//! #     smol::block_on(async {
//! #         let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! #         let mut client = smol::net::TcpStream::connect(listener.local_addr()?).await?;
//! #         let server = wsgi_smol::Server::new(listener, application).log_output(false);
//! #         let (handle, serving) = (server.handle(), smol::spawn(server.serve()));
//! #         client.write_all(request.as_bytes()).await?;
//! #         let mut response = String::new();
//! #         client.read_to_string(&mut response).await?;
//! #         drop(client);
//! #         handle.shutdown();
//! #         serving.await?;
//! #         Ok(response)
//! #     })
//! # }
//! # fn main() -> Result<()> {
//! #     let response = ask(events, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! #     assert!(response.contains("\r\nTransfer-Encoding: chunked\r\n"), "{response}");
//! #     assert!(response.ends_with("\r\n9\r\ndata: 3\n\n\r\n0\r\n\r\n"), "{response}");
//! #     Ok(())
//! # }
//! ```
//!
//! [`smol::stream::Stream`] is a trait; the [`Stream`] of this crate is a connection after an [upgrade](#upgrades).
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
//! use wsgi_smol::{Environ, IntoResponse, Response, site};
//!
//! async fn page(environ: Environ) -> Result<&'static str, Response> {
//!     let Ok(number) = environ.query().parse::<usize>() else {
//!         return Err((404, "no such page\n").into_response());
//!     };
//!     Ok(*["zero", "one"].get(number).ok_or("this page is lost")?) // 500
//! }
//! # use smol::io::{AsyncReadExt, AsyncWriteExt};
//! # fn ask(application: impl wsgi_smol::Application, request: &str) -> wsgi_smol::Result<String> {
//! #     smol::block_on(async {
//! #         let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! #         let mut client = smol::net::TcpStream::connect(listener.local_addr()?).await?;
//! #         let server = wsgi_smol::Server::new(listener, application).log_output(false);
//! #         let (handle, serving) = (server.handle(), smol::spawn(server.serve()));
//! #         client.write_all(request.as_bytes()).await?;
//! #         let mut response = String::new();
//! #         client.read_to_string(&mut response).await?;
//! #         drop(client);
//! #         handle.shutdown();
//! #         serving.await?;
//! #         Ok(response)
//! #     })
//! # }
//! # fn main() -> wsgi_smol::Result<()> {
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
//! that can no longer be sent is dropped, as it is after the last block (the `close()` of WSGI). An application that
//! waits for something else can wait for [`Input::client_gone`] at the same time, with `smol::future::or`, and return
//! [`SendError::Lost`] then: it is not logged as a failure. A hook that was added with [`Environ::add_post_hook`] runs in every case, after the response. Its [`Record`] shows how the
//! response ended.
//!
//! # Upgrades
//!
//! An application can take over the connection and use another protocol, such as WebSocket: start a `101 Switching
//! Protocols` response, then call [`Input::take_over`]. The [`Stream`] that it returns begins with the bytes that were
//! received early, and implements `AsyncRead` and `AsyncWrite` of `futures-io`, so a WebSocket library can use
//! it. This crate does not parse WebSocket frames.
//!
//! ```
//! use wsgi_smol::{Body, Environ, Result, StartResponse};
//!
//! async fn echo(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     if environ.header("Upgrade").as_deref() != Some("echo") {
//!         start_response.start("426 Upgrade Required", [("Upgrade", "echo")])?;
//!         return Ok(Body::empty());
//!     }
//!     start_response.start("101 Switching Protocols", [("Upgrade", "echo")])?;
//!     let mut stream = environ.input().take_over().await?;
//!     let mut buffer = [0; 1024];
//!     loop {
//!         match stream.read(&mut buffer).await? {
//!             0 => break,
//!             count => stream.write_all(&buffer[..count]).await?,
//!         }
//!     }
//!     stream.shutdown().await?;
//!     Ok(Body::empty()) // it is not sent
//! }
//! # use smol::io::{AsyncReadExt, AsyncWriteExt};
//! # fn ask(application: impl wsgi_smol::Application, request: &str) -> Result<String> {
//! #     smol::block_on(async {
//! #         let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! #         let mut client = smol::net::TcpStream::connect(listener.local_addr()?).await?;
//! #         let server = wsgi_smol::Server::new(listener, application).log_output(false);
//! #         let (handle, serving) = (server.handle(), smol::spawn(server.serve()));
//! #         client.write_all(request.as_bytes()).await?;
//! #         let mut response = String::new();
//! #         client.read_to_string(&mut response).await?;
//! #         drop(client);
//! #         handle.shutdown();
//! #         serving.await?;
//! #         Ok(response)
//! #     })
//! # }
//! # fn main() -> Result<()> {
//! #     assert!(ask(echo, "GET / HTTP/1.0\r\n\r\n")?.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
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
//! use wsgi_smol::{Options, Server};
//! # use wsgi_smol::{Body, Environ, Result, StartResponse};
//! # async fn hello_world(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
//!
//! # smol::block_on(async {
//! # let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! let server = Server::new(listener, hello_world).options(Options::public());
//! # server.handle().shutdown();
//! # server.log_output(false).serve().await?;
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! The size of a request head, the time for it, the number of connections and the time for a stop are limited by
//! default; see [`Options`]. An option that is not allowed is an error before the server accepts anything:
//!
//! ```
//! # use wsgi_smol::{Body, Environ, Result, StartResponse, Server};
//! # async fn hello_world(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
//! # smol::block_on(async {
//! # let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! let error = Server::new(listener, hello_world).max_size(0).serve().await.unwrap_err();
//! assert_eq!(error.to_string(), "option max_size cannot be 0 (allowed: 1 or more)");
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! # Stopping
//!
//! A [`ServerHandle`] stops the server gracefully from any task or thread: the listeners and idle connections are
//! closed, and requests that have begun are finished. [`serve`](Server::serve) then returns a [`Report`]. With Ctrl-C,
//! by the crate `async-signal`:
//!
//! ```no_run
//! use async_signal::{Signal, Signals};
//! use smol::stream::StreamExt;
//! # use wsgi_smol::{Body, Environ, Result, Server, StartResponse};
//! # async fn hello_world(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
//!
//! # smol::block_on(async {
//! # let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! let server = Server::new(listener, hello_world);
//! let handle = server.handle();
//! let mut signals = Signals::new([Signal::Int])?;
//! smol::spawn(async move {
//!     if let Some(Ok(_)) = signals.next().await {
//!         handle.shutdown();
//!     }
//! })
//! .detach();
//! let report = server.serve().await?;
//! println!("{} connections finished, {} cut", report.finished, report.cut);
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! # Listeners
//!
//! Bind listeners yourself. [`Server::listener`] adds one, so that a server can accept on several.
//!
//! | listener | connections run on |
//! | --- | --- |
//! | `TcpListener`, `UnixListener` of smol, or those of std in [`smol::Async`] | the executor of [`smol::spawn`] |
//! | `TcpListener`, `UnixListener` of async-std (feature `async-std`) | that of `async_std::task::spawn` |
//! | [`Listener::incoming`]: any stream of connections | the executor of [`smol::spawn`] |
//!
//! [`Server::pool`] sets another executor. [`smol::spawn`] uses one thread, or the number of threads in `SMOL_THREADS`.
//!
//! `incoming` serves anything that reads and writes with the traits of `futures-io`: pipes, tunnels, TLS of your own, and
//! sockets that another part of the program has accepted. When the stream ends, the listener has ended.
//! Such a type needs an `impl` of [`Duplex`] without any methods, or a [`Box`] around it:
//!
//! ```
//! # #[cfg(unix)]
//! # smol::block_on(async {
//! # use smol::io::{AsyncReadExt, AsyncWriteExt};
//! # use wsgi_smol::{Body, Environ, NO_HEADERS, Result, Server, StartResponse};
//! # async fn hello_world(_: Environ, start_response: StartResponse) -> Result<Body> {
//! #     start_response.start("200 OK", NO_HEADERS)?;
//! #     Ok("Hello\n".into())
//! # }
//! use wsgi_smol::{Address, Endpoints, Listener};
//!
//! # use std::os::unix::net::UnixStream;
//! # struct Pipe(smol::Async<UnixStream>);
//! # use std::{io, pin::Pin, task::{Context, Poll}};
//! # impl smol::io::AsyncRead for Pipe {
//! #     fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
//! #         Pin::new(&mut self.0).poll_read(cx, buf)
//! #     }
//! # }
//! # impl smol::io::AsyncWrite for Pipe {
//! #     fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
//! #         Pin::new(&mut self.0).poll_write(cx, buf)
//! #     }
//! #     fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
//! #         Pin::new(&mut self.0).poll_flush(cx)
//! #     }
//! #     fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
//! #         Poll::Ready(self.0.get_ref().shutdown(std::net::Shutdown::Write))
//! #     }
//! # }
//! # let (ours, mut client) = smol::Async::<UnixStream>::pair()?;
//! # let pipe = Pipe(ours);
//! impl wsgi_smol::Duplex for Pipe {}
//!
//! let connection = (pipe, Endpoints::new(Address::Local, Address::Local));
//! let listener = Listener::incoming(smol::stream::once(Ok(connection)));
//! let server = Server::new(listener, hello_world);
//! # let server = server.log_output(false);
//! # let (handle, serving) = (server.handle(), smol::spawn(server.serve()));
//! # client.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! # let mut response = String::new();
//! # client.read_to_string(&mut response).await?;
//! # assert!(response.ends_with("\r\n\r\nHello\n"), "{response}");
//! # drop(client);
//! # handle.shutdown();
//! # serving.await?;
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! The authors of async-std have discontinued it and recommend smol. The feature `async-std` is for programs that have
//! not moved yet.
//!
//! One listener per core: with `SO_REUSEPORT` (`set_reuse_port` of the crate socket2), several servers share a port, each on
//! a thread that runs its own executor ([`Server::pool`]) in `smol::block_on`, and the system distributes the connections.
//!
//! # Behind a proxy that passes on bytes
//!
//! The feature `proxy-protocol` adds [`Listener::proxy_protocol`](struct.Listener.html#method.proxy_protocol). The proxies
//! that you list must then send a header of the PROXY protocol first, version 1 or 2, and the application and the log see
//! the addresses of their clients:
//!
//! ```
//! # #[cfg(feature = "proxy-protocol")]
//! # fn behind_a_proxy(listener: smol::net::TcpListener) -> wsgi_smol::Result<()> {
//! let listener = wsgi_smol::Listener::from(listener).proxy_protocol("127.0.0.1, 10.0.0.0/8".parse()?);
//! # Ok(()) }
//! ```
//!
//! Connections from other sources, and those without the header, are closed without a response. A proxy that speaks HTTP
//! itself sends `X-Forwarded-For` instead.
//!
//! # Testing
//!
//! [`test::call`] sends a request to an application and returns the response that a client would get, without a
//! socket and without an executor.
//!
//! ```
//! use wsgi_smol::test::{Request, call};
//! use wsgi_smol::{Environ, Result, site};
//!
//! async fn greet(environ: Environ) -> Result<String> {
//!     let name = environ.input().read_all(100).await?;
//!     Ok(format!("Hello, {}!\n", name.escape_ascii()))
//! }
//!
//! # smol::block_on(async {
//! let response = call(site(greet), Request::post("/", "Ada")).await;
//! assert_eq!(response.status().code(), 200);
//! assert_eq!(response.body().as_str(), Some("Hello, Ada!\n"));
//! # });
//! ```
//!
//! To test the server over a socket, bind port 0 and read the address from the listener. Once the server runs,
//! [`ServerHandle::addresses`] has it too.
//!
//! ```
//! use smol::io::{AsyncReadExt, AsyncWriteExt};
//! use smol::net::{TcpListener, TcpStream};
//! use wsgi_smol::Server;
//! # use wsgi_smol::{Body, Environ, Result, StartResponse};
//! # async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//! #     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//! #     Ok("Hello, World!\r\n".into())
//! # }
//!
//! # smol::block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let server = Server::new(listener, hello_world).log_output(false);
//! let handle = server.handle();
//! let serving = smol::spawn(server.serve());
//!
//! let mut client = TcpStream::connect(address).await?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
//! let mut response = String::new();
//! client.read_to_string(&mut response).await?;
//! assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
//! assert!(response.ends_with("\r\n\r\nHello, World!\r\n"), "{response}");
//! assert_eq!(handle.addresses(), [address]);
//!
//! drop(client); // else the stop waits for it, up to `linger_timeout` (2 s)
//! handle.shutdown();
//! let report = serving.await?;
//! assert_eq!(report.cut, 0);
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! # TLS
//!
//! The feature `tls` adds [`Listener::tls`](struct.Listener.html#method.tls), which serves HTTPS with a `ServerConfig`
//! of rustls, on every kind of listener. This crate enables no crypto provider; the program chooses one. With `ring`:
//!
//! ```toml
//! wsgi-smol = { version = "0.1", features = ["tls"] }
//! rustls = { version = "0.23", default-features = false, features = ["ring", "std", "tls12"] }
//! ```
//!
//! ```
//! # #[cfg(feature = "tls")]
//! # async fn run(
//! #     config: rustls::ServerConfig,
//! #     hello_world: impl wsgi_smol::Application,
//! # ) -> wsgi_smol::Result<()> {
//! use std::sync::Arc;
//! use wsgi_smol::{Listener, Server};
//!
//! let listener = smol::net::TcpListener::bind("0.0.0.0:443").await?;
//! Server::new(Listener::from(listener).tls(Arc::new(config)), hello_world)
//!     .serve()
//!     .await?;
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
//! | `http` | the types of `http` and `http-body`: `http::Response` as a [`Response`], and [`Input`] as a body |
//! | `tower` | [`tower()`](fn.tower.html): applications of `tower::Service`, such as a `Router` of axum |
//! | `async-std` | the listeners of async-std |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod accept;
mod listener;
mod socket;
mod tls;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use smol::Timer;
use wsgi_app::adapter::{self, Adapter, BoundAddr, Runtime, check_alpn};

#[cfg(feature = "tls")]
pub use futures_rustls::rustls;
use listener::Accepted;
pub use listener::{IntoListener, Listener};
pub use socket::Duplex;

// The application, its requests and responses.
pub use wsgi_app::{
    Address, Application, Body, BodyLength, BoxApplication, Bytes, Endpoints, Environ, Errors, Field,
    FieldBytes, Head, Input, Lines, NO_HEADERS, ResponseFuture, ResponseHead, Scheme, StartResponse,
    Stopping, Stream, Tls, Trailers, Version, Write, Writing, application_fn, format_date_time,
    parse_date_time,
};
// Responses as values, and calls of applications without a socket.
pub use wsgi_app::{
    Blocks, Headers, HeadersIter, Html, IntoHeadersIter, IntoResponse, Redirect, Response, Site, Status,
    site, test,
};
// Applications that block.
pub use wsgi_app::blocking;
#[cfg(feature = "json")]
pub use wsgi_app::{Json, JsonError};
#[cfg(feature = "tower")]
pub use wsgi_app::{Tower, Upgrade, tower};
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
pub use wsgi_app::adapter::Serving;
pub use wsgi_app::{
    KeepAlive, Limits, Log, LogEntry, LogFormat, OptionError, Options, Record, Report, ServerHandle,
};

/// Serves `application` on `listener` with the default options, until the listener fails or the future is dropped.
///
/// `listener` is already bound and listening. To set options or to stop gracefully, use [`Server`].
///
/// # Errors
///
/// The failure of the listener. Errors of single clients do not end the server.
pub fn serve(listener: impl IntoListener, application: impl Application) -> Serving {
    Server::new(listener, application).serve()
}

/// Sets up a server: listeners, options, then [`serve`](Self::serve).
///
/// ```no_run
/// use std::time::Duration;
/// use wsgi_smol::Server;
///
/// # async fn run(site: impl wsgi_smol::Application) -> std::io::Result<()> {
/// let listener = smol::net::TcpListener::bind("127.0.0.1:8090").await?;
/// let server = Server::new(listener, site)
///     .debug(false)
///     .keepalive(Duration::from_secs(75))
///     .max_size(10_000)
///     .log(|entry| println!("{}", entry.text()));
/// let handle = server.handle();
/// let serving = smol::spawn(server.serve());
/// // ...
/// handle.shutdown();
/// let report = serving.await?;
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
    pool: Option<Arc<smol::Executor<'static>>>,
    ignores_max_size: bool,
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
        }
    }

    /// Adds a listener.
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

    /// Sets the executor that connections run on, and the accept loop until the server stops; run it yourself.
    /// Default: the executor of [`smol::spawn`], or that of `async_std::task::spawn` for listeners of async-std.
    ///
    /// One thread that runs the executor and the server needs the fewest system calls:
    ///
    /// ```no_run
    /// # fn run(listener: smol::net::TcpListener, site: impl wsgi_smol::Application) -> std::io::Result<()> {
    /// let executor = std::sync::Arc::new(smol::Executor::new());
    /// let server = wsgi_smol::Server::new(listener, site).pool(executor.clone());
    /// smol::block_on(executor.run(server.serve()))?;
    /// # Ok(()) }
    /// ```
    pub fn pool(mut self, pool: Arc<smol::Executor<'static>>) -> Self {
        (self.pool, self.ignores_max_size) = (Some(pool), false);
        self
    }

    /// Like [`pool`](Self::pool), but `max_size` is ignored, as in eventlet.
    pub fn custom_pool(mut self, pool: Arc<smol::Executor<'static>>) -> Self {
        (self.pool, self.ignores_max_size) = (Some(pool), true);
        self
    }

    /// A handle that stops and observes the server from any thread, before and while it runs.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until [`ServerHandle::shutdown`] is called or a listener fails. The server then closes its listeners and
    /// idle connections, finishes requests that have begun, and cuts those that remain at
    /// [`Options::graceful_timeout`].
    ///
    /// Nothing happens before the future is awaited or spawned. Dropping it closes the listeners and cuts all
    /// connections.
    ///
    /// # Errors
    ///
    /// An [`OptionError`] in an error of the kind [`io::ErrorKind::InvalidInput`], before anything is accepted: an
    /// option is not allowed, or the ALPN of a listener offers `h2`. Otherwise the failure of a listener.
    pub fn serve(self) -> Serving
    where
        A: Application,
    {
        Serving::new(async move {
            let Self { listeners, application, options, handle, pool, ignores_max_size } = self;
            listeners.iter().try_for_each(|listener| check_alpn(listener.alpn_protocols()))?;
            let runtime = Runtime::default()
                .descriptor_limit(descriptor_limit())
                .ignore_max_size(ignores_max_size)
                .blocking(|work| smol::unblock(work).detach());
            let server = adapter::Server::with_runtime(options, &handle, application, runtime)?;
            listeners.iter().for_each(|listener| listener.prepare(server.limits_slow_readers()));
            // Kept until the end: the loop must not drop the executor of its task.
            let executor = pool.clone();
            let spawn = spawner(&listeners, pool.clone());
            let accepts = Arc::clone(&server);
            let accepting =
                Box::pin(
                    async move { accepts.run(&handle, listeners, &Smol { server: &accepts, pool }).await },
                );
            let ended = accept::run(accepting, spawn, |context| server.poll_stop(context)).await;
            drop(executor);
            ended
        })
    }

    /// [`serve`](Self::serve), and shuts down gracefully when `signal` is ready, whatever its output. This call
    /// polls the signal for the first time, so that one which begins to watch then is watched before the server is awaited.
    /// One that needs a runtime of its own, such as a signal of tokio, needs it in this call, too.
    ///
    /// ```no_run
    /// # async fn run(listener: smol::net::TcpListener, site: impl wsgi_smol::Application) -> std::io::Result<()> {
    /// // Another part of the program sends the signal, for instance on Ctrl-C.
    /// let (stop, stopped) = smol::channel::bounded::<()>(1);
    /// let report = wsgi_smol::Server::new(listener, site)
    ///     .serve_until(async move { stopped.recv().await })
    ///     .await?;
    /// println!("{} connections finished, {} cut", report.finished, report.cut);
    /// # Ok(()) }
    /// ```
    ///
    /// [`ServerHandle::shutdown`] stops it, too.
    ///
    /// # Errors
    ///
    /// Those of [`serve`](Self::serve).
    #[doc(alias = "with_graceful_shutdown")]
    pub fn serve_until(self, signal: impl Future + Send + 'static) -> Serving
    where
        A: Application,
    {
        let handle = self.handle();
        self.serve().until(signal, handle, true)
    }
}

impl<A: Application> IntoFuture for Server<A> {
    type Output = io::Result<Report>;
    type IntoFuture = Serving;

    /// [`serve`](Server::serve).
    fn into_future(self) -> Serving {
        self.serve()
    }
}

/// Spawns the accept loop where the connections run.
fn spawner(
    listeners: &[Listener],
    pool: Option<Arc<smol::Executor<'static>>>,
) -> impl FnOnce(smol::future::Boxed<()>) + use<> {
    #[cfg(feature = "async-std")]
    let on_async_std = listeners.iter().any(Listener::is_on_async_std);
    #[cfg(not(feature = "async-std"))]
    let (on_async_std, _) = (false, listeners);
    move |accepting| match (pool, on_async_std) {
        (Some(pool), _) => pool.spawn(accepting).detach(),
        #[cfg(feature = "async-std")]
        (None, true) => drop(async_std::task::spawn(accepting)),
        (None, _) => smol::spawn(accepting).detach(),
    }
}

/// Accepts on listeners of smol, and spawns their connections.
struct Smol<'s, A> {
    server: &'s Arc<adapter::Server<A>>,
    pool: Option<Arc<smol::Executor<'static>>>,
}

impl<A: Application> Adapter for Smol<'_, A> {
    type Listener = Listener;
    type Accepted = Accepted;

    fn bound_addr(&self, listener: &Listener) -> BoundAddr {
        listener.bound_addr.clone()
    }

    fn poll_accept(&self, listener: &mut Listener, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        listener.poll_accept(context)
    }

    fn poll_queued(&self, listener: &mut Listener, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        listener.poll_queued(context)
    }

    fn has_ended(&self, listener: &Listener) -> bool {
        listener.has_ended()
    }

    fn start(&self, accepted: Accepted) {
        accepted.spawn(self.server, self.pool.as_deref());
    }

    fn sleep(&self, time: Duration) -> impl Future {
        Timer::after(time)
    }
}

/// The limit of open descriptors of this process.
fn descriptor_limit() -> Option<usize> {
    #[cfg(unix)]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
        Some(usize::try_from(limit).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    None
}
