//! The table of raw exchanges over sockets, on every runtime, with and without TLS.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::runtime::Runtime;
use wsgi_tests::adapters::{self, Adapter, AsyncStd, Running, Smol, Tls, Tokio};
#[cfg(unix)]
use wsgi_tests::blocking;
use wsgi_tests::client::Line;
use wsgi_tests::live::PATIENCE;
use wsgi_tests::script::Script;
use wsgi_tests::table::{Afterwards, Answer, Exchange, blessing, each};
use wsgi_tests::wire::{difference, mask_dates};
use wsgi_tests::{application, client, secure};
use wsgi_tokio::{Environ, Options, ServerHandle, StartResponse};

/// The exchanges in which an application does something that only a driver of the machine can do: sends trailers, or
/// ends without an answer. The others are played over sockets, all of them with and without TLS.
const BEYOND_APPLICATIONS: usize = 5;

/// An exchange longer than this is not sent byte by byte.
const LONG: usize = 1500;

/// The server's options: the settings of the table, with shorter times when the client waits for one to elapse.
fn options(exchange: &Exchange) -> Result<Options, String> {
    let mut config = exchange.config()?;
    if exchange.afterwards == Afterwards::FallsSilent {
        for time in [&mut config.socket_timeout, &mut config.header_timeout].into_iter().flatten() {
            *time /= 5;
        }
        config.linger_timeout /= 2;
        if let wsgi_proto::KeepAlive::For(time) = &mut config.keepalive {
            *time /= 5;
        }
    }
    let mut options = Options::default().debug(exchange.debug()).log_output(false);
    for (name, value) in config.environ {
        options = options.environ(name, value);
    }
    Ok(options
        .keepalive(config.keepalive)
        .max_http_version(config.max_http_version)
        .minimum_chunk_size(config.minimum_chunk_size)
        .capitalize_response_headers(config.capitalize_response_headers)
        .require_host(config.require_host)
        .socket_timeout(config.socket_timeout)
        .header_timeout(config.header_timeout)
        .linger_timeout(config.linger_timeout)
        .log_x_forwarded_for(config.log_x_forwarded_for)
        .limits(|limits| *limits = config.limits))
}

/// The applications of one exchange, and the server that they stop.
struct Site {
    apps: Vec<Script>,
    requests: AtomicUsize,
    handle: OnceLock<ServerHandle>,
}

impl Site {
    /// The application of the next request.
    fn next(&self) -> &Script {
        &self.apps[self.requests.fetch_add(1, Ordering::Relaxed).min(self.apps.len() - 1)]
    }

    fn stop(&self) {
        self.handle.get().into_iter().for_each(ServerHandle::shutdown);
    }
}

/// Starts to serve a site.
trait Start: Fn(Options, Arc<Site>) -> io::Result<Running> + Sync {}

impl<F: Fn(Options, Arc<Site>) -> io::Result<Running> + Sync> Start for F {}

/// How a client connects.
type Connect<L> = fn(SocketAddr) -> io::Result<L>;

const IN_THE_CLEAR: Connect<TcpStream> = |address| {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
};

const ENCRYPTED: Connect<secure::Stream> = |address| Ok(secure::Stream::connect(address));

/// Serves one exchange over a socket.
fn over<L: Line>(
    start: &impl Start,
    connect: Connect<L>,
    exchange: &Exchange,
    bytewise: bool,
) -> Result<(), String> {
    let requests = AtomicUsize::new(0);
    let site = Arc::new(Site { apps: exchange.apps.clone(), requests, handle: OnceLock::new() });
    let fault = |error: &dyn std::fmt::Display| format!("over a socket: {error}\n");
    let running = start(options(exchange)?, Arc::clone(&site)).map_err(|error| fault(&error))?;
    let handle = site.handle.get_or_init(|| running.handle);
    let line = connect(running.address).map_err(|error| fault(&error))?;
    let got = client::answer(exchange, line, bytewise).map_err(|error| fault(&error))?;
    handle.shutdown();
    let report = running.ended.recv_timeout(PATIENCE);
    let report = report.map_err(|_| fault(&"the server does not stop"))?.map_err(|error| fault(&error))?;
    let end = exchange.answer.end.split(',').next().unwrap_or_default().replace("taken over", "open");
    let wanted = Answer { bytes: exchange.masked(), end };
    let got = Answer { bytes: mask_dates(&got.bytes), ..got };
    if got != wanted || report.cut > 0 {
        return Err(format!("over a socket, {report:?}:\n{}", difference(&wanted.text(), &got.text())));
    }
    Ok(())
}

