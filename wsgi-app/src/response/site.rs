//! Functions that return a response, as applications.

use std::fmt;
use std::future::Future;

use crate::application::Application;
use crate::application::body::Body;
use crate::application::environ::Environ;
use crate::application::start_response::StartResponse;
use crate::exchange::error::Result;
use crate::response::into_response::IntoResponse;

/// Turns a function from a request to a response into an application.
///
/// ```
/// use wsgi_app::{Environ, IntoResponse, site};
///
/// async fn hello(environ: Environ) -> impl IntoResponse {
///     match environ.path().as_ref() {
///         "/" => (200, "Hello\n"),
///         _ => (404, "Not Found\n"),
///     }
/// }
///
/// let application = site(hello);
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(application);
/// ```
///
/// The function gets shared state from a closure that clones it for each request:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use wsgi_app::{Environ, site};
///
/// #[derive(Default)]
/// struct State {
///     hits: AtomicU64,
/// }
///
/// async fn count(state: Arc<State>, _environ: Environ) -> String {
///     format!("{} hits\n", state.hits.fetch_add(1, Ordering::Relaxed) + 1)
/// }
///
/// let state = Arc::new(State::default());
/// let application = site(move |environ| count(state.clone(), environ));
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(application);
/// ```
///
/// What a function does before and after others is a function, too:
///
/// ```
/// use std::time::Instant;
/// use wsgi_app::{Environ, IntoResponse, Response, site};
///
/// /// Adds how long the response took.
/// async fn timed<T: IntoResponse>(response: impl Future<Output = T>) -> Response {
///     let begun = Instant::now();
///     let response = response.await.into_response();
///     let took = format!("app;dur={}", begun.elapsed().as_millis());
///     response.with_header("Server-Timing", took)
/// }
///
/// async fn hello(_environ: Environ) -> &'static str {
///     "Hello\n"
/// }
///
/// let application = site(|environ| timed(hello(environ)));
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(application);
/// ```
pub fn site<F, T>(function: F) -> Site<F>
where
    F: Fn(Environ) -> T + Send + Sync + 'static,
    T: Future<Output: IntoResponse> + Send,
{
    Site(function)
}

/// The application that [`site`], or [`blocking::site`](crate::blocking::site), makes.
#[derive(Clone)]
pub struct Site<F>(pub(crate) F);

impl<F, T> Application for Site<F>
where
    F: Fn(Environ) -> T + Send + Sync + 'static,
    T: Future<Output: IntoResponse> + Send,
{
    async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        let response = (self.0)(environ).await;
        response.into_response().start(&start_response)
    }
}

impl<F> fmt::Debug for Site<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}
