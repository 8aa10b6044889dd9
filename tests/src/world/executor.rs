//! A seeded executor on one thread: which task runs next, and which report of the system arrives first, is drawn.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;
type Local = Pin<Box<dyn Future<Output = ()>>>;

/// Where tasks are added and woken. Clones belong to the same executor.
#[derive(Clone, Default)]
pub(crate) struct Spawner(Arc<Mutex<Queues>>);

#[derive(Default)]
struct Queues {
    ready: Vec<usize>,
    spawned: Vec<(&'static str, Boxed)>,
}

impl Spawner {
    /// Adds a task; `name` identifies it in a report.
    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.with(|queues| queues.spawned.push((name, Box::pin(task))));
    }

    fn with<R>(&self, call: impl FnOnce(&mut Queues) -> R) -> R {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spawner")
    }
}

struct Task {
    name: &'static str,
    /// `None` when it has ended.
    future: Option<Local>,
    state: Arc<TaskWaker>,
    waker: Waker,
}

struct TaskWaker {
    number: usize,
    queued: AtomicBool,
    spawner: Spawner,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.spawner.with(|queues| queues.ready.push(self.number));
        }
    }
}

/// The tasks of one world.
#[derive(Default)]
pub(crate) struct Executor {
    pub(crate) spawner: Spawner,
    tasks: Vec<Task>,
}

impl Executor {
    /// Takes in the tasks that were added, and returns how many tasks can run.
    pub(crate) fn ready(&mut self) -> usize {
        let spawned = self.spawner.with(|queues| std::mem::take(&mut queues.spawned));
        spawned.into_iter().for_each(|(name, future)| self.add(name, future));
        self.spawner.with(|queues| queues.ready.len())
    }

    /// Adds a task.
    pub(crate) fn add(&mut self, name: &'static str, future: Local) {
        let number = self.tasks.len();
        let state =
            Arc::new(TaskWaker { number, queued: AtomicBool::new(false), spawner: self.spawner.clone() });
        let waker = Waker::from(Arc::clone(&state));
        waker.wake_by_ref();
        self.tasks.push(Task { name, future: Some(future), state, waker });
    }

    /// Runs the ready task at place `at` of the queue.
    pub(crate) fn run(&mut self, at: usize) {
        let number = self.spawner.with(|queues| queues.ready.remove(at));
        let task = &mut self.tasks[number];
        task.state.queued.store(false, Ordering::Relaxed);
        let Some(future) = &mut task.future else { return };
        if let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&task.waker)) {
            task.future = None;
        }
    }

    /// Drops the first task that is called `name`.
    pub(crate) fn cancel(&mut self, name: &str) {
        let task = self.tasks.iter_mut().find(|task| task.name == name);
        if let Some(task) = task {
            task.future = None;
        }
    }

    /// The names of the tasks that have not ended.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &'static str> {
        self.tasks.iter().filter(|task| task.future.is_some()).map(|task| task.name)
    }
}
