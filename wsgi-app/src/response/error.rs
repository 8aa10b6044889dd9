//! Errors as responses.

use wsgi_proto::{SendError, StartError};

use crate::exchange::error::{Error, InputError};
use crate::response::Response;
#[cfg(feature = "serde")]
use crate::response::fields::FieldsError;
use crate::response::form::FormError;
use crate::response::into_response::IntoResponse;
#[cfg(feature = "json")]
use crate::response::json::JsonError;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        // `?` has made them errors of any type.
        let error = self;
        #[cfg(feature = "json")]
        let error = match known::<JsonError>(error) {
            Ok(response) => return response,
            Err(error) => error,
        };
        #[cfg(feature = "serde")]
        let error = match known::<FieldsError>(error) {
            Ok(response) => return response,
            Err(error) => error,
        };
        known::<FormError>(error).unwrap_or_else(Response::from_error)
    }
}

/// The response to an error of this type.
fn known<E: IntoResponse + std::error::Error + 'static>(error: Error) -> Result<Response, Error> {
    error.downcast::<E>().map(|error| error.into_response())
}

/// Makes a `Response` the error of functions that fail with a status of their own: `?` turns any other error into the response
/// that the server sends for it.
///
/// Text converts into an [`Error`], so `"Hello".into()` is a 500 with `Hello` as the error. A page of text is
/// `"Hello".into_response()` or [`Response::text`].
///
/// ```
/// use wsgi_app::{Environ, IntoResponse, Response};
///
/// async fn user(environ: Environ) -> Result<String, Response> {
///     let name = environ.input().read_all(100).await?; // 400, 408 or 413
///     if name.is_empty() {
///         return Err((404, "no such user\n").into_response());
///     }
///     Ok(String::from_utf8(name.into())?) // 500
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(wsgi_app::site(user));
/// # assert_eq!(Response::from("Hello").status().code(), 500);
/// ```
impl<E: Into<Error>> From<E> for Response {
    fn from(error: E) -> Self {
        error.into().into_response()
    }
}

macro_rules! error {
    ($($type:ty),*) => {$(
        impl IntoResponse for $type {
            fn into_response(self) -> Response {
                Response::from_error(self.into())
            }
        }
    )*};
}

error!(InputError, StartError, SendError, std::io::Error);
