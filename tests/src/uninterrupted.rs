//! Calls that block, repeated when a signal interrupts them.
//!
//! The system does not restart a read or a write on a socket with a timeout (`signal(7)`), even if the signal has no
//! handler, as the end of a child process usually has none. `read_exact`, `read_to_end` and `write_all` repeat the call;
//! `read`, `write`, `peek` and `recv` return the error, in a test as in any program.

use std::io::{self, ErrorKind, Read, Write};

/// Calls `call` until it ends without being interrupted.
///
/// # Errors
///
/// Any other error of the call.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}

/// A stream for code that does not repeat interrupted calls itself.
#[derive(Debug)]
pub struct Uninterrupted<S>(pub S);

impl<S: Read> Read for Uninterrupted<S> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.read(space))
    }
}

impl<S: Write> Write for Uninterrupted<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        uninterrupted(|| self.0.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Caller;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    /// A server that is interrupted before each byte of its answer, and before each byte of the request.
    #[derive(Default)]
    struct Signals {
        interrupted: bool,
        read: usize,
        written: usize,
    }

    impl Signals {
        fn call<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> io::Result<T> {
            self.interrupted = !self.interrupted;
            if self.interrupted { Err(ErrorKind::Interrupted.into()) } else { Ok(call(self)) }
        }
    }

    impl Read for Signals {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            self.call(|server| {
                let Some(byte) = ANSWER.get(server.read) else { return 0 };
                server.read += 1;
                space[0] = *byte;
                1
            })
        }
    }

    impl Write for Signals {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.call(|server| server.written += 1).map(|()| 1)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.call(|_| ())
        }
    }

    #[test]
    fn no_signal_ends_a_call_of_a_client() {
        let mut client = Caller::new(Signals::default());
        assert_eq!(client.get("/").text(), "hello");
        assert!(client.ends());
        assert_eq!(client.stream().written, "GET / HTTP/1.1\r\nHost: h\r\n\r\n".len());
    }

    #[test]
    fn no_signal_reaches_other_code_through_a_stream() {
        let mut stream = Uninterrupted(Signals::default());
        assert_eq!(stream.write(b"request").expect("no signal ends it"), 1);
        stream.flush().expect("no signal ends it");
        let mut answer = Vec::new();
        while let 1 = stream.read(answer_space(&mut answer)).expect("no signal ends it") {}
        assert_eq!(answer.strip_suffix(b"\0").expect("the end"), ANSWER);
    }

    fn answer_space(answer: &mut Vec<u8>) -> &mut [u8] {
        answer.push(0);
        answer.last_mut().map(std::slice::from_mut).expect("it was pushed")
    }

    #[test]
    fn other_errors_end_a_call() {
        let mut calls = 0;
        let ended = uninterrupted(|| {
            calls += 1;
            let kind = if calls == 1 { ErrorKind::Interrupted } else { ErrorKind::TimedOut };
            Err::<(), _>(kind.into())
        });
        assert_eq!((ended.expect_err("it timed out").kind(), calls), (ErrorKind::TimedOut, 2));
    }
}
