//! What functions of a site may return.

use std::borrow::Cow;

use bytes::Bytes;
use wsgi_proto::{Field, FieldBytes};

use crate::application::body::Body;
use crate::head::headers::Headers;
use crate::head::status::Status;
use crate::response::Response;

/// A value that becomes a [`Response`]: what a function of a [`site`](crate::site) returns.
///
/// | value | response |
/// | --- | --- |
/// | [`Response`] | itself |
/// | `&'static str`, `String`, `Cow<'static, str>` | 200, `text/plain; charset=utf-8` |
/// | [`Bytes`], `Vec<u8>`, `&'static [u8]` | 200, `application/octet-stream` |
/// | [`Html`] | 200, `text/html; charset=utf-8` |
/// | [`Redirect`] | 303, 307 or 308, and `Location` |
/// | [`Body`] | 200, without `Content-Type` |
/// | `()` | 200, an empty body |
/// | `u16`, [`Status`], with the feature `http` a `StatusCode` | that status, an empty body |
/// | `(status, value)` | the response of `value`, with that status; not if `value` is an error |
/// | `(headers, value)` | the response of `value`, with these fields in place of those with the same names |
/// | `(status, headers, value)` | both |
/// | `Result<T, E>` | the response of either |
/// | [`Error`](crate::Error), and the errors of this crate | [that of an error](Response::from_error) |
///
/// A status is a code (`u16`), a text such as `"200 OK"`, a [`Status`], or with the feature `http` a `StatusCode`. Headers are
/// an array or a `Vec` of pairs, or [`Headers`]; behind a status also anything else that can be iterated over. A file is
/// not among the values, since its response depends on the request: see [`Response::with_file`].
///
/// ```
/// use wsgi_app::{Environ, Html, IntoResponse, Result};
///
/// async fn index(_environ: Environ) -> &'static str {
///     "Hello\n"
/// }
///
/// async fn missing(environ: Environ) -> impl IntoResponse {
///     (404, Html(format!("<p>{} bytes of path", environ.path().len())))
/// }
///
/// async fn created(environ: Environ) -> Result<impl IntoResponse> {
///     let body = environ.input().read_to_end().await?;
///     Ok(("201 Created", [("Location", "/new")], format!("{} bytes\n", body.len())))
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(wsgi_app::site(index));
/// # is_an_application(wsgi_app::site(missing));
/// # is_an_application(wsgi_app::site(created));
/// ```
///
/// Errors of your own choose their response:
///
/// ```
/// use wsgi_app::{Environ, Error, IntoResponse, Response};
///
/// enum Refused {
///     NoSuchUser,
///     Failed(Error),
/// }
///
/// impl IntoResponse for Refused {
///     fn into_response(self) -> Response {
///         match self {
///             Self::NoSuchUser => (404, "no such user\n").into_response(),
///             Self::Failed(error) => error.into_response(),
///         }
///     }
/// }
///
/// impl<E: Into<Error>> From<E> for Refused {
///     fn from(error: E) -> Self {
///         Self::Failed(error.into())
///     }
/// }
///
/// async fn user(environ: Environ) -> Result<String, Refused> {
///     let name = environ.input().read_to_end().await?;
///     if name.is_empty() {
///         return Err(Refused::NoSuchUser);
///     }
///     Ok(String::from_utf8(name.into())?)
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(wsgi_app::site(user));
/// ```
///
/// Anything else is a compiler error:
///
/// ```compile_fail,E0277
/// # use wsgi_app::{Environ, IntoResponse};
/// // A code is a `u16`.
/// async fn page(_environ: Environ) -> impl IntoResponse {
///     (404_i32, "no such page\n")
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use wsgi_app::{Environ, IntoResponse};
/// // The status comes first.
/// async fn page(_environ: Environ) -> impl IntoResponse {
///     ([("X-Page", "none")], 404_u16, "no such page\n")
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "expected a `Response`, text, bytes, a tuple of a status, headers and a value, or a `Result` of them",
    note = "tuples are `(status, value)`, `(headers, value)` and `(status, headers, value)`; a status is a `u16`, text or \
            a `Status`, and headers are pairs such as `[(\"Content-Type\", \"text/plain\")]`",
    note = "your own type is a response if it implements `IntoResponse`"
)]
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

