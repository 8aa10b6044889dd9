//! The threads, the one poller, and the tasks: connections, whether a thread is with them or not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Instant;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};
use slab::Slab;
use wsgi_app::blocking::{Came, Desk, Slot, Work};

/// What rouses the poller.
const BELL: Token = Token(usize::MAX);

/// Events that one call of the poller brings at most.
const EVENTS: usize = 256;

pub(crate) struct Engine {
    desk: Desk<Poller, Arc<Task>>,
    pub(crate) registry: Registry,
    bell: mio::Waker,
    tasks: Mutex<Tasks>,
}

/// What a thread has while it polls.
struct Poller {
    poll: mio::Poll,
    events: Events,
}

#[derive(Default)]
struct Tasks {
    /// By token.
    all: Slab<Arc<Task>>,
    /// When tasks have to be looked at. Counts only if the task's timer is set to the same time.
    alarms: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Somebody polls, until then or for ever.
    polls_until: Option<Option<Instant>>,
}

/// One connection, from its acceptance to its end.
pub(crate) struct Task {
    pub(crate) engine: Arc<Engine>,
    token: usize,
    pub(crate) slot: Slot,
    /// The last read has taken everything; more is told by the poller.
    pub(crate) drained: AtomicBool,
    /// The peer's end was told by the poller.
    pub(crate) ends: AtomicBool,
    timer: Mutex<Timer>,
    /// `None` when it is over.
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

#[derive(Default)]
struct Timer {
    /// When the task has to be run, if nothing happens before.
    deadline: Option<Instant>,
    /// When it is going to be looked at; mostly the deadline has moved on by then.
    set: Option<Instant>,
}

impl Engine {
    /// An engine of at most so many threads; the first one runs.
    pub(crate) fn start(threads: usize) -> io::Result<Arc<Self>> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let bell = mio::Waker::new(&registry, BELL)?;
        let desk = Desk::new(Poller { poll, events: Events::with_capacity(EVENTS) }, threads);
        let engine = Arc::new(Self { desk, registry, bell, tasks: Mutex::default() });
        engine.begin(Self::work)?;
        let watching = engine.begin(|engine| engine.desk.watch(|| engine.begin(Self::work).is_ok()));
        if watching.is_err() && engine.desk.stop() {
            engine.ring();
        }
        watching.map(|()| engine)
    }

    fn begin(self: &Arc<Self>, work: impl FnOnce(&Arc<Self>) + Send + 'static) -> io::Result<()> {
        let engine = Arc::clone(self);
        thread::Builder::new().name("wsgi-std".into()).spawn(move || work(&engine)).map(|_| ())
    }

    /// Has all threads leave, and waits for those that are not with an application.
    pub(crate) fn stop(&self) {
        if self.desk.stop() {
            self.ring();
        }
        self.desk.wait_until_left();
    }

