//! Starts the server on each runtime, as its documentation shows it. One thread runs everything, except where a runtime
//! has no such choice.

use std::io;
use std::net::TcpListener;

use bench_common::arguments::Arguments;
use bench_common::server;
use wsgi_tokio::Options;

use crate::{application, blocking};

/// Above the number of connections of any scenario.
const MAX_SIZE: usize = 16 * 1024;

/// Serves until the process is killed.
///
/// # Errors
///
/// The port is in use, the kind is unknown, or the server ends.
pub(crate) fn serve(arguments: &Arguments) -> io::Result<()> {
    let listener = server::listen(arguments.port)?;
    match arguments.kind.as_str() {
        "tokio" => on_tokio(listener, arguments),
        #[cfg(feature = "smol")]
        "smol" => on_smol(listener, arguments),
        #[cfg(feature = "smol")]
        "async-std" => on_async_std(listener, arguments),
        "std" => on_std(listener, arguments),
        _ => Err(io::Error::other("not a runtime")),
    }
}

fn options(arguments: &Arguments) -> Options {
    Options::default().debug(false).log_output(arguments.log).max_size(MAX_SIZE)
}

fn on_tokio(listener: TcpListener, arguments: &Arguments) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut listener = wsgi_tokio::Listener::from(tokio::net::TcpListener::from_std(listener)?);
        if let Some(folder) = &arguments.tls {
            listener = listener.tls(server::tls(folder)?);
        }
        let server = wsgi_tokio::Server::new(listener, application::application(arguments.file.clone()));
        server.options(options(arguments)).serve().await.map(drop)
    })
}

#[cfg(feature = "smol")]
fn on_smol(listener: TcpListener, arguments: &Arguments) -> io::Result<()> {
    let mut listener = wsgi_smol::Listener::from(smol::Async::new(listener)?);
    if let Some(folder) = &arguments.tls {
        listener = listener.tls(server::tls(folder)?);
    }
    let executor = std::sync::Arc::new(smol::Executor::new());
    let server = wsgi_smol::Server::new(listener, application::application(arguments.file.clone()));
    let serving = server.options(options(arguments)).pool(std::sync::Arc::clone(&executor)).serve();
    smol::block_on(executor.run(serving)).map(drop)
}

#[cfg(feature = "smol")]
fn on_async_std(listener: TcpListener, arguments: &Arguments) -> io::Result<()> {
    let mut listener = wsgi_smol::Listener::from(async_std::net::TcpListener::from(listener));
    if let Some(folder) = &arguments.tls {
        listener = listener.tls(server::tls(folder)?);
    }
    let server = wsgi_smol::Server::new(listener, application::application(arguments.file.clone()));
    async_std::task::block_on(server.options(options(arguments)).serve()).map(drop)
}

fn on_std(listener: TcpListener, arguments: &Arguments) -> io::Result<()> {
    let mut listener = wsgi_std::Listener::from(listener);
    if let Some(folder) = &arguments.tls {
        listener = listener.tls(server::tls(folder)?);
    }
    let server = wsgi_std::Server::new(listener, blocking::application(arguments.file.clone()));
    server.options(options(arguments)).serve().map(drop)
}
