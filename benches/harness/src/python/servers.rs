//! The servers for Python: their names, and how each is started with one worker.

use std::io;

use crate::process::{Places, Server, Under, free_address};
use crate::python::Environment;

/// A server of the comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Its name in the results and in the report.
    pub(crate) name: &'static str,
    /// The package that provides it.
    pub(crate) package: &'static str,
    /// The words after `python`, with `{port}`, `{module}` and `{threads}`.
    words: &'static str,
    /// The threads of the application that it takes without an option, or at its best; `None` if it has one only.
    pub(crate) threads: Option<usize>,
    /// Whether it closes the connection after each answer.
    pub(crate) closes: bool,
}

/// The name of the server of this project, and of its package.
pub(crate) const OURS: &str = "wsgi-python";

const fn kind(
    name: &'static str,
    package: &'static str,
    words: &'static str,
    threads: Option<usize>,
) -> Kind {
    Kind { name, package, words, threads, closes: false }
}

/// All servers.
pub(crate) const SERVERS: &[Kind] = &[
    kind(
        OURS,
        OURS,
        "-m wsgi_python --bind 127.0.0.1:{port} --threads {threads} --access-log none --max-size 16384 \
         --backlog 4096 {module}:application",
        Some(8),
    ),
    // What the hand-over between threads costs; it is not compared by a goal.
    kind(
        "wsgi-python, 1 thread",
        OURS,
        "-m wsgi_python --bind 127.0.0.1:{port} --threads 1 --access-log none --max-size 16384 --backlog 4096 \
         {module}:application",
        None,
    ),
    kind(
        "peregrine",
        "peregrine-server",
        "-m peregrine --host 127.0.0.1 --port {port} --wsgi-threads {threads} --log-level error \
         --max-connections 16384 --keep-alive 75000 --backlog 4096 --no-http2 {module}:application",
        Some(1),
    ),
    kind("fastpysgi", "fastpysgi", "serve.py fastpysgi {module} {port}", None),
    kind("fastwsgi", "fastwsgi", "serve.py fastwsgi {module} {port}", None),
    kind("bjoern", "bjoern", "serve.py bjoern {module} {port}", None),
    kind(
        "granian",
        "granian",
        "-m granian --interface wsgi --http 1 --no-ws --host 127.0.0.1 --port {port} --workers 1 \
         --blocking-threads {threads} --no-log --backlog 4096 --backpressure 16384 {module}:application",
        Some(1),
    ),
    kind(
        "gunicorn, gthread",
        "gunicorn",
        "-m gunicorn --bind 127.0.0.1:{port} --worker-class gthread --threads {threads} --log-level critical \
         --worker-connections 16384 --keep-alive 75 --backlog 4096 {module}:application",
        Some(8),
    ),
    Kind {
        closes: true,
        ..kind(
            "gunicorn, sync",
            "gunicorn",
            "-m gunicorn --bind 127.0.0.1:{port} --worker-class sync --log-level critical --backlog 4096 \
             {module}:application",
            None,
        )
    },
    kind("eventlet", "eventlet", "serve.py eventlet {module} {port}", None),
];

/// The server of this name.
pub(crate) fn named(name: &str) -> Option<Kind> {
    SERVERS.iter().copied().find(|kind| kind.name == name)
}

impl Kind {
    /// Whether it is the server of this project.
    pub(crate) fn is_ours(self) -> bool {
        self.package == OURS
    }

    /// Whether it takes a number of threads.
    pub(crate) fn has_threads(self) -> bool {
        self.threads.is_some()
    }

    /// Starts it with the application of this module; `threads` is for those that take a number.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub(crate) fn start(
        self,
        environment: &Environment,
        places: &Places,
        module: &str,
        threads: Option<usize>,
        under: &Under,
    ) -> io::Result<Server> {
        if environment.version(self.package).is_none() {
            return Err(io::Error::other("not installed"));
        }
        let address = free_address()?;
        let threads = threads.or(self.threads).unwrap_or(1);
        let filled = |word: &str| {
            word.replace("{port}", &address.port().to_string())
                .replace("{module}", module)
                .replace("{threads}", &threads.to_string())
        };
        // -B: no files are written into the folder of the applications.
        let before = [environment.interpreter.to_string_lossy().into_owned(), "-B".to_owned()];
        let words: Vec<String> =
            before.into_iter().chain(self.words.split_whitespace().map(filled)).collect();
        let log = format!("python-{}", self.name.replace(", ", "-"));
        Server::launch(&log, &words, Some(&environment.applications), address, places, false, under)
    }
}
