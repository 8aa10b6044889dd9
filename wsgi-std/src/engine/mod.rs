//! The engine: its threads, the one poller, and the tasks. A task is one connection, whether a thread serves it or not.

mod flusher;
mod scheduler;
pub(crate) mod task_state;
mod timer_queue;

use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};
use slab::Slab;
use socket2::Socket;
use wsgi_app::adapter::Flush;

use crate::engine::flusher::Flusher;
use crate::engine::scheduler::{Completed, Next, SLOW, Scheduler, Waited};
use crate::engine::task_state::TaskState;
use crate::engine::timer_queue::{Deadline, TimerQueue};
use crate::host::Hosted;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};
use crate::wait::Reserved;

/// The token of the notifier, which ends a wait of the polling thread.
const NOTIFIER: Token = Token(usize::MAX);

pub(crate) struct Engine {
    scheduler: Scheduler<Poller, Arc<Task>>,
    pub(crate) registry: Registry,
    notifier: mio::Waker,
    tasks: Mutex<Tasks>,
    flusher: Flusher,
    /// It is called without any lock, except that of the future of the task that calls it, for which no thread waits.
    pub(crate) host: Hosted,
    stack_size: Option<usize>,
    reserved: Reserved,
}

/// The threads of an engine.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    /// How many run tasks at most. One of them runs from the beginning.
    pub(crate) most: usize,
    /// Whether they stay when they have no work.
    pub(crate) kept: bool,
    /// For how many of them descriptors are opened at the beginning, and not when they wait for the first time.
    pub(crate) reserved: usize,
    /// The size of the stack of each, if it is not the default of std.
    pub(crate) stack_size: Option<usize>,
    /// The code around them.
    pub(crate) host: Hosted,
}

/// The poller and its events, which the polling thread owns.
struct Poller {
    poll: mio::Poll,
    events: Events,
}

#[derive(Default)]
struct Tasks {
    /// By token.
    all: Slab<Arc<Task>>,
    timers: TimerQueue,
    /// `Some` while a thread polls: until the inner time, or indefinitely.
    polls_until: Option<Option<Instant>>,
}

/// One connection, from its acceptance to its end.
pub(crate) struct Task {
    pub(crate) engine: Arc<Engine>,
    token: usize,
    pub(crate) state: TaskState,
    /// The last read took everything; the poller reports when there is more.
    pub(crate) drained: AtomicBool,
    /// The poller has reported that the peer closed its half.
    pub(crate) ends: AtomicBool,
    deadline: Deadline,
    /// `None` when it is over.
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl Engine {
    /// Starts an engine.
    pub(crate) fn start(threads: Threads) -> io::Result<Arc<Self>> {
        let Threads { most, kept, reserved, stack_size, host } = threads;
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let notifier = mio::Waker::new(&registry, NOTIFIER)?;
        let scheduler = Scheduler::new(Poller { poll, events: Events::with_capacity(256) }, most, kept);
        let (tasks, flusher) = (Mutex::default(), Flusher::default());
        let reserved = Reserved::new(reserved);
        let engine =
            Arc::new(Self { scheduler, registry, notifier, tasks, flusher, host, stack_size, reserved });
        engine.begin()?;
        let watching = Self::spawn(None, {
            let engine = Arc::clone(&engine);
            move || engine.scheduler.watch(|| engine.begin().is_ok())
        });
        if watching.is_err() && engine.scheduler.stop() {
            engine.notify();
        }
        watching.map(|()| engine)
    }

    /// Starts a thread that runs tasks.
    fn begin(self: &Arc<Self>) -> io::Result<()> {
        let engine = Arc::clone(self);
        Self::spawn(self.stack_size, move || {
            engine.reserved.give();
            if !engine.host.thread(|| engine.work()) {
                engine.scheduler.leave();
            }
        })
    }

    fn spawn(stack_size: Option<usize>, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name("wsgi-std".into());
        let thread = stack_size.into_iter().fold(thread, thread::Builder::stack_size);
        thread.spawn(run).map(drop)
    }

    /// Stops all threads, and waits for those that are not running an application.
    pub(crate) fn stop(&self) {
        if self.scheduler.stop() {
            self.notify();
        }
        self.scheduler.wait_until_left();
        self.flusher.stop();
    }

    /// Has `flush` called in one to two milliseconds, and repeatedly until it returns true. Returns false if no thread can
    /// do that.
    pub(crate) fn flush_soon(&self, flush: Flush) -> bool {
        self.flusher.add(flush)
    }

    /// Starts a task for a socket, and watches the socket from now on. `future` makes the task's future.
    ///
    /// The poller reports immediately that a `fresh` connection has room to write. That event runs the task for the first
    /// time, so the thread that accepts need not wake one that polls.
    pub(crate) fn start_task(
        self: &Arc<Self>,
        socket: Socket,
        fresh: bool,
        future: impl FnOnce(Socket, &Arc<Task>) -> Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> io::Result<()> {
        let descriptor = socket.as_raw_fd();
        let mut tasks = lock(&self.tasks);
        let place = tasks.all.vacant_entry();
        let task = Arc::new(Task {
            engine: Arc::clone(self),
            token: place.key(),
            state: TaskState::waiting(),
            drained: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            deadline: Deadline::default(),
            future: Mutex::default(),
        });
        *lock(&task.future) = Some(future(socket, &task));
        place.insert(Arc::clone(&task));
        // Once registered, the socket has an event, and the polling thread needs the lock.
        drop(tasks);
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut SourceFd(&descriptor), Token(task.token), both) {
            lock(&self.tasks).all.try_remove(task.token);
            // It closes the socket.
            drop(lock(&task.future).take());
            return Err(error);
        }
        if !fresh {
            task.wake();
        }
        Ok(())
    }

    fn work(self: &Arc<Self>) {
        let mut completed = Completed::Nothing;
        loop {
            completed = match self.scheduler.next(completed) {
                Next::Poll { mut poller, list: mut ready, waits } => {
                    self.poll(&mut poller, waits, &mut ready);
                    Completed::Polled(poller, ready)
                }
                Next::Run { task, timed } => {
                    let began = timed.then(Instant::now);
                    let is_ready = task.run();
                    let slow = began.map(|began| began.elapsed() > SLOW);
                    self.host.yield_now();
                    Completed::Ran { ready: is_ready.then_some(task), slow }
                }
                Next::Wait => {
                    let waited = self.host.wait(|| self.scheduler.wait());
                    Completed::Waited(waited.unwrap_or(Waited::NotAtAll))
                }
                Next::Exit => return,
            };
        }
    }

    /// Polls, and `waits` until something is ready. Adds the tasks that have to run to `ready`.
    fn poll(&self, poller: &mut Poller, waits: bool, ready: &mut Vec<Arc<Task>>) {
        // A host need not be called if there are events already.
        let looks = !waits || self.host.is_some();
        if looks {
            poller.poll(Some(Duration::ZERO));
        }
        if waits && (!looks || poller.events.is_empty()) {
            let mut tasks = lock(&self.tasks);
            let until = tasks.timers.next();
            tasks.polls_until = Some(until);
            drop(tasks);
            self.host
                .wait(|| poller.poll(until.map(|until| until.saturating_duration_since(Instant::now()))));
        }
        let events = &poller.events;
        let mut tasks = lock(&self.tasks);
        tasks.polls_until = None;
        let Tasks { all, timers, .. } = &mut *tasks;
        let called =
            events.iter().filter_map(|event| all.get(event.token().0).filter(|task| task.sees(event)));
        ready.extend(called.cloned());
        let due = |task: &&Arc<Task>| ready.extend(task.state.call().then(|| Arc::clone(task)));
        if timers.next().is_some() {
            timers.expire(Instant::now(), |token| all.get(token), |task| &task.deadline, due);
        }
    }

    /// Ends the wait of the polling thread.
    fn notify(&self) {
        let _ = self.notifier.wake();
    }
}

impl Poller {
    fn poll(&mut self, time: Option<Duration>) {
        if self.poll.poll(&mut self.events, time).is_err() {
            self.events.clear();
        }
    }
}

impl Task {
    /// Schedules a run at `deadline`, if nothing else runs the task before.
    pub(crate) fn remind(&self, deadline: Instant) {
        self.deadline.set(Some(deadline));
    }

