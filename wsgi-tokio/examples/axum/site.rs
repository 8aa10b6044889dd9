//! The pages.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures_util::{SinkExt, Stream, StreamExt, stream};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;
use wsgi_tokio::Environ;

use super::web_socket::{WebSocket, WebSocketUpgrade};

/// The deadlines of the server end at an upgrade, so a socket needs one of its own: a client that is silent for this long
/// gets a Ping, and loses its connection if it stays silent.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Database {
    users: AtomicU64,
}

#[derive(Deserialize)]
struct Search {
    q: String,
    #[serde(default)]
    page: u32,
}

#[derive(Deserialize, Serialize)]
struct User {
    #[serde(default)]
    id: u64,
    name: String,
}

/// A page that takes longer than `longest` is answered with 504.
pub(crate) fn router(longest: Duration) -> Router {
    Router::new()
        .route("/", get(async || Html("<h1>Hello</h1>")))
        .route("/users", post(create))
        .route("/users/{id}", get(async |Path(id): Path<u64>| Json(User { id, name: format!("user {id}") })))
        .route(
            "/search",
            get(async |Query(search): Query<Search>| format!("{} on page {}\n", search.q, search.page)),
        )
        .route("/upload", post(async |body: axum::body::Bytes| format!("{} bytes\n", body.len())))
        .route("/client", get(client))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(3600)).await))
        .route("/events", get(events))
        .route("/echo", get(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page\n"))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, longest))
        .layer(CorsLayer::permissive())
        .with_state(Arc::default())
}

async fn create(State(database): State<Arc<Database>>, Json(user): Json<User>) -> impl IntoResponse {
    let id = database.users.fetch_add(1, Ordering::Relaxed) + 1;
    (StatusCode::CREATED, Json(User { id, ..user }))
}

/// The address of the client, which axum calls `ConnectInfo`.
async fn client(Extension(environ): Extension<Environ>) -> String {
    format!("{:?}\n", environ.endpoints().remote)
}

/// Server-sent events. They end when their client disconnects.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let numbers = stream::unfold(0, async |number: u32| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        (number < 10).then(|| (Ok(Event::default().data(number.to_string())), number + 1))
    });
    Sse::new(numbers)
}

async fn echo(mut socket: WebSocket) {
    let stopping = socket.get_ref().stopping();
    let mut is_pinged = false;
    loop {
        let message = tokio::select! {
            message = timeout(SILENCE, socket.next()) => message,
            () = stopping.clone() => break,
        };
        let answer = match message {
            Ok(Some(Ok(message))) => {
                is_pinged = false;
                if !message.is_text() && !message.is_binary() {
                    continue;
                }
                message
            }
            Err(_) if !is_pinged => {
                is_pinged = true;
                Message::Ping("".into())
            }
            _ => return,
        };
        // A client that does not read must not hold the socket either.
        if !matches!(timeout(SILENCE, socket.send(answer)).await, Ok(Ok(()))) {
            return;
        }
    }
    // The server waits for the answer until `graceful_timeout`, although this task is not one of its own.
    let goodbye = CloseFrame { code: CloseCode::Away, reason: "".into() };
    if socket.close(Some(goodbye)).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}
