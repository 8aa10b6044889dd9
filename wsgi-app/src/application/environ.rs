//! WSGI's `environ`: the request as the application sees it.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::Arc;

use wsgi_proto::{Endpoints, Head, Record, Variables, latin1};

use crate::application::input::Input;
use crate::context::log::one_line;
use crate::exchange::handle::Handle;
use crate::exchange::stopping::Stopping;
use crate::io::tls::Tls;
use crate::sync::{Mutex, MutexGuard, get_mut, lock};

type Hook = Box<dyn FnOnce(&Environ, &Record) + Send>;

/// One request, shared by the application, its middleware and its post hooks: WSGI's `environ`.
///
/// ```
/// use wsgi_app::{Body, Environ, Result, StartResponse};
///
/// async fn describe(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let agent = environ.header("User-Agent").unwrap_or("unknown".into());
///     let client = environ.get("REMOTE_ADDR").unwrap_or_default();
///     let text = format!(
///         "{} {}?{} {client} {agent}\n",
///         environ.method(),
///         environ.path(),
///         environ.query()
///     );
///     start_response.start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])?;
///     Ok(text.into())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(describe);
/// ```
///
/// Clones are cheap and show the same request: all of them see a change that one of them makes. Variables stay
/// readable after the response, for as long as a clone exists. [`input`](Self::input) then returns a handle whose calls
/// fail.
///
/// # Text
///
/// Bytes outside ASCII appear as latin-1, one character per byte, as PEP 3333 defines. So the UTF-8 path `/café`, which a
/// client sends as `/caf%C3%A9`, appears as `/cafÃ©`. [`path_utf8`](Self::path_utf8) and
/// [`query_pairs`](Self::query_pairs) return UTF-8. For other values, such as a header field, turn the characters back into
/// bytes:
///
/// ```
/// # use std::string::FromUtf8Error;
/// fn utf8(latin1: &str) -> Result<String, FromUtf8Error> {
///     String::from_utf8(latin1.chars().map(|char| char as u8).collect())
/// }
///
/// // As `environ.header("X-Place")` returns it for `X-Place: café`.
/// assert_eq!(utf8("caf\u{c3}\u{a9}").unwrap(), "café");
/// # assert!(utf8("caf\u{e9}").is_err());
/// ```
///
/// [`head`](Self::head) has the bytes as received, with the path still percent-encoded.
#[derive(Clone)]
pub struct Environ(Arc<Request>);

pub(crate) struct Request {
    /// `None` only while this memory is not in use.
    open: Option<(Arc<Head>, Handle)>,
    endpoints: Endpoints,
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    /// Variables that were set or removed (`None`), each name once.
    variables: Vec<(String, Option<String>)>,
    /// Created with the first value.
    extensions: Option<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    hooks: Vec<Hook>,
}

impl Environ {
    /// The environ of one request. Reuses the memory of `spare`, which was [released](Self::release).
    #[inline(always)]
    pub(crate) fn new(spare: Option<Self>, head: Arc<Head>, endpoints: Endpoints, handle: Handle) -> Self {
        let Some(mut environ) = spare else { return Self::make(head, endpoints, handle) };
        match Arc::get_mut(&mut environ.0) {
            Some(request) if request.open.is_none() => {
                request.open = Some((head, handle));
                request.endpoints = endpoints;
                environ
            }
            _ => Self::make(head, endpoints, handle),
        }
    }

    #[cold]
    fn make(head: Arc<Head>, endpoints: Endpoints, handle: Handle) -> Self {
        Self(Arc::new(Request { open: Some((head, handle)), endpoints, changes: Mutex::default() }))
    }

    /// Makes the memory of this environ ready for another request, and drops the head, so that the machine can reuse
    /// that too. Runs no code of the application.
    ///
    /// No effect, and false, if the application has kept a clone, or has left hooks or values.
    #[inline(always)]
    pub(crate) fn release(&mut self) -> bool {
        let Some(request) = Arc::get_mut(&mut self.0) else { return false };
        let changes = get_mut(&mut request.changes);
        if !changes.hooks.is_empty() || changes.extensions.is_some() {
            return false;
        }
        changes.variables.clear();
        request.open = None;
        true
    }

