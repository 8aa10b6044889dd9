//! A server with TLS, on one of the runtimes, for one test.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use wsgi_tests::adapters::{Running, start_std_with};
use wsgi_tests::caller::Caller;
use wsgi_tests::echo::listen::Bound;
use wsgi_tests::live::{Journal, Kind, PATIENCE, eventually};
pub(crate) use wsgi_tests::runtimes::Runtime;
use wsgi_tests::secure::{Stream, trust};
use wsgi_tokio::rustls::ServerConfig;
use wsgi_tokio::{Options, Record, Report, ServerHandle};

use super::application::{Common, blocking, futures};

/// Longer than any test may take: waiting this long fails.
pub(crate) const NEVER: Duration = Duration::from_secs(600);

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A running server. It is stopped when this is dropped.
pub(crate) struct Site {
    running: Running,
    pub(crate) journal: Arc<Journal>,
    pub(crate) common: Arc<Common>,
}

/// Options without `debug`, for a stop that cuts no connection.
pub(crate) fn options() -> Options {
    Options::default().debug(false).graceful_timeout(NEVER)
}

impl Site {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self::with(runtime, options())
    }

    pub(crate) fn with(runtime: Runtime, options: Options) -> Self {
        Self::with_config(runtime, options, &trust().server)
    }

    pub(crate) fn with_config(runtime: Runtime, options: Options, config: &Arc<ServerConfig>) -> Self {
        Self::start(options, |options, common| {
            runtime.begin(Some(config), options, futures(Arc::clone(&common)), blocking(common))
        })
    }

    /// Like [`with`](Self::with), but the system buffers only a little that the client has not received.
    pub(crate) fn narrow(runtime: Runtime, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // Accepted sockets inherit it.
        SockRef::from(&listener).set_send_buffer_size(4096).expect("a socket");
        listener.set_nonblocking(true).expect("a socket");
        Self::start(options, |options, common| {
            let (tls, bound) = (Some(&trust().server), Bound::Tcp(listener));
            runtime.begin_on(bound, tls, options, futures(Arc::clone(&common)), blocking(common))
        })
    }

    /// Serves another, blocking application.
    pub(crate) fn blocking(application: impl wsgi_std::Application) -> Self {
        Self::start(options(), |options, _| {
            start_std_with(Some(&trust().server), options, application).expect("there is a port")
        })
    }

    fn start(options: Options, serve: impl FnOnce(Options, Arc<Common>) -> Running) -> Self {
        let ((options, journal), common) = (Journal::keep(options), Common::new());
        let running = serve(options, Arc::clone(&common));
        Self { running, journal, common }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.running.handle
    }

    /// A client that has completed the handshake.
    pub(crate) fn connect(&self) -> Caller<Stream> {
        Caller::secure(self.address())
    }

    /// A client without TLS.
    pub(crate) fn plain(&self) -> Caller {
        Caller::connect(self.address())
    }

    /// Checks that the server still works: a new client is answered.
    pub(crate) fn serves(&self) {
        let mut client = self.connect();
        assert_eq!(client.get("/scheme").status, 200);
    }

    /// Waits until this number of connections is open.
    pub(crate) fn counts(&self, connections: usize) {
        let what = format!("{connections} connections");
        eventually(&what, || self.handle().connections() == connections);
    }

    /// Waits until the application has this number of requests.
    pub(crate) fn runs(&self, requests: usize) {
        eventually(&format!("{requests} requests"), || self.handle().requests() == requests);
    }

    /// The record passed to the only post hook, once it ran.
    pub(crate) fn record(&self) -> Record {
        eventually("a hook runs", || !self.common.records().is_empty());
        let mut records = self.common.records();
        assert_eq!(records.len(), 1, "a hook runs once");
        records.remove(0)
    }

    /// Checks that no errors were logged.
    pub(crate) fn is_at_peace(&self) {
        assert_eq!(self.journal.texts(Kind::Error), [""; 0]);
    }

    /// Waits until the server has ended.
    pub(crate) fn ended(&self) -> Report {
        self.result().expect("the listener is sound")
    }

    /// Waits until the server has ended, or has failed to start.
    pub(crate) fn result(&self) -> io::Result<Report> {
        self.running.ended.recv_timeout(PATIENCE).expect("the server ends")
    }

    pub(crate) fn stop(&self) -> Report {
        self.handle().shutdown();
        self.ended()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A wait there would block a thread.
        self.common.gate.close();
        self.handle().shutdown();
    }
}
