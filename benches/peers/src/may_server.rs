//! may_minihttp with one worker.

use std::io::{self, BufRead, Read};
use std::net::Ipv4Addr;

use bench_common::content::ready;
use may_minihttp::{HttpServer, HttpService, Request, Response};

/// Serves until the process is killed.
pub(crate) fn serve(port: u16) -> io::Result<()> {
    may::config().set_workers(1);
    let server = HttpServer(Pages).start((Ipv4Addr::LOCALHOST, port))?;
    server.join().map_err(|_| io::Error::other("the server panicked"))
}

#[derive(Clone)]
struct Pages;

impl HttpService for Pages {
    fn call(&mut self, request: Request<'_, '_, '_>, response: &mut Response<'_>) -> io::Result<()> {
        response.header("Content-Type: text/plain");
        match request.path() {
            "/vars" => {
                let line = request.method().len() + request.path().len();
                let fields = request.headers().iter().map(|field| field.name.len() + field.value.len());
                response.body_vec(format!("{}\n", line + fields.sum::<usize>()).into_bytes());
            }
            "/upload" => {
                let (mut body, mut length) = (request.body(), 0);
                loop {
                    let more = body.fill_buf()?.len();
                    if more == 0 {
                        break;
                    }
                    body.consume(more);
                    length += more;
                }
                response.body_vec(format!("{length}\n").into_bytes());
            }
            "/echo" => {
                let mut all = Vec::new();
                request.body().read_to_end(&mut all)?;
                response.body_vec(all);
            }
            path => match ready(path) {
                Some(text) => response.body(text),
                None => {
                    response.status_code(404, "Not Found");
                }
            },
        }
        Ok(())
    }
}
