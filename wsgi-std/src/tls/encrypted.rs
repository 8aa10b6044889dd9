//! Feature `tls`: a connection of a blocking application, encrypted by rustls.

use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use rustls::{ServerConfig, ServerConnection};
use wsgi_app::Tls;
use wsgi_app::adapter::{Blocking, BlockingTransport, Flush, serve_blocking_after_handshake};
use wsgi_app::adapter::{ConnectionGuard, ProxyPrelude, Server};
use wsgi_app::blocking::Application;

use crate::sync::{Mutex, MutexGuard, lock};

/// The largest number of reads without plaintext in one call: a client could send empty records indefinitely.
const EMPTY_RECORDS: usize = 1024;

/// Serves one connection, encrypted by `config`, after the header of the PROXY protocol if there is one.
pub(crate) async fn serve_encrypted<A: Application, T: BlockingTransport>(
    mut prelude: Option<ProxyPrelude>,
    server: Arc<Server<Blocking<A>>>,
    guard: ConnectionGuard,
    transport: T,
    config: Arc<ServerConfig>,
) {
    let encrypted = match ServerConnection::new(config) {
        Ok(tls) => Ok(Encrypted { transport, session: Mutex::new(Session { tls, taken: 0 }) }),
        Err(error) => Err(io::Error::other(error)),
    };
    let shake_hands = |encrypted: &Encrypted<T>| {
        if let Some(unfinished) = &mut prelude {
            unfinished.receive(|space| encrypted.transport.read(space))?;
            prelude = None;
        }
        encrypted.shake_hands()
    };
    serve_blocking_after_handshake(server, guard, encrypted, shake_hands).await;
}

/// A [`BlockingTransport`] that speaks TLS over another one.
#[derive(Debug)]
struct Encrypted<T> {
    transport: T,
    session: Mutex<Session>,
}

#[derive(Debug)]
struct Session {
    tls: ServerConnection,
    /// Bytes that rustls has accepted, but the system has not. They count as unwritten, and are the first bytes of the
    /// next write.
    taken: usize,
}

impl<T: BlockingTransport> Encrypted<T> {
    fn shake_hands(&self) -> io::Result<()> {
        let mut session = self.session();
        while session.tls.is_handshaking() {
            if session.tls.complete_io(&mut Bare(&self.transport))? == (0, 0) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // In TLS 1.2 the client waits for the server's last handshake message.
        session.send(&self.transport)
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }
}

impl Session {
    /// Sends everything that rustls has queued.
    fn send(&mut self, transport: &impl BlockingTransport) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut Bare(transport))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

impl<T: BlockingTransport> BlockingTransport for Encrypted<T> {
    fn is_readable(&self) -> bool {
        // rustls needs no more input if it has plaintext, or the end.
        self.transport.is_readable() || !self.session().tls.wants_read()
    }

    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session();
        for _ in 0..EMPTY_RECORDS {
            match session.tls.reader().read(space) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            session.tls.read_tls(&mut Bare(&self.transport))?;
            // A reply of TLS itself is sent with the next write. If it were sent here, it could use up room that a
            // write waits for, and no event would report the next room to that write.
            if let Err(error) = session.tls.process_new_packets() {
                // The alert that carries the reason.
                let _ = session.send(&self.transport);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "too many TLS records without content"))
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session();
        if session.taken == 0 {
            // The rest of a reply of TLS itself is sent first, so that rustls has room.
            session.send(&self.transport)?;
            session.taken = session.tls.writer().write_vectored(slices)?;
        }
        session.send(&self.transport)?;
        Ok(mem::take(&mut session.taken))
    }

    fn tls(&self) -> Option<Tls> {
        Some(negotiated(&self.session().tls))
    }

    fn shutdown(&self) -> io::Result<()> {
        let mut session = self.session();
        // A second call has no effect.
        session.tls.send_close_notify();
        session.send(&self.transport)?;
        self.transport.shutdown()
    }

    fn reset(&self) {
        self.transport.reset();
    }

    fn cut(&self) {
        self.transport.cut();
    }

    fn leave(&self) {
        self.transport.leave();
    }

    fn remind(&self, deadline: Instant) {
        self.transport.remind(deadline);
    }

    fn flush_soon(&self, flush: Flush) -> bool {
        self.transport.flush_soon(flush)
    }

    fn wait(&self, read: bool, write: bool, deadline: Option<Instant>) -> io::Result<()> {
        // Another thread may have received more than it needed.
        if read && !self.session().tls.wants_read() {
            return Ok(());
        }
        self.transport.wait(read, write, deadline)
    }

    fn block(&self, wait: &mut dyn FnMut()) {
        self.transport.block(wait);
    }

    fn waker(&self) -> Waker {
        self.transport.waker()
    }
}

/// What the handshake of `session` has negotiated.
fn negotiated(session: &ServerConnection) -> Tls {
    let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or_default();
    let mut tls = Tls::new(version.replace('_', "."));
    if let Some(suite) = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()) {
        // rustls has its own names for those of TLS 1.3.
        tls = tls.with_cipher_suite(suite.replacen("TLS13_", "TLS_", 1));
    }
    if let Some(name) = session.server_name() {
        tls = tls.with_server_name(name);
    }
    if let Some(protocol) = session.alpn_protocol() {
        tls = tls.with_alpn_protocol(protocol);
    }
    if let Some(chain) = session.peer_certificates() {
        tls = tls.with_peer_certificates(chain.iter().map(|certificate| certificate.to_vec()));
    }
    tls
}

/// The underlying transport, as rustls reads and writes it.
struct Bare<'w, T>(&'w T);

impl<T: BlockingTransport> Read for Bare<'_, T> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.0.read(space)
    }
}

impl<T: BlockingTransport> Write for Bare<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
