//! A server frees what it holds: the state that its connections share has no reference back to its owners.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use wsgi_app::adapter::{Server, Transport, serve_connection};
use wsgi_app::{Address, Body, Endpoints, Environ, Options, Result, ServerHandle, StartResponse};

/// A marker that is freed with its owner.
struct Token;

/// A client that has sent one request, and then waits or closes.
struct Client {
    sent: &'static [u8],
    closes: bool,
    answer: usize,
    _token: Arc<Token>,
}

impl Transport for Client {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.sent.is_empty() {
            return if self.closes { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        let count = self.sent.len().min(space.len());
        space[..count].copy_from_slice(&self.sent[..count]);
        self.sent = &self.sent[count..];
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.answer += slices[0].len();
        Poll::Ready(Ok(slices[0].len()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// The waker of a task. It is freed when nothing can wake the task any more.
struct Woken(#[expect(dead_code, reason = "it is only held")] Arc<Token>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {}
}

type Connection = Pin<Box<dyn Future<Output = ()>>>;
/// Polls whether the server was stopped, as an acceptor does.
type Acceptor = Box<dyn Fn(&mut Context<'_>) -> bool>;

/// A token in each place where a server keeps something, as weak references that show which tokens still exist.
struct Freeing {
    application: Weak<Token>,
    log: Weak<Token>,
    transport: Weak<Token>,
    waker: Weak<Token>,
}

impl Freeing {
    /// Serves one request of a client, and calls `end` with everything that keeps the server alive.
    fn serve(closes: bool, end: impl FnOnce(&Self, ServerHandle, Acceptor, Connection, Vec<Environ>)) {
        let [application, log, transport, waker] = [(); 4].map(|()| Arc::new(Token));
        let freeing = Self {
            application: Arc::downgrade(&application),
            log: Arc::downgrade(&log),
            transport: Arc::downgrade(&transport),
            waker: Arc::downgrade(&waker),
        };
        let (keep, kept) = std::sync::mpsc::channel();
        let application = move |environ: Environ, start: StartResponse| {
            let (_token, keep) = (Arc::clone(&application), keep.clone());
            async move {
                let _ = keep.send(environ);
                start.start("200 OK", [("Content-Type", "text/plain")])?;
                Ok("Hello".into()) as Result<Body>
            }
        };
        let options = Options::default().log(move |_| {
            let _ = &log;
        });
        let handle = ServerHandle::new();
        let server = Server::new(options, &handle, application).expect("defaults");
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        let client =
            Client { sent: b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", closes, answer: 0, _token: transport };
        let mut connection: Connection = Box::pin(serve_connection(Arc::clone(&server), guard, client));
        let waker = Waker::from(Arc::new(Woken(waker)));
        let polled = connection.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(polled.is_ready(), closes);
        drop(waker);
        let acceptor = Box::new(move |context: &mut Context<'_>| server.poll_stop(context).is_ready());
        end(&freeing, handle, acceptor, connection, kept.try_iter().collect());
    }

    fn left(&self) -> Vec<&'static str> {
        let tokens = [
            ("application", &self.application),
            ("log", &self.log),
            ("transport", &self.transport),
            ("waker", &self.waker),
        ];
        tokens.into_iter().filter(|(_, token)| token.strong_count() > 0).map(|(name, _)| name).collect()
    }
}

#[test]
fn nothing_is_left_of_a_server_whose_connections_have_closed() {
    Freeing::serve(true, |freeing, handle, acceptor, connection, environs| {
        drop((acceptor, connection));
        assert_eq!(environs.len(), 1);
        // An environ that the application keeps refers to the log, but not to the server.
        assert_eq!(freeing.left(), ["log"]);
        drop(environs);
        assert_eq!(freeing.left(), [""; 0]);
        assert_eq!(handle.connections(), 0);
    });
}

#[test]
fn nothing_is_left_of_a_server_whose_connections_were_dropped() {
    Freeing::serve(false, |freeing, handle, acceptor, connection, environs| {
        drop((acceptor, environs));
        handle.shutdown();
        drop(handle);
        assert_eq!(freeing.left(), ["application", "log", "transport", "waker"]);
        drop(connection);
        assert_eq!(freeing.left(), [""; 0]);
    });
}

#[test]
fn a_kept_request_does_not_keep_the_registry_alive() {
    Freeing::serve(true, |_, handle, acceptor, connection, environs| {
        drop(connection);
        let token = Arc::new(Token);
        let held = Arc::downgrade(&token);
        let waker = Waker::from(Arc::new(Woken(token)));
        // The registry wakes it when the server stops.
        assert!(!acceptor(&mut Context::from_waker(&waker)));
        drop((waker, acceptor));
        assert_eq!(held.strong_count(), 1);
        drop(handle);
        assert_eq!(held.strong_count(), 0);
        assert_eq!(environs[0].path(), "/");
    });
}
