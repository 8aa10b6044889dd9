//! HTTPS with a certificate that is generated at startup: `curl -ik https://127.0.0.1:8443/`. Ctrl-C stops it
//! gracefully.
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use wsgi_tokio::{Body, Environ, Listener, Result, Server, StartResponse};

async fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    let scheme = environ.get("wsgi.url_scheme").unwrap_or_default();
    Ok(format!("Hello over {scheme}!\r\n").into())
}

#[tokio::main]
async fn main() -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    // Name the crypto provider: `ServerConfig::builder()` panics unless the whole program enables exactly one.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key)?;

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8443".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let server = Server::new(Listener::from(listener).tls(Arc::new(config)), application);
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving https://{address}/");
    serving.await?;
    Ok(())
}
