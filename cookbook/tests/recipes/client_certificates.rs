use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::eventually;
use wsgi_tests::program::Program;
use wsgi_tests::secure::provider;

/// An authority, and certificates that it signs.
struct Authority(Certificate, Issuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(params.self_signed(&key).expect("a certificate"), Issuer::new(params, key))
    }

    fn sign(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.1).expect("a certificate"), key)
    }
}

/// A directory for one test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("wsgi-cookbook-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("a file");
    }

    fn renew(&self, authority: &Authority) -> Vec<u8> {
        let (certificate, key) = authority.sign("localhost");
        self.write("server.key", &key.serialize_pem());
        self.write("server.pem", &certificate.pem());
        certificate.der().to_vec()
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The answer to a client, and the certificate of the server. The client may have one itself.
fn ask(
    address: SocketAddr,
    servers: &Authority,
    own: Option<&(Certificate, KeyPair)>,
    path: &str,
) -> std::io::Result<(u16, String, Vec<u8>)> {
    let mut roots = RootCertStore::empty();
    roots.add(servers.0.der().clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.expect("ring has their cipher suites").with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
            config.with_client_auth_cert(vec![certificate.der().clone()], key).expect("they match")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut client = Caller::new(StreamOwned::new(session, Caller::connect(address).clone_stream()));
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let answer = client.try_answer()?;
    let server: Vec<CertificateDer<'_>> =
        client.stream().conn.peer_certificates().unwrap_or_default().to_vec();
    Ok((answer.status, answer.text(), server[0].to_vec()))
}

#[test]
fn members_are_known_by_their_certificate_and_a_renewed_one_is_loaded() {
    let (servers, members, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let directory = Directory::new();
    let first = directory.renew(&servers);
    directory.write("clients.pem", &members.0.pem());
    let mut command = Command::new(env!("CARGO_BIN_EXE_client_certificates"));
    command.arg("127.0.0.1:0").arg(directory.path());
    let recipe = Program::run(command);
    let ask = |own, path| ask(recipe.address(), &servers, own, path);

    let (ada, stranger) = (members.sign("ada"), strangers.sign("ada"));
    assert_eq!(ask(None, "/").expect("it is for everyone"), (200, "for everyone\n".into(), first.clone()));
    assert_eq!(ask(None, "/members").expect("it is answered").0, 403);
    assert_eq!(ask(Some(&ada), "/members").expect("it is known").1, "for ada\n");
    // TLS refuses it, on every page.
    ask(Some(&stranger), "/").map(drop).expect_err("another authority has signed it");

    // A file that cannot be read changes nothing.
    directory.write("server.pem", "");
    recipe.send_signal("HUP");
    assert_eq!(ask(None, "/").expect("it is for everyone").2, first);
    let second = directory.renew(&servers);
    recipe.send_signal("HUP");
    eventually("the renewed certificate", || ask(None, "/").is_ok_and(|(_, _, shown)| shown == second));
    recipe.stop();
}
