//! A blocking client that parses answers, for tests that are not in the table.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::live::PATIENCE;
use crate::uninterrupted::uninterrupted;

/// One connection to a server.
#[derive(Debug)]
pub struct Caller<S = TcpStream> {
    stream: S,
    /// Received bytes that have not been parsed.
    unread: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Status line and header fields, without the empty line.
    pub head: String,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Whether the body reached the end that its framing announces.
    pub whole: bool,
}

impl Caller {
    /// Connects; every wait is bounded.
    ///
    /// # Panics
    ///
    /// No server accepts the connection.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts");
        Self::over(stream)
    }

    /// Like [`connect`](Self::connect), on a socket that is connected already.
    ///
    /// # Panics
    ///
    /// The socket is no longer usable.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self::new(stream)
    }

    /// Another handle of the same socket, for another thread.
    ///
    /// # Panics
    ///
    /// No descriptors are available.
    pub fn clone_stream(&self) -> TcpStream {
        self.stream.try_clone().expect("descriptors are available")
    }

    /// Waits for the next bytes, or the end, and leaves them to be read.
    ///
    /// # Errors
    ///
    /// Errors from the socket; nothing arrives in time.
    pub fn peek(&self, space: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.stream.peek(space))
    }

    /// Closes the client's half.
    ///
    /// # Panics
    ///
    /// The connection is closed.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }
}

impl<S: Read + Write> Caller<S> {
    /// A client on any stream.
    pub fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends everything.
    ///
    /// # Panics
    ///
    /// The server does not read the bytes, or not in time.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Requests `path` and returns the answer.
    ///
    /// # Panics
    ///
    /// There is no answer.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        self.answer()
    }

    /// Like [`get`](Self::get), or nothing if the connection has ended.
    pub fn try_get(&mut self, path: &str) -> Option<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        self.stream.write_all(request.as_bytes()).and_then(|()| self.try_answer()).ok()
    }

    /// The next answer.
    ///
    /// # Panics
    ///
    /// There is no answer.
    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("there is an answer")
    }

    /// The next answer, even an interim one. One whose body ends too early is not `whole`.
    ///
    /// # Errors
    ///
    /// Errors from the socket; the connection ended before there was a head.
    pub fn try_answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            match self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end,
                None if self.receive()? == 0 => return Err(ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        };
        let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        self.unread.drain(..end + 4);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        let mut answer = Answer { status, head, body: Vec::new(), whole: true };
        if let 100..=199 | 204 | 304 = answer.status {
        } else if answer.field("Transfer-Encoding").is_some() {
            answer.whole = self.take_chunks(&mut answer.body)?;
        } else if let Some(length) = answer.field("Content-Length") {
            let length = length.parse().map_err(io::Error::other)?;
            answer.whole = self.take(length, &mut answer.body)?;
        } else {
            self.take(usize::MAX, &mut answer.body)?;
        }
        Ok(answer)
    }

    /// The next `count` bytes, independent of HTTP.
    ///
    /// # Panics
    ///
    /// Fewer bytes arrive.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(self.take(count, &mut bytes).expect("the socket is sound"), "it ends: {bytes:?}");
        bytes
    }

    /// Whether the connection ends here, without a reset.
    ///
    /// # Panics
    ///
    /// The connection stays silent, or it was reset.
    pub fn ends(&mut self) -> bool {
        self.unread.is_empty() && self.receive().expect("an end, in time and without a reset") == 0
    }

    /// Moves `count` bytes; false if there are fewer.
    fn take(&mut self, count: usize, into: &mut Vec<u8>) -> io::Result<bool> {
        while self.unread.len() < count {
            if self.receive()? == 0 {
                into.append(&mut self.unread);
                return Ok(false);
            }
        }
        into.extend(self.unread.drain(..count));
        Ok(true)
    }

    fn take_chunks(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let Some(line) = self.take_line()? else { return Ok(false) };
            let size = line.split(';').next().unwrap_or_default();
            let size = u32::from_str_radix(size, 16).map_err(io::Error::other)? as usize;
            if size == 0 {
                // Trailers, and the empty line after them.
                while let Some(line) = self.take_line()? {
                    if line.is_empty() {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            if !self.take(size, into)? || !self.take(2, &mut Vec::new())? {
                return Ok(false);
            }
        }
    }

    fn take_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.unread[..end]).into_owned();
                self.unread.drain(..end + 2);
                return Ok(Some(line));
            }
            if self.receive()? == 0 {
                return Ok(None);
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        let mut space = [0; 16 * 1024];
        let count = uninterrupted(|| self.stream.read(&mut space))?;
        self.unread.extend_from_slice(&space[..count]);
        Ok(count)
    }
}

impl Answer {
    /// The first header field with this name, in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.clone().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Whether the server announces that it closes the connection.
    pub fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
