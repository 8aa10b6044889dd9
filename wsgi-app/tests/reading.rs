//! Bodies that middleware reads: as a stream, as an iterator, and as a body of `http-body`.

mod common;

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use wsgi_app::test::{Request, call};
use wsgi_app::{Body, Bytes, Response, Result, site};

use common::run;

/// A stream of these blocks; each is pending once, and another thread wakes its task.
struct Slow {
    blocks: Vec<&'static str>,
    is_pending: bool,
}

impl Stream for Slow {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        self.is_pending = !self.is_pending;
        if self.is_pending {
            let waker = context.waker().clone();
            thread::spawn(move || waker.wake()).join().expect("it does not panic");
            // Code in a stream may use up the wake-up of the thread.
            thread::park_timeout(Duration::ZERO);
            return Poll::Pending;
        }
        let block = (!self.blocks.is_empty()).then(|| self.blocks.remove(0));
        Poll::Ready(block.map(|block| Ok(block.into())))
    }
}

fn file() -> Body {
    // Tests run side by side.
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("wsgi-app-reading-{}-{number}", std::process::id()));
    std::fs::write(&path, "xonetwo").expect("the folder is writable");
    let file = File::open(&path).expect("it exists");
    std::fs::remove_file(&path).expect("it exists");
    Body::file(file, 1..).expect("it is long enough")
}

/// `onetwo`, as every kind of body, with its length if that is known, and its number of blocks.
fn bodies() -> Vec<(&'static str, Body, Option<u64>, usize)> {
    let blocks = || ["one", "", "two"];
    vec![
        ("bytes", "onetwo".into(), Some(6), 1),
        ("blocks", Body::blocks(blocks()), Some(6), 2),
        ("vec", vec![Bytes::from("one"), Bytes::from("two")].into(), Some(6), 2),
        ("iterator", Body::iterator(blocks().map(|block| Ok(block.into()))), None, 2),
        ("stream", Body::stream(Slow { blocks: blocks().to_vec(), is_pending: false }), None, 2),
        ("file", file(), Some(6), 1),
        ("reader", Body::reader(&b"onetwo"[..]), None, 1),
    ]
}

#[test]
fn a_body_is_a_stream_of_its_blocks() {
    for (name, mut body, length, count) in bodies() {
        assert_eq!(body.length(), length, "{name}");
        let mut blocks = Vec::new();
        // Polled without a runtime: `Slow` is ready at the second poll.
        while let Some(block) = run(poll_fn(|context| Pin::new(&mut body).poll_next(context))) {
            blocks.push(block.unwrap());
        }
        assert_eq!((blocks.concat().as_slice(), blocks.len()), (&b"onetwo"[..], count), "{name}");
        assert_eq!(body.length(), Some(0), "{name}: nothing is left");
    }
}

#[test]
fn a_body_is_an_iterator_for_blocking_code() {
    for (name, body, _, count) in bodies() {
        let blocks: Vec<_> = body.into_iter().collect::<Result<_>>().unwrap();
        assert_eq!((blocks.concat().as_slice(), blocks.len()), (&b"onetwo"[..], count), "{name}");
    }
    assert!(Body::empty().into_iter().next().is_none());
    // It may move to another thread.
    let mut blocks = Body::stream(Slow { blocks: vec!["one", "two"], is_pending: false }).into_iter();
    assert_eq!(blocks.next().unwrap().unwrap(), "one");
    let second = thread::spawn(move || blocks.next().unwrap().unwrap()).join().unwrap();
    assert_eq!(second, "two");
}

#[test]
fn a_body_that_was_read_in_part_has_the_rest() {
    for (name, body, length, count) in bodies() {
        let mut blocks = body.into_iter();
        let first = blocks.next().unwrap().unwrap();
        let left = 6 - first.len();
        let body = std::sync::Mutex::new(Some(blocks.into_body()));
        let response = run(call(
            site(move |_| {
                let body = body.lock().unwrap().take().unwrap();
                async { Response::new(200).with_body(body) }
            }),
            Request::get("/"),
        ));
        assert!(response.error().is_none(), "{name}");
        assert_eq!(response.body().as_bytes().unwrap(), if count == 1 { &b""[..] } else { b"two" }, "{name}");
        if length.is_some() {
            let announced = response.headers().get("Content-Length").map(|length| length.into_owned());
            assert_eq!(announced, Some(left.to_string()), "{name}");
        }
    }
}

