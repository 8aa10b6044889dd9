//! What is compared: the requests, and how many connections send them.

use bench_common::requests;

/// The module of the plain applications, and that of Flask.
pub(crate) const PLAIN: &str = "applications";
pub(crate) const FLASK: &str = "flask_application";

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// Its name on the command line and in the results.
    pub(crate) name: &'static str,
    /// Its name in the report.
    pub(crate) title: &'static str,
    /// The module of the application.
    pub(crate) module: &'static str,
    /// The bytes of the request.
    pub(crate) request: fn() -> Vec<u8>,
    /// The connections; each sends the next request after the last answer.
    pub(crate) connections: usize,
}

const fn plain(
    name: &'static str,
    title: &'static str,
    request: fn() -> Vec<u8>,
    connections: usize,
) -> Scenario {
    Scenario { name, title, module: PLAIN, request, connections }
}

/// The size of the upload.
const UPLOAD: usize = 64 * 1024;

/// All scenarios, those of one module together.
pub(crate) const SCENARIOS: &[Scenario] = &[
    plain("hello", "hello", hello, 32),
    plain("browser", "browser's request, 12 fields", || requests::browser("/"), 32),
    plain("list", "100 items as a list", || requests::get("/list"), 32),
    plain("generator", "100 items as a generator", || requests::get("/generator"), 32),
    plain("upload", "64 KiB upload", || requests::post("/upload", UPLOAD), 8),
    Scenario { name: "flask", title: "Flask, hello", module: FLASK, request: hello, connections: 32 },
];

/// The smallest request.
pub(crate) fn hello() -> Vec<u8> {
    requests::HELLO.to_vec()
}