    fn open(&self) -> &(Arc<Head>, Handle) {
        self.0.open.as_ref().expect("it is in use")
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.open().1
    }

    /// A CGI or WSGI variable as a string, such as `REQUEST_METHOD`, `PATH_INFO`, `HTTP_ACCEPT` or `wsgi.url_scheme`;
    /// `None` if the request has no such variable. Names are case-sensitive.
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// fn client(environ: &Environ) -> String {
    ///     environ.get("REMOTE_ADDR").unwrap_or_else(|| "unknown".to_owned())
    /// }
    /// ```
    ///
    /// The string is made by each call. Bytes outside ASCII are latin-1, see [Text](Self#text). A change
    /// made by [`set`](Self::set) or [`remove`](Self::remove) overrides the request, the request overrides the option
    /// `environ`, and the option overrides the server's defaults.
    pub fn get(&self, name: &str) -> Option<String> {
        if let Some((_, value)) = self.changes().variables.iter().rev().find(|(key, _)| key == name) {
            return value.clone();
        }
        self.variables().get(name).map(Cow::into_owned)
    }

    /// Sets a variable for code that reads it later: inner applications and post hooks.
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// # fn authenticate(environ: &Environ) {
    /// environ.set("REMOTE_USER", "alice");
    /// assert_eq!(environ.get("REMOTE_USER").as_deref(), Some("alice"));
    /// # }
    /// ```
    ///
    /// [`get`](Self::get), [`to_map`](Self::to_map), [`method`](Self::method), [`path`](Self::path) and
    /// [`query`](Self::query) return the new value; [`header`](Self::header), [`head`](Self::head) and the access log
    /// keep what the client sent. The server does not act on the change.
    pub fn set(&self, name: impl Into<String>, value: impl Into<String>) {
        self.change(name.into(), Some(value.into()));
    }

    /// Removes a variable: [`get`](Self::get) then returns `None`. No effect if there is no such variable.
    pub fn remove(&self, name: impl Into<String>) {
        self.change(name.into(), None);
    }

    fn change(&self, name: String, value: Option<String>) {
        let mut changes = self.changes();
        changes.variables.retain(|(key, _)| *key != name);
        changes.variables.push((name, value));
    }

