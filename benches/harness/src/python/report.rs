//! The page of the comparison: goals, plots, tables, versions.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::python::blocks::IN_TIME;
use crate::python::computing::{CONNECTIONS, RATE};
use crate::python::measure::{IDLE, SLEEPERS};
use crate::python::scenarios::SCENARIOS;
use crate::python::servers::{OURS, SERVERS};
use crate::python::{Environment, goals, plots};
use crate::report::machine;
use crate::report::tables::{figure, table};
use crate::results::Results;

const HEAD: &str = "\
# Performance of the Python package

This page is written by `cargo xtask bench --python`, in one run; do not edit it. [benches/README.md](../benches/README.md) describes what is
measured, how, and why the comparison is fair. The figures of the Rust servers are in [Performance](performance.md).

";

/// Writes the page and the plots into this folder.
///
/// # Errors
///
/// A file cannot be written.
pub(crate) fn write(results: &Results, environment: &Environment, folder: &Path) -> io::Result<()> {
    let plots = folder.join("performance");
    fs::create_dir_all(&plots)?;
    let mut page = HEAD.to_owned();
    for plot in plots::all(results) {
        fs::write(plots.join(format!("{}.svg", plot.name)), &plot.svg)?;
        page.push_str(&format!("![{}](performance/{}.svg)\n\n", plot.title, plot.name));
    }
    page.push_str(&goals::table(results));
    for section in [processor, instructions, calls, blocks, sleep, idle, computing] {
        page.push_str(&section(results));
    }
    page.push_str(&description(results, environment));
    fs::write(folder.join("performance-python.md"), page)
}

/// The names of all servers, each with its cells.
fn rows(cells: impl Fn(&'static str) -> Vec<Option<String>>) -> Vec<(&'static str, Vec<Option<String>>)> {
    SERVERS.iter().map(|kind| (kind.name, cells(kind.name))).collect()
}

/// A metric of all scenarios, and in brackets relative to ours.
fn compared(results: &Results, metric: &str) -> String {
    let columns: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.title).collect();
    let cell = |scenario: &str, name: &str| {
        let value = figure(results.median(metric, scenario, name)?);
        let ratio = results.ratio(metric, scenario, name, OURS).filter(|_| name != OURS);
        Some(ratio.map_or(value.clone(), |ratio| format!("{value} ({ratio:.2})")))
    };
    let cells = |name| SCENARIOS.iter().map(|scenario| cell(scenario.name, name)).collect();
    table("server", &columns, rows(cells))
}

fn processor(results: &Results) -> String {
    format!(
        "## Processor time\n\nMicroseconds of processor time per request, user and kernel together, of all processes of \
         the server; in brackets\nrelative to wsgi-python in the same round (median of {} rounds). Above 1 is slower. \
         gunicorn's sync worker closes the\nconnection after each answer, so its figures have a new connection in each \
         request.\n\n{}",
        results.rounds("cpu"),
        compared(results, "cpu")
    )
}

fn instructions(results: &Results) -> String {
    format!(
        "## Instructions\n\nInstructions in user space per request, with 8 busy connections and one thread for the \
         application (callgrind), those\nof Python and of the application included; in brackets relative to \
         wsgi-python. callgrind makes everything slow: wsgi-python\nsends blocks that have waited for a millisecond, so a generator \
         causes more of its writes here than in reality.\n\n{}",
        compared(results, "ir")
    )
}

fn calls(results: &Results) -> String {
    let cells = |name| vec![results.median("calls", "hello", name).map(figure)];
    format!(
        "## System calls\n\nPer hello, with 8 busy connections (strace).\n\n{}",
        table("server", &["hello"], rows(cells))
    )
}