#[test]
fn an_error_of_a_block_is_passed_on() {
    let failing = || Body::iterator([Ok("one".into()), Err("broken".into()), Ok("two".into())]);
    let blocks: Vec<_> =
        failing().into_iter().map(|block| block.map_err(|error| error.to_string())).collect();
    assert_eq!(blocks, [Ok("one".into()), Err("broken".into()), Ok("two".into())]);

    // A file that has become shorter is never at its end.
    let path = std::env::temp_dir().join(format!("wsgi-app-shorter-{}", std::process::id()));
    std::fs::write(&path, "123456").unwrap();
    let body = Body::file(File::open(&path).unwrap(), ..).unwrap();
    std::fs::write(&path, "123").unwrap();
    let mut blocks = body.into_iter();
    assert_eq!(blocks.next().unwrap().unwrap(), "123");
    for _ in 0..2 {
        let error = blocks.next().unwrap().unwrap_err();
        let kind = error.downcast_ref::<io::Error>().unwrap().kind();
        assert_eq!(kind, ErrorKind::UnexpectedEof);
    }
    let body = blocks.into_body();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(body.length(), Some(3));
}

#[cfg(feature = "http")]
#[test]
fn a_body_is_one_of_http_body() {
    use http_body::Body as HttpBody;
    for (name, mut body, length, count) in bodies() {
        assert_eq!((HttpBody::size_hint(&body).exact(), body.is_end_stream()), (length, false), "{name}");
        let mut frames = Vec::new();
        while let Some(frame) = run(poll_fn(|context| Pin::new(&mut body).poll_frame(context))) {
            frames.push(frame.unwrap().into_data().unwrap());
        }
        assert_eq!((frames.concat().as_slice(), frames.len()), (&b"onetwo"[..], count), "{name}");
        assert_eq!((HttpBody::size_hint(&body).exact(), body.is_end_stream()), (Some(0), true), "{name}");
    }
    // So it goes through code for `http::Response`.
    let page = site(|_| async { http::Response::new(Body::blocks(["one", "two"])) });
    let response = run(call(page, Request::get("/")));
    assert_eq!(response.body().as_bytes().unwrap(), b"onetwo");
    assert_eq!(response.headers().get("Content-Length").as_deref(), Some("6"));
}

/// A reader that is interrupted, has two blocks, and fails or ends.
#[cfg(any(feature = "tokio-io", feature = "futures-io"))]
struct Reader {
    reads: std::collections::VecDeque<io::Result<&'static [u8]>>,
}

#[cfg(any(feature = "tokio-io", feature = "futures-io"))]
impl Reader {
    fn new(last: Option<ErrorKind>) -> Self {
        let mut reads = vec![Err(ErrorKind::Interrupted.into()), Ok(&b"one"[..]), Ok(b"two")];
        reads.extend(last.map(|kind| Err(kind.into())));
        Self { reads: reads.into() }
    }

    fn next(&mut self) -> io::Result<&'static [u8]> {
        self.reads.pop_front().unwrap_or(Ok(b""))
    }
}

#[cfg(any(feature = "tokio-io", feature = "futures-io"))]
fn reads_all(of: impl Fn(Reader) -> Body) {
    let blocks: Vec<_> = of(Reader::new(None)).into_iter().map(|block| block.expect("a block")).collect();
    assert_eq!(blocks, ["one", "two"]);
    let mut blocks = of(Reader::new(Some(ErrorKind::BrokenPipe))).into_iter().skip(2);
    let error = blocks.next().expect("not the end").expect_err("broken");
    assert_eq!(error.downcast_ref::<io::Error>().map(io::Error::kind), Some(ErrorKind::BrokenPipe));
    assert!(blocks.next().is_none());
}

#[cfg(feature = "tokio-io")]
impl tokio::io::AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        space: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(self.next().map(|bytes| space.put_slice(bytes)))
    }
}

#[cfg(feature = "tokio-io")]
#[test]
fn a_reader_of_tokio_is_a_body() {
    reads_all(Body::tokio_reader);
}

#[cfg(feature = "futures-io")]
impl futures_io::AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.next().map(|bytes| {
            space[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        }))
    }
}

#[cfg(feature = "futures-io")]
#[test]
fn a_reader_of_futures_io_is_a_body() {
    reads_all(Body::futures_reader);
}