    /// All variables with their values, with changes made by [`set`](Self::set) and [`remove`](Self::remove).
    /// [`for_each`](Self::for_each) makes no copies.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        self.for_each(|name, value| drop(map.insert(name.to_owned(), value.to_owned())));
        map
    }

    /// Calls `visit` with the name and value of each variable, with changes made by [`set`](Self::set) and
    /// [`remove`](Self::remove). It makes no string for each of them, unlike [`to_map`](Self::to_map).
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// fn dump(environ: &Environ) -> String {
    ///     let mut text = String::new();
    ///     environ.for_each(|name, value| text.extend([name, ": ", value, "\n"]));
    ///     text
    /// }
    /// ```
    pub fn for_each(&self, mut visit: impl FnMut(&str, &str)) {
        // `visit` may call this environ, so it runs outside the lock.
        let changed = self.changes().variables.clone();
        if changed.is_empty() {
            return self.variables().for_each(visit);
        }
        self.variables().for_each(|name, value| {
            if changed.iter().all(|(key, _)| key != name) {
                visit(name, value);
            }
        });
        for (name, value) in &changed {
            if let Some(value) = value {
                visit(name, value);
            }
        }
    }

    /// The method (`REQUEST_METHOD`), in the case that the client sent; empty if it was [removed](Self::remove).
    pub fn method(&self) -> Cow<'_, str> {
        self.changed("REQUEST_METHOD").unwrap_or_else(|| self.head().method().into())
    }

    /// The path, percent-decoded once, as latin-1 (`PATH_INFO`); empty if it was [removed](Self::remove).
    ///
    /// [`path_utf8`](Self::path_utf8) has the same as UTF-8. `%2F` becomes `/`, but not in [`segments`](Self::segments); the path
    /// as sent is `environ.head().path()`.
    pub fn path(&self) -> Cow<'_, str> {
        self.changed("PATH_INFO").unwrap_or_else(|| wsgi_proto::decode_path(self.head().path()))
    }

    /// The part of the target after the first `?`, not decoded; empty if there is no `?` (`QUERY_STRING`).
    /// [`query_pairs`](Self::query_pairs) decodes its names and values.
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// fn with_query(location: &str, environ: &Environ) -> String {
    ///     format!("{location}?{}", environ.query())
    /// }
    /// ```
    pub fn query(&self) -> Cow<'_, str> {
        self.changed("QUERY_STRING").unwrap_or_else(|| latin1(self.head().query().unwrap_or_default()))
    }

    /// The value that a variable was [set](Self::set) to: empty if it was removed, `None` if it was not changed.
    pub(crate) fn changed(&self, name: &str) -> Option<Cow<'_, str>> {
        let changes = self.changes();
        let (_, value) = changes.variables.iter().find(|(key, _)| key == name)?;
        Some(value.clone().unwrap_or_default().into())
    }

    /// The value of the first header field called `name`, in any case, as the client sent it; `None` without such a
    /// field.
    ///
    /// Bytes outside ASCII are latin-1. For repeated fields use [`headers`](Self::headers), or [`get`](Self::get), which
    /// joins them with commas. [`set`](Self::set) has no effect on it.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.head().value(name).map(latin1)
    }

    /// The head as received: raw target, every field in its order and original case (`headers_raw`).
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// fn raw_path(environ: &Environ) -> &[u8] {
    ///     environ.head().path()
    /// }
    /// ```
    pub fn head(&self) -> &Arc<Head> {
        &self.open().0
    }

    /// The addresses and the scheme of the connection (`REMOTE_ADDR`, `REMOTE_PORT`, `SERVER_NAME`, `SERVER_PORT`,
    /// `wsgi.url_scheme`). Behind a proxy, the remote address is the proxy's.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    /// What TLS has negotiated on this connection: the client's certificates, the server name, the ALPN protocol, the
    /// version. `None` if the connection is not encrypted, as behind a proxy that ends TLS.
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// fn is_known(environ: &Environ, allowed: &[u8]) -> bool {
    ///     let certificates = environ.tls().map_or(&[][..], |tls| tls.peer_certificates());
    ///     certificates.first().is_some_and(|certificate| certificate == allowed)
    /// }
    /// ```
    pub fn tls(&self) -> Option<&Tls> {
        self.handle().tls()
    }

    /// A future that is ready when the server begins to stop: for responses without an end, long polls and streams that were
    /// taken over, which can then say goodbye before they are cut at `graceful_timeout`.
    ///
    /// ```
    /// # use std::future::{Future, poll_fn};
    /// # use std::task::Poll;
    /// # use wsgi_app::{Body, Environ, Result, StartResponse};
    /// # async fn next_event() -> String { String::new() }
    /// async fn long_poll(environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     let (mut stopping, mut event) = (environ.stopping(), Box::pin(next_event()));
    ///     // With tokio: `tokio::select!`.
    ///     let event = poll_fn(|context| match std::pin::Pin::new(&mut stopping).poll(context) {
    ///         Poll::Ready(()) => Poll::Ready(None),
    ///         Poll::Pending => event.as_mut().poll(context).map(Some),
    ///     });
    ///     match event.await {
    ///         Some(event) => {
    ///             start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    ///             Ok(event.into())
    ///         }
    ///         None => {
    ///             start_response.start("503 Service Unavailable", [("Retry-After", "1")])?;
    ///             Ok(Body::empty())
    ///         }
    ///     }
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(long_poll);
    /// ```
    ///
    /// It can be kept after the request, for instance by a task or by the body of the response. It costs nothing until it is
    /// polled. [`Stopping`] describes it; blocking code waits with
    /// [`wait_stopping`](crate::blocking::Environ::wait_stopping).
    pub fn stopping(&self) -> Stopping {
        self.handle().stopping()
    }

    /// Whether the server has begun to stop, or the connection is over: whether [`stopping`](Self::stopping) is ready, for code
    /// that computes for long.
    pub fn is_stopping(&self) -> bool {
        self.handle().is_stopping()
    }

    /// The request body (`wsgi.input`). All handles read the same body: each byte is returned once.
    pub fn input(&self) -> Input {
        Input::new(self.handle().clone())
    }

    /// A writer to the server's log (`wsgi.errors`). Each line becomes one error entry.
    ///
    /// ```
    /// use std::io::Write as _;
    /// # use wsgi_app::{Environ, Result};
    /// # fn report(environ: &Environ) -> Result<()> {
    /// writeln!(environ.errors(), "no stock left")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn errors(&self) -> Errors {
        Errors::new(self.handle().clone())
    }

    /// Keeps a value of any type for code that handles this request later, one value per type. Returns the previous
    /// value of that type.
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// #[derive(Clone)]
    /// struct User {
    ///     name: String,
    /// }
    ///
    /// # fn example(environ: &Environ) {
    /// // In a middleware:
    /// environ.insert(User { name: "alice".to_owned() });
    /// // In the application, or in a post hook:
    /// if let Some(user) = environ.extension::<User>() {
    ///     println!("{}", user.name);
    /// }
    /// # }
    /// ```
    ///
    /// The value is dropped with the last clone of this environ, usually after the post hooks. A value that holds a
    /// clone of the same environ is never dropped.
    pub fn insert<T: Any + Send + Sync>(&self, value: T) -> Option<Arc<T>> {
        let before =
            self.changes().extensions.get_or_insert_default().insert(TypeId::of::<T>(), Arc::new(value))?;
        before.downcast().ok()
    }

    /// A clone of the value of this type that was [inserted](Self::insert); `None` without one. Insert an
    /// [`Arc`] if the type is not `Clone`.
    pub fn extension<T: Any + Clone>(&self) -> Option<T> {
        let value = self.changes().extensions.as_ref()?.get(&TypeId::of::<T>()).cloned()?;
        // Not under the lock: `clone` may call this environ.
        value.downcast_ref().cloned()
    }

    /// Calls `hook` once, after the response was sent completely or the client disconnected (`eventlet.posthooks`).
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// # fn meter(environ: &Environ, customer: String) {
    /// environ.add_post_hook(move |environ, record| {
    ///     let outcome =
    ///         if record.lost.is_some() || record.cut { "incomplete" } else { "complete" };
    ///     println!("{customer} {}: {} bytes, {outcome}", environ.path(), record.body_length);
    /// });
    /// # }
    /// ```
    ///
    /// The hook gets this environ with all its changes, and the [`Record`] of the exchange: bytes sent, status, time,
    /// and whether the client disconnected. Hooks run in the order in which they were added, in the connection's own
    /// task, before the next request on this connection; they should be quick. If a hook panics, that is logged, and
    /// the later hooks still run. A hook that another hook adds runs after those that were added before.
    ///
    /// Add hooks before the response ends. A hook that another task adds later might not be called.
    pub fn add_post_hook(&self, hook: impl FnOnce(&Environ, &Record) + Send + 'static) {
        self.changes().hooks.push(Box::new(hook));
    }

    /// Removes all post hooks added so far, including those of other code (in eventlet:
    /// `environ['eventlet.posthooks'] = []`).
    pub fn clear_post_hooks(&self) {
        let hooks = self.take_hooks();
        // Dropped outside the lock: they may hold handles of this request.
        drop(hooks);
    }

    /// Joins blocks of this response until they have at least `bytes` bytes (`eventlet.minimum_write_chunk_size`); 0
    /// sends each block as it is.
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// # fn stream_events(environ: &Environ) {
    /// // Server-sent events go out one by one, whatever the server's option is.
    /// environ.set_minimum_write_chunk_size(0);
    /// # }
    /// ```
    ///
    /// It replaces the option `minimum_chunk_size` for this request, from the call on. The largest value that counts is
    /// `limits.outbox` (64 KiB by default). Blocks sent with [`Write::write`](crate::Write::write) are never joined. No
    /// effect after the exchange.
    pub fn set_minimum_write_chunk_size(&self, bytes: usize) {
        self.handle().with(|mut exchange| exchange.set_minimum_chunk_size(bytes));
    }

    pub(crate) fn has_hooks(&self) -> bool {
        !self.changes().hooks.is_empty()
    }

    pub(crate) fn take_hooks(&self) -> Vec<impl FnOnce(&Environ, &Record) + Send + use<>> {
        std::mem::take(&mut self.changes().hooks)
    }

    fn variables(&self) -> Variables<'_> {
        Variables::new(self.head(), &self.0.endpoints, &self.handle().server_context().config)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        lock(&self.0.changes)
    }
}

