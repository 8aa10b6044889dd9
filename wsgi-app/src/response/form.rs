//! The fields of a form as the body of a request.

use std::fmt;

use wsgi_proto::latin1;

use crate::application::environ::Environ;
use crate::application::readings::pairs;
use crate::exchange::error::InputError;
use crate::response::Response;
#[cfg(feature = "serde")]
use crate::response::fields::{self, FieldsError};
use crate::response::into_response::IntoResponse;

/// Why a request has no form, made by [`Environ::form`].
///
/// As a response it is 400 or 415 with a text that names the reason, or that of the [`InputError`], such as 413; also inside an
/// [`Error`](crate::Error), when a function of a [`site`](crate::site) returns it. In other applications it is an error
/// like any other.
#[derive(Debug)]
#[non_exhaustive]
pub enum FormError {
    /// The body cannot be read, or is larger than the limit.
    Input(InputError),
    /// `Content-Type` is not that of a form without files.
    ContentType,
    /// Feature `serde`. The fields are not those of the type.
    #[cfg(feature = "serde")]
    Fields(FieldsError),
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::ContentType => f.write_str(
                "the body is not a form (expected `Content-Type: application/x-www-form-urlencoded`)",
            ),
            #[cfg(feature = "serde")]
            Self::Fields(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FormError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(error) => Some(error),
            Self::ContentType => None,
            #[cfg(feature = "serde")]
            Self::Fields(error) => Some(error),
        }
    }
}

impl From<InputError> for FormError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

impl IntoResponse for FormError {
    fn into_response(self) -> Response {
        match self {
            Self::Input(error) => error.into_response(),
            Self::ContentType => (415, format!("{self}\n")).into_response(),
            #[cfg(feature = "serde")]
            Self::Fields(error) => error.into_response(),
        }
    }
}

impl Environ {
    /// The names and values of the form that is the request body, of at most `limit` bytes, in order. They are decoded
    /// as [`query_pairs`](Self::query_pairs) are.
    ///
    /// ```
    /// use wsgi_app::{Environ, Redirect, Result};
    ///
    /// async fn sign(environ: Environ) -> Result<Redirect> {
    ///     let form = environ.form(4096).await?; // 413 if it is larger, 415 if it is no form
    ///     for (name, value) in form {
    ///         println!("{name}: {value}");
    ///     }
    ///     Ok(Redirect::to("/"))
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(wsgi_app::site(sign));
    /// ```
    ///
    /// Many short fields need 40 times as much memory as the body, and twice that with `form_as`: choose a limit that fits.
    ///
    /// The feature `serde` has [`form_as`](#method.form_as), which makes a struct of them.
    ///
    /// Forms with files (`multipart/form-data`) are another format: the crate `multer` reads them from
    /// [`input`](Self::input).
    ///
    /// # Errors
    ///
    /// [`FormError`], which is a response of a [`site`](crate::site).
    pub async fn form(&self, limit: usize) -> Result<Vec<(String, String)>, FormError> {
        self.check_form()?;
        Ok(parse(&self.input().read_all(limit).await?))
    }

    /// Feature `serde`. The value that the form in the request body has, of at most `limit` bytes: [`form`](Self::form) with
    /// the types of [`query_as`](Self::query_as).
    ///
    /// ```
    /// use wsgi_app::{Environ, Redirect, Result};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Entry {
    ///     name: String,
    ///     age: Option<u8>,
    /// }
    ///
    /// async fn sign(environ: Environ) -> Result<Redirect> {
    ///     let entry: Entry = environ.form_as(4096).await?; // 400, 413 or 415
    ///     println!("{} {:?}", entry.name, entry.age);
    ///     Ok(Redirect::to("/"))
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(wsgi_app::site(sign));
    /// ```
    ///
    /// # Errors
    ///
    /// [`FormError`], which is a response of a [`site`](crate::site).
    #[cfg(feature = "serde")]
    pub async fn form_as<T: serde::de::DeserializeOwned>(&self, limit: usize) -> Result<T, FormError> {
        typed(self.form(limit).await?)
    }

    /// Whether the body is announced as a form.
    pub(crate) fn check_form(&self) -> Result<(), FormError> {
        match &*self.media_type() {
            "application/x-www-form-urlencoded" => Ok(()),
            _ => Err(FormError::ContentType),
        }
    }
}

pub(crate) fn parse(body: &[u8]) -> Vec<(String, String)> {
    pairs(&latin1(body))
}

#[cfg(feature = "serde")]
pub(crate) fn typed<T: serde::de::DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, FormError> {
    fields::value(pairs.into_iter()).map_err(FormError::Fields)
}
