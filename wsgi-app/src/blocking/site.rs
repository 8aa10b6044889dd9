//! Functions that block and return a response, as applications.

use crate::application::body::Body;
use crate::blocking::application::Application;
use crate::blocking::environ::Environ;
use crate::blocking::response::StartResponse;
use crate::exchange::error::Result;
use crate::response::into_response::IntoResponse;
use crate::response::site::Site;

/// Turns a function from a request to a response into a blocking application: [`wsgi_app::site`](crate::site) without
/// `async`.
///
/// ```
/// use std::sync::Arc;
/// use wsgi_app::blocking::{Environ, site};
/// use wsgi_app::{IntoResponse, Result};
///
/// struct Settings {
///     folder: String,
/// }
///
/// fn notice(settings: &Settings, environ: &Environ) -> Result<impl IntoResponse + use<>> {
///     if environ.path() != "/" {
///         return Ok((404, "Not Found\n".to_owned()));
///     }
///     Ok((200, std::fs::read_to_string(format!("{}/notice", settings.folder))?))
/// }
///
/// let settings = Settings { folder: "/etc".to_owned() };
/// let application = site(move |environ| notice(&settings, &environ));
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(application);
/// ```
pub fn site<F, T>(function: F) -> Site<F>
where
    F: Fn(Environ) -> T + Send + Sync + 'static,
    T: IntoResponse,
{
    Site(function)
}

impl<F, T> Application for Site<F>
where
    F: Fn(Environ) -> T + Send + Sync + 'static,
    T: IntoResponse,
{
    fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        (self.0)(environ).into_response().start(&start_response.0)
    }
}
