//! The goals of the Python package, each with its figure in this run.

use crate::python::blocks::IN_TIME;
use crate::python::computing::{CONNECTIONS, RATE};
use crate::python::measure::{IDLE, SLEEPERS};
use crate::python::servers::{OURS, SERVERS};
use crate::report::tables::figure;
use crate::results::Results;

/// How a figure is computed; the words are names of metrics, scenarios and servers.
#[derive(Clone, Copy)]
enum Figure {
    /// The ratio of our processor time to that of the best other server.
    ToBest(&'static str),
    /// The same among servers that send blocks in time.
    ToBestInTime(&'static str),
    /// The ratio of our processor time to that of another server.
    To(&'static str, &'static str),
    /// Our figure.
    Ours(&'static str, &'static str),
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

use Figure::{Ours, To, ToBest, ToBestInTime};
use Limit::{AtLeast, AtMost};

fn goals() -> Vec<(String, Figure, Limit)> {
    let to_best = |work: &str, scenario| (work.to_owned(), ToBest(scenario), AtMost(1.03));
    vec![
        to_best("hello", "hello"),
        to_best("browser's request", "browser"),
        to_best("100 items as a list", "list"),
        to_best("64 KiB upload", "upload"),
        to_best("Flask", "flask"),
        ("100 items as a generator".into(), ToBestInTime("generator"), AtMost(1.0)),
        ("hello".into(), To("hello", "granian"), AtMost(0.7)),
        ("hello".into(), To("hello", "eventlet"), AtMost(1.0 / 6.0)),
        ("blocks with pauses of 50 ms: largest delay, ms".into(), Ours("delay", "blocks"), AtMost(IN_TIME)),
        (
            format!("10 ms of sleep, {SLEEPERS} clients, {SLEEPERS} threads: requests/s"),
            Ours("rate", "sleep"),
            AtLeast(6000.0),
        ),
        (format!("{} idle connections: KiB each", figure(IDLE as f64)), Ours("memory", "idle"), AtMost(1.0)),
        ("a new client beside them is answered, ms".into(), Ours("answered", "idle"), AtMost(10.0)),
        (
            format!("speed of a computing thread at {} requests/s, one core, %", figure(RATE)),
            Ours("share-one", "rate"),
            AtLeast(40.0),
        ),
        (
            format!("the same with {CONNECTIONS} clients without pause, one core, %"),
            Ours("share-one", "full"),
            AtLeast(40.0),
        ),
        (
            format!("speed of a computing thread at {} requests/s, two cores, %", figure(RATE)),
            Ours("share-two", "rate"),
            AtLeast(80.0),
        ),
    ]
}

/// The other servers; for blocks in time, only those that send them so.
fn others(results: &Results, in_time: bool) -> impl Iterator<Item = &'static str> {
    let in_time = move |name: &&str| !in_time || is_in_time(results, name);
    SERVERS.iter().filter(|kind| !kind.is_ours()).map(|kind| kind.name).filter(in_time)
}

/// Whether a server sends blocks in time.
pub(crate) fn is_in_time(results: &Results, server: &str) -> bool {
    results.median("delay", "blocks", server).is_some_and(|delay| delay <= IN_TIME)
}

/// The server with the least processor time besides ours, and the ratio of ours to it.
fn to_best(results: &Results, scenario: &str, in_time: bool) -> Option<(f64, &'static str)> {
    let ratio = |name| Some((results.ratio("cpu", scenario, OURS, name)?, name));
    others(results, in_time).filter_map(ratio).max_by(|one, other| one.0.total_cmp(&other.0))
}

impl Figure {
    /// The figure, and what it is.
    fn of(self, results: &Results) -> (Option<f64>, String) {
        let best = |scenario, in_time, words: &str| match to_best(results, scenario, in_time) {
            Some((ratio, name)) => (Some(ratio), format!("processor time, to {words}: {name}")),
            None => (None, format!("processor time, to {words}")),
        };
        match self {
            ToBest(scenario) => best(scenario, false, "the best other server"),
            ToBestInTime(scenario) => best(scenario, true, "the best of those that send blocks in time"),
            To(scenario, other) => {
                (results.ratio("cpu", scenario, OURS, other), format!("processor time, to {other}"))
            }
            Ours(metric, scenario) => (results.median(metric, scenario, OURS), OURS.to_owned()),
        }
    }
}

impl Limit {
    /// What is printed decides: 1.004 is shown as 1.00 and reaches a goal of 1.00.
    fn is_reached(self, value: f64) -> bool {
        let shown = |value: f64| (value * 100.0).round();
        match self {
            AtMost(limit) => shown(value) <= shown(limit),
            AtLeast(limit) => shown(value) >= shown(limit),
        }
    }

    fn text(self) -> String {
        match self {
            AtMost(limit) => format!("≤ {}", figure(limit)),
            AtLeast(limit) => format!("≥ {}", figure(limit)),
        }
    }
}

/// The table of all goals.
pub(crate) fn table(results: &Results) -> String {
    let mut text =
        String::from("## Goals\n\n| work | measure | goal | figure | |\n| --- | --- | ---: | ---: | --- |\n");
    for (work, what, limit) in goals() {
        let (value, measure) = what.of(results);
        let (shown, verdict) = match value {
            None => ("–".to_owned(), "not measured"),
            Some(value) if limit.is_reached(value) => (figure(value), "reached"),
            Some(value) => (figure(value), "**missed**"),
        };
        text.push_str(&format!("| {work} | {measure} | {} | {shown} | {verdict} |\n", limit.text()));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let mut results = Results::default();
        for (server, hello, generator, delay) in
            [(OURS, 5.0, 20.0, 1.0), ("bjoern", 4.9, 10.0, 200.0), ("granian", 10.0, 20.0, 2.0)]
        {
            results.add("cpu", "hello", server, 0, hello);
            results.add("cpu", "generator", server, 0, generator);
            results.add("delay", "blocks", server, 0, delay);
        }
        results
    }

    #[test]
    fn a_server_that_keeps_blocks_back_is_no_measure_for_generators() {
        assert_eq!(to_best(&results(), "generator", true), Some((1.0, "granian")));
        assert_eq!(to_best(&results(), "generator", false), Some((2.0, "bjoern")));
    }

    #[test]
    fn the_best_other_server_is_named_and_decides() {
        let table = table(&results());
        for row in [
            "| hello | processor time, to the best other server: bjoern | ≤ 1.03 | 1.02 | reached |",
            "| hello | processor time, to granian | ≤ 0.70 | 0.50 | reached |",
            "| Flask | processor time, to the best other server | ≤ 1.03 | – | not measured |",
        ] {
            assert!(table.contains(row), "{table}");
        }
    }

    #[test]
    fn a_rate_must_reach_its_limit() {
        assert!(AtLeast(6000.0).is_reached(6000.0) && !AtLeast(6000.0).is_reached(5999.0));
    }
}
