//! What an application learns about TLS: `Environ::tls`.

use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Kind, eventually};
use wsgi_tests::secure::{Stream, identity, trust};
use wsgi_tokio::rustls::version::{TLS12, TLS13};
use wsgi_tokio::rustls::{ALL_VERSIONS, ClientConfig};

use super::on_every_runtime;
use super::site::{Runtime, Site, options};

on_every_runtime! {
    the_certificates_of_a_client_are_those_that_it_sent
    a_client_without_a_certificate_has_none
    a_client_without_a_required_certificate_is_refused
    the_version_the_server_name_and_the_protocol_are_those_that_were_negotiated
}

/// The line that describes a connection, and the certificates, on two requests of one connection.
fn described(site: &Site, config: &std::sync::Arc<ClientConfig>) -> (String, Vec<u8>) {
    let stream = Stream::shake_hands(site.plain().clone_stream(), config, usize::MAX);
    let mut client = Caller::new(stream.expect("the server shakes hands"));
    let [first, second] = [(); 2].map(|()| client.get("/tls").body);
    assert_eq!(first, second);
    let end = first.iter().position(|&byte| byte == b'\n').expect("a line");
    (String::from_utf8_lossy(&first[..end]).into_owned(), first[end + 1..].to_vec())
}

fn the_certificates_of_a_client_are_those_that_it_sent(runtime: Runtime) {
    for required in [true, false] {
        let site = Site::with_config(runtime, options(), &trust().server_asking(required));
        for versions in [[&TLS12], [&TLS13]] {
            let (_, certificates) = described(&site, &trust().client_with_certificate(&versions));
            let sent: Vec<u8> =
                identity().chain.iter().flat_map(|certificate| certificate.to_vec()).collect();
            assert!(certificates == sent, "its own first, then that of its authority");
        }
        site.is_at_peace();
    }
}

fn a_client_without_a_certificate_has_none(runtime: Runtime) {
    // Asked for one, and not asked.
    for config in [trust().server_asking(false), trust().server_offering(&[])] {
        let site = Site::with_config(runtime, options(), &config);
        for versions in [[&TLS12], [&TLS13]] {
            assert_eq!(described(&site, &trust().client_of(&versions)).1, b"");
        }
        assert_eq!(site.stop().cut, 0);
    }
}

fn a_client_without_a_required_certificate_is_refused(runtime: Runtime) {
    let site = Site::with_config(runtime, options(), &trust().server_asking(true));
    let socket = site.plain().clone_stream();
    // In TLS 1.3 the client's handshake ends before the server's, so that the refusal is the answer to its request.
    let refused = Stream::shake_hands(socket, &trust().client_of(ALL_VERSIONS), usize::MAX)
        .and_then(|stream| Caller::new(stream).try_answer());
    refused.map(drop).expect_err("it has no certificate");
    let logged = || site.journal.texts(Kind::Debug).iter().any(|entry| entry.contains("handshake failed"));
    eventually("it is logged", logged);
    site.counts(0);
}

fn the_version_the_server_name_and_the_protocol_are_those_that_were_negotiated(runtime: Runtime) {
    let site = Site::with_config(runtime, options(), &trust().server_offering(&["http/1.1"]));
    for (versions, version, suite) in [([&TLS12], "TLSv1.2", "TLS_ECDHE_"), ([&TLS13], "TLSv1.3", "TLS_")] {
        let (line, _) = described(&site, &trust().client_of(&versions));
        assert!(line.starts_with(&format!("{version} Some(\"localhost\") Some(\"{suite}")), "{line}");
        assert!(!line.contains("TLS13_") && line.ends_with(" None"), "{line}");
    }
    let (line, _) = described(&site, &trust().client_offering(&["h2", "http/1.1"]));
    assert!(line.ends_with(" Some(\"http/1.1\")"), "{line}");
    let mut nameless = ClientConfig::clone(&trust().client);
    nameless.enable_sni = false;
    let (line, _) = described(&site, &nameless.into());
    assert!(line.starts_with("TLSv1.3 None "), "{line}");
    site.is_at_peace();
}
