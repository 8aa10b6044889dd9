//! http-net, with an answer that is built for each request, or once for all.

use std::hint::black_box;

use bench_common::content::{HELLO, PIECE, PIECES, TEXT};
use bench_common::requests::UPLOAD;
use bench_common::works::Work;
use http_net::{DateCache, Limits, Response, ServerConn, ServerEvent};

use crate::Core;

/// The seconds of the date.
const NOW: u64 = 784_111_777;

/// A connection of http-net.
pub(crate) struct HttpNet {
    connection: ServerConn,
    work: Work,
    prebuilt: Option<Response>,
    dates: DateCache,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl HttpNet {
    pub(crate) fn new(work: Work, prebuilt: bool) -> Self {
        let mut input = work.request();
        input.extend_from_slice(&work.body());
        Self {
            connection: ServerConn::with_limits(Limits::new().with_max_body(2 * UPLOAD as u64)),
            work,
            prebuilt: prebuilt.then(|| response(work)),
            dates: DateCache::new(),
            input,
            output: Vec::with_capacity(64 * 1024),
        }
    }

    fn answer(&mut self) {
        let built;
        let response = match &self.prebuilt {
            Some(response) => response,
            None => {
                built = response(self.work);
                &built
            }
        };
        let date = self.dates.update(NOW);
        self.connection.respond_with_date(response, date, &mut self.output).expect("the answer is valid");
        if self.work == Work::Chunks {
            for _ in 0..PIECES {
                self.connection
                    .send_body(black_box(PIECE.as_bytes()), &mut self.output)
                    .expect("it is chunked");
            }
            self.connection.end_body(&mut self.output).expect("it is chunked");
        }
    }
}

fn response(work: Work) -> Response {
    let response = Response::new(200).header("Content-Type", TEXT);
    if work == Work::Chunks { response.chunked() } else { response.body(HELLO.as_bytes()) }
}

impl Core for HttpNet {
    fn exchange(&mut self) {
        self.output.clear();
        let (mut fed, mut answered) = (0, false);
        loop {
            match self.connection.poll().expect("the request is valid") {
                ServerEvent::Request(head) => drop(black_box(head.path().len())),
                ServerEvent::Body(data) => drop(black_box(data.len())),
                ServerEvent::RequestEnd => {
                    self.answer();
                    answered = true;
                }
                ServerEvent::NeedInput if answered => break,
                ServerEvent::NeedInput => fed += self.connection.feed(&self.input[fed..]),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(fed, self.input.len());
        black_box(&self.output);
    }
}
