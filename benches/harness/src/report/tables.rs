//! The tables of the page: everything that was measured, one row for each scenario or server.

use bench_common::works::Work;

use crate::measure::cores::CORES;
use crate::results::Results;
use crate::scenarios::{COUNTED, SCENARIOS};
use crate::servers::{SERVERS, title};

/// All tables.
pub(crate) fn all(results: &Results) -> String {
    [
        processor(results),
        instructions(results),
        cores(results),
        calls(results),
        latency(results),
        cold(results),
        memory(results),
    ]
    .concat()
}

/// The table without the rows and columns that have no value.
pub(crate) fn table(corner: &str, columns: &[&str], rows: Vec<(&str, Vec<Option<String>>)>) -> String {
    let rows: Vec<_> = rows.into_iter().filter(|(_, cells)| cells.iter().any(Option::is_some)).collect();
    let kept: Vec<usize> =
        (0..columns.len()).filter(|at| rows.iter().any(|(_, cells)| cells[*at].is_some())).collect();
    if kept.is_empty() {
        return String::from("Not measured in this run.\n\n");
    }
    let mut text = format!("| {corner} |");
    kept.iter().for_each(|at| text.push_str(&format!(" {} |", columns[*at])));
    text.push_str("\n| --- |");
    kept.iter().for_each(|_| text.push_str(" ---: |"));
    for (name, cells) in &rows {
        text.push_str(&format!("\n| {name} |"));
        kept.iter().for_each(|at| text.push_str(&format!(" {} |", cells[*at].as_deref().unwrap_or("–"))));
    }
    text + "\n\n"
}

fn processor(results: &Results) -> String {
    let names: Vec<&str> = SERVERS.iter().map(|server| server.name).filter(|name| *name != "hyper").collect();
    let mut columns = vec!["hyper, µs"];
    columns.extend(names.iter().map(|name| title(name)));
    let row = |scenario: &'static crate::scenarios::Scenario| {
        let micros = results.median("cpu", scenario.name, "hyper");
        let ratio = |name: &&str| {
            let ratio = results.ratio("cpu", scenario.name, name, "hyper").map(|ratio| format!("{ratio:.2}"));
            // Scenarios without hyper have no ratio to it.
            let alone =
                results.median("cpu", scenario.name, name).map(|micros| format!("{} µs", figure(micros)));
            ratio.or(alone.filter(|_| micros.is_none()))
        };
        let cells = std::iter::once(micros.map(figure)).chain(names.iter().map(ratio)).collect();
        (scenario.title, cells)
    };
    let rows = SCENARIOS.iter().map(row).collect();
    format!(
        "## Processor time\n\nMicroseconds of processor time per request, user and kernel together, of hyper, and the \
         ratio of each other server\nto hyper in the same round (median of {} rounds). Below 1 is faster. Where hyper \
         does not take part, microseconds.\n\n{}",
        results.rounds("cpu"),
        table("work", &columns, rows)
    )
}

fn instructions(results: &Results) -> String {
    let columns: Vec<&str> = COUNTED.iter().map(|counted| counted.title).collect();
    let row = |name: &'static str| {
        let cell = |counted: &crate::scenarios::Counted| results.median("ir", counted.name, name).map(figure);
        (title(name), COUNTED.iter().map(cell).collect())
    };
    let rows = SERVERS.iter().map(|server| row(server.name)).collect();
    format!(
        "## Instructions of the servers\n\nInstructions in user space per request, with 8 busy connections \
         (callgrind).\n\n{}",
        table("server", &columns, rows)
    )
}

