//! actix-web with one worker.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::KeepAlive;
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, rt, web};
use bench_common::content::{TEXT, ready};
use bytes::Bytes;
use futures_core::Stream;

use crate::pieces::Pieces;

/// More than the connections of any scenario.
const CONNECTIONS: usize = 16 * 1024;
/// More than the body of any scenario.
const BODY: usize = 2 * 1024 * 1024;

/// Serves until the process is killed. Like the other servers, it does not limit idle time.
pub(crate) fn serve(listener: TcpListener) -> io::Result<()> {
    rt::System::new().block_on(async {
        HttpServer::new(|| {
            App::new()
                .app_data(web::PayloadConfig::new(BODY))
                .route("/vars", web::get().to(variables))
                .route("/chunked", web::get().to(chunked))
                .route("/upload", web::post().to(upload))
                .route("/echo", web::post().to(echo))
                .default_service(web::get().to(page))
        })
        .workers(1)
        .max_connections(CONNECTIONS)
        .max_connection_rate(CONNECTIONS)
        .keep_alive(KeepAlive::Os)
        .disable_signals()
        .listen(listener)?
        .run()
        .await
    })
}

async fn page(request: HttpRequest) -> HttpResponse {
    match ready(request.path()) {
        Some(text) => HttpResponse::Ok().content_type(TEXT).body(Bytes::from_static(text.as_bytes())),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn variables(request: HttpRequest) -> HttpResponse {
    let line = request.method().as_str().len() + request.path().len();
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    HttpResponse::Ok().content_type(TEXT).body(format!("{}\n", line + fields.sum::<usize>()))
}

async fn chunked() -> HttpResponse<Chunks> {
    HttpResponse::with_body(actix_web::http::StatusCode::OK, Chunks(Pieces::default()))
}

async fn upload(mut payload: web::Payload) -> Result<HttpResponse, Error> {
    let mut length = 0;
    while let Some(data) = poll_fn(|context| Pin::new(&mut payload).poll_next(context)).await {
        length += data?.len();
    }
    Ok(HttpResponse::Ok().content_type(TEXT).body(format!("{length}\n")))
}

async fn echo(body: Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).body(body)
}

struct Chunks(Pieces);

impl MessageBody for Chunks {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}