/// Whole, and the shorter ones also byte by byte.
fn all_over<L: Line>(start: impl Start, connect: Connect<L>) {
    if blessing() {
        return;
    }
    let (played, all) = (AtomicUsize::new(0), AtomicUsize::new(0));
    each(|exchange| {
        all.fetch_add(1, Ordering::Relaxed);
        if !exchange.apps.iter().all(application::can_play) {
            return Ok(());
        }
        played.fetch_add(1, Ordering::Relaxed);
        over(&start, connect, exchange, false)?;
        let short = exchange.client.iter().map(Vec::len).sum::<usize>() <= LONG;
        if short { over(&start, connect, exchange, true) } else { Ok(()) }
    });
    let (played, all) = (played.into_inner(), all.into_inner());
    assert_eq!(played, all - BEYOND_APPLICATIONS);
    assert!(played > 150, "there are only {played}");
}

fn all_over_futures<L: Line>(adapter: impl Adapter, tls: Tls<'_>, connect: Connect<L>) {
    let start = |options: Options, site: Arc<Site>| {
        adapter.start_with(tls, options, move |environ: Environ, start_response: StartResponse| {
            let site = Arc::clone(&site);
            async move { application::play(site.next(), environ, start_response, || site.stop()).await }
        })
    };
    all_over(start, connect);
}

#[cfg(unix)]
fn all_over_threads<L: Line>(tls: Tls<'_>, connect: Connect<L>) {
    let start = |options: Options, site: Arc<Site>| {
        let application = move |environ: wsgi_std::Environ, start: wsgi_std::StartResponse| {
            blocking::play(site.next(), &environ, &start, || site.stop())
        };
        adapters::start_std_with(tls, options, application)
    };
    all_over(start, connect);
}

#[cfg(unix)]
fn all_over_blocking<L: Line>(adapter: impl Adapter, tls: Tls<'_>, connect: Connect<L>) {
    let start = |options: Options, site: Arc<Site>| {
        let application = move |environ: wsgi_std::Environ, start: wsgi_std::StartResponse| {
            blocking::play(site.next(), &environ, &start, || site.stop())
        };
        adapter.start_with(tls, options, wsgi_tokio::blocking(application))
    };
    all_over(start, connect);
}

#[test]
fn wsgi_tokio_answers_every_exchange_as_written() {
    all_over_futures(Tokio(Runtime::new().unwrap()), None, IN_THE_CLEAR);
}

#[test]
fn wsgi_tokio_answers_every_exchange_as_written_over_tls() {
    all_over_futures(Tokio(Runtime::new().unwrap()), Some(&secure::trust().server), ENCRYPTED);
}

#[test]
fn wsgi_smol_answers_every_exchange_as_written() {
    all_over_futures(Smol, None, IN_THE_CLEAR);
}

#[test]
fn wsgi_smol_answers_every_exchange_as_written_over_tls() {
    all_over_futures(Smol, Some(&secure::trust().server), ENCRYPTED);
}

#[test]
fn wsgi_smol_answers_every_exchange_as_written_on_async_std() {
    all_over_futures(AsyncStd, None, IN_THE_CLEAR);
}

#[test]
fn wsgi_smol_answers_every_exchange_as_written_on_async_std_over_tls() {
    all_over_futures(AsyncStd, Some(&secure::trust().server), ENCRYPTED);
}

#[cfg(unix)]
#[test]
fn wsgi_std_answers_every_exchange_as_written() {
    all_over_threads(None, IN_THE_CLEAR);
}

#[cfg(unix)]
#[test]
fn wsgi_std_answers_every_exchange_as_written_over_tls() {
    all_over_threads(Some(&secure::trust().server), ENCRYPTED);
}

#[cfg(unix)]
#[test]
fn a_blocking_application_on_wsgi_tokio_answers_every_exchange_as_written() {
    all_over_blocking(Tokio(Runtime::new().unwrap()), None, IN_THE_CLEAR);
}

#[cfg(unix)]
#[test]
fn a_blocking_application_on_wsgi_tokio_answers_every_exchange_as_written_over_tls() {
    all_over_blocking(Tokio(Runtime::new().unwrap()), Some(&secure::trust().server), ENCRYPTED);
}

#[cfg(unix)]
#[test]
fn a_blocking_application_on_wsgi_smol_answers_every_exchange_as_written() {
    all_over_blocking(Smol, None, IN_THE_CLEAR);
}

#[cfg(unix)]
#[test]
fn a_blocking_application_on_wsgi_smol_answers_every_exchange_as_written_over_tls() {
    all_over_blocking(Smol, Some(&secure::trust().server), ENCRYPTED);
}

#[cfg(unix)]
#[test]
fn a_blocking_application_on_async_std_answers_every_exchange_as_written() {
    all_over_blocking(AsyncStd, None, IN_THE_CLEAR);
}

#[cfg(unix)]
#[test]
fn a_blocking_application_on_async_std_answers_every_exchange_as_written_over_tls() {
    all_over_blocking(AsyncStd, Some(&secure::trust().server), ENCRYPTED);
}