    fn add(self: &Arc<Self>) {
        if self.engine.scheduler.add(Arc::clone(self)) {
            self.engine.notify();
        }
    }

    /// Records an event of the task's socket. Returns true if the task has to run.
    fn sees(&self, event: &Event) -> bool {
        let ends = event.is_read_closed() || event.is_error();
        if ends {
            self.ends.store(true, Ordering::Release);
        }
        let readable = ends || event.is_readable();
        if readable {
            self.drained.store(false, Ordering::Release);
        }
        let writable = (ends || event.is_writable()) && self.state.has_room();
        (readable || writable) && self.state.call()
    }

    /// Runs the task until it waits or gives way. Returns true if it is ready again.
    fn run(self: &Arc<Self>) -> bool {
        self.state.take();
        self.deadline.set(None);
        let waker = Waker::from(Arc::clone(self));
        let mut future = lock(&self.future);
        let Some(running) = future.as_mut() else { return false };
        // A panic of the application is caught further inside.
        let poll = AssertUnwindSafe(|| running.as_mut().poll(&mut Context::from_waker(&waker)));
        if matches!(catch_unwind(poll), Ok(Poll::Pending)) {
            drop(future);
            self.queue_deadline();
            !self.state.park()
        } else {
            let over = future.take();
            drop(future);
            let mut tasks = lock(&self.engine.tasks);
            let Tasks { all, timers, .. } = &mut *tasks;
            all.try_remove(self.token);
            timers.remove(&self.deadline, |token, at| is_queued(all, token, at));
            drop(tasks);
            drop(over);
            false
        }
    }

    fn queue_deadline(&self) {
        let Some(deadline) = self.deadline.unqueued() else { return };
        let mut tasks = lock(&self.engine.tasks);
        let Tasks { all, timers, polls_until } = &mut *tasks;
        timers.add(deadline, self.token, &self.deadline, |token, at| is_queued(all, token, at));
        let late = polls_until.is_some_and(|until| until.is_none_or(|until| deadline < until));
        drop(tasks);
        if late {
            self.engine.notify();
        }
    }
}

/// Whether the timers check this task at this time.
fn is_queued(tasks: &Slab<Arc<Task>>, token: usize, at: Instant) -> bool {
    tasks.get(token).is_some_and(|task| task.deadline.is_queued(at))
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.state.call() {
            self.add();
        }
    }
}
