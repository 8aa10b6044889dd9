//! The goals of the project, each with its figure in this run.

use crate::report::tables::figure;
use crate::results::Results;
use crate::servers::title;

/// A goal: the figure must not exceed the limit.
struct Goal {
    work: &'static str,
    what: Figure,
    limit: f64,
}

/// How a figure is computed; the words are names of metrics, scenarios and servers.
#[derive(Clone, Copy)]
enum Figure {
    /// The median.
    Value(&'static str, &'static str, &'static str),
    /// The ratio of the first server to the second one.
    Ratio(&'static str, &'static str, &'static str, &'static str),
    /// The difference of the first server and the second one.
    More(&'static str, &'static str, &'static str, &'static str),
    /// Instructions of the runner: those of the server without the bare loop and the machine.
    Runner,
}

use Figure::{More, Ratio, Runner, Value};

const fn goal(work: &'static str, what: Figure, limit: f64) -> Goal {
    Goal { work, what, limit }
}

const GOALS: &[Goal] = &[
    goal("machine alone, hello", Value("core-ir", "hello", "ours-answer"), 1850.0),
    goal("machine alone, browser", Value("core-ir", "browser", "ours-answer"), 4800.0),
    goal("machine alone, hello, kept head", Value("core-ir", "hello", "ours-kept"), 1550.0),
    goal("machine alone, hello", Ratio("core-ns", "hello", "ours-answer", "http-net"), 1.0),
    goal("machine alone, browser", Ratio("core-ns", "browser", "ours-answer", "http-net"), 1.0),
    goal("machine alone, 1,000 chunks out", Ratio("core-ns", "chunks", "ours", "http-net"), 1.0),
    goal("machine alone, 1 MiB chunked in", Ratio("core-ns", "upload", "ours", "http-net"), 1.0),
    goal("machine alone, hello", Ratio("core-ns", "hello", "ours-kept", "http-net-prebuilt"), 1.0),
    goal("machine alone, browser", Ratio("core-ns", "browser", "ours-kept", "http-net-prebuilt"), 1.0),
    goal("hello", Value("ir", "hello", "tokio"), 3900.0),
    goal("hello", Value("ir", "hello", "std"), 3800.0),
    goal("hello, kept head", Value("ir", "kept", "tokio"), 3400.0),
    goal("hello, kept head", Value("ir", "kept", "std"), 3300.0),
    goal("runner: hello without bare loop and machine", Runner, 850.0),
    goal("browser's request", Value("ir", "browser", "tokio"), 7000.0),
    goal("browser's request, every variable read", Value("ir", "vars", "tokio"), 10500.0),
    goal("hello, 8 connections", Value("calls", "hello", "tokio"), 2.2),
    goal("hello, 8 connections", Value("calls", "hello", "std"), 2.2),
    goal("hello, 8 connections", Value("calls", "hello", "smol"), 4.5),
    goal("hello, 1 connection", Ratio("cpu", "hello-1", "tokio", "bare-tokio"), 1.10),
    goal("hello, 32 connections", Ratio("cpu", "hello-32", "tokio", "bare-tokio"), 1.10),
    goal("hello, 1 connection", Ratio("cpu", "hello-1", "smol", "bare-smol"), 1.15),
    goal("hello, 32 connections", Ratio("cpu", "hello-32", "smol", "bare-smol"), 1.15),
    goal("hello, 1 connection", Ratio("cpu", "hello-1", "std", "bare-threads"), 1.0),
    goal("hello, 32 connections", Ratio("cpu", "hello-32", "std", "bare-threads"), 1.0),
    goal("hello, 1 connection", Ratio("cpu", "hello-1", "tokio", "hyper"), 0.95),
    goal("hello, 32 connections", Ratio("cpu", "hello-32", "tokio", "hyper"), 0.95),
    goal("hello, 16 pipelined", Ratio("cpu", "pipelined-16", "tokio", "actix"), 0.8),
    goal("1,000 pieces of 16 bytes", Ratio("cpu", "chunked", "tokio", "actix"), 1.0),
    goal("1 MiB upload, by length", Ratio("cpu", "upload-length", "tokio", "hyper"), 0.75),
    goal("1 MiB upload, chunked", Ratio("cpu", "upload-chunked", "tokio", "hyper"), 0.75),
    goal("POST of 1 KiB", Ratio("cpu", "echo", "tokio", "hyper"), 0.95),
    goal("10 KiB response", Ratio("cpu", "10k", "tokio", "hyper"), 1.0),
    goal("10 KiB response", Ratio("cpu", "10k", "std", "hyper"), 1.0),
    goal("10 KiB response", Ratio("cpu", "10k", "smol", "hyper"), 1.0),
    goal("1 MiB response", Ratio("cpu", "1m", "tokio", "hyper"), 1.0),
    goal("1 MiB response", Ratio("cpu", "1m", "std", "hyper"), 1.0),
    goal("1 MiB response", Ratio("cpu", "1m", "smol", "hyper"), 1.0),
    goal("1 GiB file", Ratio("cpu", "file", "tokio", "nginx"), 1.1),
    goal("neighbour of a cold 1 GiB file", Value("cold-p99", "file", "tokio"), 20.0),
    goal("neighbour of a cold 1 GiB file", Value("cold-p99", "file", "std"), 20.0),
    goal("neighbour of a cold 1 GiB file", Value("cold-p99", "file", "smol"), 20.0),
    goal("cold 1 GiB file, more memory", Value("cold-memory", "file", "tokio"), 4096.0),
    goal("cold 1 GiB file, more memory", Value("cold-memory", "file", "std"), 4096.0),
    goal("cold 1 GiB file, more memory", Value("cold-memory", "file", "smol"), 4096.0),
    goal("short-lived connections", Ratio("cpu", "short", "tokio", "hyper"), 1.0),
    goal("short-lived connections", Ratio("cpu", "short", "std", "hyper"), 1.1),
    goal("short-lived connections", Ratio("cpu", "short", "smol", "hyper"), 1.2),
    goal("short-lived connections", Value("calls", "short", "tokio"), 10.0),
    goal("short-lived connections", Value("calls", "short", "std"), 12.0),
    goal("short-lived connections", Value("calls", "short", "smol"), 20.0),
    goal("hello over TLS", Ratio("cpu", "tls-hello", "tokio", "hyper"), 1.05),
    goal("TLS handshake", Ratio("cpu", "tls-handshake", "tokio", "hyper"), 1.05),
    goal("p99 at half of hyper's rate", Ratio("p99", "latency", "tokio", "hyper"), 1.1),
    goal("log to a file", Ratio("cpu", "log", "tokio-log", "tokio"), 1.08),
    goal("log to a file, more calls", More("calls", "hello", "tokio-log", "tokio"), 0.1),
    goal("idle connection", Value("memory", "idle", "tokio"), 1.5),
    goal("idle connection", Value("memory", "idle", "smol"), 1.5),
    goal("idle connection", Value("memory", "idle", "async-std"), 1.5),
    goal("idle connection", Value("memory", "idle", "std"), 0.9),
    goal("busy connection", Ratio("memory", "busy", "tokio", "hyper"), 1.0),
    goal("busy connection", Ratio("memory", "busy", "std", "hyper"), 1.0),
    goal("busy connection", Ratio("memory", "busy", "smol", "hyper"), 1.0),
];

impl Figure {
    fn of(self, results: &Results) -> Option<f64> {
        match self {
            Value(metric, scenario, server) => results.median(metric, scenario, server),
            Ratio(metric, scenario, server, base) => results.ratio(metric, scenario, server, base),
            More(metric, scenario, server, base) => {
                Some(results.median(metric, scenario, server)? - results.median(metric, scenario, base)?)
            }
            Runner => {
                let ir = |server| results.median("ir", "hello", server);
                Some(ir("tokio")? - ir("bare-tokio")? - results.median("core-ir", "hello", "ours-answer")?)
            }
        }
    }