    /// A task for a socket that is watched from now on.
    pub(crate) fn watch(self: &Arc<Self>, socket: &impl std::os::fd::AsRawFd) -> io::Result<Arc<Task>> {
        let mut tasks = lock(&self.tasks);
        let place = tasks.all.vacant_entry();
        let task = Arc::new(Task {
            engine: Arc::clone(self),
            token: place.key(),
            slot: Slot::new(),
            drained: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            timer: Mutex::default(),
            future: Mutex::default(),
        });
        let both = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut SourceFd(&socket.as_raw_fd()), Token(task.token), both)?;
        place.insert(Arc::clone(&task));
        Ok(task)
    }

    fn work(self: &Arc<Self>) {
        let mut came = Came::Begun;
        loop {
            came = match self.desk.next(came) {
                Work::Poll(mut poller) => {
                    let ready = self.poll(&mut poller);
                    Came::Polled(poller, ready)
                }
                Work::Run(task) => {
                    task.run();
                    Came::Ran
                }
                Work::Leave => return,
            };
        }
    }

    /// Waits until something is ready.
    fn poll(&self, Poller { poll, events }: &mut Poller) -> Vec<Arc<Task>> {
        let mut tasks = lock(&self.tasks);
        let until = tasks.alarms.peek().map(|Reverse((at, _))| *at);
        tasks.polls_until = Some(until);
        drop(tasks);
        let time = until.map(|until| until.saturating_duration_since(Instant::now()));
        if poll.poll(events, time).is_err() {
            // A signal came.
            events.clear();
        }
        let mut tasks = lock(&self.tasks);
        tasks.polls_until = None;
        let Tasks { all, alarms, .. } = &mut *tasks;
        let called =
            events.iter().filter_map(|event| all.get(event.token().0).filter(|task| task.sees(event)));
        let mut ready: Vec<_> = called.cloned().collect();
        if alarms.is_empty() {
            return ready;
        }
        let now = Instant::now();
        while let Some(Reverse((at, token))) = alarms.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            alarms.pop();
            let Some(task) = all.get(token) else { continue };
            let mut timer = lock(&task.timer);
            if timer.set != Some(at) {
                continue;
            }
            timer.set = timer.deadline.filter(|deadline| *deadline > now);
            match timer.set {
                Some(later) => alarms.push(Reverse((later, token))),
                None => {
                    ready.extend((timer.deadline.is_some() && task.slot.call()).then(|| Arc::clone(task)))
                }
            }
        }
        ready
    }

    /// Rouses the thread that polls.
    fn ring(&self) {
        // A bell that cannot be rung is ringing.
        let _ = self.bell.wake();
    }
}

impl Task {
    /// Says what the task does; now it is ready.
    pub(crate) fn begin(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        *lock(&self.future) = Some(Box::pin(future));
        self.add();
    }

    /// Asks to be run at `deadline`, if not before.
    pub(crate) fn remind(&self, deadline: Instant) {
        lock(&self.timer).deadline = Some(deadline);
    }

    fn add(self: &Arc<Self>) {
        if self.engine.desk.add(Arc::clone(self)) {
            self.engine.ring();
        }
    }

    /// What the poller tells of its socket. True: it has to be run.
    fn sees(&self, event: &Event) -> bool {
        let ends = event.is_read_closed() || event.is_error();
        if ends {
            self.ends.store(true, Ordering::Release);
        }
        let readable = ends || event.is_readable();
        if readable {
            self.drained.store(false, Ordering::Release);
        }
        let writable = (ends || event.is_writable()) && self.slot.has_room();
        (readable || writable) && self.slot.call()
    }

    /// Runs it until it waits.
    fn run(self: &Arc<Self>) {
        self.slot.take();
        lock(&self.timer).deadline = None;
        let waker = Waker::from(Arc::clone(self));
        let mut future = lock(&self.future);
        let Some(running) = future.as_mut() else { return };
        // What panics in an application is caught further inside.
        let poll = AssertUnwindSafe(|| running.as_mut().poll(&mut Context::from_waker(&waker)));
        if matches!(catch_unwind(poll), Ok(Poll::Pending)) {
            drop(future);
            self.set_timer();
            if !self.slot.park() {
                self.add();
            }
        } else {
            let over = future.take();
            drop(future);
            lock(&self.engine.tasks).all.try_remove(self.token);
            drop(over);
        }
    }

    fn set_timer(&self) {
        let timer = lock(&self.timer);
        let Some(deadline) = timer.deadline.filter(|at| timer.set.is_none_or(|set| *at < set)) else {
            return;
        };
        drop(timer);
        let mut tasks = lock(&self.engine.tasks);
        lock(&self.timer).set = Some(deadline);
        tasks.alarms.push(Reverse((deadline, self.token)));
        let late = tasks.polls_until.is_some_and(|until| until.is_none_or(|until| deadline < until));
        drop(tasks);
        if late {
            self.engine.ring();
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.slot.call() {
            self.add();
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("token", &self.token).field("slot", &self.slot).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
