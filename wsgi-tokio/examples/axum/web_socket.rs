//! An extractor of WebSocket upgrades. axum's own needs a private type of hyper, and answers 426 on other servers.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use wsgi_tokio::{Stream, Upgrade};

/// The largest message, in bytes.
const LARGEST: usize = 64 * 1024;

pub(crate) type WebSocket = WebSocketStream<Stream>;

pub(crate) struct WebSocketUpgrade {
    upgrade: Upgrade,
    accept: String,
}

impl<S: Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let is = |name, value| {
            parts.headers.get(name).is_some_and(|v: &HeaderValue| v.as_bytes().eq_ignore_ascii_case(value))
        };
        let (Some(upgrade), true, true) = (
            parts.extensions.get::<Upgrade>(),
            is("upgrade", b"websocket"),
            is("sec-websocket-version", b"13"),
        ) else {
            let fields = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
            return Err((StatusCode::UPGRADE_REQUIRED, fields).into_response());
        };
        let connection = parts.headers.get_all("connection").iter().filter_map(|value| value.to_str().ok());
        let mut tokens = connection.flat_map(|value| value.split(','));
        if !tokens.any(|token| token.trim().eq_ignore_ascii_case("upgrade")) {
            return Err(StatusCode::BAD_REQUEST.into_response());
        }
        // 16 bytes in base64.
        let Some(key) = parts.headers.get("sec-websocket-key").filter(|key| key.len() == 24) else {
            return Err(StatusCode::BAD_REQUEST.into_response());
        };
        Ok(Self { upgrade: upgrade.clone(), accept: derive_accept_key(key.as_bytes()) })
    }
}

impl WebSocketUpgrade {
    /// Answers with 101, and calls `handler` with the socket then.
    pub(crate) fn on_upgrade<T: Future<Output = ()> + Send>(
        self,
        handler: impl FnOnce(WebSocket) -> T + Send + 'static,
    ) -> Response {
        let Self { upgrade, accept } = self;
        tokio::spawn(async move {
            let config =
                WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
            if let Ok(stream) = upgrade.await {
                handler(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await).await;
            }
        });
        let headers = [("Upgrade", "websocket".to_owned()), ("Sec-WebSocket-Accept", accept)];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
}