fn cores(results: &Results) -> String {
    let columns = [
        "hello, Ir",
        "hello, ns",
        "browser, Ir",
        "browser, ns",
        "1,000 chunks out, Ir",
        "1,000 chunks out, ns",
        "1 MiB chunked in, Ir",
        "1 MiB chunked in, ns",
    ];
    let row = |name: &'static str| {
        let cells = |work: Work| {
            ["core-ir", "core-ns"].map(|metric| results.median(metric, work.name(), name).map(figure))
        };
        (title(name), Work::ALL.into_iter().flat_map(cells).collect())
    };
    format!(
        "## Cores in memory\n\nOne exchange on a connection in memory: bytes in, request, answer, bytes out. \
         Instructions (Ir) and processor time\n(median of {} rounds).\n\n{}",
        results.rounds("core-ns"),
        table("core", &columns, CORES.iter().map(|core| row(core.name)).collect())
    )
}

fn calls(results: &Results) -> String {
    let row = |name: &'static str| {
        let cells = ["hello", "short"].map(|scenario| results.median("calls", scenario, name));
        (title(name), cells.map(|calls| calls.map(|calls| format!("{calls:.2}"))).into())
    };
    format!(
        "## System calls\n\nPer request, with 8 busy connections; and per short-lived connection, one at a time \
         (strace).\n\n{}",
        table(
            "server",
            &["hello", "short-lived connection"],
            SERVERS.iter().map(|server| row(server.name)).collect()
        )
    )
}

fn latency(results: &Results) -> String {
    let row = |name: &'static str| {
        let micros = results.median("p99", "latency", name).map(figure);
        let ratio = results.ratio("p99", "latency", name, "hyper").map(|ratio| format!("{ratio:.2}"));
        (title(name), vec![micros, ratio])
    };
    let rate = results.median("rate", "latency", "hyper").map_or_else(|| "–".into(), figure);
    format!(
        "## Latency at a constant rate\n\n256 connections, {rate} requests per second (half of what hyper reaches), \
         from the time at which a request was due.\n\n{}",
        table("server", &["p99, µs", "to hyper"], SERVERS.iter().map(|server| row(server.name)).collect())
    )
}

fn cold(results: &Results) -> String {
    let row = |name: &'static str| {
        let median = |metric| results.median(metric, "file", name).map(figure);
        (title(name), vec![median("cold-p99"), median("cold-memory")])
    };
    format!(
        "## A cold file and its neighbour\n\nOne client gets a file of 1 GiB that is not in the system's cache. Beside it, \
         8 connections send 1,000 small requests\nper second: their 99th percentile, from the time at which a request \
         was due, and by how much the resident memory of the\nserver grew.\n\n{}",
        table("server", &["p99, ms", "memory, KiB"], SERVERS.iter().map(|server| row(server.name)).collect())
    )
}

fn memory(results: &Results) -> String {
    let row = |name: &'static str| {
        let cells = ["idle", "busy"].map(|scenario| results.median("memory", scenario, name));
        (title(name), cells.map(|size| size.map(|size| format!("{size:.2}"))).into())
    };
    format!(
        "## Memory\n\nResident KiB that each connection adds: 9,000 idle ones after one request each, and 1,000 busy \
         ones.\n\n{}",
        table("server", &["idle, KiB", "busy, KiB"], SERVERS.iter().map(|server| row(server.name)).collect())
    )
}

/// A number with three or four significant digits and groups of thousands.
pub(crate) fn figure(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_groups_of_thousands() {
        let shown = [0.456, 99.994, 100.0, 1234.5, 1_234_567.0].map(figure);
        assert_eq!(shown, ["0.46", "99.99", "100", "1,234", "1,234,567"]);
    }

    #[test]
    fn empty_rows_and_columns_are_left_out() {
        let cell = |text: &str| Some(text.to_owned());
        let rows = vec![
            ("a", vec![cell("1"), None, None]),
            ("b", vec![None; 3]),
            ("c", vec![None, None, cell("2")]),
        ];
        let expected = "| x | one | three |\n| --- | ---: | ---: |\n| a | 1 | – |\n| c | – | 2 |\n\n";
        assert_eq!(table("x", &["one", "two", "three"], rows), expected);
    }
}
