//! The plots of the page. Each title states what the bars show, computed from the bars.

use crate::python::goals::is_in_time;
use crate::python::scenarios::{SCENARIOS, Scenario};
use crate::python::servers::{OURS, SERVERS, named};
use crate::report::plots::Plot;
use crate::report::svg::{Bar, Chart};
use crate::report::tables::figure;
use crate::results::Results;

/// Longer bars would make all others short; the figures beside them are whole.
const LONGEST: f64 = 3.0;
/// After the name of a server that does not send blocks in time.
const LATE: &str = ", keeps blocks back";
/// The servers without compiled code, which are far slower: they are shown for one scenario.
const SLOW: &[&str] = &["gunicorn, gthread", "gunicorn, sync", "eventlet"];

/// All plots for which something was measured.
pub(crate) fn all(results: &Results) -> Vec<Plot> {
    let charts = [("python-hello", hello(results)), ("python-scenarios", scenarios(results))];
    let plot = |(name, chart): (&'static str, Option<Chart>)| {
        let chart = chart?;
        Some(Plot { name, svg: chart.svg(), title: chart.title })
    };
    charts.into_iter().filter_map(plot).collect()
}

fn hello(results: &Results) -> Option<Chart> {
    let bar = |name: &'static str| {
        let (micros, ratio) =
            (results.median("cpu", "hello", name)?, results.ratio("cpu", "hello", name, OURS)?);
        Some(Bar {
            label: name.into(),
            value: ratio,
            text: format!("{} µs ({ratio:.2})", figure(micros)),
            ours: named(name).is_some_and(|kind| kind.is_ours()),
        })
    };
    // A new connection for each request is another kind of work, and its bar would make all others short.
    let bars: Vec<Bar> =
        SERVERS.iter().filter(|kind| !kind.closes).filter_map(|kind| bar(kind.name)).collect();
    let times = |name| results.ratio("cpu", "hello", name, OURS);
    Some(Chart {
        title: format!(
            "hello: eventlet needs {:.1} times the processor time, gunicorn {:.1} times, granian {:.1} times",
            times("eventlet")?,
            times("gunicorn, gthread")?,
            times("granian")?
        ),
        subtitle: "processor time per request, user and kernel, and in brackets relative to wsgi-python; shorter is better"
            .into(),
        line: Some((1.0, "wsgi-python = 1.0".into())),
        groups: vec![(String::new(), sorted(bars))],
    })
}

fn scenarios(results: &Results) -> Option<Chart> {
    let bar = |scenario: &Scenario, name: &'static str| {
        let ratio = results.ratio("cpu", scenario.name, name, OURS)?;
        let late = scenario.name == "generator" && !is_in_time(results, name);
        Some(Bar {
            label: if late { format!("{name}{LATE}") } else { name.into() },
            value: ratio,
            text: format!("{}{ratio:.2}", if ratio > LONGEST { "» " } else { "" }),
            ours: named(name).is_some_and(|kind| kind.is_ours()),
        })
    };
    let fast = || SERVERS.iter().map(|kind| kind.name).filter(|name| !SLOW.contains(name));
    let group = |scenario: &Scenario| {
        let bars: Vec<Bar> = fast().filter_map(|name| bar(scenario, name)).collect();
        (bars.len() > 1).then(|| (scenario.title.to_owned(), sorted(bars)))
    };
    let groups: Vec<_> = SCENARIOS.iter().filter_map(group).collect();
    // Within the noise of the measurement, an equal server is not better.
    let is_better = |bar: &Bar| !bar.ours && bar.value < 0.97 && !bar.label.ends_with(LATE);
    let best = groups.iter().filter(|(_, bars)| !bars.iter().any(is_better)).count();
    let cut = |bar: Bar| Bar { value: bar.value.min(LONGEST), ..bar };
    let groups: Vec<_> =
        groups.into_iter().map(|(title, bars)| (title, bars.into_iter().map(cut).collect())).collect();
    (!groups.is_empty()).then(|| Chart {
        title: format!(
            "wsgi-python is the best, or within 3 % of it, in {best} of {} scenarios",
            groups.len()
        ),
        subtitle:
            "processor time per request relative to wsgi-python; shorter is better; longer bars end at 3 (»)"
                .into(),
        line: Some((1.0, "wsgi-python = 1.0".into())),
        groups,
    })
}

fn sorted(mut bars: Vec<Bar>) -> Vec<Bar> {
    bars.sort_by(|one, other| one.value.total_cmp(&other.value));
    bars
}
