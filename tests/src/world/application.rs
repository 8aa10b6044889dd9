//! The application of a world: follows the plan for each request, and checks what it reads.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream as Blocks;
use wsgi_app::{Body, Environ, Input, NO_HEADERS, Result, StartError, StartResponse, Stream, Write};

use crate::world::plan::{Gives, Reads, Request, letter};
use crate::world::shared::{Alive, Shared, request_id};
use crate::world::time::{Nanos, SECOND};

/// What seeded panics say.
pub(crate) const PANIC: &str = "a panic of the plan";

/// Serves one request.
pub(crate) async fn serve(shared: Arc<Shared>, environ: Environ, start: StartResponse) -> Result<Body> {
    let alive = shared.alive();
    let Some(id) = request_id(environ.head().path()) else {
        start.start("404 Not Found", [("Content-Length", "0")])?;
        return Ok(Body::empty());
    };
    shared.notes().calls[id] += 1;
    let request = &shared.plan.requests[id];
    accompany(&shared, request, &environ, &start);
    read(&shared, id, request, &environ.input()).await?;
    if request.waits > 0 {
        shared.sleep(request.waits).await;
    }
    shared.clock.advance(request.computes);
    give(&shared, id, request, &environ, &start, alive).await
}

/// The tasks beside the application, and its hook.
fn accompany(shared: &Arc<Shared>, request: &Request, environ: &Environ, start: &StartResponse) {
    if request.watches {
        let (input, alive) = (environ.input(), shared.alive());
        shared.spawner.spawn("wait until the client is gone", async move {
            input.client_gone().await;
            drop((input, alive));
        });
    }
    if request.late {
        let (environ, start, shared_too) = (environ.clone(), start.clone(), Arc::clone(shared));
        shared.spawner.spawn("late handle", async move {
            shared_too.sleep(5 * SECOND).await;
            if start.inform("103 Early Hints", NO_HEADERS) != Err(StartError::Over) {
                return;
            }
            let read = environ.input().read_to_end().await;
            if read.is_ok() || start.start("200 OK", NO_HEADERS).is_ok() {
                shared_too.fault(String::from("a handle works although its exchange is over"));
            }
        });
    }
    if request.hook {
        let alive = shared.alive();
        environ.add_post_hook(move |_, _| drop(alive));
    }
}

async fn read(shared: &Arc<Shared>, id: usize, request: &Request, input: &Input) -> Result<()> {
    match request.reads {
        Reads::Nothing => {}
        Reads::All => {
            let body = input.read_to_end().await?;
            check(shared, id, &body, request.body);
        }
        Reads::Some(size) => {
            let body = input.read(size).await?;
            check(shared, id, &body, size.min(request.body));
        }
        Reads::Elsewhere => {
            let (result, handle) = (Arc::new(Shelf::default()), input.clone());
            let given = Arc::clone(&result);
            shared.spawner.spawn("read elsewhere", async move {
                let body = handle.read_to_end().await;
                given.put(body);
            });
            // A client that sends no more may end the exchange for the one and not for the other.
            let body = result.get().await?;
            check(shared, id, &body, request.body);
        }
        Reads::Both => {
            let result = Arc::new(Shelf::default());
            let (handle, given) = (input.clone(), Arc::clone(&result));
            shared.spawner.spawn("read at the same time", async move {
                let body = handle.read_to_end().await;
                given.put(body);
            });
            let mut mine = Vec::new();
            loop {
                let part = input.read_some(300).await?;
                if part.is_empty() {
                    break;
                }
                mine.extend(part);
            }
            mine.extend(result.get().await?);
            check(shared, id, &mine, request.body);
        }
    }
    Ok(())
}

/// Whether these are all bytes of that body.
fn check(shared: &Shared, id: usize, body: &[u8], wanted: usize) {
    if body.len() != wanted {
        shared.fault(format!("request {id}: read {} bytes of a body, wanted {wanted}", body.len()));
    }
    if body.iter().any(|&byte| byte != letter(id)) {
        shared.fault(format!("request {id}: read bytes of another request"));
    }
}

/// A value that one task passes to another.
struct Shelf<T>(std::sync::Mutex<(Option<T>, Option<std::task::Waker>)>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(std::sync::Mutex::new((None, None)))
    }
}

impl<T> Shelf<T> {
    fn put(&self, value: T) {
        let mut inner = self.0.lock().expect("no panic in here");
        inner.0 = Some(value);
        let waker = inner.1.take();
        drop(inner);
        waker.into_iter().for_each(std::task::Waker::wake);
    }

