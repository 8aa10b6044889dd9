//! Blocking applications among asynchronous ones: each call runs on a thread that may block.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;

use crate::application::Application as AsyncApplication;
use crate::application::body::{Body, Kind};
use crate::application::environ::Environ as AsyncEnviron;
use crate::application::start_response::StartResponse as AsyncStartResponse;
use crate::blocking::application::Application;
use crate::blocking::blocks;
use crate::blocking::environ::Environ;
use crate::blocking::response::StartResponse;
use crate::context::catch_panic::catch_for_another_thread;
use crate::exchange::error::{InputError, Result};
use crate::exchange::handle::Handle;

/// Turns a blocking application into an asynchronous one, for `wsgi-tokio`, `wsgi-smol` and other asynchronous adapters.
///
/// ```
/// use std::sync::Mutex;
/// use wsgi_app::blocking::{Environ, StartResponse};
/// use wsgi_app::{Application, Body, Result, blocking};
///
/// /// A synchronous store, such as the driver of a database.
/// static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());
///
/// fn notes(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let text = match &*environ.method() {
///         "POST" => {
///             let note = environ.input().read_all(10_000)?; // waits for the client
///             let mut notes = NOTES.lock().expect("no panic");
///             notes.push(String::from_utf8(note.into())?);
///             format!("{} notes\n", notes.len())
///         }
///         _ => NOTES.lock().expect("no panic").join("\n"),
///     };
///     start_response.start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])?;
///     Ok(text.into())
/// }
///
/// let application = blocking(notes); // for `serve`, middleware, `boxed`, `test::call`
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(application);
/// ```
///
/// The application has the interface of [`wsgi_app::blocking`](mod@crate::blocking), as on `wsgi-std`.
///
/// # Threads
///
/// Each call runs on one of the threads that the runtime has for blocking work: those of `spawn_blocking` on tokio, and of
/// `unblock` on smol and async-std. The connection's task moves the bytes. A call that waits for its client sleeps, and costs its thread
/// and no processor time.
///
/// These threads are limited: 512 by default on tokio (`max_blocking_threads`), 500 on smol and async-std
/// (`BLOCKING_MAX_THREADS` in the environment of the process). Further calls wait in a queue, without a limit of time, behind
/// other blocking work of the program, such as reading files. A client that reads or sends slowly holds a thread while the
/// call waits for it. These help:
///
/// * the option [`receive_before_call`](crate::Options::receive_before_call): the connection's task receives the body, or the
///   first part of it, before the call, so that a client that sends slowly holds no thread;
/// * a body that is returned instead of [written](crate::blocking::Write): it is sent without a thread;
/// * [`socket_timeout`](crate::Options::socket_timeout) and the minimum rates, which end the wait;
/// * [`max_size`](crate::Options::max_size), which limits the calls as well as the connections.
///
/// Each request costs two changes of threads. If nearly all of your code blocks, `wsgi-std` is faster: there, the thread that
/// reads a request runs the application, too.
///
/// # Bodies
///
/// Iterators and readers may wait, too. Blocks are computed on those threads, and the iterator or reader is dropped there. No
/// thread is held while 64 KiB or more wait to be sent. Bodies in memory and [files](Body::file) are sent by the connection's task
/// immediately. A [`stream`](Body::stream) is polled in that task, so it must not block.
///
/// Post hooks run in the connection's task, on a thread of the runtime, and so does the drop of functions of
/// [`map`](crate::blocking::StartResponse::map) and of values that were put into the environ. They must not block: spawn what
/// takes long. The functions of `map` also run there for the server's own response to a call that failed. A call of this
/// crate that would wait panics in them then, so the response is sent without changes.
///
/// # Disconnected clients and stops
///
/// As on `wsgi-std`, a client that disconnects does not end the call: reads and writes fail then, and
/// [`is_client_gone`](crate::blocking::Input::is_client_gone) is true. After `graceful_timeout` a stop cuts the connection,
/// calls that wait for the client fail, and the server no longer waits for the application. A call that waits for something
/// else keeps its thread. A runtime of tokio waits for such threads when it is dropped; `shutdown_timeout` and
/// `shutdown_background` do not. Calls that have not begun are dropped with the runtime.
///
/// Dropping the future of a call, as a timeout in a middleware does, does not end a call that has begun. Its handles keep
/// working, so it may still write to the response.
///
/// # Errors
///
/// Panics are those of any application: 500 and an entry in the log. If the runtime's threads have shut down, the client gets
/// 500, too.
pub fn blocking<A: Application>(application: A) -> OnThreads<A> {
    OnThreads(Arc::new(application))
}

/// The application that [`blocking()`](fn@crate::blocking) makes.
pub struct OnThreads<A>(Arc<A>);

impl<A: Application> AsyncApplication for OnThreads<A> {
    async fn call(&self, environ: AsyncEnviron, start_response: AsyncStartResponse) -> Result<Body> {
        let (application, handle) = (Arc::clone(&self.0), environ.handle().clone());
        receive(&handle).await?;
        let context = Arc::clone(handle.server_context());
        // Nothing of the application may run or be dropped in this task.
        let call = move || {
            let called = catch_for_another_thread(move || {
                application.call(Environ(environ), StartResponse(start_response))
            });
            called.map(|result| result.map(|body| on_threads(body, &handle)))
        };
        context.blocking.run_elsewhere(call).await?.unwrap_or_else(|panic| panic.resume())
    }
}

/// Receives the first part of the request body, so that a client that sends slowly occupies no thread.
async fn receive(handle: &Handle) -> Result<(), InputError> {
    let context = handle.server_context();
    if context.receive_before_call == 0
        || context.blocking.is_in_place()
        || !handle.lock().receives_before_call()
    {
        return Ok(());
    }
    let mut received = BytesMut::new();
    poll_fn(|polled| handle.poll_receive(&mut received, context.receive_before_call, polled)).await
}

/// The body, so that no block of an iterator is computed in the connection's task.
fn on_threads(body: Body, handle: &Handle) -> Body {
    match body.0 {
        Kind::Iterator(blocks) => Body::stream(blocks::stream(blocks, handle.server_context())),
        kind => Body(kind),
    }
}

impl<A> Clone for OnThreads<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> fmt::Debug for OnThreads<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnThreads").finish_non_exhaustive()
    }
}
