//! WSGI's `environ`: everything that an application is told about a request.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::Arc;

use wsgi_proto::{Endpoints, Head, Record, Variables, latin1};

use crate::application::input::Input;
use crate::exchange::handle::Handle;
use crate::sync::{Mutex, MutexGuard, get_mut, lock};

type Hook = Box<dyn FnOnce(&Environ, &Record) + Send>;

/// One request, as the application, its middleware and its post hooks see it.
///
/// A cheap handle: clones show the same request, and what one of them changes all of them see. The variables can be
/// read as long as a clone is kept, even after the response.
#[derive(Clone)]
pub struct Environ(Arc<Request>);

pub(crate) struct Request {
    head: Arc<Head>,
    endpoints: Endpoints,
    handle: Handle,
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    /// Variables that were set, or removed (`None`).
    variables: Vec<(String, Option<String>)>,
    /// Made when the first value comes.
    extensions: Option<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    hooks: Vec<Hook>,
}

impl Environ {
    /// The environ of one request; `spare` is used again if nobody kept it.
    pub(crate) fn new(spare: Option<Self>, head: Arc<Head>, endpoints: Endpoints, handle: Handle) -> Self {
        if let Some(Self(mut request)) = spare
            && let Some(again) = Arc::get_mut(&mut request)
        {
            (again.head, again.handle) = (head, handle);
            return Self(request);
        }
        Self(Arc::new(Request { head, endpoints, handle, changes: Mutex::default() }))
    }

    /// What can be used again for the next request of this connection, if nobody else holds it. It lets go of the head, so that the machine can use that again, too.
    pub(crate) fn into_spare(mut self, nothing: &Arc<Head>) -> Option<Self> {
        let request = Arc::get_mut(&mut self.0)?;
        get_mut(&mut request.changes).variables.clear();
        request.head = Arc::clone(nothing);
        Some(self)
    }

    /// A CGI or WSGI variable as a string, made when asked for: `REQUEST_METHOD`, `PATH_INFO`, `HTTP_ACCEPT`,
    /// `wsgi.url_scheme` … Bytes that are not ASCII come as latin-1, one character each (PEP 3333).
    ///
    /// Server defaults, then the option `environ`, then the request decide, each over the one before; above all,
    /// what was [`set`](Self::set).
    pub fn get(&self, name: &str) -> Option<String> {
        if let Some((_, value)) = self.changes().variables.iter().rev().find(|(key, _)| key == name) {
            return value.clone();
        }
        self.variables().get(name).map(Cow::into_owned)
    }

    /// Sets a variable for code that looks later: inner applications and post hooks.
    pub fn set(&self, name: impl Into<String>, value: impl Into<String>) {
        self.change(name.into(), Some(value.into()));
    }

    /// Removes a variable.
    pub fn remove(&self, name: impl Into<String>) {
        self.change(name.into(), None);
    }

    fn change(&self, name: String, value: Option<String>) {
        let mut changes = self.changes();
        changes.variables.retain(|(key, _)| *key != name);
        changes.variables.push((name, value));
    }

