//! JSON as the body of a request and of a response.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::application::environ::Environ;
use crate::exchange::error::InputError;
use crate::response::Response;
use crate::response::into_response::IntoResponse;

/// Feature `json`. A value that is sent as JSON, with `Content-Type: application/json`.
///
/// ```
/// use std::collections::BTreeMap;
/// use wsgi_app::{Environ, Json, Result};
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct User {
///     name: String,
/// }
///
/// /// Sends the user back. A body of more than 4 KiB gets 413, and one that is not a user 400.
/// async fn create(environ: Environ) -> Result<Json<User>> {
///     let user: User = environ.json(4096).await?;
///     Ok(Json(user))
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(wsgi_app::site(create));
/// ```
///
/// A value that cannot be serialized, such as a map whose keys are not strings, is an error of the application: 500.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => Response::new(200).with_header("Content-Type", "application/json").with_body(text),
            Err(error) => Response::from_error(error.into()),
        }
    }
}

/// Feature `json`. Why a request has no JSON value, made by [`Environ::json`].
///
/// As a response it is 400 or 415 with a text that names the reason, or that of the [`InputError`], such as 413; also inside an
/// [`Error`](crate::Error), when a function of a [`site`](crate::site) returns it. In other applications it is an error like any other.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// The body cannot be read, or is larger than the limit.
    Input(InputError),
    /// `Content-Type` is not that of JSON. Requiring it keeps forms of other sites from sending JSON.
    ContentType,
    /// The body is not JSON, or not that of the type.
    Value(serde_json::Error),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::ContentType => {
                f.write_str("the body is not JSON (expected `Content-Type: application/json`)")
            }
            Self::Value(error) => write!(f, "the body is not the expected JSON: {error}"),
        }
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(error) => Some(error),
            Self::ContentType => None,
            Self::Value(error) => Some(error),
        }
    }
}

impl From<InputError> for JsonError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

impl IntoResponse for JsonError {
    fn into_response(self) -> Response {
        match self {
            Self::Input(error) => error.into_response(),
            Self::ContentType => (415, format!("{self}\n")).into_response(),
            Self::Value(_) => (400, format!("{self}\n")).into_response(),
        }
    }
}

impl Environ {
    /// Feature `json`. The value that the request body has as JSON, of at most `limit` bytes. See [`Json`](crate::Json).
    ///
    /// # Errors
    ///
    /// [`JsonError`], which is a response of a [`site`](crate::site).
    pub async fn json<T: DeserializeOwned>(&self, limit: usize) -> Result<T, JsonError> {
        self.check_json()?;
        parse(&self.input().read_all(limit).await?)
    }

    /// Whether the body is announced as JSON.
    pub(crate) fn check_json(&self) -> Result<(), JsonError> {
        let media = self.media_type();
        let is_json =
            media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
        if is_json { Ok(()) } else { Err(JsonError::ContentType) }
    }
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonError> {
    serde_json::from_slice(body).map_err(JsonError::Value)
}
