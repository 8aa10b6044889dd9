//! What the handles of an application share with the task that runs its connection.
//!
//! One lock a connection, held for the length of a call and never across a wait. The connection's own task moves the
//! bytes; a call from elsewhere leaves a note and wakes it, or, if it is a [blocking](crate::blocking) one, moves them
//! itself.

use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use wsgi_proto::{BodyEvent, Connection, Endpoints, Exchange, Instant, Lost, Now};

use crate::context::ServerContext;
use crate::exchange::error::InputError;
use crate::io::blocking::BlockingTransport;
use crate::io::transport::Transport;
use crate::sync::{Mutex, MutexGuard, lock, try_lock};

/// How many tasks of one application may wait at a time without being asked whether they still do.
const WAITING: usize = 64;

/// What the server wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Directive {
    /// Nothing.
    Serve,
    /// Make room: close if no request is with the application.
    MakeRoom,
    /// Read once more, finish what has begun, close.
    Finish,
    /// Stop at once.
    Abort,
}

#[derive(Debug)]
pub(crate) struct ConnShared {
    inner: Mutex<Inner>,
    pub(crate) server_context: Arc<ServerContext>,
    /// What blocking calls move bytes over; it ends with the connection.
    blocking_transport: OnceLock<Weak<dyn BlockingTransport>>,
}

/// Invariant: `runner` is set whenever the connection's task is `asleep`.
pub(crate) struct Inner {
    pub(crate) machine: Connection,
    /// Counts the exchanges; a handle belongs to one of them.
    pub(crate) serial: u64,
    pub(crate) directive: Directive,
    /// Since when the connection waits for a whole request; `None` while the application has one.
    pub(crate) waits_since: Option<Instant>,
    /// The transport of a connection that the application has taken over, until it fetches it.
    pub(super) stream: Option<Box<dyn Transport>>,
    handed_over: bool,
    /// The application has not been told of it yet.
    stream_came: bool,
    /// Somebody waits for the transport.
    pub(super) fetching: bool,
    /// Bytes of the body that were shown to somebody and not taken yet.
    pub(super) peeked: Bytes,
    /// Bytes of the body that were taken; what is shown begins there.
    pub(super) read: u64,
    /// The tasks of the application that wait for something, each once.
    waiting: Vec<Waker>,
    runner: Option<Waker>,
    /// The connection's task waits; it has to be woken when there is something to do.
    asleep: bool,
}

impl ConnShared {
    pub(crate) fn new(server_context: Arc<ServerContext>, endpoints: Endpoints) -> Self {
        let inner = Inner {
            machine: Connection::new(Arc::clone(&server_context.config), endpoints),
            serial: 0,
            directive: Directive::Serve,
            waits_since: Some(server_context.clock.now().instant),
            stream: None,
            handed_over: false,
            stream_came: false,
            fetching: false,
            peeked: Bytes::new(),
            read: 0,
            waiting: Vec::new(),
            runner: None,
            asleep: false,
        };
        Self { inner: Mutex::new(inner), server_context, blocking_transport: OnceLock::new() }
    }

    pub(crate) fn set_blocking_transport(&self, transport: Weak<dyn BlockingTransport>) {
        // The first one stays.
        let _ = self.blocking_transport.set(transport);
    }

    /// What blocking calls move bytes over, while the connection lasts.
    pub(crate) fn blocking_transport(&self) -> Option<Arc<dyn BlockingTransport>> {
        self.blocking_transport.get().and_then(Weak::upgrade)
    }

    /// The inner state, if no other thread has it locked.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, Inner>> {
        try_lock(&self.inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Gives a directive and wakes the connection's task. One that is weaker than the last has no effect.
    pub(crate) fn direct(&self, directive: Directive) {
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        if directive > inner.directive {
            inner.directive = directive;
        }
        // A response whose head is not sent yet says `Connection: close`, even if its application never waits.
        if directive == Directive::Finish {
            inner.machine.shutdown();
        }
        inner.touch(&mut wake_list);
        if directive == Directive::Abort {
            wake_list.0.append(&mut inner.waiting);
            drop(inner);
            self.blocking_transport().into_iter().for_each(|transport| transport.cut());
        }
    }

    /// The connection is over: nobody is to be woken for it any more. Returns its last directive.
    pub(crate) fn end(&self) -> Directive {
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        (inner.runner, inner.asleep) = (None, false);
        // The task was dropped in the middle of an exchange: callers on other threads must not wait indefinitely.
        inner.machine.lost(Lost::Aborted);
        // A stream that nobody fetches closes with its connection.
        let stream = if inner.fetching { None } else { inner.stream.take() };
        wake_list.0.append(&mut inner.waiting);
        let directive = inner.directive;
        drop(inner);
        drop(stream);
        directive
    }
}

/// The tasks to wake. It wakes them when it is dropped, so it is made before the lock is taken: an executor may run a task
/// inside `wake`, and that task may want the lock.
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
        // Mostly there is nobody.
        if !self.0.is_empty() {
            self.wake();
        }
    }
}

