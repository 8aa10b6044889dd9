//! HTTPS, and clients that do not complete the handshake.

use std::io::Write;

use tokio::net::TcpListener;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Kind, Site, Threads};
use wsgi_tests::secure::{Stream, greeting, trust};
use wsgi_tokio::{Application, Body, Listener, Server, application_fn};

use super::talk::{PLAIN, hello, quiet, take};

/// A server with TLS.
fn secure(application: impl Application) -> Site {
    Site::run(Threads::Several, quiet(), || async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Server::new(Listener::from(listener).tls(trust().server.clone()), application))
    })
}

fn connect(site: &Site) -> Caller<Stream> {
    Caller::secure(site.address())
}

#[test]
pub(crate) fn test_012_ssl_server() {
    let application = application_fn(|environ, start| async move {
        let scheme = environ.get("wsgi.url_scheme").unwrap_or_default();
        let body = environ.input().read_to_end().await?;
        start.start("200 OK", [("", ""); 0])?;
        Ok(Body::blocks([scheme.into(), environ.get("HTTPS").unwrap_or_default().into(), body]))
    });
    let site = secure(application);
    let post = "POST /foo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    take(&mut connect(&site), (post, &["200 OK", "Connection: close", "\r\n\r\nhttpsonabc"]));
}

#[test]
pub(crate) fn test_013_empty_return() {
    let site = secure(application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok(Body::blocks([""]))
    }));
    let mut client = connect(&site);
    let request = "GET /foo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    take(&mut client, (request, &["200 OK", "Content-Length: 0"]));
    assert!(client.ends(), "the end is announced by close_notify, or this is an error");
}

#[test]
pub(crate) fn test_017_ssl_zeroreturnerror() {
    let site = secure(hello);
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";
    for sent in ["G", &post[..20], post] {
        // The client disconnects without close_notify.
        Stream::connect(site.address()).write_all(sent.as_bytes()).expect("the server reads");
    }
    take(&mut connect(&site), ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &["200 OK", "hello world"]));
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
}

#[test]
pub(crate) fn test_028_ssl_handshake_errors() {
    let site = secure(hello);
    // One client disconnects immediately, one sends plain HTTP, one sends garbage, one aborts the handshake.
    drop(site.connect());
    let text = super::talk::until_end(&site, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert!(!text.contains("HTTP/"), "{text:?}");
    site.connect().send([0; 64]);
    let greeting = greeting();
    site.connect().send(&greeting[..greeting.len() / 2]);
    take(&mut connect(&site), ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &["200 OK", "hello world"]));
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
}
