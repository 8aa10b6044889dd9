//! An id for each request, and the time that it took: middleware of both kinds.
//!
//! `cargo run -p wsgi-cookbook --bin request_id [ADDRESS]`

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use tokio::net::TcpListener;
use wsgi_tokio::{
    Application, Body, Environ, Error, IntoResponse, Options, Response, Result, Server, StartResponse, site,
};

/// The id of a request. Everything that handles the request gets it by `environ.extension()`.
#[derive(Clone)]
struct RequestId(Arc<str>);

impl RequestId {
    /// The id that a proxy has chosen, or a new one.
    fn of(environ: &Environ) -> Self {
        // It is written to logs and responses, and the client can choose it, too.
        let is_sound = |id: &str| {
            let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=64).contains(&id.len()) && id.bytes().all(is_safe)
        };
        match environ.header("X-Request-Id") {
            Some(id) if is_sound(&id) => Self(id.as_ref().into()),
            _ => Self::new(),
        }
    }

    fn new() -> Self {
        /// Differs from that of other processes.
        static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(format!("{:016x}-{number}", *PROCESS).into())
    }
}

/// Middleware around any application: requests have an id, and responses show it, also those of the server to an
/// application that has failed.
struct WithRequestId<A>(A);

impl<A: Application> Application for WithRequestId<A> {
    async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        let id = RequestId::of(&environ);
        environ.insert(id.clone());
        let start_response = start_response.map(move |_status, headers| {
            headers.insert("X-Request-Id", id.0.as_bytes());
        });
        self.0.call(environ, start_response).await
    }
}

/// Middleware around a function: the response shows how long the function took.
async fn timed<T: IntoResponse>(response: impl Future<Output = T>) -> Response {
    let begun = Instant::now();
    let mut response = response.await.into_response();
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    response.headers_mut().append("Server-Timing", format!("page;dur={took:.1}"));
    response
}

async fn page(environ: Environ) -> Result<String> {
    let id = environ.extension::<RequestId>().map_or_else(String::new, |id| id.0.to_string());
    if environ.path() == "/fails" {
        writeln!(environ.errors(), "request {id}: out of stock")?;
        return Err(Error::from("out of stock"));
    }
    Ok(format!("request {id}\n"))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let application = WithRequestId(site(|environ| timed(page(environ))));
    let server = Server::new(listener, application).options(Options::public());
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
