//! Errors as responses.

use wsgi_proto::{SendError, StartError};

use crate::exchange::error::{Error, InputError};
use crate::response::Response;
use crate::response::into_response::IntoResponse;
#[cfg(feature = "json")]
use crate::response::json::JsonError;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        #[cfg(feature = "json")]
        let error = match self.downcast::<JsonError>() {
            // `?` has made it an error of any type.
            Ok(error) => return error.into_response(),
            Err(error) => error,
        };
        #[cfg(not(feature = "json"))]
        let error = self;
        Response::from_error(error)
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
