//! A `Router` of axum on smol, with code that needs tokio: its timers, its tasks, and layers that use them.
//!
//! `cargo run -p wsgi-smol --features tower --example axum_smol [ADDRESS]`
//!
//! ```text
//! curl http://127.0.0.1:8090/users/7
//! curl http://127.0.0.1:8090/task
//! curl http://127.0.0.1:8090/events
//! ```
//!
//! A `Router`, its extractors and most layers need no runtime. What needs tokio panics outside of it ("there is no
//! reactor running"). `Compat` gives it one, on a thread of its own. Here it wraps the executor of the connections, so
//! that handlers, layers and the bodies of responses are inside. Ctrl-C stops the server.
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_compat::Compat;
use async_signal::{Signal, Signals};
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use smol::Executor;
use smol::stream::{self, Stream, StreamExt};
use tower_http::timeout::TimeoutLayer;
use wsgi_smol::{Options, Server, tower};

/// A page that takes longer than `longest` is answered with 504.
fn router(longest: Duration) -> Router {
    Router::new()
        // These run on any runtime.
        .route("/users/{id}", get(async |Path(id): Path<u64>| format!("user {id}\n")))
        .route("/length", get(async |body: String| body.len().to_string()))
        // These need tokio, and so does the layer.
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(3600)).await))
        .route("/task", get(task))
        .route("/events", get(events))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, longest))
        .with_state(())
}

/// A task of tokio, which runs on the thread of `Compat`.
async fn task() -> Result<&'static str, StatusCode> {
    let task = tokio::spawn(async { "done by a task of tokio\n" });
    task.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Server-sent events at the pace of a timer of tokio.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold(0, async |number: u32| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        (number < 3).then(|| (Ok(Event::default().data(number.to_string())), number + 1))
    }))
}

async fn serve(address: String, executor: Arc<Executor<'static>>) -> std::io::Result<()> {
    let listener = smol::net::TcpListener::bind(address).await?;
    let mut signals = Signals::new([Signal::Int])?;
    println!("serving http://{}/", listener.local_addr()?);
    let application = tower(router(Duration::from_millis(500)));
    let server = Server::new(listener, application).options(Options::public()).pool(Arc::clone(&executor));
    let handle = server.handle();
    let stopping = async move {
        if let Some(Ok(_)) = signals.next().await {
            handle.shutdown();
        }
    };
    executor.spawn(stopping).detach();
    server.serve().await?;
    Ok(())
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let executor = Arc::new(Executor::new());
    let serving = serve(address, Arc::clone(&executor));
    // On more threads: each runs the executor inside a `Compat`.
    smol::block_on(Compat::new(executor.run(serving)))
}