impl fmt::Debug for Environ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environ").field(self.head()).finish()
    }
}

/// A writer to the server's log, for its operator: WSGI's `wsgi.errors`. Each line is one error entry.
///
/// ```
/// use std::io::Write as _;
/// use wsgi_app::{Body, Environ, Result, StartResponse};
///
/// async fn site(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let mut errors = environ.errors();
///     writeln!(errors, "disk almost full")?;
///     write!(errors, "last line, ")?;
///     write!(errors, "without a line feed")?;
///     drop(errors); // logs the last line
///     start_response.start("204 No Content", wsgi_app::NO_HEADERS)?;
///     Ok(Body::empty())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// A line is logged at its line feed, an unfinished one by `flush`, when the writer is dropped, or when it has 8 KiB: a
/// longer line becomes several entries. Each writer has its own unfinished line. Control characters are escaped
/// (`\u{1b}`, `\t`), and invalid UTF-8 is replaced, so that one entry is one line. Writing never fails, even if the
/// server logs nothing, and works after the exchange.
#[derive(Debug)]
pub struct Errors {
    handle: Handle,
    line: Vec<u8>,
}

/// The maximum length of an entry of [`Errors`], in bytes before escaping.
const ERROR_LINE: usize = 8 * 1024;

impl Errors {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, line: Vec::new() }
    }

    fn log_line(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        self.handle.server_context().error(&one_line(&String::from_utf8_lossy(line)));
        self.line.clear();
    }

    /// Appends bytes without a line feed.
    fn append(&mut self, mut bytes: &[u8]) {
        while self.line.len() + bytes.len() > ERROR_LINE {
            let (now, later) = bytes.split_at(ERROR_LINE - self.line.len());
            self.line.extend_from_slice(now);
            // A character of UTF-8 that is cut has at most three bytes before the cut.
            let rest = self.line.iter().rev().take(3).position(|&byte| byte >= 0xc0).map_or(0, |at| at + 1);
            let length = self.line.len() - rest;
            let incomplete = std::str::from_utf8(&self.line[length..]).is_err();
            let rest = self.line.split_off(if incomplete { length } else { self.line.len() });
            self.log_line();
            self.line = rest;
            bytes = later;
        }
        self.line.extend_from_slice(bytes);
    }
}

impl io::Write for Errors {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.append(part.strip_suffix(b"\n").unwrap_or(part));
            if part.ends_with(b"\n") {
                self.log_line();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.log_line();
        }
        Ok(())
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        let _ = io::Write::flush(self);
    }
}
