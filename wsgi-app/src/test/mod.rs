//! Calls applications without a socket and without a runtime, for their tests.

mod answer;
mod memory;
mod parts;
mod request;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::application::Application;
use crate::application::blocking::Blocking;
use crate::blocking::application::Application as BlockingApplication;
use crate::blocking::serve::serve as serve_blocking;
use crate::connection::serve_connection;
use crate::registry::ServerHandle;
use crate::response::Response;
use crate::server::Server;
use crate::test::answer::Answer;
use crate::test::memory::Memory;
pub use crate::test::request::Request;

/// Sends `request` to `application`, and returns the response that its client gets.
///
/// The whole server takes part, except sockets and timers: what the application sees and what the client gets is the
/// same as on a connection. It runs in the calling task, on any runtime, and also while the time of a runtime is paused.
///
/// ```
/// # use std::future::Future;
/// use wsgi_app::test::{Request, call};
/// use wsgi_app::{Environ, IntoResponse, Response, site};
///
/// async fn greet(environ: Environ) -> Response {
///     match environ.input().read_to_end().await {
///         Ok(name) if !name.is_empty() => {
///             format!("Hello, {}!", name.escape_ascii()).into_response()
///         }
///         _ => (400, "no name").into_response(),
///     }
/// }
///
/// # let test =
/// async {
///     let response = call(site(greet), Request::post("/", "Ada")).await;
///     assert_eq!(response.status().code(), 200);
///     assert_eq!(response.body().as_bytes(), Some(&b"Hello, Ada!"[..]));
///     assert!(response.headers().contains("Date"));
///
///     let response = call(site(greet), Request::post("/", "")).await;
///     assert_eq!(response.status().as_str(), "400 Bad Request");
/// }
/// # ;
/// # let mut test = std::pin::pin!(test);
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert!(test.as_mut().poll(&mut context).is_ready());
/// ```
///
/// The body of the response is in memory, decoded if it was chunked. Interim responses (1xx) are left out. The call ends
/// after the response and the post hooks, so it does not end if the response has no end. To call an application several
/// times, put it into an [`Arc`](std::sync::Arc).
///
/// A response that is cut, because the application failed in its middle, has an [error](Response::error) that says so.
///
/// A request that HTTP does not allow gets the answer that any client would get. Limits and errors are those of the options.
///
/// # Panics
///
/// If the options of the request do not fit together, see [`OptionError`](crate::OptionError).
pub async fn call(application: impl Application, mut request: Request) -> Response {
    let (memory, head_only) = (Memory::new(&mut request), request.is_head());
    let (options, endpoints, tls) = request.into_server();
    let server = Server::new(options, &ServerHandle::new(), application).expect("the options fit together");
    let guard = server.admit(endpoints);
    tls.into_iter().for_each(|tls| guard.shared.set_tls(tls));
    let mut connection = pin!(serve_connection(server, guard, memory.clone()));
    let ended =
        poll_fn(|context| until_answered(connection.as_mut().poll(context), &memory, head_only)).await;
    memory.hang_up();
    if !ended {
        connection.await;
    }
    memory.close();
    memory.answer(head_only).unwrap_or(Answer::Begun).into_response()
}

/// [`call`] for an application that blocks.
///
/// ```
/// use wsgi_app::blocking::{Environ, site};
/// use wsgi_app::test::{Request, call_blocking};
/// use wsgi_app::{IntoResponse, Response};
///
/// fn hello(environ: Environ) -> Response {
///     format!("Hello from {}", environ.path()).into_response()
/// }
///
/// let response = call_blocking(site(hello), Request::get("/a"));
/// assert_eq!(response.body().as_bytes(), Some(&b"Hello from /a"[..]));
/// ```
///
/// It runs on the calling thread.
///
/// # Panics
///
/// Those of [`call`].
pub fn call_blocking(application: impl BlockingApplication, mut request: Request) -> Response {
    let (memory, head_only) = (Memory::new(&mut request), request.is_head());
    let (options, endpoints, tls) = request.into_server();
    let server =
        Server::new(options, &ServerHandle::new(), Blocking(application)).expect("the options fit together");
    let guard = server.admit(endpoints);
    tls.into_iter().for_each(|tls| guard.shared.set_tls(tls));
    let mut connection = pin!(serve_blocking(server, guard, memory.clone()));
    let mut context = Context::from_waker(Waker::noop());
    let mut ended = false;
    while !ended {
        let polled = connection.as_mut().poll(&mut context);
        ended = polled.is_ready();
        match until_answered(polled, &memory, head_only) {
            Poll::Ready(_) => memory.hang_up(),
            // Another thread may be sending.
            Poll::Pending => std::thread::yield_now(),
        }
    }
    memory.close();
    memory.answer(head_only).unwrap_or(Answer::Begun).into_response()
}

/// Whether the connection has ended, once it has, or the response is there.
fn until_answered(connection: Poll<()>, memory: &Memory, head_only: bool) -> Poll<bool> {
    match (connection, memory.answer(head_only)) {
        (Poll::Ready(()), _) => Poll::Ready(true),
        (Poll::Pending, None | Some(Answer::Begun)) => Poll::Pending,
        (Poll::Pending, Some(_)) => Poll::Ready(false),
    }
}
