//! Bodies that are produced bit by bit: when each block is sent, and the result when a body is cut off.

use std::future::Future;
use std::io::{ErrorKind, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::{Semaphore, SemaphorePermit};
use wsgi_tests::live::{Kind, PATIENCE, Site};
use wsgi_tokio::{Application, Body, Bytes, Options, Result, application_fn};

use super::talk::{PLAIN, hello, quiet, until_end};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// How long to wait before a block counts as held back. Otherwise it would arrive immediately.
const SILENCE: Duration = Duration::from_millis(100);

/// `one`, and then `two` as soon as there is a permit.
struct Gated {
    first: bool,
    gate: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Stream for Gated {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.first) {
            return Poll::Ready(Some(Ok("one".into())));
        }
        if let Some(gate) = &mut self.gate {
            ready!(gate.as_mut().poll(context));
        }
        Poll::Ready(self.gate.take().map(|_| Ok("two".into())))
    }
}

/// Two blocks, the second of which waits for a permit; on the path `/each` the request has each block sent immediately.
fn two_blocks() -> (impl Application, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let application = application_fn(move |environ, start| {
        let gate = Arc::clone(&closed);
        async move {
            if environ.path() == "/each" {
                environ.set_minimum_write_chunk_size(1);
            }
            start.start("200 OK", PLAIN)?;
            let permit = async move { gate.acquire().await.map_or((), SemaphorePermit::forget) };
            Ok(Body::stream(Gated { first: true, gate: Some(Box::pin(permit)) }))
        }
    });
    (application, gate)
}

/// When the first of two blocks arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrives {
    /// Before the second is available.
    AtOnce,
    /// Together with the second.
    Later,
}

/// Checks when the first block arrives, and then the whole answer.
fn first_block(arrives: Arrives, options: Options, path: &str) {
    let (application, gate) = two_blocks();
    let site = Site::with(options, application);
    let mut client = site.connect();
    client.send(GET.replace("/ ", &format!("{path} ")));
    let mut came = [0; 512];
    match arrives {
        Arrives::AtOnce => {
            let count = client.peek(&mut came).expect("the first block arrives");
            let text = String::from_utf8_lossy(&came[..count]);
            assert!(
                text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n3\r\none\r\n"),
                "{text}"
            );
        }
        Arrives::Later => {
            client.stream().set_read_timeout(Some(SILENCE)).expect("a socket");
            let error = client.peek(&mut came).expect_err("the first block waits for the second");
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            client.stream().set_read_timeout(Some(PATIENCE)).expect("a socket");
        }
    }
    gate.add_permits(1);
    assert_eq!(client.answer().text(), "onetwo");
}

#[test]
pub(crate) fn test_chunked_readline_wsgi_override_minimum_chunk_size() {
    first_block(Arrives::AtOnce, quiet().minimum_chunk_size(4096), "/each");
}

#[test]
pub(crate) fn test_chunked_readline_wsgi_not_override_minimum_chunk_size() {
    first_block(Arrives::Later, quiet().minimum_chunk_size(4096), "/");
    first_block(Arrives::AtOnce, quiet(), "/");
}

/// The option of one server does not affect another one in the same process.
#[test]
pub(crate) fn test_minimum_chunk_size_parameter_leaves_httpprotocol_class_member_intact() {
    let joining = Site::with(quiet().minimum_chunk_size(4096), hello);
    first_block(Arrives::AtOnce, quiet(), "/");
    assert_eq!(joining.connect().get("/").text(), "hello world");
}

/// `exc_info` after the head: the error is returned, and the response ends without its last chunk.
#[test]
pub(crate) fn test_error_in_chunked_closes_connection() {
    let site = Site::new(application_fn(|_, start| async move {
        let write = start.start("200 OK", PLAIN)?;
        for block in ["a", "b", "c"] {
            write.write(block).await?;
        }
        start.restart("500 Internal Server Error", PLAIN, "exception in the body")?;
        Ok(Body::empty())
    }));
    let text = until_end(&site, GET);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n"), "{text}");
    site.journal().error("exception in the body");
}

/// One block of five bytes, then an error.
fn breaking_off(headers: &'static [(&'static str, &'static str)]) -> impl Application {
    application_fn(move |_, start| async move {
        start.start("200 OK", headers)?;
        Ok(Body::iterator([Ok(Bytes::from("chunk")), Err("timed out in the application".into())]))
    })
}

#[test]
pub(crate) fn test_timeouts_in_app_call() {
    let site = Site::with(quiet().minimum_chunk_size(4096), breaking_off(&PLAIN));
    let mut client = site.connect();
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.whole, answer.closes()), (500, true, false), "{answer:?}");
        assert_eq!(answer.field("Content-Length"), Some("0"), "{answer:?}");
    }
    site.journal().error("timed out in the application");

    let text = until_end(&Site::new(breaking_off(&PLAIN)), GET);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n5\r\nchunk\r\n"), "{text}");
}

#[test]
pub(crate) fn test_timeouts_in_app_iter() {
    let site = Site::new(breaking_off(&[("Content-Length", "13")]));
    let text = until_end(&site, GET);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n"), "{text}");
    assert!(!text.contains("Connection") && text.ends_with("\r\n\r\nchunk"), "{text}");
    assert!(site.journal().accesses(1)[0].cut);
}

#[test]
pub(crate) fn test_client_disconnect() {
    let site = Site::new(application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok(Body::iterator((0..1024).map(|_| Ok(Bytes::from_static(&[b'x'; 65536])))))
    }));
    let mut client = site.connect();
    client.send(GET);
    client.stream().read_exact(&mut [0; 16]).expect("the response begins");
    drop(client);
    let record = &site.journal().accesses(1)[0];
    assert!(record.cut && record.lost.is_some() && record.body_length < 1024 * 65536, "{record:?}");
    assert_eq!(site.journal().texts(Kind::Error), [""; 0], "no one is at fault");
    assert_eq!(site.connect().get("/").status, 200);
}
