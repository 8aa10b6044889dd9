//! A WebSocket that sends back what it receives, on `wsgi-std`: the code blocks. A stop of the server says goodbye with the code 1001.
//!
//! `cargo run -p wsgi-cookbook --bin web_socket_std [ADDRESS]`
//!
//! ```text
//! websocat ws://127.0.0.1:8090/
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use tungstenite::Message;
use tungstenite::WebSocket;
use tungstenite::error::{Error as WebSocketError, ProtocolError};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use wsgi_std::{
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

pub(crate) fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    let accept = match handshake(&environ) {
        Ok(accept) => accept,
        Err(response) => return response.start(&start_response),
    };
    let fields = [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Accept", &*accept)];
    start_response.start("101 Switching Protocols", fields)?;
    // It begins with the bytes that the client has sent behind its handshake.
    let stream = environ.take_over()?;
    // An error is one of the client: it has left.
    let _ = echo(stream);
    Ok(Body::empty())
}

/// A stream whose reads end at a time. The timeout of each read would not bound a message that arrives byte by byte.
struct Bounded {
    stream: Stream,
    end: Instant,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left));
        self.stream.read(buffer)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn echo(stream: Stream) -> Result<(), WebSocketError> {
    stream.set_write_timeout(Some(SILENCE));
    // A stop ends a read that waits.
    stream.set_stop_ends_reads(true);
    let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
    let stream = Bounded { stream, end: Instant::now() };
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut is_pinged = false;
    let code = loop {
        socket.get_mut().end = Instant::now() + SILENCE;
        let received = socket.read();
        let silent = received.is_err();
        match received {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message)?,
            // The crate answers a Ping, and a Close: the end follows.
            Ok(_) => {}
            Err(WebSocketError::ConnectionClosed) => break None,
            Err(WebSocketError::Io(error)) if error.kind() == ErrorKind::TimedOut => {
                if socket.get_ref().stream.is_stopping() {
                    break Some(CloseCode::Away);
                }
                if is_pinged {
                    return Ok(());
                }
                socket.send(Message::Ping("".into()))?;
            }
            Err(error) => break Some(code(error)?),
        }
        is_pinged = silent;
    };
    goodbye(socket, code)
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
fn goodbye(mut socket: WebSocket<Bounded>, code: Option<CloseCode>) -> Result<(), WebSocketError> {
    socket.get_mut().end = Instant::now() + GOODBYE;
    socket.get_ref().stream.set_stop_ends_reads(false);
    socket.get_ref().stream.set_write_timeout(Some(GOODBYE));
    if let Some(code) = code {
        socket.close(Some(CloseFrame { code, reason: "".into() }))?;
    }
    while socket.read().is_ok() {}
    let bounded = socket.get_mut();
    bounded.stream.shutdown()?;
    // If bytes were left unread, the system would reset the connection, and our Close might be lost.
    while bounded.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address)?;
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT])?;
    println!("serving http://{}/", listener.local_addr()?);
    let server = Server::new(listener, application).options(Options::public());
    let handle = server.handle();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.shutdown();
        }
    });
    server.serve()?;
    Ok(())
}
