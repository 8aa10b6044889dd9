//! State that an application's handles share with the task of their connection.
//!
//! There is one lock per connection, held for the length of a call and never across a wait. The connection's own task
//! moves the bytes. A call from another task changes the state and wakes it; a [blocking](mod@crate::blocking) call over a
//! blocking transport moves the bytes itself.

use std::any::Any;
use std::mem;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Waker};

use bytes::Bytes;
use wsgi_proto::{Connection, Endpoints, Exchange, Instant, Io, Lost, Record};

use crate::context::ServerContext;
use crate::exchange::file::{FileBlock, Stopped};
use crate::exchange::stop_waiters::StopWaiters;
use crate::head::maps::Maps;
use crate::io::blocking::BlockingTransport;
use crate::io::tls::Tls;
use crate::io::transport::Transport;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, lock, try_lock};

/// The number of waiting tasks of one application at which all of them are woken, to discard those that have given up.
const WAITING: usize = 64;

/// A post hook of a raw application.
pub(crate) type Hook = Box<dyn FnOnce(&Record) + Send>;

/// The server's instruction to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Directive {
    /// Serve as usual.
    Serve,
    /// Make room: close if no request is with the application.
    MakeRoom,
    /// Read once more, finish the request that has begun, close.
    Finish,
    /// Stop immediately.
    Abort,
}

#[derive(Debug)]
pub(crate) struct ConnShared {
    inner: Mutex<Inner>,
    pub(crate) server_context: Arc<ServerContext>,
    /// The application has a request. Only a count reads it, so no other memory depends on it.
    has_request: AtomicBool,
    /// A stop has cut the connection. Only a stream that was taken over reads it, and it looks again under the lock before it
    /// waits.
    cut: AtomicBool,
    /// The transport of blocking calls; it is dropped with the connection.
    blocking_transport: OnceLock<Weak<dyn BlockingTransport>>,
    /// The value that a raw application keeps for this connection.
    value: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Set after a handshake of TLS, before the first request.
    tls: OnceLock<Tls>,
}

/// The part of a connection's state behind the lock.
///
/// Invariant: `runner` is set whenever the connection's task is `asleep`.
pub(crate) struct Inner {
    pub(crate) machine: Connection,
    /// The number of the current exchange; each handle belongs to one exchange.
    pub(crate) serial: u64,
    pub(crate) directive: Directive,
    /// The number of exchanges after which the connection closes.
    pub(crate) max_requests: u64,
    /// Since when the connection has been waiting for a complete request, or lingering; `None` while the application
    /// has a request.
    pub(crate) waits_since: Option<Instant>,
    /// The transport of a connection that the application has taken over, until the application fetches it.
    pub(super) stream: Option<Box<dyn Transport>>,
    handed_over: bool,
    /// The same transport, while a blocking application of an asynchronous adapter uses it.
    pub(super) taken_over: Option<Weak<dyn BlockingTransport>>,
    /// The application has not been notified yet: the transport was handed over, or has stopped sending a file, or a
    /// handle requests a notice.
    pub(super) news: bool,
    /// A task of the application is waiting for the transport.
    pub(super) fetching: bool,
    /// The application has taken over the connection, and has its stream or waits for it.
    pub(super) taken: bool,
    /// The entry in the registry of a connection whose task has ended while the application has its stream.
    pub(super) entry: Option<Box<dyn Any + Send>>,
    /// The tasks that wait for a stop, if there are any.
    pub(super) stop_waiters: Option<Box<StopWaiters>>,
    /// The connection has ended, also for the application.
    over: bool,
    /// The file of which the transport sends a block.
    pub(crate) file: Option<Box<FileBlock>>,
    /// Whether the transport can send files; `None` until it was tried.
    pub(crate) sends_files: Option<bool>,
    /// The transport is corked: more of a file follows.
    pub(crate) corked: bool,
    /// Bytes of the body that were peeked at and not consumed yet.
    pub(super) peeked: Bytes,
    /// The number of consumed bytes of the body; `peeked` begins at this offset.
    pub(super) read: u64,
    /// The post hooks of a raw application, until the record of their exchange is taken.
    pub(crate) hooks: Vec<Hook>,
    /// The functions of middleware that change heads, by the numbers of their handles, until the end of the exchange.
    pub(crate) maps: Vec<Maps>,
    /// Another thread is about to write what waits to be sent.
    pub(crate) flushes_soon: bool,
    /// The application's waiting tasks, each once.
    waiting: Vec<Waker>,
    runner: Option<Waker>,
    /// The connection's task sleeps; it has to be woken when there is something to do.
    asleep: bool,
}

