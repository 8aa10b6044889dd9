//! Runs work that may block, such as a blocking application or reading a file, where it does not hold up the tasks of
//! other connections.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::sync::{Mutex, lock};

type Work = Box<dyn FnOnce() + Send>;

/// Where blocking work runs.
#[derive(Clone, Default)]
pub(crate) enum Blocking {
    /// On a separate thread.
    #[default]
    Thread,
    /// On the threads that the runtime has for it.
    Pool(Arc<dyn Fn(Work) + Send + Sync>),
    /// In the task that needs it: the threads of the runtime may block.
    InPlace,
}

impl Blocking {
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self, Self::InPlace)
    }

    /// Runs `work` and returns its result. If this future is dropped, the result is lost, and work that has not begun is
    /// dropped, too.
    ///
    /// # Errors
    ///
    /// The work was dropped or has panicked, or no thread is available.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<R> {
        if self.is_in_place() { Ok(work()) } else { self.run_elsewhere(work).await }
    }

    /// Like [`run`](Self::run), but never in the calling task, even if its thread may block.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    pub(crate) async fn run_elsewhere<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<R> {
        let shared = Arc::new(Mutex::new(Progress::Pending(None)));
        let (job, waits) = (Job(Arc::clone(&shared)), Waits(shared));
        self.spawn(move || {
            if !job.is_abandoned() {
                job.end(Progress::Done(work()));
            }
        })?;
        let result = poll_fn(|context| poll(&waits.0, context)).await;
        result.ok_or_else(|| io::Error::other("the work was dropped: its threads have shut down"))
    }

    /// Has another thread run `work`, which must not panic. A pool may drop it instead, on any thread.
    ///
    /// # Errors
    ///
    /// No thread is available.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        match self {
            Self::Pool(pool) => pool(Box::new(work)),
            Self::Thread | Self::InPlace => {
                thread::Builder::new().name("wsgi-blocking".into()).spawn(work)?;
            }
        }
        Ok(())
    }
}

/// The part that the waiting task holds.
struct Waits<R>(Arc<Mutex<Progress<R>>>);

impl<R> Drop for Waits<R> {
    fn drop(&mut self) {
        let progress = mem::replace(&mut *lock(&self.0), Progress::Dropped);
        // Not under the lock: it may be a value of the application.
        drop(progress);
    }
}

enum Progress<R> {
    Pending(Option<Waker>),
    Done(R),
    /// The work was dropped.
    Dropped,
}

fn poll<R>(shared: &Mutex<Progress<R>>, context: &Context<'_>) -> Poll<Option<R>> {
    let mut progress = lock(shared);
    match mem::replace(&mut *progress, Progress::Dropped) {
        Progress::Pending(_) => {
            *progress = Progress::Pending(Some(context.waker().clone()));
            Poll::Pending
        }
        Progress::Done(result) => Poll::Ready(Some(result)),
        Progress::Dropped => Poll::Ready(None),
    }
}

/// The part that the work holds. If it is dropped before the end, no task waits indefinitely.
struct Job<R>(Arc<Mutex<Progress<R>>>);

impl<R> Job<R> {
    /// Whether no task waits for the result any more.
    fn is_abandoned(&self) -> bool {
        matches!(*lock(&self.0), Progress::Dropped)
    }

    fn end(&self, end: Progress<R>) {
        let mut progress = lock(&self.0);
        if let Progress::Pending(waker) = &mut *progress {
            let waker = waker.take();
            *progress = end;
            drop(progress);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl<R> Drop for Job<R> {
    fn drop(&mut self) {
        self.end(Progress::Dropped);
    }
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread => "Thread",
            Self::Pool(_) => "Pool",
            Self::InPlace => "InPlace",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::mpsc::channel;
    use std::task::Wake;
    use std::thread::Thread;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn block_on<R>(future: impl Future<Output = R>) -> R {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }

    #[test]
    fn the_result_arrives_wherever_the_work_runs() {
        let (send, receive) = channel::<Work>();
        let pool = thread::spawn(move || receive.into_iter().for_each(|work| work()));
        let send = Mutex::new(send);
        let to_pool = Blocking::Pool(Arc::new(move |work| lock(&send).send(work).expect("it receives")));
        for blocking in [Blocking::Thread, Blocking::InPlace, to_pool] {
            let here = thread::current().id();
            let there = block_on(blocking.run(|| thread::current().id())).expect("it is done");
            assert_eq!(here == there, blocking.is_in_place(), "{blocking:?}");
        }
        pool.join().expect("it ends with its sender");
    }

    #[test]
    fn work_that_is_dropped_or_panics_is_an_error() {
        let dropping = Blocking::Pool(Arc::new(drop));
        assert!(block_on(dropping.run(|| ())).is_err());
        let panicking: fn() = || panic!("on purpose");
        assert!(block_on(Blocking::Thread.run(panicking)).is_err());
    }
}
