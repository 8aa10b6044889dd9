//! HTTP/1.1 server for tokio with a WSGI-style interface, on a sans-IO protocol core.
//!
//! An application is an `async fn` that is called once per request. It reads the request from [`Environ`], starts the
//! response with [`StartResponse`] and returns a [`Body`]:
//!
//! ```no_run
//! use wsgi_tokio::{Body, Environ, Result, StartResponse};
//!
//! async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!\r\n".into())
//! }
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8090").await?;
//!     wsgi_tokio::serve(listener, hello_world).await?;
//!     Ok(())
//! }
//! ```
//!
//! An application can also be a function that returns its response as a value. [`site`] wraps it:
//!
//! ```no_run
//! use wsgi_tokio::{Environ, IntoResponse, site};
//!
//! async fn hello_world(environ: Environ) -> impl IntoResponse {
//!     match environ.path_utf8().as_deref() {
//!         Some("/") => (200, "Hello, World!\r\n"),
//!         _ => (404, "Not Found\r\n"),
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8090").await?;
//!     wsgi_tokio::serve(listener, site(hello_world)).await?;
//!     Ok(())
//! }
//! ```
//!
//! [Responses as values](#responses-as-values) describes this form. The server treats both alike.
//!
//! In `Cargo.toml` (before the first release, a `path` to a clone instead of a version):
//!
//! ```toml
//! [dependencies]
//! wsgi-tokio = "0.1"
//! tokio = { version = "1.54", features = ["macros", "net", "rt-multi-thread"] }
//! ```
//!
//! A connection is one task, and the application runs in it, without a channel or a hop to another thread. It must not
//! block: put a call that blocks into
//! [`spawn_blocking`](https://docs.rs/tokio/latest/tokio/task/fn.spawn_blocking.html), and wrap an application that blocks in
//! [`blocking()`](fn@blocking), or use [`wsgi-std`](https://docs.rs/wsgi-std), where all applications may block. A connection
//! that waits for a request holds no buffer.
//!
//! The protocol is implemented by [`wsgi-proto`](https://docs.rs/wsgi-proto), and the types that applications use by
//! [`wsgi-app`](https://docs.rs/wsgi-app). Everything you need is re-exported here: where an example on the page of a
//! type begins with `use wsgi_app::`, write `use wsgi_tokio::`.
//!
//! The page `docs/cookbook.md` in the repository has complete programs for common tasks: routes, JSON, forms, uploads, downloads
//! with ranges, errors, tests, metrics, a service of systemd, and more.
//!
//! # Responses as values
//!
//! A function of a [`site`] returns anything that implements [`IntoResponse`]: text, bytes, [`Html`], [`Redirect`], a tuple
//! such as `(status, value)` or `(status, headers, value)`, a [`Response`], or a `Result` of them. A [`Response`] has a status,
//! header fields and a [`Body`], which may be a stream or a file. If it is the error of the function, `?` can end the function
//! with any status:
//!
//! ```
//! use wsgi_tokio::{Environ, IntoResponse, Redirect, Response, site};
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
//! # use wsgi_tokio::test::Request;
//! # fn form(body: &'static str) -> Request {
//! #     Request::post("/users", body).header("Content-Type", "application/x-www-form-urlencoded")
//! # }
//! # #[tokio::main]
//! # async fn main() {
//! #     let response = wsgi_tokio::test::call(site(users), Request::get("/users/7")).await;
//! #     assert_eq!(response.body().as_bytes(), Some(&b"user 7\n"[..]));
//! #     let response = wsgi_tokio::test::call(site(users), Request::get("/users/x")).await;
//! #     assert_eq!(response.status().code(), 404);
//! #     let response = wsgi_tokio::test::call(site(users), Request::get("/")).await;
//! #     assert_eq!(response.status().code(), 404);
//! #     let response = wsgi_tokio::test::call(site(users), Request::post("/users", "name=Ada")).await;
//! #     assert_eq!(response.status().code(), 415);
//! #     let response = wsgi_tokio::test::call(site(users), form("name=Ada")).await;
//! #     assert_eq!(response.headers().get("Location").as_deref(), Some("/users/8"));
//! #     let response = wsgi_tokio::test::call(site(users), form("nick=Ada")).await;
//! #     assert_eq!(response.status().code(), 400);
//! #     let response = wsgi_tokio::test::call(site(users), Request::new("DELETE", "/users/7")).await;
//! #     assert_eq!(response.headers().get("Allow").as_deref(), Some("GET, HEAD, POST"));
//! # }
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
//! # Routing
//!
//! Use a `match` on the method and the path. [`Environ::path_utf8`] is percent-decoded, and [`Environ::query_pairs`]
//! decodes the query:
//!
//! ```
//! use wsgi_tokio::{Environ, IntoResponse, Response, site};
//!
//! async fn pages(environ: Environ) -> Response {
//!     let (method, path) = (environ.method(), environ.path_utf8().unwrap_or_default());
//!     let segments: Vec<&str> = path.split('/').skip(1).collect();
//!     match (&*method, &*segments) {
//!         ("GET" | "HEAD", [""]) => "index\n".into_response(),
//!         ("GET" | "HEAD", ["users", id]) => {
//!             let tab = environ.query_pairs().find(|(name, _)| name == "tab");
//!             let tab = tab.map_or("0".to_owned(), |(_, value)| value);
//!             format!("user {id}, tab {tab}\n").into_response()
//!         }
//!         (_, [""] | ["users", _]) => Response::not_allowed("GET, HEAD"),
//!         _ => (404, "no such page\n").into_response(),
//!     }
//! }
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # async fn ask(application: impl wsgi_tokio::Application, request: &str) -> wsgi_tokio::Result<String> {
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//! #     let server = wsgi_tokio::Server::new(listener, application).log_output(false);
//! #     let (handle, serving) = (server.handle(), tokio::spawn(server.serve()));
//! #     client.write_all(request.as_bytes()).await?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).await?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.await??;
//! #     Ok(response)
//! # }
//! # #[tokio::main]
//! # async fn main() -> wsgi_tokio::Result<()> {
//! #     let response = ask(site(pages), "GET /users/7?tab=1 HTTP/1.0\r\n\r\n").await?;
//! #     assert!(response.ends_with("\r\n\r\nuser 7, tab 1\n"), "{response}");
//! #     assert!(ask(site(pages), "GET / HTTP/1.0\r\n\r\n").await?.ends_with("\r\n\r\nindex\n"));
//! #     assert!(ask(site(pages), "DELETE / HTTP/1.0\r\n\r\n").await?.contains("\r\nAllow: GET, HEAD\r\n"));
//! #     assert!(ask(site(pages), "GET /x HTTP/1.0\r\n\r\n").await?.starts_with("HTTP/1.1 404 Not Found\r\n"));
//! #     Ok(())
//! # }
//! ```
//!
//! The response to a `HEAD` request is sent without its body. [`Environ::header`] returns a request header, and
//! [`Environ::get`] any variable of CGI or WSGI. As in WSGI, [`Environ::path`] and header fields show bytes that are not
//! ASCII as latin-1, one character per byte; [`Environ::head`] has the bytes that were received.
//!
//! # Shared state
//!
//! Put shared state, such as a database pool, into a type and implement [`Application`] for it:
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use wsgi_tokio::{Application, Body, Environ, Result, StartResponse};
//!
//! #[derive(Default)]
//! struct Counter {
//!     visits: AtomicU64,
//! }
//!
//! impl Application for Counter {
//!     async fn call(&self, _environ: Environ, start_response: StartResponse) -> Result<Body> {
//!         let visits = self.visits.fetch_add(1, Ordering::Relaxed) + 1;
//!         start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!         Ok(format!("visit {visits}\n").into())
//!     }
//! }
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # async fn ask(application: impl wsgi_tokio::Application, request: &str) -> Result<String> {
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//! #     let server = wsgi_tokio::Server::new(listener, application).log_output(false);
//! #     let (handle, serving) = (server.handle(), tokio::spawn(server.serve()));
//! #     client.write_all(request.as_bytes()).await?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).await?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.await??;
//! #     Ok(response)
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! #     let counter = std::sync::Arc::new(Counter::default());
//! #     assert!(ask(counter.clone(), "GET / HTTP/1.0\r\n\r\n").await?.ends_with("\r\n\r\nvisit 1\n"));
//! #     assert!(ask(counter, "GET / HTTP/1.0\r\n\r\n").await?.ends_with("\r\n\r\nvisit 2\n"));
//! #     Ok(())
//! # }
//! ```
//!
//! Or pass a clone of an `Arc` to a function:
//!
//! ```
//! use std::sync::Arc;
//! # use wsgi_tokio::{Application, Body, Environ, Result, StartResponse};
//! # struct Database;
//!
//! async fn site(
//!     database: Arc<Database>,
//!     environ: Environ,
//!     start_response: StartResponse,
//! ) -> Result<Body> {
//!     // ...
//! #     let _ = (database, environ, start_response);
//! #     Ok(Body::empty())
//! }
//!
//! let database = Arc::new(Database);
//! let application =
//!     move |environ, start_response| site(database.clone(), environ, start_response);
//! # fn is_an_application(_: impl Application) {}
//! # is_an_application(application);
//! ```
//!
//! A closure that has the body in it needs [`application_fn`], because the compiler cannot infer its types:
//!
//! ```
//! # use wsgi_tokio::NO_HEADERS;
//! # fn is_an_application(_: impl wsgi_tokio::Application) {}
//! let application = wsgi_tokio::application_fn(|environ, start_response| async move {
//!     start_response.start("200 OK", NO_HEADERS)?;
//!     Ok(environ.path().into_owned().into())
//! });
//! # is_an_application(application);
//! ```
//!
//! For [`site`], the closure has one argument: `site(move |environ| pages(database.clone(), environ))`.
//!
//! Middleware is an [`Application`] that calls another one. It passes values to the inner one with [`Environ::insert`], and
//! changes the status and the header fields of its responses with [`StartResponse::map`].
//!
//! # Request bodies and JSON
//!
//! [`Environ::input`] reads the body: [whole](Input::read_to_end), [in pieces](Input::read_some) or [by
//! line](Input::lines). Reading fails with an [`InputError`] if the client sent a body that is malformed, too large,
//! cut off or late. Pass it on with `?`, and the client gets the matching status. Other errors of the client are yours
//! to answer:
//!
//! ```
//! use wsgi_tokio::{Body, Environ, NO_HEADERS, Result, StartResponse};
//!
//! async fn count_words(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     let body = environ.input().read_to_end().await?; // 400, 408 or 413
//!     let Ok(text) = std::str::from_utf8(&body) else {
//!         start_response.start("415 Unsupported Media Type", NO_HEADERS)?;
//!         return Ok(Body::empty());
//!     };
//!     let words = text.split_whitespace().count();
//!     start_response.start("200 OK", [("Content-Type", "application/json")])?;
//!     Ok(format!(r#"{{"bytes": {}, "words": {words}}}"#, body.len()).into())
//! }
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # async fn ask(request: &[u8]) -> Result<String> {
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//! let server = wsgi_tokio::Server::new(listener, count_words).max_body_size(1024 * 1024);
//! #     let server = server.log_output(false);
//! #     let (handle, serving) = (server.handle(), tokio::spawn(server.serve()));
//! #     client.write_all(request).await?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).await?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.await??;
//! #     Ok(response)
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! #     let response = ask(b"POST / HTTP/1.0\r\nContent-Length: 9\r\n\r\nto be,\nor").await?;
//! #     assert!(response.ends_with("\r\n\r\n{\"bytes\": 9, \"words\": 3}"), "{response}");
//! #     let response = ask(b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n\xff").await?;
//! #     assert!(response.starts_with("HTTP/1.1 415 Unsupported Media Type\r\n"), "{response}");
//! #     let response = ask(b"POST / HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n").await?;
//! #     assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
//! #     Ok(())
//! # }
//! ```
//!
//! A body with a `Content-Length` above `max_body_size` never reaches the application: the server answers it with a 413 in
//! plain text. [`Input::read_all`] has a limit for one path, and `?` answers a larger body with the same 413. For a response
//! of your own, replace that one:
//!
//! ```
//! use wsgi_tokio::{Environ, IntoResponse, Response, site};
//!
//! async fn upload(environ: Environ) -> Response {
//!     match environ.input().read_all(64 * 1024).await {
//!         Ok(body) => format!("{} bytes\n", body.len()).into_response(),
//!         Err(error) => {
//!             let response = error.into_response();
//!             if response.status().code() != 413 {
//!                 return response;
//!             }
//!             let headers = [("Content-Type", "application/json")];
//!             (413, headers, r#"{"error": "too large"}"#).into_response()
//!         }
//!     }
//! }
//! # #[tokio::main]
//! # async fn main() {
//! #     use wsgi_tokio::test::{Request, call};
//! #     let response = call(site(upload), Request::post("/", "abc")).await;
//! #     assert_eq!(response.body().as_str(), Some("3 bytes\n"));
//! #     let response = call(site(upload), Request::post("/", vec![b'a'; 70_000])).await;
//! #     assert_eq!(response.status().code(), 413);
//! #     assert_eq!(response.body().as_str(), Some(r#"{"error": "too large"}"#));
//! # }
//! ```
//!
//! `max_body_size` has no default: an application that reads a whole body into memory needs it, or the limit of `read_all`.
//! For JSON, the feature `json` adds [`Environ::json`](struct.Environ.html#method.json), which has a limit too, and
//! [`Json`](struct.Json.html). For forms there is [`Environ::form`]. The first read sends the `100 Continue` that a client
//! may wait for.
//!
//! # Streaming
//!
//! | you have | use |
//! | --- | --- |
//! | the whole body | `bytes.into()`; it gets a `Content-Length` |
//! | blocks that are computed without waiting | [`Body::iterator`] |
//! | a file, or a range of it | [`Body::file`]; the range that the client requests: [`Response::with_file`] |
//! | another reader that does not wait | [`Body::reader`] |
//! | a `futures_core::Stream` of `Result<Bytes>`, such as `tokio_stream::wrappers::ReceiverStream` | [`Body::stream`] |
//! | code that sends when it has something | [`Write::write`] on the handle that [`StartResponse::start`] returns |
//!
//! A body of unknown length is chunked. For a client of HTTP/1.0 it ends with the connection. If the client reads
//! slowly, `write` waits and streams are not polled. Server-sent events:
//!
//! ```
//! use std::time::Duration;
//! use wsgi_tokio::{Body, Environ, Result, StartResponse};
//!
//! async fn events(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     let headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")];
//!     let stream = start_response.start("200 OK", headers)?;
//!     for number in 1..=3 {
//!         stream.write(format!("data: {number}\n\n")).await?; // an error if the client is gone
//!         tokio::time::sleep(Duration::from_millis(10)).await;
//!     }
//!     Ok(Body::empty())
//! }
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # async fn ask(application: impl wsgi_tokio::Application, request: &str) -> Result<String> {
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//! #     let server = wsgi_tokio::Server::new(listener, application).log_output(false);
//! #     let (handle, serving) = (server.handle(), tokio::spawn(server.serve()));
//! #     client.write_all(request.as_bytes()).await?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).await?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.await??;
//! #     Ok(response)
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! #     let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
//! #     let response = ask(events, request).await?;
//! #     assert!(response.contains("\r\nTransfer-Encoding: chunked\r\n"), "{response}");
//! #     assert!(response.ends_with("\r\n9\r\ndata: 3\n\n\r\n0\r\n\r\n"), "{response}");
//! #     let response = ask(events, "GET / HTTP/1.0\r\n\r\n").await?;
//! #     assert!(response.ends_with("\r\n\r\ndata: 1\n\ndata: 2\n\ndata: 3\n\n"), "{response}");
//! #     Ok(())
//! # }
//! ```
//!
//! # Errors and statuses
//!
//! | the application | the client gets | the log gets |
//! | --- | --- | --- |
//! | returns an error | 500 | the error with its sources |
//! | panics | 500 | the message and the place of the panic |
//! | returns an [`InputError`] that the client caused | 400, 408 or 413 | a debug entry |
//! | returns a body without calling `start` | 500 | an error |
//! | sends more than its `Content-Length` | the announced number of bytes | an error |
//!
//! `start` returns a [`StartError`] if it is called twice, or if the status or a header is malformed; then nothing was
//! started. [`StartResponse::restart`] replaces a response whose head was not sent yet.
//!
//! With [`Options::debug`], which is on by default, the body of a 500 shows the error. If a response fails after its
//! head was sent, it is broken off, so that the client can see that it is incomplete. A failure affects only its own
//! response. A function of a [`site`] gives errors their status by returning a [`Response`] as the error, or a type of its
//! own that implements [`IntoResponse`]:
//!
//! ```
//! use wsgi_tokio::{Environ, IntoResponse, Response, site};
//!
//! async fn page(environ: Environ) -> Result<String, Response> {
//!     let number: u32 = environ.query().parse()?; // 500
//!     if number > 9 {
//!         return Err((404, "no such page\n").into_response());
//!     }
//!     Ok(format!("page {number}\n"))
//! }
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # async fn ask(application: impl wsgi_tokio::Application, request: &str) -> wsgi_tokio::Result<String> {
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//! #     let server = wsgi_tokio::Server::new(listener, application).log_output(false);
//! #     let (handle, serving) = (server.handle(), tokio::spawn(server.serve()));
//! #     client.write_all(request.as_bytes()).await?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).await?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.await??;
//! #     Ok(response)
//! # }
//! # use wsgi_tokio::{Body, StartResponse};
//! # #[tokio::main]
//! # async fn main() -> wsgi_tokio::Result<()> {
//! #     assert!(ask(site(page), "GET /?7 HTTP/1.0\r\n\r\n").await?.ends_with("\r\n\r\npage 7\n"));
//! #     assert!(ask(site(page), "GET /?10 HTTP/1.0\r\n\r\n").await?.starts_with("HTTP/1.1 404 Not Found\r\n"));
//! #     let response = ask(site(page), "GET /?x HTTP/1.0\r\n\r\n").await?;
//! #     assert!(response.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{response}");
//! #     assert!(response.contains("invalid digit"), "{response}");
//! #     async fn unstarted(_: Environ, _: StartResponse) -> wsgi_tokio::Result<Body> {
//! #         Ok("body".into())
//! #     }
//! #     let response = ask(unstarted, "GET / HTTP/1.0\r\n\r\n").await?;
//! #     assert!(response.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{response}");
//! #     async fn panics(environ: Environ, _: StartResponse) -> wsgi_tokio::Result<Body> {
//! #         panic!("no page {}", environ.path())
//! #     }
//! #     let response = ask(panics, "GET /7 HTTP/1.0\r\n\r\n").await?;
//! #     assert!(response.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{response}");
//! #     assert!(response.contains("no page /7"), "{response}");
//! #     async fn too_long(_: Environ, start_response: StartResponse) -> wsgi_tokio::Result<Body> {
//! #         start_response.start("200 OK", [("Content-Length", "3")])?;
//! #         Ok("abcdef".into())
//! #     }
//! #     let response = ask(too_long, "GET / HTTP/1.0\r\n\r\n").await?;
//! #     assert!(response.ends_with("\r\n\r\nabc"), "{response}");
//! #     Ok(())
//! # }
//! ```
//!
//! # Clients that disconnect
//!
//! The application keeps running when its client disconnects. Its next `write` or `read` returns an error; a [`Body`]
//! that can no longer be sent is dropped, as it is after the last block (the `close()` of WSGI). An application that
//! waits for something else can wait for [`Input::client_gone`] at the same time. Return [`SendError::Lost`] then: it is
//! not logged as a failure, and the response is recorded as cut. (A client that has closed only its sending half still
//! gets what is sent.) A hook that was added with [`Environ::add_post_hook`] runs in every case, after the response, and
//! sees how it ended:
//!
//! ```
//! use std::sync::mpsc::Sender;
//! use wsgi_tokio::{Body, Environ, Lost, NO_HEADERS, Result, SendError, StartResponse};
//!
//! async fn wait(
//!     log: Sender<String>,
//!     environ: Environ,
//!     start_response: StartResponse,
//! ) -> Result<Body> {
//!     environ.add_post_hook(move |environ, record| {
//!         let (path, status) = (environ.path(), record.status);
//!         let _ = log.send(format!("{path} {status}, cut: {}", record.cut));
//!     });
//!     let write = start_response.start("200 OK", NO_HEADERS)?;
//!     write.write("waiting\n").await?;
//!     let input = environ.input();
//!     tokio::select! {
//!         () = input.client_gone() => Err(SendError::Lost(Lost::Reset).into()),
//!         () = std::future::pending() => Ok("never\n".into()), // a message from another task
//!     }
//! }
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! #     use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! #     let (log, lines) = std::sync::mpsc::channel();
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//! #     let application = move |environ, start_response| wait(log.clone(), environ, start_response);
//! #     let server = wsgi_tokio::Server::new(listener, application).log_output(false);
//! #     let (handle, serving) = (server.handle(), tokio::spawn(server.serve()));
//! #     client.write_all(b"GET /news HTTP/1.0\r\n\r\n").await?;
//! #     client.read(&mut [0; 100]).await?;
//! #     drop(client);
//! #     assert_eq!(lines.recv()?, "/news 200, cut: true");
//! #     handle.shutdown();
//! #     serving.await??;
//! #     Ok(())
//! # }
//! ```
//!
//! # Upgrades
//!
//! An application can take over the connection and use another protocol, such as WebSocket: start a `101 Switching
//! Protocols` response, then call [`Input::take_over`]. The [`Stream`] that it returns begins with the bytes that were
//! received early. It has the I/O traits of tokio, `AsyncRead` and `AsyncWrite`, so a WebSocket library such as
//! `tokio-tungstenite` can use it; this crate does not parse WebSocket frames. Use [`StartResponse`] for this: the
//! response of a [`site`] starts after its function has returned. An echo protocol:
//!
//! ```
//! use wsgi_tokio::{Body, Environ, Result, StartResponse};
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
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # async fn ask(application: impl wsgi_tokio::Application, request: &str) -> Result<String> {
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//! #     let server = wsgi_tokio::Server::new(listener, application).log_output(false);
//! #     let (handle, serving) = (server.handle(), tokio::spawn(server.serve()));
//! #     client.write_all(request.as_bytes()).await?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).await?;
//! #     drop(client);
//! #     handle.shutdown();
//! #     serving.await??;
//! #     Ok(response)
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! #     let response = ask(echo, "GET / HTTP/1.0\r\n\r\n").await?;
//! #     assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{response}");
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//! #     let server = wsgi_tokio::Server::new(listener, echo).log_output(false);
//! #     let (handle, serving) = (server.handle(), tokio::spawn(server.serve()));
//! #     let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly, ";
//! #     client.write_all(request).await?;
//! #     client.write_all(b"late").await?;
//! #     client.shutdown().await?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).await?;
//! #     assert!(response.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{response}");
//! #     assert!(response.ends_with("\r\n\r\nearly, late"), "{response}");
//! #     handle.shutdown();
//! #     serving.await??;
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
//! use wsgi_tokio::{Options, Server};
//! # use wsgi_tokio::{Body, Environ, Result, StartResponse};
//! # async fn hello_world(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let server = Server::new(listener, hello_world).options(Options::public());
//! # let handle = server.handle();
//! # handle.shutdown();
//! # server.log_output(false).serve().await?;
//! # Ok(()) }
//! ```
//!
//! | limited by default | |
//! | --- | --- |
//! | [`Options::max_size`] | 1024 connections, or fewer if the process may open fewer descriptors |
//! | [`Options::header_timeout`] | 30 s for a request head, from its first byte |
//! | [`Options::url_length_limit`] | 8 KiB for a request target |
//! | [`Options::limits`] | 64 KiB and 100 fields for a request head, and more |
//! | [`Options::handshake_timeout`] | 30 s for a TLS handshake and the PROXY protocol |
//! | [`Options::graceful_timeout`] | 30 s for requests that have begun when the server stops |
//!
//! An option that is not allowed is an error before the server accepts anything:
//!
//! ```
//! # use wsgi_tokio::{Body, Environ, Result, StartResponse, Server};
//! # async fn hello_world(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let error = Server::new(listener, hello_world).max_size(0).serve().await.unwrap_err();
//! assert_eq!(error.to_string(), "option max_size cannot be 0 (allowed: 1 or more)");
//! # Ok(()) }
//! ```
//!
//! # Stopping
//!
//! A [`ServerHandle`] stops the server gracefully from any task or thread: the listeners and idle connections are
//! closed, and requests that have begun are finished. [`serve`](Server::serve) then returns a [`Report`]. With Ctrl-C:
//!
//! ```no_run
//! # use wsgi_tokio::{Body, Environ, Result, Server, StartResponse};
//! # async fn hello_world(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! // With the feature `signal` of tokio.
//! let address = listener.local_addr()?;
//! let serving = Server::new(listener, hello_world).serve_until(tokio::signal::ctrl_c());
//! println!("serving http://{address}/"); // Ctrl-C is watched from the call of `serve_until` on
//! let report = serving.await?;
//! println!("{} connections finished, {} cut", report.finished, report.cut);
//! # Ok(()) }
//! ```
//!
//! An endless response (server-sent events, long polling) ends at a stop if it waits for [`Environ::stopping`] beside its work;
//! otherwise it is cut after `graceful_timeout`:
//!
//! ```
//! use std::time::Duration;
//! use wsgi_tokio::{Body, Environ, Result, StartResponse};
//!
//! async fn events(environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     let stream = start_response.start("200 OK", [("Content-Type", "text/event-stream")])?;
//!     let mut stopping = environ.stopping();
//!     loop {
//!         tokio::select! {
//!             () = &mut stopping => break,
//!             () = tokio::time::sleep(Duration::from_millis(10)) => stream.write("data: tick\n\n").await?,
//!         }
//!     }
//!     stream.write("event: bye\ndata:\n\n").await?;
//!     Ok(Body::empty())
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use wsgi_tokio::Server;
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//! # client.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! # let server = Server::new(listener, events).log_output(false);
//! # let (handle, serving) = (server.handle(), tokio::spawn(server.serve()));
//! # client.read(&mut [0; 200]).await?;
//! # handle.shutdown();
//! # let mut text = String::new();
//! # client.read_to_string(&mut text).await?;
//! # assert!(text.ends_with("event: bye\ndata:\n\n"), "{text}");
//! # drop(client);
//! # assert_eq!(serving.await??.cut, 0);
//! # Ok(()) }
//! ```
//!
//! A [`ServerHandle`] begins a stop from any other place, and counts connections and requests.
//!
//! # Listeners
//!
//! Bind listeners yourself, so that you choose the socket options, or get the socket from a process manager. A server
//! accepts on any number of them, TCP or Unix:
//!
//! ```
//! use tokio::net::TcpListener;
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use wsgi_tokio::{Body, Environ, NO_HEADERS, Result, Server, StartResponse};
//! # async fn hello_world(_: Environ, start_response: StartResponse) -> Result<Body> {
//! #     start_response.start("200 OK", NO_HEADERS)?;
//! #     Ok("Hello\n".into())
//! # }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! # let path = std::env::temp_dir().join(format!("wsgi-tokio-{}.sock", std::process::id()));
//! let server = Server::new(TcpListener::bind("127.0.0.1:0").await?, hello_world)
//!     .listener(TcpListener::bind("127.0.0.1:0").await?);
//! # #[cfg(unix)]
//! // The file of a Unix socket is not removed afterwards.
//! let server = server.listener(tokio::net::UnixListener::bind(&path)?);
//! # let handle = server.handle();
//! # let serving = tokio::spawn(server.log_output(false).serve());
//! # #[cfg(unix)]
//! # {
//! #     let mut client = tokio::net::UnixStream::connect(&path).await?;
//! #     std::fs::remove_file(&path)?;
//! #     client.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).await?;
//! #     assert!(response.ends_with("\r\n\r\nHello\n"), "{response}");
//! #     assert_eq!(handle.addresses().len(), 2);
//! # }
//! # handle.shutdown();
//! # serving.await??;
//! # Ok(()) }
//! ```
//!
//! [`Listener::incoming`] accepts from any stream of connections that read and write by the traits of tokio: sockets that
//! another part of the program has accepted, pipes in memory, VSOCK, TLS of your own.
//!
//! One listener per core: with `SO_REUSEPORT`, several servers share a port, each on a current-thread runtime in its own
//! thread, and the system distributes the connections. No task moves between threads then. The example
//! [`listener_per_core.rs`](https://docs.rs/crate/wsgi-tokio/latest/source/examples/listener_per_core.rs) does that.
//!
//! # Behind a proxy that passes on bytes
//!
//! The feature `proxy-protocol` adds [`Listener::proxy_protocol`](struct.Listener.html#method.proxy_protocol). The proxies
//! that you list must then send a header of the PROXY protocol first, version 1 or 2, and the application and the log see
//! the addresses of their clients:
//!
//! ```
//! # #[cfg(feature = "proxy-protocol")]
//! # fn behind_a_proxy(listener: tokio::net::TcpListener) -> wsgi_tokio::Result<()> {
//! let listener = wsgi_tokio::Listener::from(listener).proxy_protocol("127.0.0.1, 10.0.0.0/8".parse()?);
//! # Ok(()) }
//! ```
//!
//! Connections from other sources, and those without the header, are closed without a response. A proxy that speaks HTTP
//! itself sends `X-Forwarded-For` instead.
//!
//! # Testing
//!
//! [`test::call`] sends a request to an application and returns the response that a client would get, without a
//! socket. It needs no runtime, and works while the time of a runtime is paused.
//!
//! ```
//! use wsgi_tokio::test::{Request, call};
//! use wsgi_tokio::{Environ, Result, site};
//!
//! async fn greet(environ: Environ) -> Result<String> {
//!     let name = environ.input().read_all(100).await?;
//!     Ok(format!("Hello, {}!\n", name.escape_ascii()))
//! }
//!
//! # #[tokio::main]
//! # async fn main() {
//! let response = call(site(greet), Request::post("/", "Ada")).await;
//! assert_eq!(response.status().code(), 200);
//! assert_eq!(response.body().as_str(), Some("Hello, Ada!\n"));
//! # }
//! ```
//!
//! To test the server over a socket, bind port 0 and read the address from the listener. Once the server runs,
//! [`ServerHandle::addresses`] has it too.
//!
//! ```
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//! use wsgi_tokio::Server;
//! # use wsgi_tokio::{Body, Environ, Result, StartResponse};
//! # async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//! #     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//! #     Ok("Hello, World!\r\n".into())
//! # }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let server = Server::new(listener, hello_world).log_output(false);
//! let handle = server.handle();
//! let serving = tokio::spawn(server.serve());
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
//! let report = serving.await??;
//! assert_eq!(report.cut, 0);
//! # Ok(()) }
//! ```
//!
//! Deadlines follow tokio's clock. With `#[tokio::test(start_paused = true)]` (feature `test-util` of tokio) a timeout
//! of 30 s passes immediately. A paused clock also jumps ahead while bytes are on their way between two sockets, so
//! pause it only when the timeout is the next thing to happen.
//!
//! # TLS
//!
//! The feature `tls` adds [`Listener::tls`](struct.Listener.html#method.tls), which serves HTTPS with a `ServerConfig`
//! of rustls. (Without the feature the compiler finds no method `tls`.) This crate enables no crypto provider; the
//! program chooses one. With `ring`:
//!
//! ```toml
//! wsgi-tokio = { version = "0.1", features = ["tls"] }
//! rustls = { version = "0.23", default-features = false, features = ["ring", "std", "tls12"] }
//! ```
//!
//! ```
//! # #[cfg(feature = "tls")]
//! # async fn run(
//! #     certificates: Vec<rustls::pki_types::CertificateDer<'static>>,
//! #     key: rustls::pki_types::PrivateKeyDer<'static>,
//! #     hello_world: impl wsgi_tokio::Application,
//! # ) -> wsgi_tokio::Result<()> {
//! use std::sync::Arc;
//! use wsgi_tokio::{Listener, Server};
//!
//! // `certificates` and `key` come from PEM files, or for a test from `rcgen`:
//! //   let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! //   let certificates = vec![made.cert.der().clone()];
//! //   let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
//! let provider = Arc::new(rustls::crypto::ring::default_provider());
//! let config = rustls::ServerConfig::builder_with_provider(provider)
//!     .with_safe_default_protocol_versions()?
//!     .with_no_client_auth()
//!     .with_single_cert(certificates, key)?;
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:443").await?;
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
//! | `futures-io` | the I/O traits of `futures-io` for [`Input`] and [`Stream`], and as a [`Body`] |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod incoming;
mod listener;
mod socket;
mod tls;

