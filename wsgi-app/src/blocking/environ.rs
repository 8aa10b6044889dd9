//! WSGI's `environ` for blocking applications.

use std::ops::Deref;
use std::pin::pin;
use std::time::{Duration, Instant};

use wsgi_proto::{Field, Record, SendError, StartError};

use crate::application::environ::Environ as AsyncEnviron;
use crate::application::start_response::StartResponse as AsyncStartResponse;
use crate::blocking::input::Input;
use crate::blocking::response::StartResponse;
use crate::blocking::stream::Stream;
use crate::response::form::{self, FormError};
#[cfg(feature = "json")]
use crate::response::json::{self, JsonError};

/// One request, with a blocking [`input`](Self::input): WSGI's `environ`. All other methods are those of
/// [`wsgi_app::Environ`](crate::Environ).
///
/// ```
/// use wsgi_app::blocking::{Environ, StartResponse};
/// use wsgi_app::{Body, Result};
///
/// fn upper_case(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     environ.add_post_hook(|environ, record| {
///         println!("{} {}", environ.path(), record.status)
///     });
///     let text = String::from_utf8(environ.input().read_to_end()?.into())?;
///     start_response.start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])?;
///     Ok(text.to_uppercase().into())
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(upper_case);
/// ```
#[derive(Clone, Debug)]
pub struct Environ(pub(super) AsyncEnviron);

impl Environ {
    /// The request body (`wsgi.input`). All handles read the same body: each byte is returned once.
    pub fn input(&self) -> Input {
        Input::new(self.0.input())
    }

    /// The names and values of the form that is the request body, of at most `limit` bytes, in order. They are decoded as
    /// [`query_pairs`](crate::Environ::query_pairs) are.
    ///
    /// # Errors
    ///
    /// [`FormError`](crate::FormError), which is a response of a [`site`](crate::blocking::site).
    pub fn form(&self, limit: usize) -> Result<Vec<(String, String)>, FormError> {
        self.0.check_form()?;
        Ok(form::parse(&self.input().read_all(limit)?))
    }

    /// Feature `serde`. The value that the form in the request body has, of at most `limit` bytes, with the types of
    /// [`query_as`](crate::Environ::query_as).
    ///
    /// # Errors
    ///
    /// [`FormError`](crate::FormError), which is a response of a [`site`](crate::blocking::site).
    #[cfg(feature = "serde")]
    pub fn form_as<T: serde::de::DeserializeOwned>(&self, limit: usize) -> Result<T, FormError> {
        form::typed(self.form(limit)?)
    }

    /// Feature `json`. The value that the request body has as JSON, of at most `limit` bytes. See
    /// [`Json`](crate::Json).
    ///
    /// # Errors
    ///
    /// [`JsonError`](crate::JsonError), which is a response of a [`site`](crate::blocking::site).
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(&self, limit: usize) -> Result<T, JsonError> {
        self.0.check_json()?;
        json::parse(&self.input().read_all(limit)?)
    }

    /// Sends an interim response now, as [`StartResponse::inform`](super::StartResponse::inform) does: for applications
    /// that do not get `start_response`.
    ///
    /// # Errors
    ///
    /// Those of [`StartResponse::inform`](super::StartResponse::inform).
    pub fn inform(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        StartResponse(AsyncStartResponse::new(self.0.handle().clone())).inform(status, headers)
    }

    /// Ends HTTP on this connection, as [`Input::take_over`](super::Input::take_over) does.
    ///
    /// # Errors
    ///
    /// Those of [`Input::take_over`](super::Input::take_over).
    pub fn take_over(&self) -> Result<Stream, SendError> {
        self.input().take_over()
    }

    /// Blocks this thread for `time`, or until the server begins to stop, and returns whether it stops: a sleep for responses
    /// without an end, which can then say goodbye before they are cut at `graceful_timeout`. A client that
    /// disconnects does not end it; the next write fails then. It is also true when the connection is over, so that no thread
    /// goes on for a response that has ended.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wsgi_app::blocking::{Environ, StartResponse};
    /// use wsgi_app::{Body, Result};
    ///
    /// fn ticks(environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     let write = start_response.start("200 OK", [("Content-Type", "text/event-stream")])?;
    ///     while !environ.wait_stopping(Duration::from_secs(1)) {
    ///         write.write("data: tick\n\n")?;
    ///     }
    ///     write.write("data: goodbye\n\n")?;
    ///     Ok(Body::empty())
    /// }
    /// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
    /// # is_an_application(ticks);
    /// ```
    ///
    /// A thread that waits for something else can check [`is_stopping`](crate::Environ::is_stopping).
    pub fn wait_stopping(&self, time: Duration) -> bool {
        let handle = self.0.handle();
        handle.block_until(pin!(handle.stopping()), Instant::now().checked_add(time));
        self.0.is_stopping()
    }

    /// Calls `hook` once, after the response was sent completely or the client disconnected (`eventlet.posthooks`).
    ///
    /// This is [`Environ::add_post_hook`](crate::Environ::add_post_hook) with a blocking environ for the hook. On an
    /// asynchronous adapter the hook runs in the connection's task, so it must not block there.
    pub fn add_post_hook(&self, hook: impl FnOnce(&Self, &Record) + Send + 'static) {
        self.0.add_post_hook(move |environ, record| hook(&Self(environ.clone()), record));
    }
}

impl Deref for Environ {
    type Target = AsyncEnviron;

    fn deref(&self) -> &AsyncEnviron {
        &self.0
    }
}
