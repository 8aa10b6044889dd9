//! HTTPS with a certificate that is generated at startup: `curl -ik https://127.0.0.1:8443/`. Ctrl-C stops it
//! gracefully.
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;
use wsgi_std::{Body, Environ, Listener, Result, Server, StartResponse};

fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    let scheme = environ.get("wsgi.url_scheme").unwrap_or_default();
    Ok(format!("Hello over {scheme}!\r\n").into())
}

fn main() -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    // Name the crypto provider: `ServerConfig::builder()` panics unless the whole program enables exactly one.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key)?;

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8443".into());
    let listener = TcpListener::bind(address)?;
    let mut signals = Signals::new([SIGINT])?;
    println!("serving https://{}/", listener.local_addr()?);
    let server = Server::new(Listener::from(listener).tls(Arc::new(config)), application);
    let handle = server.handle();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.shutdown();
        }
    });
    server.serve()?;
    Ok(())
}