use std::any;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wsgi_app::adapter::{self, Adapter, BoundAddr, Clock, Runtime, check_alpn};

use listener::Accepted;
pub use listener::{IntoListener, Listener};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;

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
/// use wsgi_tokio::Server;
///
/// # async fn run(site: impl wsgi_tokio::Application) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8090").await?;
/// let server = Server::new(listener, site)
///     .debug(false)
///     .keepalive(Duration::from_secs(75))
///     .max_size(10_000)
///     .log(|entry| println!("{}", entry.text()));
/// let handle = server.handle();
/// let serving = tokio::spawn(server.serve());
/// // ...
/// handle.shutdown();
/// let report = serving.await??;
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
    pool: Option<tokio::runtime::Handle>,
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

    /// Sets the runtime that connections run on. It needs timers, and must outlive the server. Default: the runtime
    /// that awaits [`serve`](Self::serve).
    pub fn pool(mut self, pool: tokio::runtime::Handle) -> Self {
        (self.pool, self.ignores_max_size) = (Some(pool), false);
        self
    }

    /// Like [`pool`](Self::pool), but `max_size` is ignored, as in eventlet.
    pub fn custom_pool(mut self, pool: tokio::runtime::Handle) -> Self {
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
            let Self { mut listeners, application, options, handle, pool, ignores_max_size } = self;
            listeners.iter().try_for_each(|listener| check_alpn(listener.alpn_protocols()))?;
            let runtime =
                if has_test_clock() { Runtime::default().clock(TokioClock) } else { Runtime::default() };
            let runtime = runtime
                .descriptor_limit(descriptor_limit())
                .ignore_max_size(ignores_max_size)
                .blocking(spawn_blocking(pool.clone()));
            let server = adapter::Server::with_runtime(options, &handle, application, runtime)?;
            listeners.iter_mut().for_each(|listener| listener.prepare(server.limits_slow_readers()));
            server.run(&handle, listeners, &Tokio { server: &server, pool }).await
        })
    }

    /// [`serve`](Self::serve), and shuts down gracefully when `signal` is ready, whatever its output.
    ///
    /// On a runtime of tokio, this call polls the signal for the first time. `tokio::signal::ctrl_c` begins to watch then, so
    /// print the address, or report in another way that the server is ready, after this call and before the `await`: an
    /// earlier Ctrl-C ends the process, as without a server. Outside a runtime the signal is polled before the first client
    /// is accepted.
    ///
    /// ```no_run
    /// # async fn run(listener: tokio::net::TcpListener, site: impl wsgi_tokio::Application) -> std::io::Result<()> {
    /// // With the feature `signal` of tokio.
    /// let address = listener.local_addr()?;
    /// let serving = wsgi_tokio::Server::new(listener, site).serve_until(tokio::signal::ctrl_c());
    /// println!("serving http://{address}/"); // from here on, Ctrl-C stops it gracefully
    /// let report = serving.await?;
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
        // Most signals of tokio panic outside a runtime.
        self.serve().until(signal, handle, tokio::runtime::Handle::try_current().is_ok())
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

