//! Responses as values, and applications that return them.

mod conditions;
mod error;
#[cfg(feature = "serde")]
pub(crate) mod fields;
mod file;
pub(crate) mod form;
pub(crate) mod into_response;
#[cfg(feature = "json")]
pub(crate) mod json;
mod range;
pub(crate) mod site;

use std::fmt;

use wsgi_proto::{BodyError, FieldBytes};

use crate::application::body::Body;
use crate::application::start_response::StartResponse;
use crate::exchange::error::{Error, InputError, Result, input_error};
use crate::head::headers::Headers;
use crate::head::status::Status;

/// A response as a value: a status, header fields and a body.
///
/// A function that returns one, or anything that [becomes one](crate::IntoResponse), is served by [`site`](crate::site).
///
/// ```
/// use wsgi_app::{Environ, Response};
///
/// async fn page(environ: Environ) -> Response {
///     match environ.method().as_ref() {
///         "GET" | "HEAD" => Response::html("<h1>Hello</h1>"),
///         _ => Response::not_allowed("GET, HEAD"),
///     }
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(wsgi_app::site(page));
/// ```
///
/// Text converts into an [`Error`], so `Response::from("Hello")` and `"Hello".into()` are a 500. Use
/// [`into_response`](crate::IntoResponse::into_response) or [`Response::text`].
///
/// Nothing is checked before the response is sent. A status or a field that HTTP does not allow becomes a 500 then, and an
/// error in the log that names it.
#[derive(Default)]
pub struct Response {
    status: Status,
    headers: Headers,
    body: Body,
    /// In a box, so that a `Result<T, Response>` is small enough for clippy's `result_large_err`.
    rare: Option<Box<Rare>>,
}

/// What few responses have.
#[derive(Default)]
struct Rare {
    trailers: Headers,
    error: Option<Error>,
}

const _: () = assert!(size_of::<Response>() < 128, "see `Response::rare`");

impl Response {
    /// A response without header fields and with an empty body.
    pub fn new(status: impl Into<Status>) -> Self {
        Self { status: status.into(), ..Self::default() }
    }

    /// 200, with `Content-Type: text/plain; charset=utf-8`.
    pub fn text(text: impl Into<Body>) -> Self {
        Self::new(200).with_header("Content-Type", "text/plain; charset=utf-8").with_body(text)
    }

    /// 200, with `Content-Type: text/html; charset=utf-8`.
    pub fn html(text: impl Into<Body>) -> Self {
        Self::new(200).with_header("Content-Type", "text/html; charset=utf-8").with_body(text)
    }

    /// 405: the page exists, and allows other methods than that of the request. `methods` is the value of `Allow`, which RFC 9110
    /// requires (15.5.6); a text names them, too.
    ///
    /// ```
    /// use wsgi_app::Response;
    ///
    /// let response = Response::not_allowed("GET, HEAD");
    /// assert_eq!(response.status().as_str(), "405 Method Not Allowed");
    /// assert_eq!(response.headers().get("Allow").as_deref(), Some("GET, HEAD"));
    /// assert_eq!(response.body().as_str(), Some("method not allowed (expected GET, HEAD)\n"));
    /// ```
    pub fn not_allowed(methods: impl AsRef<str>) -> Self {
        let methods = methods.as_ref();
        let text = format!("method not allowed (expected {methods})\n");
        Self::text(text).with_status(405).with_header("Allow", methods)
    }

    /// The response to an error of the application: the server logs it, and sends what it sends for an application
    /// that returned it. Until then the status is the one that it will send, and the body is empty.
    ///
    /// Changes of such a response have no effect, unless [`take_error`](Self::take_error) has taken the error out before.
    ///
    /// ```
    /// use wsgi_app::Response;
    ///
    /// let response = Response::from_error(std::io::Error::other("no disk").into());
    /// assert_eq!(response.status().code(), 500);
    /// assert_eq!(response.error().unwrap().to_string(), "no disk");
    /// ```
    pub fn from_error(error: Error) -> Self {
        let status = match input_error(&*error) {
            Some(InputError::Body(BodyError::Request(error))) => error.status(),
            _ => 500,
        };
        Self::new(status).with_error(error)
    }

    /// The status.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Replaces the status.
    pub fn set_status(&mut self, status: impl Into<Status>) {
        self.status = status.into();
    }

    /// The same response with another status.
    #[must_use]
    pub fn with_status(mut self, status: impl Into<Status>) -> Self {
        self.set_status(status);
        self
    }

    /// The header fields. The server adds others when it sends them, see [`StartResponse::start`].
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The header fields, to change them.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// The same response with a header field, in place of those with the same name.
    #[must_use]
    pub fn with_header(mut self, name: impl FieldBytes, value: impl FieldBytes) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Replaces the body, and returns the one before. The header fields stay as they are.
    pub fn set_body(&mut self, body: impl Into<Body>) -> Body {
        std::mem::replace(&mut self.body, body.into())
    }

    /// The same response with another body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.set_body(body);
        self
    }

    /// The trailer fields, which are sent after a body whose length is not known.
    ///
    /// [`Write::set_trailers`](crate::Write::set_trailers) sets those that are only known at the end of the body.
    pub fn trailers(&self) -> &Headers {
        static NONE: Headers = Headers::new();
        self.rare.as_ref().map_or(&NONE, |rare| &rare.trailers)
    }

    /// The trailer fields, to change them.
    pub fn trailers_mut(&mut self) -> &mut Headers {
        &mut self.rare().trailers
    }

    /// The error that the server will log, see [`from_error`](Self::from_error).
    pub fn error(&self) -> Option<&Error> {
        self.rare.as_ref()?.error.as_ref()
    }

    pub(crate) fn with_error(mut self, error: Error) -> Self {
        self.rare().error = Some(error);
        self
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Takes the error out of the response, which is then sent as it is: with its status, its header fields and its body.
    /// The error is not logged.
    pub fn take_error(&mut self) -> Option<Error> {
        self.rare.as_mut()?.error.take()
    }

    /// Starts this response, and returns its body for the application to return: for an application that gets
    /// `start_response`, that of this crate's root or that of [`blocking`](mod@crate::blocking).
    ///
    /// ```
    /// use wsgi_app::{Body, Environ, Response, Result, StartResponse};
    ///
    /// async fn site(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     Response::text("Hello\n").start(&start_response)
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(site);
    /// ```
    ///
    /// # Errors
    ///
    /// The [error](Self::error) of the response if it has one; nothing is started then. Otherwise those of
    /// [`StartResponse::start`].
    pub fn start(mut self, start_response: impl AsRef<StartResponse>) -> Result<Body> {
        if let Some(error) = self.take_error() {
            return Err(error);
        }
        let write = start_response.as_ref().start(&self.status, self.headers.iter())?;
        if !self.trailers().is_empty() {
            write.set_trailers(self.trailers().iter())?;
        }
        Ok(self.body)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut response = f.debug_struct("Response");
        response
            .field("status", &self.status.as_str())
            .field("headers", &self.headers)
            .field("body", &self.body);
        if !self.trailers().is_empty() {
            response.field("trailers", self.trailers());
        }
        if let Some(error) = self.error() {
            response.field("error", error);
        }
        response.finish()
    }
}
