//! A program that uses every adapter with TLS and the crypto provider that rustls enables by default.
//!
//! `ServerConfig::builder()` uses the one provider that the features of rustls enable, and panics if there are two.
//! Cargo unifies features over all crates of a program. So these tests fail as soon as an adapter enables a provider
//! other than the program's. The feature `second-provider` proves that the tests can fail.

#![cfg(all(test, unix))]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

/// The time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn wsgi_tokio_serves_with_the_provider_of_the_program() {
    use wsgi_tokio::{Body, Environ, Listener, Result, Server, StartResponse};

    async fn hello(_: Environ, start_response: StartResponse) -> Result<Body> {
        start_response.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok("hello".into())
    }

    let (config, client) = configs();
    let (listener, address) = bind();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let server = Server::new(Listener::from(listener).tls(config), hello).log_output(false);
    let handle = server.handle();
    let serving = runtime.spawn(server.serve());
    is_greeted(address, client);
    handle.shutdown();
    runtime.block_on(serving).expect("no panic").expect("a sound listener");
}

/// Another choice of the program: its feature `test-util` of tokio adds a clock that can be paused, which the adapter has to
/// follow. Without the feature, as in the main workspace, the adapter reads the system's clock.
#[test]
fn wsgi_tokio_follows_a_clock_that_is_paused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use wsgi_tokio::{Body, Environ, Result, Server, StartResponse};

    async fn hello(_: Environ, start_response: StartResponse) -> Result<Body> {
        start_response.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok("hello".into())
    }

    let day = Duration::from_secs(24 * 3600);
    let scenario = async move {
        let begun = tokio::time::Instant::now();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = Server::new(listener, hello).log_output(false).keepalive(day);
        tokio::spawn(server.serve());
        let mut client = tokio::net::TcpStream::connect(address).await.expect("it listens");
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("a connection");
        let mut received = Vec::new();
        // It ends when the server closes the idle connection.
        client.read_to_end(&mut received).await.expect("a whole answer");
        assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(begun.elapsed() >= day);
    };
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().expect("a runtime").block_on(scenario);
        done.send(())
    });
    is_done.recv_timeout(PATIENCE).expect("the scenario succeeds, without waiting for a day");
}

#[test]
fn a_call_without_a_socket_takes_no_time_while_the_clock_is_paused() {
    use wsgi_tokio::test::{Request, call};
    use wsgi_tokio::{Environ, site};

    let hour = Duration::from_secs(3600);
    let slow = site(move |environ: Environ| async move {
        tokio::time::sleep(hour).await;
        environ.path().into_owned()
    });
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().expect("a runtime").block_on(async {
        let begun = tokio::time::Instant::now();
        let response = call(slow, Request::get("/after-an-hour")).await;
        assert_eq!(response.body().as_bytes(), Some(&b"/after-an-hour"[..]));
        assert_eq!(begun.elapsed(), hour);
    });
}

#[test]
fn a_body_of_a_slow_client_takes_no_time_while_the_clock_is_paused() {
    use wsgi_tokio::test::{Request, call};
    use wsgi_tokio::{Bytes, Environ, InputError, site};

    let pause = Duration::from_secs(10);
    let upper_case = site(async |environ: Environ| {
        let body = environ.input().read_to_end().await?;
        Ok::<_, InputError>(body.to_ascii_uppercase())
    });
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().expect("a runtime").block_on(async {
        let begun = tokio::time::Instant::now();
        let (send, parts) = smol::channel::bounded(1);
        tokio::spawn(async move {
            for part in ["Hello, ", "world"] {
                send.send(Bytes::from(part)).await.expect("it is received");
                tokio::time::sleep(pause).await;
            }
        });
        let response = call(upper_case, Request::new("POST", "/").stream(parts)).await;
        assert_eq!(response.body().as_str(), Some("HELLO, WORLD"));
        assert_eq!(begun.elapsed(), 2 * pause);
    });
}

#[test]
fn wsgi_smol_serves_with_the_provider_of_the_program() {
    use wsgi_smol::{Body, Environ, Listener, Result, Server, StartResponse};

    async fn hello(_: Environ, start_response: StartResponse) -> Result<Body> {
        start_response.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok("hello".into())
    }

    let (config, client) = configs();
    let (listener, address) = bind();
    let listener = smol::Async::new(listener).expect("a socket");
    let server = Server::new(Listener::from(listener).tls(config), hello).log_output(false);
    let handle = server.handle();
    let serving = smol::spawn(server.serve());
    is_greeted(address, client);
    handle.shutdown();
    smol::block_on(serving).expect("a sound listener");
}

#[test]
fn wsgi_std_serves_with_the_provider_of_the_program() {
    use wsgi_std::{Body, Environ, Listener, Result, Server, StartResponse};

    fn hello(_: Environ, start_response: StartResponse) -> Result<Body> {
        start_response.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok("hello".into())
    }

    let (config, client) = configs();
    let (listener, address) = bind();
    let server = Server::new(Listener::from(listener).tls(config), hello).log_output(false);
    let handle = server.handle();
    let serving = thread::spawn(|| server.serve());
    is_greeted(address, client);
    handle.shutdown();
    serving.join().expect("no panic").expect("a sound listener");
}

/// A server and a client that trust each other. Neither names a provider.
fn configs() -> (Arc<ServerConfig>, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let server = ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(vec![made.cert.into()], key).expect("they match");
    (Arc::new(server), ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Sends one request over HTTPS.
fn is_greeted(address: SocketAddr, client: ClientConfig) {
    let socket = TcpStream::connect(address).expect("the server accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(client), name).expect("a session");
    let mut stream = StreamOwned::new(session, socket);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("there is room");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}