/// Accepts on listeners of tokio, and spawns their connections.
struct Tokio<'s, A> {
    server: &'s Arc<adapter::Server<A>>,
    pool: Option<tokio::runtime::Handle>,
}

impl<A: Application> Adapter for Tokio<'_, A> {
    type Listener = Listener;
    type Accepted = Accepted;

    fn bound_addr(&self, listener: &Listener) -> BoundAddr {
        listener.bound_addr()
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
        accepted.spawn(self.server, self.pool.as_ref());
    }

    fn sleep(&self, time: Duration) -> impl Future {
        tokio::time::sleep(time)
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

/// Runs work on the threads of `pool` that may block, or on those of the current runtime. If that has shut down, it drops the
/// work. The runtime is remembered, since work also comes from threads that belong to no runtime: an application may read or
/// drop a body there.
fn spawn_blocking(pool: Option<tokio::runtime::Handle>) -> impl Fn(Box<dyn FnOnce() + Send>) {
    let runtime = pool.or_else(|| tokio::runtime::Handle::try_current().ok());
    move |work| {
        if let Some(runtime) = &runtime {
            drop(runtime.spawn_blocking(work));
        }
    }
}

/// Whether a test can pause the clock of tokio's timers: tokio's feature `test-util`, which no crate can query, adds
/// `tokio::time::pause`. Otherwise it is the system's clock, which costs less to read directly.
fn has_test_clock() -> bool {
    #[allow(dead_code, reason = "without the feature only")]
    fn pause() {}
    {
        // The names of a block hide those of the block around it.
        #[allow(unused_imports, reason = "with the feature only")]
        use tokio::time::*;
        any::type_name_of_val(&pause).starts_with("tokio::")
    }
}

/// The clock of tokio's timers. A test can pause it.
#[derive(Debug)]
struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}
