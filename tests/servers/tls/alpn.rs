//! The protocols that a listener offers by ALPN: `h2` is refused before anything is served, HTTP/1.x is negotiated.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::sync::Arc;

use wsgi_tests::caller::Caller;
use wsgi_tests::echo::listen::Bound;
use wsgi_tests::echo::{on_smol, on_std, on_tokio};
use wsgi_tests::live::{Kind, eventually};
use wsgi_tests::runtimes::TOKIO;
use wsgi_tests::secure::{Stream, trust};
use wsgi_tokio::rustls::ServerConfig;
use wsgi_tokio::{Body, OptionError, Report, Result};

use super::on_every_runtime;
use super::site::{Runtime, Site, options};

on_every_runtime! {
    a_server_that_offers_h2_or_h3_is_not_built
    http_1_is_negotiated_with_a_client_that_prefers_h2
    a_client_without_alpn_is_served
    a_server_without_alpn_ignores_what_a_client_offers
    a_protocol_other_than_http_is_negotiated_by_name
    a_client_that_speaks_none_of_the_protocols_is_a_debug_entry
}

fn a_server_that_offers_h2_or_h3_is_not_built(runtime: Runtime) {
    for (offered, named) in [
        (&["h2"][..], "h2"),
        (&["h2", "http/1.1"], "h2"),
        (&["http/1.1", "http/1.0", "h2"], "h2"),
        (&["h3", "http/1.1"], "h3"),
        (&["h2c"], "h2c"),
    ] {
        let site = Site::with_config(runtime, options(), &trust().server_offering(offered));
        is_refused(site.result(), named);
        assert!(site.handle().addresses().is_empty(), "{offered:?}: nothing was served");
        assert_eq!(site.journal.texts(Kind::Info), [""; 0], "{offered:?}: nothing was announced");
        site.is_at_peace();
    }
}

/// Checks that a server was not built because of this protocol, and that the error shows what is allowed.
fn is_refused(result: io::Result<Report>, protocol: &str) {
    let error = result.expect_err(protocol);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<OptionError>());
    assert_eq!(inner.expect("it is the error of an option").option(), "alpn_protocols");
    let text = error.to_string();
    let (before, behind) = text.split_once(" (allowed: ").expect("it shows what is allowed");
    assert_eq!(before, format!("option alpn_protocols cannot be \"{protocol}\""));
    for allowed in ["\"http/1.1\"", "\"http/1.0\"", "none"] {
        assert!(behind.contains(allowed), "{text}");
    }
}

/// A client's offer, the negotiated protocol, and an answer.
fn negotiates(site: &Site, offered: &[&str], negotiated: Option<&str>) {
    let socket = site.plain().clone_stream();
    let stream = Stream::shake_hands(socket, &trust().client_offering(offered), usize::MAX);
    let stream = stream.expect("the server shakes hands");
    assert_eq!(stream.protocol().as_deref(), negotiated);
    assert_eq!(Caller::new(stream).get("/scheme").status, 200);
}

fn http_1_is_negotiated_with_a_client_that_prefers_h2(runtime: Runtime) {
    let site = Site::with_config(runtime, options(), &trust().server_offering(&["http/1.1", "http/1.0"]));
    // Like curl and browsers.
    negotiates(&site, &["h2", "http/1.1"], Some("http/1.1"));
    negotiates(&site, &["http/1.0"], Some("http/1.0"));
    site.is_at_peace();
}

fn a_client_without_alpn_is_served(runtime: Runtime) {
    let site = Site::with_config(runtime, options(), &trust().server_offering(&["http/1.1"]));
    negotiates(&site, &[], None);
    site.is_at_peace();
}

fn a_server_without_alpn_ignores_what_a_client_offers(runtime: Runtime) {
    let site = Site::new(runtime);
    negotiates(&site, &["h2", "http/1.1"], None);
    site.is_at_peace();
}

fn a_protocol_other_than_http_is_negotiated_by_name(runtime: Runtime) {
    let site = Site::with_config(runtime, options(), &trust().server_offering(&["http/1.1", "acme-tls/1"]));
    negotiates(&site, &["acme-tls/1"], Some("acme-tls/1"));
    negotiates(&site, &["h2", "http/1.1"], Some("http/1.1"));
    site.is_at_peace();
}

fn a_client_that_speaks_none_of_the_protocols_is_a_debug_entry(runtime: Runtime) {
    let site = Site::with_config(runtime, options(), &trust().server_offering(&["http/1.1"]));
    let socket = site.plain().clone_stream();
    let refused = Stream::shake_hands(socket, &trust().client_offering(&["h2"]), usize::MAX);
    refused.map(drop).expect_err("no protocol in common");
    let logged = |entries: Vec<String>| entries.iter().any(|entry| entry.contains("handshake failed"));
    eventually("it is logged", || logged(site.journal.texts(Kind::Debug)));
    site.counts(0);
    site.serves();
    site.is_at_peace();
}

/// The first listener has no TLS, so that a check of the first one only would not find the problem.
#[test]
fn every_listener_is_checked() {
    fn bound() -> Bound {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        Bound::Tcp(listener)
    }

    async fn nothing(_: wsgi_tokio::Environ, _: wsgi_tokio::StartResponse) -> Result<Body> {
        Ok(Body::empty())
    }

    let config: &Arc<ServerConfig> = &trust().server_offering(&["h2"]);
    // They are stopped before they start, so that one that accepts the configuration ends as well.
    let refused = |ended| is_refused(ended, "h2");
    refused(TOKIO.0.block_on(async {
        let server = wsgi_tokio::Server::new(on_tokio::listener(bound(), None)?, nothing).options(options());
        let server = server.listener(on_tokio::listener(bound(), Some(config))?);
        server.handle().shutdown();
        server.serve().await
    }));
    refused(smol::block_on(async {
        let server = wsgi_smol::Server::new(on_smol::listener(bound(), None)?, nothing).options(options());
        let server = server.listener(on_smol::listener(bound(), Some(config))?);
        server.handle().shutdown();
        server.serve().await
    }));
    refused(async_std::task::block_on(async {
        let server = wsgi_smol::Server::new(on_smol::async_std_listener(bound(), None), nothing);
        let server = server.options(options()).listener(on_smol::async_std_listener(bound(), Some(config)));
        server.handle().shutdown();
        server.serve().await
    }));
    let nothing = wsgi_std::application_fn(|_, _| Ok(Body::empty()));
    let server = wsgi_std::Server::new(on_std::listener(bound(), None), nothing).options(options());
    let server = server.listener(on_std::listener(bound(), Some(config)));
    server.handle().shutdown();
    refused(server.serve());
}
