//! How bodies are taken from the application: no further than there is room, and sent as far as they were taken.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_core::Stream;
use wsgi_app::adapter::{Server, Transport, serve_connection};
use wsgi_app::{Address, Body, Bytes, Endpoints, Environ, Options, Result, ServerHandle, StartResponse};

/// A client that has sent one request and takes a number of bytes.
#[derive(Clone, Default)]
struct Client {
    sent: &'static [u8],
    takes: usize,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Transport for Client {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let count = self.sent.len().min(space.len());
        space[..count].copy_from_slice(&self.sent[..count]);
        self.sent = &self.sent[count..];
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut answer = self.answer.lock().expect("no panic");
        let left = self.takes - answer.len();
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(left).collect();
        answer.extend(&bytes);
        if bytes.is_empty() { Poll::Pending } else { Poll::Ready(Ok(bytes.len())) }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// Blocks that are ready immediately, and counted.
struct Blocks<N>(Arc<AtomicUsize>, N);

impl<N: FnMut(usize) -> Option<Result<Bytes>> + Unpin> Stream for Blocks<N> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready((self.1)(number))
    }
}

/// Serves one request whose body consists of the blocks that `next` returns. Returns the answer to a client that takes
/// `takes` bytes, and how often `next` was called.
fn serve(
    method: &str,
    takes: usize,
    options: Options,
    next: impl FnMut(usize) -> Option<Result<Bytes>> + Send + Unpin + 'static,
) -> (String, usize) {
    let (next, polls) = (Mutex::new(Some(next)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&polls);
    let application = move |_: Environ, start: StartResponse| {
        let next = next.lock().expect("no panic").take().expect("one request");
        let blocks = Blocks(Arc::clone(&counted), next);
        std::future::ready(start.start("200 OK", wsgi_app::NO_HEADERS).map(|_| Body::stream(blocks)))
    };
    let options = options.log_output(false).debug(false);
    let server = Server::new(options, &ServerHandle::new(), application).expect("allowed");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let request = format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes().leak();
    let client = Client { sent: request, takes, answer: Arc::default() };
    let answer = Arc::clone(&client.answer);
    let mut connection = pin!(serve_connection(server, guard, client));
    for _ in 0..3 {
        let _ = connection.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    let answer = String::from_utf8(answer.lock().expect("no panic").clone()).expect("it is ASCII");
    (answer, polls.load(Ordering::Relaxed))
}

fn blocks(count: usize) -> impl FnMut(usize) -> Option<Result<Bytes>> + Send + Unpin {
    move |number| (number < count).then(|| Ok(format!("block {number}").into()))
}

#[test]
fn each_block_is_one_chunk_however_many_are_ready() {
    for count in [0, 1, 2, 15, 16, 17, 33, 1000] {
        let (answer, polls) = serve("GET", usize::MAX, Options::default(), blocks(count));
        let chunks: String = (0..count)
            .map(|number| format!("block {number}"))
            .map(|block| format!("{:x}\r\n{block}\r\n", block.len()))
            .collect();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        let expected = if count == 0 { String::new() } else { format!("{chunks}0\r\n\r\n") };
        assert_eq!(body, Some(&*expected), "{count} blocks");
        assert_eq!(polls, count + 1);
    }
}

#[test]
fn no_more_blocks_are_taken_than_the_outbox_has_room_for() {
    // The client takes nothing.
    for outbox in [1, 100, 1000, 10_000] {
        let options = Options::default().limits(|limits| limits.outbox = outbox);
        let (_, polls) = serve("GET", 0, options, |_| Some(Ok(Bytes::from_static(&[b'x'; 50]))));
        // The head has about 90 bytes.
        let most = outbox.saturating_sub(90).div_ceil(50 + 6).max(1) + 1;
        assert!((1..=most).contains(&polls), "{polls} blocks for {outbox} bytes, at most {most}");
    }
}

#[test]
fn blocks_before_an_error_or_a_panic_are_sent() {
    for panics in [false, true] {
        for good in [1, 2, 5, 20] {
            let (answer, _) = serve("GET", usize::MAX, Options::default(), move |number| {
                if number < good {
                    return Some(Ok(format!("<{number}>").into()));
                }
                assert!(!panics, "it panics");
                Some(Err("it fails".into()))
            });
            let sent: Vec<_> = (0..20).filter(|number| answer.contains(&format!("<{number}>"))).collect();
            assert_eq!(sent, (0..good).collect::<Vec<_>>(), "panics: {panics}");
            assert!(!answer.ends_with("0\r\n\r\n"), "it must not look complete");
        }
    }
}

#[test]
fn only_the_first_block_is_taken_if_the_body_is_discarded() {
    let (answer, polls) = serve("HEAD", usize::MAX, Options::default(), |_| Some(Ok("endless".into())));
    assert_eq!(polls, 1);
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn an_idle_connection_is_small_however_large_the_future_of_its_application() {
    async fn large(environ: Environ, start: StartResponse) -> Result<Body> {
        let space = [1_u8; 10_000];
        environ.input().read_to_end().await?;
        start.start(
            "200 OK",
            [("X-Sum", space.iter().map(|byte| u64::from(*byte)).sum::<u64>().to_string())],
        )?;
        Ok(Body::empty())
    }
    let server = Server::new(Options::default(), &ServerHandle::new(), large).expect("allowed");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let client = Client::default();
    let rest = size_of_val(&serve_connection(server, guard, client.clone())) - size_of_val(&client);
    assert!(rest <= 192, "{rest} bytes");
}