    fn get(&self) -> impl Future<Output = T> {
        poll_fn(|context| {
            let mut inner = self.0.lock().expect("no panic in here");
            if let Some(value) = inner.0.take() {
                return Poll::Ready(value);
            }
            inner.1 = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

fn head(start: &StartResponse, id: usize, status: &str, length: Option<usize>) -> Result<Write> {
    let mut fields = vec![("X-Id", id.to_string())];
    fields.extend(length.map(|length| ("Content-Length", length.to_string())));
    Ok(start.start(status, fields)?)
}

fn block(id: usize, size: usize) -> Bytes {
    vec![letter(id); size].into()
}

async fn give(
    shared: &Arc<Shared>,
    id: usize,
    request: &Request,
    environ: &Environ,
    start: &StartResponse,
    alive: Alive,
) -> Result<Body> {
    let ok = |length| head(start, id, "200 OK", length);
    match request.gives {
        Gives::Bytes(size) => {
            ok(None)?;
            Ok(Body::from(block(id, size)))
        }
        Gives::Blocks(count, size) => {
            ok(None)?;
            Ok(Body::blocks((0..count).map(|_| block(id, size))))
        }
        Gives::Iterator(count, size) => {
            ok(None)?;
            Ok(Body::iterator((0..count).map(move |_| {
                let _ = &alive;
                Ok(block(id, size))
            })))
        }
        Gives::Stream(left, size, wait) => {
            ok(if id.is_multiple_of(2) { None } else { Some(left * size) })?;
            let shared = Arc::clone(shared);
            Ok(Body::stream(Slow { shared, id, left, size, wait, sleep: None, _alive: alive }))
        }
        Gives::Write(count, size) => {
            let write = ok(if id.is_multiple_of(2) { None } else { Some(count * size) })?;
            for _ in 0..count {
                write.write(block(id, size)).await?;
            }
            write.flush().await;
            Ok(Body::empty())
        }
        Gives::WriteElsewhere(count, size) => {
            let write = ok(None)?;
            let done = Arc::new(Shelf::default());
            let given = Arc::clone(&done);
            shared.spawner.spawn("write elsewhere", async move {
                let mut result = Ok(());
                for _ in 0..count {
                    result = write.write(block(id, size)).await;
                    if result.is_err() {
                        break;
                    }
                }
                write.flush().await;
                given.put(result);
            });
            done.get().await?;
            Ok(Body::empty())
        }
        Gives::Fail => Err("a failure of the plan".into()),
        Gives::FailLate(size) => {
            ok(None)?.write(block(id, size)).await?;
            Err("a late failure of the plan".into())
        }
        Gives::Panic => std::panic::panic_any(PANIC),
        Gives::PanicLate(size) => {
            ok(None)?.write(block(id, size)).await?;
            std::panic::panic_any(PANIC)
        }
        Gives::Forever => {
            shared.notes().forever += 1;
            pending().await
        }
        Gives::Nothing => Ok(Body::empty()),
        Gives::TakeOver => {
            switch(start, id)?;
            echo(environ.input().take_over().await?).await;
            Ok(Body::empty())
        }
        Gives::TakeOverElsewhere => {
            switch(start, id)?;
            let input = environ.input();
            shared.spawner.spawn("echo elsewhere", async move {
                let _alive = alive;
                if let Ok(stream) = input.take_over().await {
                    echo(stream).await;
                }
            });
            Ok(Body::empty())
        }
        Gives::TakeOverDropped => {
            switch(start, id)?;
            let input = environ.input();
            let mut asked = Box::pin(async move { input.take_over().await.map(drop) });
            poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_ready())).await;
            Ok(Body::empty())
        }
    }
}

fn switch(start: &StartResponse, id: usize) -> Result<Write> {
    let fields = [("X-Id", id.to_string()), ("Upgrade", "echo".into())];
    Ok(start.start("101 Switching Protocols", fields)?)
}

/// Echoes what it receives until the client ends.
async fn echo(mut stream: Stream) {
    let mut space = [0; 512];
    while let Ok(count @ 1..) = stream.read(&mut space).await {
        if stream.write_all(&space[..count]).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

/// Blocks that come one by one.
struct Slow {
    shared: Arc<Shared>,
    id: usize,
    left: usize,
    size: usize,
    wait: Nanos,
    sleep: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _alive: Alive,
}

impl Blocks for Slow {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let (shared, wait) = (Arc::clone(&self.shared), self.wait);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(shared.sleep(wait)));
        if sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        self.left -= 1;
        Poll::Ready(Some(Ok(block(self.id, self.size))))
    }
}

/// Panics of the plan are not reported on standard error; others are.
pub(crate) fn quiet_panics() {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&PANIC) {
                earlier(info);
            }
        }));
    });
}
