//! hyper's server connection over a transport in memory, polled by hand.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, Ready, poll_fn, ready};
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bench_common::content::{HELLO, PIECE, PIECES, TEXT};
use bench_common::works::Work;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::Core;

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

/// A connection of hyper.
pub(crate) struct Hyper {
    connection: Connection,
    memory: Rc<RefCell<Memory>>,
    input: Vec<u8>,
}

impl Hyper {
    pub(crate) fn new(work: Work) -> Self {
        let memory = Rc::new(RefCell::new(Memory::default()));
        let transport = Transport(Rc::clone(&memory));
        let connection: Connection = match work {
            Work::Hello | Work::Browser => {
                Box::pin(http1::Builder::new().serve_connection(transport, service_fn(hello)))
            }
            Work::Chunks => Box::pin(http1::Builder::new().serve_connection(transport, service_fn(pieces))),
            Work::Upload => Box::pin(http1::Builder::new().serve_connection(transport, service_fn(upload))),
        };
        let mut input = work.request();
        input.extend_from_slice(&work.body());
        Self { connection, memory, input }
    }
}

impl Core for Hyper {
    fn exchange(&mut self) {
        {
            let mut memory = self.memory.borrow_mut();
            memory.input.clear();
            memory.input.extend_from_slice(&self.input);
            (memory.read, memory.written) = (0, 0);
        }
        let mut context = Context::from_waker(Waker::noop());
        assert!(self.connection.as_mut().poll(&mut context).is_pending(), "the connection is kept");
        let mut polls = 1;
        // It wakes itself when it yields.
        while self.memory.borrow().read < self.input.len() || self.memory.borrow().written == 0 {
            assert!(self.connection.as_mut().poll(&mut context).is_pending(), "the connection is kept");
            polls += 1;
            assert!(polls < 1000, "the exchange does not end");
        }
        black_box(polls);
    }
}

type Answer<B> = Result<Response<B>, Infallible>;

fn answer<B>(body: B) -> Answer<B> {
    Ok(Response::builder().header("Content-Type", TEXT).body(body).expect("the fields are valid"))
}

fn hello(request: Request<Incoming>) -> Ready<Answer<Whole>> {
    black_box(request.uri().path());
    ready(answer(Whole(Some(Bytes::from_static(HELLO.as_bytes())))))
}

fn pieces(request: Request<Incoming>) -> Ready<Answer<Pieces>> {
    black_box(request.uri().path());
    ready(answer(Pieces(PIECES)))
}

async fn upload(mut request: Request<Incoming>) -> Answer<Whole> {
    let body = request.body_mut();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        black_box(frame.expect("the body is valid"));
    }
    answer(Whole(Some(Bytes::from_static(HELLO.as_bytes()))))
}

struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

struct Pieces(usize);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(black_box(PIECE.as_bytes()))))))
    }
}

#[derive(Default)]
struct Memory {
    input: Vec<u8>,
    read: usize,
    written: usize,
}

struct Transport(Rc<RefCell<Memory>>);

impl Read for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut space: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let memory = &mut *self.0.borrow_mut();
        let rest = &memory.input[memory.read..];
        if rest.is_empty() {
            return Poll::Pending;
        }
        let length = rest.len().min(space.remaining());
        space.put_slice(&rest[..length]);
        memory.read += length;
        Poll::Ready(Ok(()))
    }
}

impl Write for Transport {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().written += black_box(bytes).len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| black_box(slice).len()).sum();
        self.0.borrow_mut().written += length;
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
