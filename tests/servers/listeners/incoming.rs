//! Streams of connections as listeners, on every runtime.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

use smol::Async;
use smol::channel::{Sender, bounded};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Journal, Kind, PATIENCE, eventually};
use wsgi_tests::runtimes::{Runtime, TOKIO, on_each_adapter};
use wsgi_tests::uninterrupted::uninterrupted;
use wsgi_tokio::{Address, Endpoints, Options, Scheme};

use super::{Listener, answer, serve};

type Item = io::Result<(TcpStream, Endpoints)>;

/// The sending end of a listener.
enum Feed {
    Futures(Sender<Item>),
    Std(mpsc::SyncSender<Item>),
}

impl Feed {
    fn send(&self, item: Item) {
        match self {
            Self::Futures(sender) => sender.send_blocking(item).expect("the server runs"),
            Self::Std(sender) => sender.send(item).expect("the server runs"),
        }
    }
}

/// A listener that accepts sockets from a channel.
fn channel(runtime: Runtime) -> (Feed, Listener) {
    use smol::stream::StreamExt;

    let (sender, receiver) = bounded::<Item>(64);
    let nonblocking = |(socket, endpoints): (TcpStream, Endpoints)| {
        socket.set_nonblocking(true)?;
        io::Result::Ok((socket, endpoints))
    };
    let listener = match runtime {
        Runtime::Tokio => {
            let items = receiver.map(move |item| {
                let (socket, endpoints) = item.and_then(nonblocking)?;
                Ok((tokio::net::TcpStream::from_std(socket)?, endpoints))
            });
            Listener::Tokio(wsgi_tokio::Listener::incoming(items))
        }
        Runtime::Smol => {
            let items = receiver.map(|item| item.and_then(|(socket, at)| Ok((Async::new(socket)?, at))));
            Listener::Smol(wsgi_smol::Listener::incoming(items))
        }
        Runtime::AsyncStd => {
            let items = receiver
                .map(|item| item.map(|(socket, at)| (Box::new(async_std::net::TcpStream::from(socket)), at)));
            Listener::Smol(wsgi_smol::Listener::incoming(items))
        }
        Runtime::Std => {
            let (sender, receiver) = mpsc::sync_channel::<Item>(64);
            return (Feed::Std(sender), Listener::Std(wsgi_std::Listener::incoming(receiver)));
        }
        other => unreachable!("{other} has the listeners of another one"),
    };
    (Feed::Futures(sender), listener)
}

/// Both ends of a new connection: the client's, and the server's with its real addresses.
fn pair() -> (Caller, (TcpStream, Endpoints)) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let local = listener.local_addr().expect("it is bound");
    let client = Caller::connect(local);
    let (socket, remote) = listener.accept().expect("a client has connected");
    (client, (socket, Endpoints::new(remote.into(), local.into())))
}

fn shown(endpoints: &Endpoints) -> String {
    let address = |address: Address| match address {
        Address::Ip(address) => address.to_string(),
        Address::Local => "unix".into(),
    };
    answer(&address(endpoints.remote), &address(endpoints.local), "http")
}

#[test]
fn connections_from_a_channel_are_served_with_their_endpoints() {
    on_each_adapter("a channel", |runtime| {
        let (feed, listener) = channel(runtime);
        let serving = serve(runtime, [listener], Options::default().log_output(false));
        let mut clients: Vec<_> = (0..8)
            .map(|_| {
                let (client, (socket, endpoints)) = pair();
                let expected = shown(&endpoints);
                feed.send(Ok((socket, endpoints)));
                (client, expected)
            })
            .collect();
        for _ in 0..2 {
            for (client, expected) in &mut clients {
                assert_eq!(client.get("/").text(), *expected);
            }
        }
        // The source of the connections provides the endpoints.
        let (mut client, (socket, _)) = pair();
        let (remote, local) =
            (SocketAddr::from(([192, 0, 2, 1], 7)), SocketAddr::from(([192, 0, 2, 2], 443)));
        let endpoints = Endpoints { scheme: Scheme::Https, ..Endpoints::new(remote.into(), local.into()) };
        feed.send(Ok((socket, endpoints)));
        assert_eq!(client.get("/").text(), answer("192.0.2.1:7", "192.0.2.2:443", "https"));
        drop((clients, client));
        assert_eq!(serving.stop().cut, 0);
    });
}

#[test]
fn a_server_ends_when_all_its_streams_and_connections_have_ended() {
    on_each_adapter("the end of all streams", |runtime| {
        let ((first, one), (second, other)) = (channel(runtime), channel(runtime));
        let serving = serve(runtime, [one, other], Options::default().log_output(false));
        let send = |feed: &Feed| {
            let (mut client, (socket, endpoints)) = pair();
            feed.send(Ok((socket, endpoints)));
            assert_eq!(client.get("/").status, 200);
            client
        };
        let mut kept = send(&first);
        drop(first);
        // It goes on with the other one.
        drop(send(&second));
        let last = pair();
        second.send(Ok(last.1));
        drop(second);
        let mut last = last.0;
        // What was sent before the end is accepted, and open connections stay.
        assert_eq!(last.get("/").status, 200);
        assert_eq!(kept.get("/").status, 200);
        drop(last);
        eventually("one connection", || serving.handle.connections() == 1);
        assert!(!serving.handle.is_stopping());
        assert_eq!(kept.get("/").status, 200);
        drop(kept);
        let report = serving.result().expect("nothing failed");
        assert_eq!(report.cut, 0);
    });
}