impl ConnShared {
    pub(crate) fn new(server_context: Arc<ServerContext>, endpoints: Endpoints) -> Self {
        let now = server_context.clock.now().instant;
        let mut machine = Connection::new(Arc::clone(&server_context.config), endpoints);
        let lifetime = server_context.lifetimes.next();
        if let Some(age) = lifetime.age {
            machine.end_at(now.after(age));
        }
        let inner = Inner {
            machine,
            serial: 0,
            directive: Directive::Serve,
            max_requests: lifetime.requests,
            waits_since: Some(now),
            stream: None,
            handed_over: false,
            taken_over: None,
            news: false,
            fetching: false,
            taken: false,
            entry: None,
            stop_waiters: None,
            over: false,
            file: None,
            sends_files: None,
            corked: false,
            peeked: Bytes::new(),
            read: 0,
            hooks: Vec::new(),
            maps: Vec::new(),
            flushes_soon: false,
            waiting: Vec::new(),
            runner: None,
            asleep: false,
        };
        Self {
            inner: Mutex::new(inner),
            server_context,
            has_request: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            blocking_transport: OnceLock::new(),
            value: OnceLock::new(),
            tls: OnceLock::new(),
        }
    }

    pub(crate) fn set_has_request(&self, has_request: bool) {
        self.has_request.store(has_request, Ordering::Relaxed);
    }

    /// Whether the application is handling a request of this connection.
    pub(crate) fn has_request(&self) -> bool {
        self.has_request.load(Ordering::Relaxed)
    }

    pub(crate) fn set_blocking_transport(&self, transport: Weak<dyn BlockingTransport>) {
        // The first one is kept.
        let _ = self.blocking_transport.set(transport);
    }

    /// The transport of blocking calls, while the connection exists.
    pub(crate) fn blocking_transport(&self) -> Option<Arc<dyn BlockingTransport>> {
        self.blocking_transport.get().and_then(Weak::upgrade)
    }

    pub(crate) fn set_tls(&self, tls: Tls) {
        // There is one handshake.
        let _ = self.tls.set(tls);
    }