fn blocks(results: &Results) -> String {
    let cells = |name| {
        let delay = results.median("delay", "blocks", name);
        let verdict = if goals::is_in_time(results, name) { "yes" } else { "no" };
        vec![delay.map(|delay| format!("{delay:.1}")), delay.map(|_| verdict.to_owned())]
    };
    format!(
        "## Blocks in time\n\nThe application pauses for 50 ms after each of the first four of five blocks. The largest \
         delay of a block, in\nmilliseconds, and whether the server sends blocks in time (at most {IN_TIME} ms late). The \
         others wait for the end of the\nresponse, or for more bytes.\n\n{}",
        table("server", &["largest delay, ms", "in time"], rows(cells))
    )
}

fn sleep(results: &Results) -> String {
    let cells = |name| ["rate", "cpu"].map(|metric| results.median(metric, "sleep", name).map(figure)).into();
    format!(
        "## An application that waits\n\nThe application sleeps for 10 ms, {SLEEPERS} clients, {SLEEPERS} threads: the \
         upper limit is 6,400 requests per second. Servers\nwithout threads for applications are left out.\n\n{}",
        table("server", &["requests/s", "processor time per request, µs"], rows(cells))
    )
}

fn idle(results: &Results) -> String {
    let cells = |name| {
        let value = |metric| results.median(metric, "idle", name).map(|value| format!("{value:.2}"));
        vec![value("memory"), value("answered")]
    };
    format!(
        "## Idle connections\n\nResident KiB that each of {} idle connections adds after one request, and the time in \
         which a new client beside them\nis answered.\n\n{}",
        figure(IDLE as f64),
        table("server", &["KiB", "new client, ms"], rows(cells))
    )
}

fn computing(results: &Results) -> String {
    let part = |metric: &str, load: &str, name: &str| {
        let share = results.median(&format!("share-{metric}"), load, name)?;
        let answers = results.median(&format!("answers-{metric}"), load, name)?;
        Some(format!("{share:.0} % ({} requests/s)", figure(answers.round())))
    };
    let places = [("one", "rate"), ("one", "full"), ("two", "rate"), ("two", "full")];
    let cells = |name| places.map(|(metric, load)| part(metric, load, name)).into();
    let (rate, full) =
        (format!("{} requests/s", figure(RATE)), format!("{CONNECTIONS} clients without pause"));
    let columns = ["one", "two"].map(|cores| [&rate, &full].map(|load| format!("{cores}, {load}"))).concat();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    format!(
        "## A thread that computes\n\nA thread of the application computes without end. How much of its speed without \
         load it keeps under a load, with the\nserver on one processor or on two (the second one is shared with the \
         client), and how many requests the server answers\nbeside it (median of {} rounds).\n\n{}",
        results.rounds("share-one"),
        table("server", &columns, rows(cells))
    )
}

fn description(results: &Results, environment: &Environment) -> String {
    let mut packages: Vec<String> = SERVERS
        .iter()
        .map(|kind| kind.package)
        .chain(["Flask", "Werkzeug"])
        .filter_map(|package| Some(format!("{package} {}", environment.version(package)?)))
        .collect();
    packages.dedup();
    let left_out = environment.left_out.join("; ");
    let rows = [
        ("build", Some("wsgi-python: wheel of this tree, release, `lto = \"fat\"`; bjoern: compiled here; others: their wheels".into())),
        ("interpreter", interpreter(environment)),
        ("packages", Some(packages.join(", "))),
        ("left out", Some(if left_out.is_empty() { "none".into() } else { left_out })),
        ("rounds", Some(format!("{} of processor time", results.rounds("cpu")))),
    ];
    machine::section(machine::rows().into_iter().chain(rows))
}

/// The version of Python, its compiler, and whether it was built with profiles of its own runs.
fn interpreter(environment: &Environment) -> Option<String> {
    let code = "import platform, sysconfig\nflags = sysconfig.get_config_var('CONFIG_ARGS') or ''\n\
        print(platform.python_implementation(), platform.python_version(), '(' + platform.python_compiler() + ',', \
        'with' if '--enable-optimizations' in flags else 'without', 'PGO)')";
    let output = Command::new(&environment.interpreter).args(["-c", code]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
