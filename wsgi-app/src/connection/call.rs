//! What a connection needs while its application has a request: the future of the application, the environ, the body.
//!
//! It has its own memory, because the future can be large, and an idle connection should be small. The memory is taken
//! from the pool of the thread, so that a request allocates nothing.

use std::any::Any;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use pin_project_lite::pin_project;
use wsgi_proto::{Endpoints, Head};

use crate::application::Application;
use crate::application::blocking::Blocking;
use crate::application::body::Body;
use crate::application::environ::Environ;
use crate::application::raw::{Raw, RawRequest, is_raw};
use crate::application::start_response::StartResponse;
use crate::connection::sending::Sending;
use crate::context::pool;
use crate::exchange::error::{InputError, Result};
use crate::exchange::handle::Handle;
use crate::exchange::shared::Inner;
use crate::server::Server;

/// The size of the largest future whose memory is kept, in bytes.
const LARGEST: usize = 16 * 1024;

/// One request, while the application has it and until its hooks have run.
pub(crate) struct Request<A> {
    call: Pin<Box<dyn Call<A>>>,
    /// `None` once it was dropped.
    pub(super) environ: Option<Environ>,
    /// Instead of the environ, if the application is raw.
    raw: Option<RawCall<A>>,
    /// The part of the request body that has arrived before the application is called.
    received: BytesMut,
    body: Sending,
    /// The environ is kept for hooks, which run after the exchange.
    pub(super) has_hooks: bool,
}

/// One request of a raw application.
struct RawCall<A> {
    /// Until the application has returned.
    server: Option<Arc<Server<A>>>,
    request: RawRequest,
}

impl<A: Application> Request<A> {
    /// Begins a new request. The application is called when it is polled.
    #[inline(always)]
    pub(super) fn begin(
        kept: Option<Box<Self>>,
        server: Arc<Server<A>>,
        head: Arc<Head>,
        endpoints: Endpoints,
        handle: Handle,
    ) -> Box<Self> {
        let kept = match kept {
            None => pool::take(),
            kept => kept,
        };
        let mut request = kept.unwrap_or_else(Self::make);
        if is_raw::<A>() {
            let raw = RawRequest { head, endpoints, handle };
            request.raw = Some(RawCall { server: Some(server), request: raw });
            return request;
        }
        let environ = Environ::new(request.environ.take(), head, endpoints, handle.clone());
        request.call.as_mut().begin(server, environ.clone(), StartResponse::new(handle));
        request.environ = Some(environ);
        request
    }

    #[cold]
    fn make() -> Box<Self> {
        let (environ, raw, body) = (None, None, Sending::default());
        let received = BytesMut::new();
        Box::new(Self { call: boxed(call), environ, raw, received, body, has_hooks: false })
    }

    /// Receives the request body, at most `most` bytes of it, before the application is polled.
    ///
    /// # Errors
    ///
    /// The connection is lost: there is nothing to call the application for.
    pub(super) fn poll_receive(
        &mut self,
        most: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), InputError>> {
        let handle = opened(self.environ.as_ref(), self.raw.as_ref()).1;
        handle.poll_receive(&mut self.received, most, context)
    }

    /// Polls the application. Returns the server that was passed to [`begin`](Self::begin) and the result.
    pub(super) fn poll_call(&mut self, context: &mut Context<'_>) -> Poll<(Arc<Server<A>>, Result<Body>)> {
        if is_raw::<A>()
            && let Some(RawCall { server, request }) = &mut self.raw
            && let Some(server) = server.take()
            && let Some(Blocking(Raw(application))) = (&server.application as &dyn Any).downcast_ref()
        {
            let result = application.call(request);
            return Poll::Ready((server, result));
        }
        self.call.as_mut().poll(context)
    }

    /// Makes the memory ready for another request, after the exchange and under the lock: runs no code of the
    /// application. Returns false if values of the application have to be dropped outside the lock.
    #[inline(always)]
    pub(super) fn release(&mut self, inner: &mut Inner) -> bool {
        if is_raw::<A>() {
            self.raw = None;
            return true;
        }
        let has_values =
            !inner.maps.is_empty() || self.environ.as_mut().is_some_and(|environ| !environ.release());
        !has_values || self.keep_hooks(inner)
    }