/// Text that is HTML, see [`IntoResponse`].
#[derive(Clone, Copy, Debug)]
pub struct Html<T>(pub T);

/// A redirection to another location, see [`IntoResponse`].
///
/// The location is a URI or a path, percent-encoded: `/caf%C3%A9`, not `/café`. It is sent as it is.
///
/// ```
/// use wsgi_app::{IntoResponse, Redirect};
///
/// let response = Redirect::permanent("/new").into_response();
/// assert_eq!(response.status().as_str(), "308 Permanent Redirect");
/// assert_eq!(response.headers().get("Location").as_deref(), Some("/new"));
/// ```
#[derive(Clone, Debug)]
pub struct Redirect {
    code: u16,
    location: Cow<'static, str>,
}

impl Redirect {
    /// 303: the client continues with a GET of `location`, as after a form was sent.
    pub fn to(location: impl Into<Cow<'static, str>>) -> Self {
        Self { code: 303, location: location.into() }
    }

    /// 307: the client repeats the same request there, this time.
    pub fn temporary(location: impl Into<Cow<'static, str>>) -> Self {
        Self { code: 307, location: location.into() }
    }

    /// 308: the client repeats the same request there, and may go there from now on.
    pub fn permanent(location: impl Into<Cow<'static, str>>) -> Self {
        Self { code: 308, location: location.into() }
    }
}

impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        Response::new(self.code).with_header("Location", self.location)
    }
}

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::html(self.0)
    }
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(200).with_body(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(200)
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

/// The code of a status, such as 204.
impl IntoResponse for u16 {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

macro_rules! text {
    ($($type:ty),*) => {$(
        impl IntoResponse for $type {
            fn into_response(self) -> Response {
                Response::text(self)
            }
        }
    )*};
}

text!(&'static str, String, Cow<'static, str>);

macro_rules! octets {
    ($($type:ty),*) => {$(
        impl IntoResponse for $type {
            fn into_response(self) -> Response {
                Response::new(200).with_header("Content-Type", "application/octet-stream").with_body(self)
            }
        }
    )*};
}

octets!(Bytes, Vec<u8>, &'static [u8]);

impl<const N: usize> IntoResponse for &'static [u8; N] {
    fn into_response(self) -> Response {
        self.as_slice().into_response()
    }
}

/// Tuples that begin with a status. A blanket implementation for all statuses would exclude those that begin with fields.
macro_rules! statuses {
    ($($status:ty),*) => {$(
        impl<T: IntoResponse> IntoResponse for ($status, T) {
            fn into_response(self) -> Response {
                self.1.into_response().with_status(self.0)
            }
        }

        impl<H, T> IntoResponse for ($status, H, T)
        where
            H: IntoIterator<Item: Field>,
            T: IntoResponse,
        {
            fn into_response(self) -> Response {
                with_fields(self.2.into_response().with_status(self.0), self.1)
            }
        }
    )*};
}

statuses!(u16, &'static str, String, Status);
#[cfg(feature = "http")]
statuses!(http::StatusCode);

impl<N: FieldBytes, V: FieldBytes, const LENGTH: usize, T: IntoResponse> IntoResponse
    for ([(N, V); LENGTH], T)
{
    fn into_response(self) -> Response {
        with_fields(self.1.into_response(), self.0)
    }
}

impl<N: FieldBytes, V: FieldBytes, T: IntoResponse> IntoResponse for (Vec<(N, V)>, T) {
    fn into_response(self) -> Response {
        with_fields(self.1.into_response(), self.0)
    }
}

impl<T: IntoResponse> IntoResponse for (Headers, T) {
    fn into_response(self) -> Response {
        with_fields(self.1.into_response(), self.0)
    }
}

/// The response with these fields in place of those with the same names.
fn with_fields<F: Field>(mut response: Response, fields: impl IntoIterator<Item = F>) -> Response {
    let fields: Vec<F> = fields.into_iter().collect();
    // Several with one name stay several.
    for field in &fields {
        response.headers_mut().remove(field.name());
    }
    response.headers_mut().extend(fields);
    response
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}
