//! One check on every runtime: tokio, smol, async-std, the threads of `wsgi-std`, and blocking applications on the
//! asynchronous ones.

use std::sync::LazyLock;
use std::{fmt, thread};

use tokio::runtime;
use wsgi_tokio::{Application, Options};

use crate::adapters::{self, Adapter, AsyncStd, Running, Smol, Tls, Tokio};
use crate::echo::listen::Bound;

/// The runtime of all tokio servers.
pub static TOKIO: LazyLock<Tokio> =
    LazyLock::new(|| Tokio(runtime::Runtime::new().expect("threads are available")));

/// The runtime of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// `wsgi-tokio`.
    Tokio,
    /// `wsgi-smol`.
    Smol,
    /// `wsgi-smol` with a listener and the tasks of async-std.
    AsyncStd,
    /// `wsgi-std`.
    #[cfg(unix)]
    Std,
    /// A blocking application on `wsgi-tokio`.
    BlockingOnTokio,
    /// A blocking application on `wsgi-smol`.
    BlockingOnSmol,
    /// A blocking application on `wsgi-smol`, with a listener and the tasks of async-std.
    BlockingOnAsyncStd,
}

/// One for each kind of listener.
pub const ADAPTERS: &[Runtime] = &[
    Runtime::Tokio,
    Runtime::Smol,
    Runtime::AsyncStd,
    #[cfg(unix)]
    Runtime::Std,
];

/// Those whose applications block.
pub const BLOCKING: &[Runtime] = &[
    #[cfg(unix)]
    Runtime::Std,
    Runtime::BlockingOnTokio,
    Runtime::BlockingOnSmol,
    Runtime::BlockingOnAsyncStd,
];

/// All of them.
pub const RUNTIMES: &[Runtime] = &[
    Runtime::Tokio,
    Runtime::Smol,
    Runtime::AsyncStd,
    #[cfg(unix)]
    Runtime::Std,
    Runtime::BlockingOnTokio,
    Runtime::BlockingOnSmol,
    Runtime::BlockingOnAsyncStd,
];

impl Runtime {
    /// Starts to serve on a free port: `application`, or `blocking` where applications block. The server's result
    /// reports whether the options are allowed.
    ///
    /// # Panics
    ///
    /// No port is free.
    #[cfg(unix)]
    pub fn begin(
        self,
        tls: Tls<'_>,
        options: Options,
        application: impl Application,
        blocking: impl wsgi_std::Application,
    ) -> Running {
        self.begin_on(adapters::bind().expect("there is a free port"), tls, options, application, blocking)
    }

    /// Like [`begin`](Self::begin), on this listener.
    ///
    /// # Panics
    ///
    /// The runtime rejects the listener.
    #[cfg(unix)]
    pub fn begin_on(
        self,
        bound: Bound,
        tls: Tls<'_>,
        options: Options,
        application: impl Application,
        blocking: impl wsgi_std::Application,
    ) -> Running {
        let running = match self {
            Self::Tokio => TOKIO.start_on(bound, tls, options, application),
            Self::Smol => Smol.start_on(bound, tls, options, application),
            Self::AsyncStd => AsyncStd.start_on(bound, tls, options, application),
            Self::Std => adapters::start_std_on(bound, tls, options, blocking),
            Self::BlockingOnTokio => TOKIO.start_on(bound, tls, options, wsgi_tokio::blocking(blocking)),
            Self::BlockingOnSmol => Smol.start_on(bound, tls, options, wsgi_smol::blocking(blocking)),
            Self::BlockingOnAsyncStd => AsyncStd.start_on(bound, tls, options, wsgi_smol::blocking(blocking)),
        };
        running.expect("it is a socket")
    }
}

impl Runtime {
    /// The value of the flag `--runtime` of the programs.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::AsyncStd => "async-std",
            #[cfg(unix)]
            Self::Std => "std",
            Self::BlockingOnTokio => "blocking-on-tokio",
            Self::BlockingOnSmol => "blocking-on-smol",
            Self::BlockingOnAsyncStd => "blocking-on-async-std",
        }
    }

    /// Whether the application blocks its thread.
    pub fn blocks(self) -> bool {
        BLOCKING.contains(&self)
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "wsgi-tokio",
            Self::Smol => "wsgi-smol",
            Self::AsyncStd => "wsgi-smol with async-std",
            #[cfg(unix)]
            Self::Std => "wsgi-std",
            Self::BlockingOnTokio => "wsgi-tokio, blocking",
            Self::BlockingOnSmol => "wsgi-smol, blocking",
            Self::BlockingOnAsyncStd => "wsgi-smol with async-std, blocking",
        })
    }
}

/// Runs one check on all runtimes concurrently.
///
/// Each thread is named after the check and the runtime, so that a failed assertion shows both.
///
/// # Panics
///
/// The check fails.
pub fn on_each(what: &str, check: impl Fn(Runtime) + Sync) {
    on_all(RUNTIMES, what, check);
}

/// Like [`on_each`], once for each kind of listener.
///
/// # Panics
///
/// The check fails.
pub fn on_each_adapter(what: &str, check: impl Fn(Runtime) + Sync) {
    on_all(ADAPTERS, what, check);
}

/// Like [`on_each`], where the application blocks its thread.
///
/// # Panics
///
/// The check fails.
pub fn on_each_blocking(what: &str, check: impl Fn(Runtime) + Sync) {
    on_all(BLOCKING, what, check);
}

fn on_all(runtimes: &[Runtime], what: &str, check: impl Fn(Runtime) + Sync) {
    let check = &check;
    let failed: Vec<_> = thread::scope(|scope| {
        let begin = |runtime: &Runtime| {
            let runtime = *runtime;
            let thread = thread::Builder::new().name(format!("{what} on {runtime}"));
            let thread = thread.spawn_scoped(scope, move || check(runtime)).expect("threads are available");
            (runtime, thread)
        };
        let begun: Vec<_> = runtimes.iter().map(begin).collect();
        let failed = |(runtime, thread): (Runtime, thread::ScopedJoinHandle<'_, ()>)| {
            thread.join().err().map(|_| runtime.to_string())
        };
        begun.into_iter().filter_map(failed).collect()
    });
    assert!(failed.is_empty(), "the check of {what} failed on {}", failed.join(", "));
}