impl Inner {
    /// Tells the connection's task that there is something to do.
    pub(crate) fn touch(&mut self, wake_list: &mut WakeList) {
        wake_list.0.extend(self.rouse());
    }

    /// As [`touch`](Self::touch): who has to be woken for it, once the lock is released.
    #[inline]
    pub(super) fn rouse(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.asleep) { self.runner.clone() } else { None }
    }

    /// The connection's task runs; it looks at everything before it sleeps again. True when somebody but the
    /// transport gave it something to do.
    pub(crate) fn awake(&mut self) -> bool {
        !std::mem::take(&mut self.asleep)
    }

    /// The connection's task goes to sleep.
    pub(crate) fn sleep(&mut self, context: &Context<'_>) {
        match &mut self.runner {
            Some(runner) if runner.will_wake(context.waker()) => {}
            runner => *runner = Some(context.waker().clone()),
        }
        self.asleep = true;
    }

    /// From now on handles belong to the next exchange.
    pub(crate) fn begin_exchange(&mut self) {
        self.serial += 1;
        self.forget_peeked();
        self.read = 0;
    }

    /// What was shown of a body and not taken goes with its exchange.
    #[inline]
    pub(crate) fn forget_peeked(&mut self) {
        if !self.peeked.is_empty() {
            self.peeked = Bytes::new();
        }
    }

    /// Whether the application has something to learn since this was asked last.
    pub(crate) fn take_notice(&mut self) -> bool {
        self.machine.take_notice() | std::mem::take(&mut self.stream_came)
    }

    /// Leaves the transport to the application, which has taken the connection over. Unless it has one already, or
    /// nobody waits for it, when it closes.
    pub(crate) fn hand_over(&mut self, transport: impl Transport) {
        if !std::mem::replace(&mut self.handed_over, true) && self.fetching {
            self.stream = Some(Box::new(transport));
            self.stream_came = true;
        }
    }

    /// Remembers a task of the application that waits, for bytes to be moved or for the end of the exchange.
    pub(super) fn wait(&mut self, context: &Context<'_>, wake_list: &mut WakeList) {
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            if self.waiting.len() >= WAITING {
                // Some of them may have given up long ago; the others ask again.
                wake_list.0.append(&mut self.waiting);
            }
            self.waiting.push(context.waker().clone());
        }
        self.touch(wake_list);
    }

    /// Whatever the application waits for may have come. It is woken, unless it waits in this very task, which asks
    /// it next anyway.
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

impl Inner {
    pub(super) fn exchange(&mut self, serial: u64) -> Option<Exchange<'_>> {
        if self.serial == serial { self.machine.exchange() } else { None }
    }

    /// Gives what has arrived of the body to `take`, if the exchange `serial` is open.
    pub(super) fn poll_body<R>(
        &mut self,
        serial: u64,
        now: Now,
        context: &mut Context<'_>,
        wake_list: &mut WakeList,
        take: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Poll<Result<Option<R>, InputError>> {
        let Some(mut exchange) = self.exchange(serial) else { return Poll::Ready(Err(InputError::Over)) };
        match exchange.body(now) {
            Ok(BodyEvent::Data(data)) => {
                let (used, result) = take(data);
                exchange.consume(used);
                self.read += used as u64;
                Poll::Ready(Ok(Some(result)))
            }
            Ok(BodyEvent::End(_)) => Poll::Ready(Ok(None)),
            Ok(BodyEvent::Io(_)) => {
                self.wait(context, wake_list);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// The first `count` bytes of what was shown are used up.
    pub(super) fn take_peeked(&mut self, count: usize) {
        let count = count.min(self.peeked.len());
        self.peeked.advance(count);
        self.read += count as u64;
    }
}