    /// Keeps the environ if it has hooks. Returns whether there are no other values of the application.
    #[cold]
    fn keep_hooks(&mut self, inner: &mut Inner) -> bool {
        self.has_hooks = self.environ.as_ref().is_some_and(Environ::has_hooks);
        if self.has_hooks {
            // They see what was really sent.
            inner.machine.flush_before_record();
        }
        self.has_hooks && inner.maps.is_empty()
    }

    /// The head and the handle of the open request.
    pub(super) fn opened(&self) -> (&Head, &Handle) {
        opened(self.environ.as_ref(), self.raw.as_ref())
    }

    /// The body of the open request, and the handle to send it.
    pub(super) fn body(&mut self) -> (&mut Sending, &Handle) {
        (&mut self.body, opened(self.environ.as_ref(), self.raw.as_ref()).1)
    }

    /// The environ, if it was kept for its hooks.
    pub(super) fn take_hooked(&mut self) -> Option<Environ> {
        if mem::take(&mut self.has_hooks) { self.environ.take() } else { None }
    }

    /// Drops the application's future and body.
    pub(super) fn clear(&mut self) {
        self.call.as_mut().clear();
        self.received = BytesMut::new();
        self.body.clear();
    }

    /// Keeps the memory for another request of any connection on this thread.
    #[inline(always)]
    pub(super) fn keep(self: Box<Self>) {
        if !self.has_hooks && size_of_val(&*self.call) <= LARGEST {
            pool::put(self);
        }
    }
}

fn opened<'a, A>(environ: Option<&'a Environ>, raw: Option<&'a RawCall<A>>) -> (&'a Head, &'a Handle) {
    match (raw, environ) {
        (Some(RawCall { request, .. }), _) => (&request.head, &request.handle),
        (None, environ) => {
            let environ = environ.expect("it is kept until the end");
            (environ.head(), environ.handle())
        }
    }
}

/// Calls an application of a server that is passed in and returned, since the call must not borrow from its connection.
async fn call<A: Application>(
    server: Arc<Server<A>>,
    environ: Environ,
    start_response: StartResponse,
) -> (Arc<Server<A>>, Result<Body>) {
    let result = server.application.call(environ, start_response).await;
    (server, result)
}

/// Memory for the future of one call at a time.
trait Call<A>: Send {
    fn begin(self: Pin<&mut Self>, server: Arc<Server<A>>, environ: Environ, start_response: StartResponse);

    /// Polls the future, and drops it when it is ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<(Arc<Server<A>>, Result<Body>)>;

    /// Drops the future.
    fn clear(self: Pin<&mut Self>);
}

pin_project! {
    struct Slot<C, F> {
        call: C,
        #[pin]
        future: Option<F>,
    }
}

impl<A, C, F> Call<A> for Slot<C, F>
where
    C: Fn(Arc<Server<A>>, Environ, StartResponse) -> F + Send,
    F: Future<Output = (Arc<Server<A>>, Result<Body>)> + Send,
{
    fn begin(self: Pin<&mut Self>, server: Arc<Server<A>>, environ: Environ, start_response: StartResponse) {
        let mut this = self.project();
        let future = (this.call)(server, environ, start_response);
        this.future.set(Some(future));
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<(Arc<Server<A>>, Result<Body>)> {
        let mut future = self.project().future;
        let polled = future.as_mut().as_pin_mut().expect("it has begun").poll(context);
        if polled.is_ready() {
            future.set(None);
        }
        polled
    }

    fn clear(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }
}

fn boxed<A, F>(
    call: impl Fn(Arc<Server<A>>, Environ, StartResponse) -> F + Send + 'static,
) -> Pin<Box<dyn Call<A>>>
where
    A: Application,
    F: Future<Output = (Arc<Server<A>>, Result<Body>)> + Send + 'static,
{
    Box::pin(Slot { call, future: None })
}
