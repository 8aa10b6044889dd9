//! Reads the files for HTTPS.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Selects the protocol of `--listen`: HTTPS with both files, HTTP without.
#[derive(Debug, Default, Args)]
pub struct TlsSettings {
    /// Serves HTTPS with the certificates in this PEM file: the server's own first, then the intermediate ones.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The PEM file with the private key of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TlsSettings {
    /// Reads the files; `None` if they are not given.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, by name, or a key that does not match the certificate.
    pub fn config(&self) -> io::Result<Option<Arc<ServerConfig>>> {
        let (Some(certificates), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let chain =
            CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain =
            chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
        let chain = chain.map_err(|error| in_file("--tls-cert", certificates, error))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file("--tls-key", key, error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private));
        config.map(|config| Some(Arc::new(config))).map_err(|error| {
            let (certificates, key) = (certificates.display(), key.display());
            let message = format!("--tls-cert {certificates} with --tls-key {key} cannot be used: {error}");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

fn in_file(flag: &str, path: &Path, error: pem::Error) -> io::Error {
    let wanted = if flag == "--tls-cert" { "certificates" } else { "a private key" };
    let message =
        format!("{flag} {} cannot be used: {error} (allowed: a PEM file with {wanted})", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
