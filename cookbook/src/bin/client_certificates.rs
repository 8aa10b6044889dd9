//! TLS, with pages for clients that have a certificate. `kill -HUP` loads a renewed certificate of the server.
//!
//! `cargo run -p wsgi-cookbook --bin client_certificates [ADDRESS [DIRECTORY]]`
//!
//! The directory has `server.pem` and `server.key`, and in `clients.pem` the authorities that sign the certificates of clients.
//!
//! ```text
//! curl --cacert authority.pem --cert ada.pem --key ada.key https://localhost:8443/members
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use wsgi_tokio::{Environ, IntoResponse, Listener, Options, Response, Result, Server, site};

/// The certificate of the server, which may change while it runs.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn load(directory: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_file_iter(directory.join("server.pem"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key"))?;
    let certified = CertifiedKey::new(chain, provider.key_provider.load_private_key(key)?);
    certified.keys_match()?;
    Ok(Arc::new(certified))
}

fn config(directory: &Path, current: Arc<Current>, provider: Arc<CryptoProvider>) -> Result<ServerConfig> {
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(directory.join("clients.pem"))? {
        authorities.add(certificate?)?;
    }
    // Clients may come without a certificate. Without this call they could not connect.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_client_cert_verifier(verifier).with_cert_resolver(current);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The name in the certificate of the client, which the TLS configuration has verified.
fn member(environ: &Environ) -> Option<String> {
    let certificate = CertificateDer::from(&**environ.tls()?.peer_certificates().first()?);
    let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
    certificate.valid_dns_names().next().map(str::to_owned)
}

async fn page(environ: Environ) -> Response {
    match &*environ.path() {
        "/" => "for everyone\n".into_response(),
        "/members" => match member(&environ) {
            Some(name) => format!("for {name}\n").into_response(),
            None => (403, "this page is for members, who have a certificate\n").into_response(),
        },
        _ => (404, "no such page\n").into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8443".into());
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| ".".into()));

    let provider = Arc::new(ring::default_provider());
    let current = Arc::new(Current(RwLock::new(load(&directory, &provider)?)));
    let config = config(&directory, Arc::clone(&current), Arc::clone(&provider))?;
    let listener = TcpListener::bind(address).await?;
    let mut renewed = signal(SignalKind::hangup())?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while renewed.recv().await.is_some() {
            match load(&directory, &provider) {
                Ok(loaded) => *current.0.write().unwrap_or_else(PoisonError::into_inner) = loaded,
                // The one before stays.
                Err(error) => eprintln!("the certificate was not loaded: {error}"),
            }
        }
    });

    let listener = Listener::from(listener).tls(Arc::new(config));
    let server = Server::new(listener, site(page)).options(Options::public());
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving https://{address}/");
    serving.await?;
    Ok(())
}