    /// What TLS has negotiated; `None` if the connection is not encrypted.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.get()
    }

    /// The value of this connection, made by `make` if there is none; `None` if it has another type.
    pub(super) fn value<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        let value = self.value.get().or_else(|| {
            // Not `get_or_init`: no thread may wait for the application's `make`.
            let _ = self.value.set(Box::new(make()));
            self.value.get()
        });
        value?.downcast_ref()
    }

    /// The inner state, if no other thread has it locked.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, Inner>> {
        try_lock(&self.inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Gives the connection a directive and wakes its task. A directive that is weaker than the current one has no
    /// effect.
    pub(crate) fn direct(&self, directive: Directive) {
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        if directive > inner.directive {
            inner.directive = directive;
        }
        // A response whose head is not sent yet carries `Connection: close`, even if its application never waits.
        if directive == Directive::Finish {
            inner.machine.shutdown();
        }
        inner.touch(&mut wake_list);
        if inner.is_stopping() {
            inner.end_stop_waits(&mut wake_list);
        }
        if directive == Directive::Abort {
            self.cut.store(true, Ordering::Release);
            wake_list.0.append(&mut inner.waiting);
            let taken_over = inner.taken_over.take().and_then(|transport| transport.upgrade());
            drop(inner);
            let transports = [self.blocking_transport(), taken_over];
            transports.into_iter().flatten().for_each(|transport| transport.cut());
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Ends the connection: its task is not woken any more, and waiting tasks are woken to see the end. Returns `None` if the
    /// application has taken it over and still has its stream, otherwise the last directive.
    pub(crate) fn end(&self) -> Option<Directive> {
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        (inner.runner, inner.asleep) = (None, false);
        // If the task was dropped during an exchange, callers on other threads must not wait indefinitely.
        inner.machine.lost(Lost::Aborted);
        // A stream that no task fetches closes with its connection.
        let stream = if inner.fetching { None } else { inner.stream.take() };
        wake_list.0.append(&mut inner.waiting);
        inner.over = !inner.taken;
        if inner.over {
            inner.end_stop_waits(&mut wake_list);
        }
        let directive = inner.over.then_some(inner.directive);
        let maps = mem::take(&mut inner.maps);
        drop(inner);
        drop((stream, maps));
        directive
    }
}

/// Tasks that are woken when this is dropped. Create it before taking the lock, so that the lock is released first: an
/// executor may run a task inside `wake`, and that task may need the lock.
#[derive(Default)]
pub(crate) struct WakeList(Vec<Waker>);

impl WakeList {
    #[cold]
    fn wake(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

impl Drop for WakeList {
    #[inline]
    fn drop(&mut self) {
        // Usually the list is empty.
        if !self.0.is_empty() {
            self.wake();
        }
    }
}

impl Inner {
    /// Notifies the connection's task that there is something to do.
    pub(crate) fn touch(&mut self, wake_list: &mut WakeList) {
        wake_list.0.extend(self.rouse());
    }

    /// Like [`touch`](Self::touch), but returns the waker, to be called once the lock is released.
    #[inline]
    pub(super) fn rouse(&mut self) -> Option<Waker> {
        if mem::take(&mut self.asleep) { self.runner.clone() } else { None }
    }

    /// Marks the connection's task as running; it checks everything before it sleeps again. Returns true if something
    /// other than the transport gave it work.
    pub(crate) fn awake(&mut self) -> bool {
        !mem::take(&mut self.asleep)
    }

    /// Marks the connection's task as asleep.
    pub(crate) fn sleep(&mut self, context: &Context<'_>) {
        match &mut self.runner {
            Some(runner) if runner.will_wake(context.waker()) => {}
            runner => *runner = Some(context.waker().clone()),
        }
        self.asleep = true;
    }

    /// Begins the next exchange; handles of the previous one find it over.
    pub(crate) fn begin_exchange(&mut self) {
        debug_assert!(self.peeked.is_empty(), "no exchange was open");
        self.serial += 1;
        self.read = 0;
    }

    pub(crate) fn exchange(&mut self, serial: u64) -> Option<Exchange<'_>> {
        if self.serial == serial { self.machine.exchange() } else { None }
    }

    /// Discards peeked bytes that were not consumed: they belong to one exchange only.
    #[inline]
    pub(crate) fn forget_peeked(&mut self) {
        if !self.peeked.is_empty() {
            self.peeked = Bytes::new();
        }
    }

    /// Whether something has changed for the application since the last call.
    pub(crate) fn take_notice(&mut self) -> bool {
        self.machine.take_notice() | mem::take(&mut self.news)
    }

    /// Records that the transport has stopped before the end of the file's block.
    pub(crate) fn stop_file(&mut self, stopped: Stopped) {
        if let Some(block) = &mut self.file {
            block.stop(stopped);
            self.news = true;
        }
    }

    /// What the connection waits for, if the machine waits for `io`. If the transport cannot send a file, and its next bytes
    /// have not been read, the peer has nothing to do: neither room in the socket nor a deadline counts then.
    #[inline]
    pub(crate) fn wait_for(&mut self, io: &Io) -> Io {
        match &mut self.file {
            Some(block) if !block.is_sending() && self.machine.external() > 0 => {
                self.news |= block.end_wait();
                Io { read: io.read, ..Io::default() }
            }
            _ => *io,
        }
    }

    /// Hands the transport to the application, which has taken over the connection. If it was handed over before, or no
    /// task waits for it, the transport closes.
    pub(crate) fn hand_over(&mut self, transport: impl Transport) {
        if !mem::replace(&mut self.handed_over, true) && self.fetching {
            self.stream = Some(Box::new(transport));
            self.news = true;
        }
    }

    /// Remembers a task of the application that waits for bytes to be moved or for the exchange to end.
    pub(super) fn wait(&mut self, context: &Context<'_>, wake_list: &mut WakeList) {
        self.note_waiting(context, wake_list);
        self.touch(wake_list);
    }

    /// Like [`wait`](Self::wait), for a task that needs nothing of the connection's task.
    pub(super) fn note_waiting(&mut self, context: &Context<'_>, wake_list: &mut WakeList) {
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            if self.waiting.len() >= WAITING {
                // Some of them may have given up long ago; the others register again.
                wake_list.0.append(&mut self.waiting);
            }
            self.waiting.push(context.waker().clone());
        }
    }

    /// Whether the server has begun to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.directive >= Directive::Finish
    }

    /// Wakes the tasks that wait for a stop: it has begun, or the connection is over.
    fn end_stop_waits(&mut self, wake_list: &mut WakeList) {
        if let Some(waiters) = self.stop_waiters.take() {
            wake_list.0.extend(waiters.into_wakers());
        }
    }

    /// Whether the connection has ended, also for an application that took it over.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether tasks of the application wait.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The tasks that wait, except the current one. They are woken when the list is dropped; release the lock before.
    #[cold]
    pub(crate) fn take_waiting(&mut self, context: &Context<'_>) -> WakeList {
        let mut wake_list = WakeList::default();
        self.wake_application(context, &mut wake_list);
        wake_list
    }

    /// Wakes the application, because the event that it waits for may have happened. A waiter in the current task is
    /// skipped, since it is polled next anyway.
    #[inline]
    pub(crate) fn wake_application(&mut self, context: &Context<'_>, wake_list: &mut WakeList) {
        if !self.waiting.is_empty() {
            wake_list.0.extend(self.waiting.drain(..).filter(|waker| !waker.will_wake(context.waker())));
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("machine", &self.machine)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}
