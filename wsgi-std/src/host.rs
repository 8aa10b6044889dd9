//! Interface for programs that embed the server in another language's runtime, or in anything else that needs to know
//! when a thread runs applications and when it waits.
//!
//! Such a runtime often has one lock that a thread must hold while it runs code of that language, for example the global
//! interpreter lock (GIL) of Python. A [`Host`] takes that lock when a thread starts, and releases it during every wait.
//! [`Server::host`](crate::Server::host) sets it:
//!
//! ```
//! use std::sync::{Arc, Condvar, Mutex};
//! use wsgi_std::host::Host;
//! use wsgi_std::{Body, Environ, NO_HEADERS, Result, Server, StartResponse};
//!
//! /// The lock of an interpreter.
//! #[derive(Default)]
//! struct Interpreter {
//!     held: Mutex<bool>,
//!     released: Condvar,
//! }
//!
//! impl Interpreter {
//!     fn attach(&self) {
//!         let held = self.held.lock().unwrap();
//!         *self.released.wait_while(held, |held| *held).unwrap() = true;
//!     }
//!
//!     fn detach(&self) {
//!         *self.held.lock().unwrap() = false;
//!         self.released.notify_one();
//!     }
//! }
//!
//! struct Embedded(Arc<Interpreter>);
//!
//! impl Host for Embedded {
//!     fn thread(&self, run: &mut dyn FnMut()) {
//!         self.0.attach();
//!         run();
//!         self.0.detach();
//!     }
//!
//!     fn wait(&self, wait: &mut dyn FnMut()) {
//!         self.0.detach();
//!         wait();
//!         self.0.attach();
//!     }
//! }
//!
//! let interpreter = Arc::new(Interpreter::default());
//! let site = {
//!     let interpreter = Arc::clone(&interpreter);
//!     move |_: Environ, start_response: StartResponse| -> Result<Body> {
//!         assert!(*interpreter.held.lock().unwrap());
//!         start_response.start("200 OK", NO_HEADERS)?;
//!         Ok("one at a time\n".into())
//!     }
//! };
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let server = Server::new(listener, site).pool(4).host(Embedded(interpreter));
//! # use std::io::{Read, Write};
//! # let server = server.log_output(false);
//! # let handle = server.handle();
//! # let serving = std::thread::spawn(|| server.serve());
//! # while handle.addresses().is_empty() { std::thread::yield_now() }
//! # let mut client = std::net::TcpStream::connect(handle.addresses()[0])?;
//! # client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
//! # let mut response = String::new();
//! # client.read_to_string(&mut response)?;
//! # assert!(response.ends_with("\r\n\r\none at a time\n"), "{response}");
//! # drop(client);
//! # handle.shutdown();
//! # serving.join().unwrap()?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # Which thread does what
//!
//! * The application, the iterator and the destructor of its [`Body`](crate::Body), and post hooks run on threads that
//!   [`Host::thread`] encloses, and nowhere else.
//! * The thread that calls [`serve`](crate::Server::serve) never runs an application, and never calls the host. Release
//!   the host's lock around the call of `serve`, which returns only when the server has stopped. The same holds for the
//!   other threads that accept. They may call the function given to [`Options::log`](crate::Options::log).
//! * Threads of the application that use handles such as [`Input`](crate::Input) are not enclosed, but their waits are:
//!   [`Host::wait`] is called on them, too.
//!
//! # Locks
//!
//! A thread may wait for the host's lock at any time, in any method of [`Host`], while another thread has that lock and
//! calls into the server. Therefore a method of the host is never called while its thread holds a lock that another thread
//! waits for outside of [`Host::wait`]. The opposite holds, too: no thread waits for the host, except in the host's own
//! code.

use std::fmt;
use std::sync::Arc;

/// Code around the life of each thread that runs applications, and around its waits.
///
/// Methods must not panic: a panic ends the thread, and its connections are lost. Each default does what happens without
/// a host.
pub trait Host: Send + Sync + 'static {
    /// Encloses the life of a thread that runs applications. It has to call `run` once.
    ///
    /// If it returns without calling `run`, the thread ends. The server then has one thread less, and tries to start
    /// another one when work waits.
    fn thread(&self, run: &mut dyn FnMut()) {
        run();
    }

    /// Encloses a wait that may be long. It has to call `wait` once; further calls do nothing.
    ///
    /// It is called where a thread waits for events of sockets, for work, for the bytes of its client or for room to send,
    /// and for another thread that writes to the same [`Stream`](crate::Stream). A thread that waits for events has
    /// checked before that there are none, so a busy server calls this method rarely.
    fn wait(&self, wait: &mut dyn FnMut()) {
        wait();
    }

    /// Is called between two tasks of a thread, each of which is one or more requests of a connection. A host whose lock
    /// other threads want may release it here for a moment.
    fn yield_now(&self) {}
}

/// The host of an engine, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Hosted(pub(crate) Option<Arc<dyn Host>>);

impl Hosted {
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Runs the life of a thread. Returns whether the host has called `run`.
    pub(crate) fn thread(&self, run: impl FnOnce()) -> bool {
        self.enclose(Host::thread, run).is_some()
    }

    /// Runs `wait`, which may block. Returns `None` if the host has not called it.
    pub(crate) fn wait<R>(&self, wait: impl FnOnce() -> R) -> Option<R> {
        self.enclose(Host::wait, wait)
    }

    pub(crate) fn yield_now(&self) {
        if let Some(host) = &self.0 {
            host.yield_now();
        }
    }

    fn enclose<R>(
        &self,
        method: impl FnOnce(&dyn Host, &mut dyn FnMut()),
        call: impl FnOnce() -> R,
    ) -> Option<R> {
        let Some(host) = &self.0 else { return Some(call()) };
        let (mut call, mut result) = (Some(call), None);
        method(&**host, &mut || result = call.take().map(|call| call()).or(result.take()));
        result
    }
}

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hosted").field(&self.is_some()).finish()
    }
}
