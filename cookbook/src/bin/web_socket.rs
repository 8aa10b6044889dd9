//! A WebSocket that sends back what it receives, on tokio. A stop of the server says goodbye with the code 1001.
//!
//! `cargo run -p wsgi-cookbook --bin web_socket [ADDRESS]`
//!
//! ```text
//! websocat ws://127.0.0.1:8090/
//! ```

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{Error as WebSocketError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use wsgi_tokio::{
    Body, Environ, IntoResponse, Options, Response, Result, Server, StartResponse, Stream, Version,
};

/// The origins whose pages may connect.
const ORIGINS: [&str; 2] = ["https://app.example", "http://localhost:3000"];

/// The largest message of a client.
const LARGEST: usize = 1024 * 1024;

/// A client that is silent for this long gets a ping, and is given up if it does not answer that in the same time, or does not
/// read for as long.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a client may take to answer a Close.
const GOODBYE: Duration = Duration::from_secs(2);

/// The `Sec-WebSocket-Accept` for a handshake; otherwise the response to another request (RFC 6455, 4.2.1).
fn handshake(environ: &Environ) -> Result<String, Response> {
    let has = |name, token: &str| {
        environ.headers(name).any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(token)))
    };
    if environ.method() != "GET" {
        return Err(Response::not_allowed("GET"));
    }
    if !has("Upgrade", "websocket") || environ.header("Sec-WebSocket-Version").as_deref() != Some("13") {
        let fields = [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Version", "13")];
        return Err((426, fields, "this is a WebSocket of version 13\n").into_response());
    }
    let key = environ.header("Sec-WebSocket-Key").unwrap_or_default();
    // 16 bytes in base64.
    let is_key = key.len() == 24 && key.ends_with("==") && key.bytes().take(22).all(is_base64);
    if !is_key || !has("Connection", "upgrade") || environ.head().version() == Version::Http10 {
        return Err((400, "malformed handshake of a WebSocket\n").into_response());
    }
    // A page of any site can open a WebSocket, with the cookies of its visitor. Other clients than browsers send no `Origin`.
    if environ.headers("Origin").any(|origin| !ORIGINS.contains(&&*origin)) {
        return Err((403, "not for this origin\n").into_response());
    }
    Ok(derive_accept_key(key.as_bytes()))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

pub(crate) async fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    let accept = match handshake(&environ) {
        Ok(accept) => accept,
        Err(response) => return response.start(&start_response),
    };
    let fields = [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Accept", &*accept)];
    start_response.start("101 Switching Protocols", fields)?;
    // It begins with the bytes that the client has sent behind its handshake.
    let stream = environ.take_over().await?;
    // An error is one of the client: it has left.
    let _ = echo(stream).await;
    Ok(Body::empty())
}

async fn echo(stream: Stream) -> Result<(), WebSocketError> {
    let stopping = stream.stopping();
    let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let mut is_pinged = false;
    let code = loop {
        let received = tokio::select! {
            received = timeout(SILENCE, socket.next()) => received,
            () = stopping.clone() => break Some(CloseCode::Away),
        };
        let silent = received.is_err();
        match received {
            Ok(Some(Ok(message @ (Message::Text(_) | Message::Binary(_))))) => {
                send(&mut socket, message).await?
            }
            // The crate answers a Ping, and a Close: the end follows.
            Ok(Some(Ok(_))) => {}
            Ok(None) => break None,
            Ok(Some(Err(error))) => break Some(code(error)?),
            Err(_) if is_pinged => return Ok(()),
            Err(_) => send(&mut socket, Message::Ping("".into())).await?,
        }
        is_pinged = silent;
    };
    let _ = timeout(GOODBYE, goodbye(socket, code)).await;
    Ok(())
}

/// Sends a message, unless the client reads nothing for too long.
async fn send(socket: &mut WebSocketStream<Stream>, message: Message) -> Result<(), WebSocketError> {
    let sent = timeout(SILENCE, socket.send(message)).await;
    sent.unwrap_or_else(|_| Err(WebSocketError::Io(ErrorKind::TimedOut.into())))
}

/// What to say to a client that does not keep to the protocol, or to the limit.
fn code(error: WebSocketError) -> Result<CloseCode, WebSocketError> {
    match error {
        WebSocketError::Capacity(_) => Ok(CloseCode::Size),
        WebSocketError::Utf8(_) => Ok(CloseCode::Invalid),
        WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Err(error),
        WebSocketError::Protocol(_) => Ok(CloseCode::Protocol),
        error => Err(error),
    }
}

/// Says why the server ends the conversation, if it does, and waits for the Close of the client, then for the end of its
/// connection.
async fn goodbye(mut socket: WebSocketStream<Stream>, code: Option<CloseCode>) -> Result<(), WebSocketError> {
    if let Some(code) = code {
        socket.close(Some(CloseFrame { code, reason: "".into() })).await?;
    }
    while let Some(Ok(_)) = socket.next().await {}
    let mut stream = socket.into_inner();
    stream.shutdown().await?;
    // If bytes were left unread, the system would reset the connection, and our Close might be lost.
    while stream.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let server = Server::new(listener, application).options(Options::public());
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
