//! Listeners that are more than a bound socket: streams of connections, and the PROXY protocol.
#![cfg(unix)]

mod incoming;
mod proxy_protocol;

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use wsgi_tests::live::PATIENCE;
use wsgi_tests::runtimes::{Runtime, TOKIO};
use wsgi_tokio::{Body, Options, Report, Result, ServerHandle, Tls};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// A listener of one of the adapters.
enum Listener {
    Tokio(wsgi_tokio::Listener),
    Smol(wsgi_smol::Listener),
    Std(wsgi_std::Listener),
}

/// A running server.
struct Serving {
    handle: ServerHandle,
    ended: Receiver<io::Result<Report>>,
}

impl Serving {
    /// Waits until the server has ended.
    fn result(&self) -> io::Result<Report> {
        self.ended.recv_timeout(PATIENCE).expect("the server ends")
    }

    fn stop(&self) -> Report {
        self.handle.shutdown();
        self.result().expect("the listeners are sound")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// Serves an application on these listeners. It answers with the addresses of its connection.
fn serve(runtime: Runtime, listeners: impl IntoIterator<Item = Listener>, options: Options) -> Serving {
    let (tell, ended) = sync_channel(1);
    let mut listeners = listeners.into_iter();
    let handle = match listeners.next().expect("there is one") {
        Listener::Tokio(first) => {
            let server = wsgi_tokio::Server::new(first, who).options(options);
            let server = listeners.fold(server, |server, listener| match listener {
                Listener::Tokio(listener) => server.listener(listener),
                _ => panic!("all are of {runtime}"),
            });
            let handle = server.handle();
            TOKIO.0.spawn(async move { drop(tell.send(server.serve().await)) });
            handle
        }
        Listener::Smol(first) => {
            let server = wsgi_smol::Server::new(first, who).options(options);
            let server = listeners.fold(server, |server, listener| match listener {
                Listener::Smol(listener) => server.listener(listener),
                _ => panic!("all are of {runtime}"),
            });
            let handle = server.handle();
            let serving = async move { drop(tell.send(server.serve().await)) };
            match runtime {
                Runtime::AsyncStd => drop(async_std::task::spawn(serving)),
                _ => smol::spawn(serving).detach(),
            }
            handle
        }
        Listener::Std(first) => {
            let server = wsgi_std::Server::new(first, who_blocking).options(options);
            let server = listeners.fold(server, |server, listener| match listener {
                Listener::Std(listener) => server.listener(listener),
                _ => panic!("all are of {runtime}"),
            });
            let handle = server.handle();
            thread::spawn(move || drop(tell.send(server.serve())));
            handle
        }
    };
    Serving { handle, ended }
}

async fn who(environ: wsgi_tokio::Environ, start_response: wsgi_tokio::StartResponse) -> Result<Body> {
    start_response.start("200 OK", PLAIN)?;
    Ok(text(environ.tls(), |name| environ.get(name).map(|value| value.to_string())).into())
}

fn who_blocking(environ: wsgi_std::Environ, start_response: wsgi_std::StartResponse) -> Result<Body> {
    start_response.start("200 OK", PLAIN)?;
    Ok(text(environ.tls(), |name| environ.get(name).map(|value| value.to_string())).into())
}

/// The address of the client, that of the server, the scheme, and the version of TLS if the server speaks it.
fn text(tls: Option<&Tls>, get: impl Fn(&str) -> Option<String>) -> String {
    let names = ["REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme"];
    let values = names.map(|name| get(name).unwrap_or_default());
    values.iter().map(String::as_str).chain(tls.map(Tls::version)).collect::<Vec<_>>().join(" ")
}

/// The answer of the application to a client with these addresses.
fn answer(remote: &str, local: &str, scheme: &str) -> String {
    let part = |address: &str| match address.parse::<SocketAddr>() {
        Ok(address) => (address.ip().to_string(), address.port().to_string()),
        Err(_) => (address.to_owned(), String::new()),
    };
    let ((remote, remote_port), (local, local_port)) = (part(remote), part(local));
    format!("{remote} {remote_port} {local} {local_port} {scheme}")
}
