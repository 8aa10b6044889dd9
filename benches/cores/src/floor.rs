//! The floor: httparse finds the fields, nothing is checked, and the answer is prepared but for its date.

use std::hint::black_box;

use bench_common::content::HELLO;
use bench_common::works::Work;

use crate::Core;

const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// A parser and a buffer for the answer.
pub(crate) struct Floor {
    request: Vec<u8>,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Floor {
    pub(crate) fn new(work: Work) -> Self {
        Self { request: work.request(), input: Vec::with_capacity(8192), output: Vec::with_capacity(8192) }
    }
}

impl Core for Floor {
    fn exchange(&mut self) {
        self.input.clear();
        self.input.extend_from_slice(&self.request);
        let mut fields = [const { std::mem::MaybeUninit::uninit() }; 64];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(&self.input, &mut fields).expect("it is valid");
        assert!(parsed.is_complete());
        black_box(request.path);
        self.output.clear();
        self.output.extend_from_slice(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nDate: ",
        );
        self.output.extend_from_slice(DATE);
        self.output.extend_from_slice(b"\r\n\r\n");
        self.output.extend_from_slice(HELLO.as_bytes());
        black_box(&self.output);
    }
}
