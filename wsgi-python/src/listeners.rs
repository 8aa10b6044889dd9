//! Listeners from descriptors, certificates, and sources of the PROXY protocol.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wsgi_std::rustls::ServerConfig;
use wsgi_std::{Listener, ProxySources};

use crate::ffi;

/// The files of a certificate chain and of its private key.
pub(crate) type TlsFiles = (PathBuf, PathBuf);

/// Duplicates listening sockets. `tls` has an item for each of them.
///
/// # Errors
///
/// `OSError` for a descriptor that is not open, `ValueError` for other arguments, with the file that cannot be used.
pub(crate) fn from_descriptors(
    descriptors: &[i32],
    tls: Option<Vec<Option<TlsFiles>>>,
    proxy: Option<&str>,
) -> PyResult<Vec<Listener>> {
    let tls = tls.unwrap_or_else(|| descriptors.iter().map(|_| None).collect());
    if tls.len() != descriptors.len() {
        return Err(PyValueError::new_err("tls must have one item for each listener"));
    }
    let sources = sources(proxy)?;
    let listeners = descriptors.iter().zip(tls).map(|(&descriptor, tls)| {
        let socket = std::net::TcpListener::from(ffi::duplicate(descriptor)?);
        let mut listener = Listener::from(socket);
        if let Some(sources) = &sources {
            listener = listener.proxy_protocol(sources.clone());
        }
        Ok(match tls {
            Some(files) => listener.tls(config(&files)?),
            None => listener,
        })
    });
    listeners.collect()
}

/// The sources of the PROXY protocol, if it is required.
///
/// # Errors
///
/// `ValueError` if they are malformed.
pub(crate) fn sources(proxy: Option<&str>) -> PyResult<Option<ProxySources>> {
    let sources = proxy.map(str::parse::<ProxySources>).transpose();
    sources.map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Reads the files of a certificate.
///
/// # Errors
///
/// `ValueError` for a file that cannot be used, by name.
pub(crate) fn config((certificates, key): &TlsFiles) -> PyResult<Arc<ServerConfig>> {
    let unusable = |file: &PathBuf, error: String, wanted: &str| {
        let file = file.display();
        PyValueError::new_err(format!("{file} cannot be used: {error} (allowed: a PEM file with {wanted})"))
    };
    let chain = CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain =
        chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
    let chain = chain.map_err(|error| unusable(certificates, error.to_string(), "certificates"))?;
    let private = PrivateKeyDer::from_pem_file(key);
    let private = private.map_err(|error| unusable(key, error.to_string(), "a private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private));
    config.map(Arc::new).map_err(|error| {
        let (certificates, key) = (certificates.display(), key.display());
        PyValueError::new_err(format!("{certificates} with {key} cannot be used: {error}"))
    })
}