#[test]
fn a_stop_does_not_wait_for_a_stream_that_has_not_ended() {
    on_each_adapter("a stop", |runtime| {
        let (feed, listener) = channel(runtime);
        let serving = serve(runtime, [listener], Options::default().log_output(false));
        let (mut client, connection) = pair();
        feed.send(Ok(connection));
        assert_eq!(client.get("/").status, 200);
        drop(client);
        assert_eq!(serving.stop().cut, 0);
        drop(feed);
    });
}

#[test]
fn a_stop_ends_a_server_whose_streams_have_ended() {
    on_each_adapter("a stop after the end", |runtime| {
        let (feed, listener) = channel(runtime);
        let serving = serve(runtime, [listener], Options::default().log_output(false));
        let (mut client, connection) = pair();
        feed.send(Ok(connection));
        drop(feed);
        assert_eq!(client.get("/").status, 200);
        assert_eq!(serving.stop().cut, 0);
        assert_eq!(uninterrupted(|| client.stream().read(&mut [0])).expect("an end without a reset"), 0);
    });
}

#[test]
fn errors_of_a_stream_are_those_of_accept() {
    on_each_adapter("errors", |runtime| {
        let (feed, listener) = channel(runtime);
        let (options, journal) = Journal::keep(Options::default().debug(false));
        let serving = serve(runtime, [listener], options);
        for _ in 0..200 {
            feed.send(Err(io::ErrorKind::ConnectionReset.into()));
        }
        feed.send(Err(io::Error::other("one client only")));
        let (mut client, connection) = pair();
        feed.send(Ok(connection));
        assert_eq!(client.get("/").status, 200);
        journal.first(Kind::Debug, "one client only");
        assert_eq!(journal.texts(Kind::Error), [""; 0]);
        drop(client);
        feed.send(Err(io::ErrorKind::InvalidInput.into()));
        assert_eq!(serving.result().expect_err("it is broken").kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn a_connection_waits_for_room_like_any_other() {
    on_each_adapter("room", |runtime| {
        let (feed, listener) = channel(runtime);
        let serving = serve(runtime, [listener], Options::default().log_output(false).max_size(2));
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let (client, connection) = pair();
                feed.send(Ok(connection));
                client
            })
            .collect();
        for mut client in clients {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.answer().status, 200);
        }
        assert!(serving.handle.connections() <= 2);
        serving.stop();
    });
}

#[test]
fn tokio_serves_any_stream_that_reads_and_writes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    TOKIO.0.block_on(async {
        let (mut client, connection) = tokio::io::duplex(7);
        let endpoints = Endpoints::new(Address::Local, Address::Local);
        let listener =
            wsgi_tokio::Listener::incoming(smol::stream::once(io::Result::Ok((connection, endpoints))));
        let server = wsgi_tokio::Server::new(listener, super::who).log_output(false);
        let serving = tokio::spawn(server.serve());
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("it reads");
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("it reads");
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.expect("it answers");
        assert_eq!(heard.matches("\r\n\r\nunix  unix  http").count(), 2, "{heard}");
        drop(client);
        assert_eq!(serving.await.expect("no panic").expect("nothing failed").cut, 0);
    });
}

#[test]
fn tokio_keeps_running_other_tasks_while_a_stream_is_always_ready() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let failing = smol::stream::repeat_with(|| {
            io::Result::<(tokio::net::TcpStream, Endpoints)>::Err(io::ErrorKind::ConnectionReset.into())
        });
        let server = wsgi_tokio::Server::new(wsgi_tokio::Listener::incoming(failing), super::who);
        let server = server.log_output(false);
        let handle = server.handle();
        let serving = tokio::spawn(server.serve());
        tokio::task::yield_now().await;
        handle.shutdown();
        serving.await.expect("no panic").expect("nothing failed");
    });
}

#[test]
fn std_serves_sockets_that_a_function_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let accepts = std::iter::from_fn(move || {
        Some(
            listener.accept().map(|(socket, remote)| (socket, Endpoints::new(remote.into(), address.into()))),
        )
    });
    let (ours, mut theirs) = UnixStream::pair().expect("descriptors are available");
    let one = [Ok((ours, Endpoints::new(Address::Local, Address::Local)))];
    let listeners = [wsgi_std::Listener::incoming(accepts), wsgi_std::Listener::incoming(one)];
    let serving = serve(Runtime::Std, listeners.map(Listener::Std), Options::default().log_output(false));
    let mut client = Caller::connect(address);
    assert_eq!(client.get("/").status, 200);
    theirs.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
    theirs.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut heard = String::new();
    theirs.read_to_string(&mut heard).expect("it answers");
    assert!(heard.ends_with("\r\n\r\nunix  unix  http"), "{heard}");
    drop((client, theirs));
    // The function still blocks in accept.
    assert_eq!(serving.stop().cut, 0);
}

#[test]
fn std_ends_if_an_iterator_panics() {
    let panicking =
        std::iter::from_fn(|| -> Option<io::Result<(TcpStream, Endpoints)>> { panic!("on purpose") });
    let listener = Listener::Std(wsgi_std::Listener::incoming(panicking));
    let serving = serve(Runtime::Std, [listener], Options::default().log_output(false));
    assert_eq!(serving.result().expect("it ends").cut, 0);
}