    fn metric(self) -> &'static str {
        match self {
            Value(metric, ..) | Ratio(metric, ..) | More(metric, ..) => metric,
            Runner => "ir",
        }
    }

    /// Which server is measured, in which unit, against which other one.
    fn text(self) -> String {
        let unit = match self.metric() {
            "core-ir" | "ir" => "instructions",
            "core-ns" | "cpu" => "processor time",
            "calls" => "system calls",
            "p99" => "latency",
            "cold-p99" => "p99 in milliseconds",
            _ => "KiB",
        };
        match self {
            Value(_, _, server) => format!("{}: {unit}", title(server)),
            Ratio(_, _, server, base) => format!("{} / {}: {unit}", title(server), title(base)),
            More(_, _, server, base) => format!("{} − {}: {unit}", title(server), title(base)),
            Runner => format!("{}: {unit}", title("tokio")),
        }
    }
}

/// The table of all goals.
pub(crate) fn table(results: &Results) -> String {
    let mut text =
        String::from("## Goals\n\n| work | measure | goal | figure | |\n| --- | --- | ---: | ---: | --- |\n");
    for Goal { work, what, limit } in GOALS {
        let (shown, verdict) = match what.of(results) {
            None => ("–".to_owned(), "not measured"),
            // What is printed decides: 1.004 is shown as 1.00 and reaches a goal of 1.00.
            Some(value) if (value * 100.0).round() <= (limit * 100.0).round() => (figure(value), "reached"),
            Some(value) => (figure(value), "**missed**"),
        };
        text.push_str(&format!(
            "| {work} | {} | ≤ {} | {shown} | {verdict} |\n",
            what.text(),
            figure(*limit)
        ));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_name_servers_and_scenarios_that_are_measured() {
        use crate::scenarios::SCENARIOS;
        for Goal { what, .. } in GOALS {
            if let Ratio("cpu", scenario, server, base) = what {
                let scenario = SCENARIOS.iter().find(|other| other.name == *scenario).expect("it exists");
                assert!(
                    scenario.servers.contains(server) && scenario.servers.contains(base),
                    "{}",
                    scenario.name
                );
            }
        }
    }

    #[test]
    fn a_goal_is_missed_above_its_limit() {
        let mut results = Results::default();
        results.add("ir", "hello", "tokio", 0, 3901.0);
        results.add("ir", "hello", "std", 0, 3800.0);
        let table = table(&results);
        assert!(
            table.contains("| hello | wsgi-tokio: instructions | ≤ 3,900 | 3,901 | **missed** |"),
            "{table}"
        );
        assert!(table.contains("| hello | wsgi-std: instructions | ≤ 3,800 | 3,800 | reached |"), "{table}");
    }
}
