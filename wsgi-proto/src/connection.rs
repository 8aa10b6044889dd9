//! The driver's half of the machine: one connection, one question.

use alloc::sync::Arc;

use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::error::{CloseReason, LastExchange, Lost};
use crate::event::Event;
use crate::exchange::Exchange;
use crate::http::head::Head;
use crate::machine::Machine;
use crate::machine::buffers::Buffers;
use crate::machine::outbox::Transmit;
use crate::machine::state::{PeerHalf, Phase};
use crate::time::Now;
use crate::wsgi::record::Record;

/// One HTTP/1.x connection of a server, without anything that moves bytes.
///
/// The driver asks [`poll`](Self::poll) what to do, does it, and asks again. Any call may follow any other; what makes
/// no sense in a state has no effect. See the crate's documentation for a whole driver.
#[derive(Debug)]
pub struct Connection(Machine);

impl Connection {
    /// A connection that was just accepted. It holds no buffer until it [is given one](Self::provide_buffers) or makes one.
    pub fn new(config: Arc<Config>, endpoints: Endpoints) -> Self {
        Self(Machine::new(config, endpoints))
    }

    /// What now? `now` is compared with the deadlines, and kept for what is dated until the next call.
    pub fn poll(&mut self, now: Now) -> Event {
        self.0.poll(now)
    }

    /// Initialised room to read into, never empty. `None`: the machine wants no more bytes now.
    ///
    /// A machine that was [given](Self::provide_buffers) no buffer makes one, which it frees when it waits for a request.
    pub fn recv_space(&mut self) -> Option<&mut [u8]> {
        self.0.recv_space()
    }

    /// Tells that the first `n` bytes of [`recv_space`](Self::recv_space) were received. More than there was room
    /// for counts as all of it.
    pub fn recv_commit(&mut self, n: usize) {
        self.0.recv_commit(n);
    }

    /// Tells that the peer closed its sending half. Requests that arrived whole are still answered.
    pub fn recv_eof(&mut self) {
        self.0.recv_eof();
    }

    /// Tells that a [last read](crate::Io::last_read) has found nothing. No effect when none was asked for.
    pub fn recv_nothing(&mut self) {
        self.0.state.on_nothing();
    }

    /// Whether the application has something to learn since this was asked last: bytes or the peer's end arrived, room
    /// came in the outbox or it was flushed, a deadline of the request's body passed, the connection was lost. An
    /// application that waits in an [`Exchange`] has to be polled again then. A new exchange begins without a notice.
    pub fn take_notice(&mut self) -> bool {
        core::mem::take(&mut self.0.progress.notice)
    }

    /// Tells that nothing can be sent any more. The calls of an open exchange fail from now on.
    pub fn lost(&mut self, cause: Lost) {
        self.0.lost(cause);
    }

    /// What to write: slices for one vectored write.
    pub fn transmit(&self) -> Transmit<'_> {
        self.0.outbox.transmit()
    }

    /// Tells that the first `n` bytes of [`transmit`](Self::transmit) were written.
    pub fn transmitted(&mut self, n: usize) {
        self.0.transmitted(n);
    }

    /// The request that [`Event::Request`] announced; its exchange is open from now on.
    pub fn take_request(&mut self) -> Option<Arc<Head>> {
        self.0.take_request()
    }

    /// The record that [`Event::Done`] announced. After it the next exchange may begin. A connection that was taken
    /// over has one too, to be taken when the application is through with the stream.
    pub fn take_record(&mut self) -> Option<Record> {
        self.0.take_record()
    }

    /// Tells that the sending half was closed, as [`Event::ShutdownWrite`] asked for, or the connection reset, as
    /// [`Event::Abort`] did.
    pub fn write_closed(&mut self) {
        self.0.write_closed();
    }

    /// No further request is begun, after one [last read](crate::Io::last_read) of an idle connection. One of which a byte
    /// was received is served, with `Connection: close`; so is the next one of which a byte was received by the end of a
    /// response whose head has promised to go on. Legal in every state.
    pub fn shutdown(&mut self) {
        self.0.state.stop();
    }

    /// Whether no request is with the application: none has begun, or its head is still arriving.
    pub fn awaits_request(&self) -> bool {
        self.0.state.awaits_request() && self.0.outbox.is_empty()
    }

    /// Whether the last response is out, our half is closed, and only the peer's close is awaited, for at most
    /// [`linger_timeout`](crate::Config::linger_timeout).
    pub fn lingers(&self) -> bool {
        self.0.state.phase() == Phase::Lingering
    }

    /// Whether [`make_room`](Self::make_room) has an effect: the connection [awaits a request](Self::awaits_request) or
    /// [lingers](Self::lingers).
    pub fn can_make_room(&self) -> bool {
        self.0.state.can_make_room() && self.0.outbox.is_empty()
    }

    /// Somebody waits for the place of this connection. If it [awaits a request](Self::awaits_request), it ends after one
    /// [last read](crate::Io::last_read): without a word when none has begun, else with 408. A request that is complete
    /// then is served as any other. If it [lingers](Self::lingers), it ends at once: a peer that still sends may then lose
    /// the response, so give it some time first. No effect in other states.
    pub fn make_room(&mut self) {
        self.0.make_room();
    }

    /// The next head that is sent says `close`; unlike at a [stop](Self::shutdown), an idle connection goes on waiting for
    /// the request that it belongs to. Legal in every state.
    pub fn last_exchange(&mut self, reason: LastExchange) {
        self.0.state.last_exchange(CloseReason::Limit(reason));
    }

    /// The application's half: `Some` exactly while a request is open.
    pub fn exchange(&mut self) -> Option<Exchange<'_>> {
        self.0.state.exchange_is_open().then(|| Exchange::new(&mut self.0))
    }

    /// From now on [`Event::Done`] comes only for exchanges that ask for it by
    /// [`flush_before_record`](Exchange::flush_before_record): for a driver that has no use for the other records.
    pub fn skip_records(&mut self) {
        self.0.state.skip_records();
    }

    /// The record of an exchange that the application is through with waits until the response is flushed, even if
    /// records are [skipped](Self::skip_records). No effect once the record was announced as over.
    pub fn flush_before_record(&mut self) {
        self.0.state.flush_before_record();
    }

    /// Gives the machine memory to work with, for instance of a pool. It keeps it until [`take_buffers`](Self::take_buffers). No effect
    /// when it has some.
    pub fn provide_buffers(&mut self, buffers: Buffers) {
        self.0.provide_buffers(buffers);
    }

    /// Whether the machine holds buffers.
    pub fn has_buffers(&self) -> bool {
        self.0.has_buffers()
    }

    /// The buffers, when the connection is idle and nothing is in them, or when it is closed.
    pub fn take_buffers(&mut self) -> Option<Buffers> {
        self.0.take_buffers()
    }

    /// Addresses and scheme.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    /// The settings.
    pub fn config(&self) -> &Arc<Config> {
        &self.0.config
    }

    /// Whether a byte of a request has been received that is not answered. A graceful stop lets such a connection
    /// finish.
    pub fn is_busy(&self) -> bool {
        let machine = &self.0;
        machine.state.peer() != PeerHalf::Idle || !machine.inbox.is_empty() || !machine.outbox.is_empty()
    }

    /// Whether nothing can be sent any more.
    pub fn is_lost(&self) -> bool {
        self.0.state.lost().is_some()
    }
}
