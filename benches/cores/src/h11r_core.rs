//! h11r. It writes no date, so that its caller adds the field.

use std::hint::black_box;

use bench_common::content::{HELLO, PIECE, PIECES, TEXT};
use bench_common::works::Work;
use h11r::{Connection, Event, Headers, Limits, NextEvent, Response, Role, StatusCode, Version};

use crate::Core;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// The bytes of one read of a socket.
const READ: usize = 16 * 1024;

/// A connection of h11r.
pub(crate) struct H11r {
    connection: Connection,
    work: Work,
    input: Vec<u8>,
}

impl H11r {
    pub(crate) fn new(work: Work) -> Self {
        let mut input = work.request();
        input.extend_from_slice(&work.body());
        Self { connection: Connection::new(Role::Server, Limits::default()), work, input }
    }

    fn answer(&mut self) {
        let fields: &[(&str, &str)] = match self.work {
            Work::Chunks => &[("Content-Type", TEXT), ("Date", DATE), ("Transfer-Encoding", "chunked")],
            _ => &[("Content-Type", TEXT), ("Date", DATE)],
        };
        let mut headers = Headers::new();
        fields.iter().for_each(|(name, value)| headers.push(name, value));
        let response = Response {
            status: StatusCode::from_u16(200).expect("it is a status"),
            reason: b"OK".to_vec(),
            headers,
            http_version: Version::Http11,
        };
        if self.work != Work::Chunks {
            let answer = self.connection.send_response_with_body(response, HELLO.as_bytes());
            black_box(answer.expect("the answer is valid"));
            return;
        }
        let mut output = self.connection.send_response(response).expect("the head is valid");
        for _ in 0..PIECES {
            let parts = self.connection.send_data_parts(black_box(PIECE.as_bytes())).expect("it is chunked");
            output.extend_from_slice(&parts.prefix);
            output.extend_from_slice(parts.data);
            output.extend_from_slice(parts.suffix);
        }
        output.extend(self.connection.end_of_message(Headers::new()).expect("it is chunked"));
        black_box(output);
    }
}

impl Core for H11r {
    fn exchange(&mut self) {
        let mut fed = 0;
        loop {
            match self.connection.next_event().expect("the request is valid") {
                NextEvent::Event(Event::Request(request)) => drop(black_box(request.target.len())),
                NextEvent::Event(Event::Data(data)) => drop(black_box(data.data.len())),
                NextEvent::Event(Event::EndOfMessage(_)) => break,
                NextEvent::NeedData => {
                    let end = self.input.len().min(fed + READ);
                    self.connection.receive_data(&self.input[fed..end]).expect("the connection is open");
                    fed = end;
                }
                _ => panic!("the request is not complete"),
            }
        }
        self.answer();
        self.connection.start_next_cycle().expect("the connection is kept");
    }
}
