//! hyper on one thread of tokio.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bench_common::content::{TEXT, ready};
use bench_common::server;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsAcceptor;

use crate::pieces::Pieces;

/// Serves until the process is killed. `flush` turns `pipeline_flush` on.
pub(crate) fn serve(listener: TcpListener, tls: Option<&Path>, flush: bool) -> io::Result<()> {
    let acceptor = tls.map(server::tls).transpose()?.map(TlsAcceptor::from);
    let mut builder = http1::Builder::new();
    builder.pipeline_flush(flush);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            match acceptor.clone() {
                None => {
                    let connection = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
                    // It fails if the client disconnects.
                    tokio::spawn(async move { drop(connection.await) });
                }
                Some(acceptor) => {
                    let builder = builder.clone();
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            drop(builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await);
                        }
                    });
                }
            }
        }
    })
}

async fn answer(mut request: Request<Incoming>) -> hyper::Result<Response<Answer>> {
    let body = match request.uri().path() {
        "/vars" => Answer::from(format!("{}\n", variables(&request))),
        "/chunked" => Answer::Pieces(Pieces::default()),
        "/upload" => Answer::from(format!("{}\n", length(request.body_mut()).await?)),
        "/echo" => Answer::Whole(Some(whole(request.body_mut()).await?)),
        path => match ready(path) {
            Some(text) => Answer::Whole(Some(Bytes::from_static(text.as_bytes()))),
            None => {
                let mut response = Response::new(Answer::from("Not Found\r\n".to_owned()));
                *response.status_mut() = StatusCode::NOT_FOUND;
                return Ok(response);
            }
        },
    };
    Ok(Response::builder().header("Content-Type", TEXT).body(body).expect("the fields are valid"))
}

/// The lengths of everything that the request has.
fn variables(request: &Request<Incoming>) -> usize {
    let line = request.method().as_str().len() + request.uri().path().len();
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    line + fields.sum::<usize>()
}

async fn next(body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn length(body: &mut Incoming) -> hyper::Result<usize> {
    let mut length = 0;
    while let Some(data) = next(body).await? {
        length += data.len();
    }
    Ok(length)
}

/// The only piece as it is, or all pieces copied together.
async fn whole(body: &mut Incoming) -> hyper::Result<Bytes> {
    let Some(first) = next(body).await? else { return Ok(Bytes::new()) };
    let Some(second) = next(body).await? else { return Ok(first) };
    let mut all = BytesMut::from(&first[..]);
    all.extend_from_slice(&second);
    while let Some(data) = next(body).await? {
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

enum Answer {
    Whole(Option<Bytes>),
    Pieces(Pieces),
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::Whole(Some(text.into()))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            Self::Whole(bytes) => bytes.take(),
            Self::Pieces(pieces) => pieces.next(),
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}
