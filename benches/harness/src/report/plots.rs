//! The plots of the page. Each title states what the bars show, computed from the bars.

use bench_common::works::Work;

use crate::measure::cores::CORES;
use crate::report::svg::{Bar, Chart};
use crate::report::tables::figure;
use crate::results::Results;
use crate::scenarios::{COUNTED, MEMORY, SCENARIOS};
use crate::servers::{named, title};

/// A plot: the name of its file, its title, its text.
pub(crate) struct Plot {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) svg: String,
}

/// All plots for which something was measured.
pub(crate) fn all(results: &Results) -> Vec<Plot> {
    let charts = [
        ("instructions", instructions(results)),
        ("processor-time", processor_time(results)),
        ("servers", servers(results)),
        ("cores", cores(results)),
        ("memory", memory(results)),
    ];
    let plot = |(name, chart): (&'static str, Option<Chart>)| {
        let chart = chart?;
        Some(Plot { name, svg: chart.svg(), title: chart.title })
    };
    charts.into_iter().filter_map(plot).collect()
}

fn instructions(results: &Results) -> Option<Chart> {
    let group = |counted: &crate::scenarios::Counted| {
        let hyper = results.median("ir", counted.name, "hyper")?;
        let bar = |name: &&str| {
            let ir = results.median("ir", counted.name, name)?;
            Some(ratio_bar(name, ir / hyper, format!("{} ({:.2})", figure(ir), ir / hyper)))
        };
        Some((counted.title.to_owned(), sorted(counted.servers.iter().filter_map(bar).collect())))
    };
    let ratio = |name| Some(results.median("ir", name, "tokio")? / results.median("ir", name, "hyper")?);
    Some(Chart {
        title: format!(
            "wsgi-tokio: {} instructions than hyper (hello), {} (browser's request)",
            change(ratio("hello")?),
            change(ratio("browser")?)
        ),
        subtitle:
            "instructions in user space per request, and in brackets relative to hyper; shorter is better; blue: this project"
                .into(),
        line: Some((1.0, "hyper = 1.0".into())),
        groups: COUNTED.iter().filter(|counted| counted.name != "vars").filter_map(group).collect(),
    })
}

fn processor_time(results: &Results) -> Option<Chart> {
    let bar = |scenario: &crate::scenarios::Scenario| {
        // hyper flushes each answer by itself unless it is configured otherwise.
        let base = if scenario.name == "pipelined-16" { "hyper-flush" } else { "hyper" };
        let ratio = results.ratio("cpu", scenario.name, "tokio", base)?;
        let label = if base == "hyper" { scenario.title } else { "16 pipelined, to pipeline_flush" };
        Some(Bar { label: label.into(), value: ratio, text: format!("{ratio:.2}"), ours: true })
    };
    let bars: Vec<Bar> = SCENARIOS.iter().filter_map(bar).collect();
    let better = bars.iter().filter(|bar| bar.value < 0.995).count();
    (!bars.is_empty()).then(|| Chart {
        title: format!(
            "wsgi-tokio uses less processor time than hyper in {better} of {} scenarios",
            bars.len()
        ),
        subtitle:
            "processor time per request, user and kernel, of wsgi-tokio relative to hyper; shorter is better"
                .into(),
        line: Some((1.0, "hyper = 1.0".into())),
        groups: vec![(String::new(), sorted(bars))],
    })
}

fn servers(results: &Results) -> Option<Chart> {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == "hello-32")?;
    let bar = |name: &&str| {
        let ratio = results.ratio("cpu", scenario.name, name, "hyper")?;
        let micros = results.median("cpu", scenario.name, name)?;
        Some(ratio_bar(name, ratio, format!("{ratio:.2} ({micros:.1} µs)")))
    };
    let bars = sorted(scenario.servers.iter().filter_map(bar).collect());
    let floor = results.ratio("cpu", scenario.name, "tokio", "bare-tokio")?;
    Some(Chart {
        title: format!(
            "A hello costs wsgi-tokio {floor:.2} times the processor time of a loop that parses nothing"
        ),
        subtitle: "hello, 32 connections: processor time per request relative to hyper; shorter is better; blue: this project"
            .into(),
        line: Some((1.0, "hyper = 1.0".into())),
        groups: vec![(String::new(), bars)],
    })
}

fn cores(results: &Results) -> Option<Chart> {
    let group = |work: Work, heading: &str| {
        let base = results.median("core-ir", work.name(), "http-net")?;
        let bar = |core: &crate::measure::cores::Core| {
            let ir = results.median("core-ir", work.name(), core.name)?;
            Some(ratio_bar(core.name, ir / base, format!("{} ({:.2})", figure(ir), ir / base)))
        };
        Some((heading.to_owned(), sorted(CORES.iter().filter_map(bar).collect())))
    };
    let ratio = |work: Work| {
        Some(
            results.median("core-ir", work.name(), "ours")?
                / results.median("core-ir", work.name(), "http-net")?,
        )
    };
    Some(Chart {
        title: format!(
            "wsgi-proto: {} instructions than http-net (hello), {} (browser's request)",
            change(ratio(Work::Hello)?),
            change(ratio(Work::Browser)?)
        ),
        subtitle:
            "instructions per exchange in memory, and in brackets relative to http-net; shorter is better; blue: this project"
                .into(),
        line: Some((1.0, "http-net = 1.0".into())),
        groups: [group(Work::Hello, "hello, 35 bytes"), group(Work::Browser, "browser's request, 660 bytes")]
            .into_iter()
            .flatten()
            .collect(),
    })
}

fn memory(results: &Results) -> Option<Chart> {
    let bar = |name: &&str| {
        let size = results.median("memory", "idle", name)?;
        Some(ratio_bar(name, size, format!("{size:.2} KiB")))
    };
    let size = |name| results.median("memory", "idle", name);
    Some(Chart {
        title: format!(
            "An idle connection takes {:.1} KiB on wsgi-tokio and {:.1} KiB on wsgi-std; {:.0} KiB on hyper",
            size("tokio")?,
            size("std")?,
            size("hyper")?
        ),
        subtitle:
            "resident memory in KiB for each of 9,000 idle connections, after one request; shorter is better; blue: this project"
                .into(),
        line: None,
        groups: vec![(String::new(), sorted(MEMORY.iter().filter_map(bar).collect()))],
    })
}

/// A ratio as a part of a sentence.
fn change(ratio: f64) -> String {
    let percent = ((ratio - 1.0) * 100.0).round();
    if percent < 0.0 { format!("{:.0} % fewer", -percent) } else { format!("{percent:.0} % more") }
}

fn ratio_bar(name: &str, value: f64, text: String) -> Bar {
    let ours = name.starts_with("ours") || named(name).is_some_and(|server| server.is_ours());
    Bar { label: title(name).into(), value, text, ours }
}

fn sorted(mut bars: Vec<Bar>) -> Vec<Bar> {
    bars.sort_by(|one, other| one.value.total_cmp(&other.value));
    bars
}