    /// All variables.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let given = self.variables();
        let mut map: BTreeMap<_, _> =
            given.iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        for (name, value) in &self.changes().variables {
            match value {
                Some(value) => map.insert(name.clone(), value.clone()),
                None => map.remove(name),
            };
        }
        map
    }

    /// The method (`REQUEST_METHOD`).
    pub fn method(&self) -> Cow<'_, str> {
        self.changed("REQUEST_METHOD").unwrap_or_else(|| self.0.head.method().into())
    }

    /// The path, percent-decoded once, as latin-1 (`PATH_INFO`).
    pub fn path(&self) -> Cow<'_, str> {
        self.changed("PATH_INFO").unwrap_or_else(|| wsgi_proto::decode_path(self.0.head.path()))
    }

    /// What follows the first `?`, not decoded; empty without one (`QUERY_STRING`).
    pub fn query(&self) -> Cow<'_, str> {
        self.changed("QUERY_STRING").unwrap_or_else(|| latin1(self.0.head.query().unwrap_or_default()))
    }

    /// What a variable was [set](Self::set) to; empty when it was removed, `None` when it is as the request has it.
    fn changed(&self, name: &str) -> Option<Cow<'_, str>> {
        let changes = self.changes();
        let (_, value) = changes.variables.iter().find(|(key, _)| key == name)?;
        Some(value.clone().unwrap_or_default().into())
    }

    /// The first header field called `name`, in any case, as the client sent it.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.head.value(name).map(latin1)
    }

    /// The head as received: raw target, every field in its order and original case (`headers_raw`).
    pub fn head(&self) -> &Arc<Head> {
        &self.0.head
    }

    /// Addresses and scheme of the connection.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    /// `wsgi.input`: the request body.
    pub fn input(&self) -> Input {
        Input::new(self.0.handle.clone())
    }

    /// `wsgi.errors`: each line written goes to the server's log.
    pub fn errors(&self) -> Errors {
        Errors { handle: self.0.handle.clone(), line: Vec::new() }
    }

    /// Keeps a value for code that handles this request later, one of each type. Returns the previous value.
    pub fn insert<T: Any + Send + Sync>(&self, value: T) -> Option<Arc<T>> {
        let before =
            self.changes().extensions.get_or_insert_default().insert(TypeId::of::<T>(), Arc::new(value))?;
        before.downcast().ok()
    }

    /// The value of this type that was [inserted](Self::insert).
    pub fn extension<T: Any + Clone>(&self) -> Option<T> {
        let value = self.changes().extensions.as_ref()?.get(&TypeId::of::<T>()).cloned()?;
        // Not under the lock: what it does to be cloned is its own affair.
        value.downcast_ref().cloned()
    }

    /// Calls `hook` once after the response was sent completely, or the client went away (the manual's
    /// `eventlet.posthooks`). Hooks run in the order they were added, before the next request on this connection. They
    /// see this environ with all its changes, and what was sent. One that panics is logged and stops nothing else.
    pub fn add_post_hook(&self, hook: impl FnOnce(&Environ, &Record) + Send + 'static) {
        self.changes().hooks.push(Box::new(hook));
    }

    /// Removes all post hooks added so far, including those of other code (in eventlet: an empty list in their place).
    pub fn clear_post_hooks(&self) {
        let hooks = self.take_hooks();
        // What they hold may be another handle of this request.
        drop(hooks);
    }

    /// Joins blocks of this response up to `bytes` (`eventlet.minimum_write_chunk_size`); 0 sends each as it is.
    pub fn set_minimum_write_chunk_size(&self, bytes: usize) {
        self.0.handle.with(|mut exchange| exchange.set_minimum_chunk_size(bytes));
    }

    /// Whether the application left anything here that has to be looked after.
    pub(crate) fn is_changed(&self) -> bool {
        let changes = self.changes();
        !changes.hooks.is_empty() || changes.extensions.is_some()
    }

    pub(crate) fn has_hooks(&self) -> bool {
        !self.changes().hooks.is_empty()
    }

    pub(crate) fn take_hooks(&self) -> Vec<impl FnOnce(&Environ, &Record) + Send + use<>> {
        std::mem::take(&mut self.changes().hooks)
    }

    fn variables(&self) -> Variables<'_> {
        Variables::new(&self.0.head, &self.0.endpoints, &self.0.handle.server_context().config)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        lock(&self.0.changes)
    }
}

impl fmt::Debug for Environ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environ").field(&self.0.head).finish()
    }
}

/// `wsgi.errors`: text for the operator of the server. Each line is an entry of the log.
#[derive(Debug)]
pub struct Errors {
    handle: Handle,
    line: Vec<u8>,
}

impl Errors {
    fn log_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.handle.server_context().error(&String::from_utf8_lossy(&line));
    }
}

impl io::Write for Errors {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(part.strip_suffix(b"\n").unwrap_or(part));
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
