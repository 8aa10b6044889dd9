//! Errors as responses.

use wsgi_proto::{SendError, StartError};

use crate::exchange::error::{Error, InputError};
use crate::response::Response;
use crate::response::form::FormError;
use crate::response::into_response::IntoResponse;
#[cfg(feature = "json")]
use crate::response::json::JsonError;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        // `?` has made them errors of any type.
        #[cfg(feature = "json")]
        let error = match self.downcast::<JsonError>() {
            Ok(error) => return error.into_response(),
            Err(error) => error,
        };
        #[cfg(not(feature = "json"))]
        let error = self;
        match error.downcast::<FormError>() {
            Ok(error) => error.into_response(),
            Err(error) => Response::from_error(error),
        }
    }
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
