//! The example `axum`: a `Router`, with and without a socket.

#[path = "../examples/axum/site.rs"]
mod site;
#[path = "../examples/axum/web_socket.rs"]
mod web_socket;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use wsgi_tokio::test::{Request, call};
use wsgi_tokio::{Options, Report, Response, Server, ServerHandle, tower};

fn router() -> axum::Router {
    site::router(Duration::from_secs(60))
}

async fn answered(request: Request) -> String {
    shown(&call(tower(router()), request).await)
}

fn shown(response: &Response) -> String {
    format!("{} {}", response.status(), response.body().as_bytes().expect("in memory").escape_ascii())
}

#[tokio::test]
async fn a_router_answers_as_on_its_own_server() {
    assert_eq!(answered(Request::get("/")).await, "200 OK <h1>Hello</h1>");
    assert_eq!(answered(Request::get("/users/7")).await, r#"200 OK {\"id\":7,\"name\":\"user 7\"}"#);
    assert!(answered(Request::get("/users/seven")).await.starts_with("400 Bad Request"));
    assert_eq!(answered(Request::get("/search?q=t%C3%A9a&page=2")).await, "200 OK t\\xc3\\xa9a on page 2\\n");
    assert!(answered(Request::get("/search")).await.starts_with("400 Bad Request"));
    let json = || Request::post("/users", r#"{"name": "Ada"}"#).header("Content-Type", "application/json");
    assert_eq!(answered(json()).await, r#"201 Created {\"id\":1,\"name\":\"Ada\"}"#);
    assert_eq!(
        answered(json().body("{")).await.split_once(' ').map(|(code, _)| code.to_owned()),
        Some("400".into())
    );
    assert!(answered(Request::post("/users", "{}")).await.starts_with("415"));
    assert!(answered(Request::get("/upload")).await.starts_with("405"));
    // Above the limit of axum's extractors.
    assert!(answered(Request::post("/upload", vec![0; 3 << 20])).await.starts_with("413"));
    assert_eq!(answered(Request::post("/upload", vec![0; 1 << 20])).await, "200 OK 1048576 bytes\\n");
    assert_eq!(answered(Request::get("/nowhere")).await, "404 Not Found no such page\\n");
    assert_eq!(answered(Request::get("/client")).await, "200 OK Local\\n");
    assert!(answered(Request::get("/echo")).await.starts_with("426"));
    let upgrade = || Request::get("/echo").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let refused = call(tower(router()), upgrade().header("Sec-WebSocket-Version", "8")).await;
    let version = refused.headers().get("Sec-WebSocket-Version");
    assert_eq!((refused.status().code(), version.as_deref()), (426, Some("13")));
    let keyless = upgrade().header("Sec-WebSocket-Version", "13");
    assert!(answered(keyless).await.starts_with("400"));
    let cors = call(tower(router()), Request::get("/").header("Origin", "http://a.example")).await;
    assert_eq!(cors.headers().get("Access-Control-Allow-Origin").as_deref(), Some("*"));
    let preflight = Request::new("OPTIONS", "/users")
        .header("Origin", "http://a.example")
        .header("Access-Control-Request-Method", "POST");
    let preflight = call(tower(router()), preflight).await;
    assert_eq!(preflight.headers().get("Access-Control-Allow-Methods").as_deref(), Some("*"));
}

#[tokio::test]
async fn layers_and_streams_may_wait() {
    let hasty = tower(site::router(Duration::from_millis(20)));
    assert_eq!(shown(&call(hasty, Request::get("/slow")).await), "504 Gateway Timeout ");
    let events = answered(Request::get("/events")).await;
    assert_eq!(events.matches("data: ").count(), 10, "{events}");
}

async fn serve(options: Options) -> (SocketAddr, ServerHandle) {
    let (address, handle, _) = begin(options).await;
    (address, handle)
}

async fn begin(options: Options) -> (SocketAddr, ServerHandle, JoinHandle<std::io::Result<Report>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let server = Server::new(listener, tower(router())).options(options.log_output(false));
    let handle = server.handle();
    let served = tokio::spawn(async move { server.serve().await });
    (address, handle, served)
}

#[tokio::test]
async fn a_web_socket_sends_messages_both_ways() {
    let (address, _) = serve(Options::public()).await;
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut socket, response) =
        client_async(format!("ws://{address}/echo"), stream).await.expect("an upgrade");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    for number in 0..1000 {
        socket.send(Message::text(format!("message {number}"))).await.expect("sent");
    }
    for number in 0..1000 {
        let message = socket.next().await.expect("a message").expect("a whole one");
        assert_eq!(message, Message::text(format!("message {number}")));
    }
    socket.close(None).await.expect("closed");
    assert!(matches!(socket.next().await, None | Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn a_stop_says_goodbye_to_a_web_socket_and_waits_for_its_answer() {
    let (address, handle, served) = begin(Options::public()).await;
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut socket, _) = client_async(format!("ws://{address}/echo"), stream).await.expect("an upgrade");
    socket.send(Message::text("a")).await.expect("sent");
    assert_eq!(socket.next().await.expect("a message").expect("a whole one"), Message::text("a"));
    assert_eq!((handle.connections(), handle.requests()), (1, 0));
    handle.shutdown();
    let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!("no goodbye") };
    assert_eq!(u16::from(frame.code), 1001);
    assert!(!served.is_finished(), "the client has not answered");
    assert!(socket.next().await.is_none_or(|end| end.is_err()));
    drop(socket);
    let report = served.await.expect("it does not panic").expect("the listener is sound");
    assert_eq!(report, Report { finished: 1, cut: 0 });
}

#[tokio::test]
async fn frames_may_come_with_the_handshake() {
    let (address, _) = serve(Options::public()).await;
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // A masked text frame with a mask of zeros.
    let request = format!(
        "GET /echo HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut bytes = request.into_bytes();
    bytes.extend([0x81, 0x85, 0, 0, 0, 0]);
    bytes.extend(b"early");
    stream.write_all(&bytes).await.expect("sent");
    let mut received = Vec::new();
    while !received.ends_with(b"\x81\x05early") {
        let count = stream.read_buf(&mut received).await.expect("read");
        assert!(count > 0, "{}", received.escape_ascii());
    }
    let head = String::from_utf8_lossy(&received);
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_handler() {
    let cancelled = std::sync::Arc::new(tokio::sync::Notify::new());
    let noted = cancelled.clone();
    struct OnDrop(std::sync::Arc<tokio::sync::Notify>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let stuck = move || {
        let noted = OnDrop(noted.clone());
        async move {
            std::future::pending::<()>().await;
            drop(noted);
        }
    };
    let router = axum::Router::new().route("/", axum::routing::get(stuck));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(
        Server::new(listener, tower(router))
            .options(Options::public().log_output(false))
            .serve()
            .into_future(),
    );
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
    let early = tokio::time::timeout(Duration::from_millis(100), cancelled.notified()).await;
    assert!(early.is_err(), "the client is still there");
    drop(stream);
    tokio::time::timeout(Duration::from_secs(20), cancelled.notified())
        .await
        .expect("the handler was dropped");
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_then_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let server = Server::new(listener, tower(router())).options(Options::public().log_output(false));
    let handle = server.handle();
    let serving = tokio::spawn(async move { server.serve().await });
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
    let mut received = Vec::new();
    stream.read_buf(&mut received).await.expect("the first event");
    handle.shutdown();
    stream.read_to_end(&mut received).await.expect("the rest");
    let text = String::from_utf8_lossy(&received);
    assert!(text.ends_with("data: 9\n\n\r\n0\r\n\r\n"), "{text}");
    serving.await.expect("no panic").expect("stopped");
}
