//! Runs the accept loop as a separate task.
//!
//! The future that a user awaits may be the root of an executor, which polls it only when no task is ready. Connections
//! that always have something to do would then keep new ones out.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use smol::future::Boxed;
use wsgi_app::Report;

/// The accept loop. Its task polls it until the server stops; then the owner does, so that a stop needs no thread of the
/// executor, whose applications may block all of them.
struct Shared {
    /// `None` once it has completed, or was dropped by the owner.
    accepting: Option<Boxed<io::Result<Report>>>,
    result: Option<io::Result<Report>>,
    by_owner: bool,
    task: Option<Waker>,
    owner: Option<Waker>,
}

/// Runs `accepting` in a task that `spawn` starts, until `poll_stop` is ready; then in the calling task. Dropping the
/// returned future drops `accepting`.
///
/// The caller keeps the executor alive: if `accepting` were its last owner, it would drop the task while it is polled.
pub(crate) async fn run(
    mut accepting: Boxed<io::Result<Report>>,
    spawn: impl FnOnce(Boxed<()>),
    poll_stop: impl Fn(&mut Context<'_>) -> Poll<()>,
) -> io::Result<Report> {
    // The first poll begins to accept.
    if let Poll::Ready(result) = poll_fn(|context| Poll::Ready(accepting.as_mut().poll(context))).await {
        return result;
    }
    let shared =
        Shared { accepting: Some(accepting), result: None, by_owner: false, task: None, owner: None };
    let shared = Arc::new(Mutex::new(shared));
    let owner = Owner(Arc::clone(&shared));
    spawn(Box::pin(Task(shared)));
    poll_fn(|context| owner.poll(context, &poll_stop)).await
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(accepting) = &mut self.accepting
            && let Poll::Ready(result) = accepting.as_mut().poll(context)
        {
            (self.accepting, self.result) = (None, Some(result));
        }
    }
}

struct Task(Arc<Mutex<Shared>>);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut shared = lock(&self.0);
        if shared.by_owner {
            return Poll::Ready(());
        }
        if !shared.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            shared.task = Some(context.waker().clone());
        }
        shared.poll(context);
        if shared.accepting.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // It has completed, it panicked, or its executor was dropped.
        let mut shared = lock(&self.0);
        shared.by_owner = true;
        let owner = shared.owner.take();
        drop(shared);
        owner.into_iter().for_each(Waker::wake);
    }
}

struct Owner(Arc<Mutex<Shared>>);

impl Owner {
    fn poll(
        &self,
        context: &mut Context<'_>,
        poll_stop: impl Fn(&mut Context<'_>) -> Poll<()>,
    ) -> Poll<io::Result<Report>> {
        let mut shared = lock(&self.0);
        shared.by_owner |= poll_stop(context).is_ready();
        shared.owner = Some(context.waker().clone());
        let mut task = None;
        if shared.by_owner {
            shared.poll(context);
            // The task sees that it is over.
            task = shared.task.take();
        }
        let result = shared.result.take();
        drop(shared);
        task.into_iter().for_each(Waker::wake);
        result.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.by_owner = true;
        let (accepting, task) = (shared.accepting.take(), shared.task.take());
        drop(shared);
        drop(accepting);
        task.into_iter().for_each(Waker::wake);
    }
}
