//! A run: every measurement in turn, so that a change of the machine's speed meets all servers alike.

use std::io;
use std::time::{Duration, Instant};

use bench_common::works::Work;

use crate::Outcome;
use crate::client::link;
use crate::measure::cores::CORES;
use crate::measure::{Setting, cold, instructions, latency, memory, processor, system_calls};
use crate::options::Options;
use crate::process::{Places, is_installed};
use crate::results::Results;
use crate::scenarios::{COLD, COUNTED, HELLO_CALLS, LATENCY, Load, MEMORY, SCENARIOS, SHORT_CALLS};
use crate::servers::{Kind, named};

/// The size of `/file`.
const FILE: u64 = 1 << 30;
/// The scenarios that are not about processor time.
const OTHERS: &[&str] = &["cores", "instructions", "system-calls", "cold", "latency", "memory"];

/// The names of all scenarios.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name).chain(OTHERS.iter().copied())
}

/// Measures what the options include.
pub(crate) fn run(options: &Options, places: &Places) -> Outcome<Results> {
    if let Some(unknown) = options.only.iter().find(|name| !names().any(|known| known == **name)) {
        return Err(format!("`{unknown}` is not a scenario; `--only list` prints them").into());
    }
    let (warm_up, time) = if options.quick { (100, 300) } else { (250, 700) };
    let setting = Setting {
        places: places.clone(),
        tls: Some(link::certificate(&places.scratch)?),
        warm_up: Duration::from_millis(warm_up),
        time: Duration::from_millis(time),
    };
    cold::prepare(&places.scratch.join("file"), FILE)?;
    let mut results = Results::default();
    if options.includes("instructions") {
        count_instructions(options, &setting, &mut results);
    }
    if options.includes("system-calls") {
        count_system_calls(&setting, &mut results);
    }
    let start = Instant::now();
    for round in 0..options.rounds {
        println!("\nround {} of {}, {} s", round + 1, options.rounds, start.elapsed().as_secs());
        if options.includes("cores") {
            time_cores(options, &setting, &mut results, round);
        }
        for scenario in SCENARIOS.iter().filter(|scenario| options.includes(scenario.name)) {
            for kind in present(scenario.servers) {
                let value = processor::measure(&setting, scenario, kind);
                note(&mut results, "cpu", scenario.name, kind.name, round, value);
            }
        }
        if options.includes("cold") {
            for kind in present(COLD) {
                let (neighbour, memory) = match cold::measure(&setting, kind) {
                    Ok(cold) => (Ok(cold.neighbour), Ok(cold.memory)),
                    Err(error) => (Err(error), Err(io::Error::other("no file"))),
                };
                note(&mut results, "cold-p99", "file", kind.name, round, neighbour);
                note(&mut results, "cold-memory", "file", kind.name, round, memory);
            }
        }
        if options.includes("latency") {
            measure_latency(&setting, &mut results, round);
        }
        // Memory hardly differs between rounds.
        if options.includes("memory") && round < 3 {
            for kind in present(MEMORY) {
                note(&mut results, "memory", "idle", kind.name, round, memory::idle(&setting, kind));
                note(&mut results, "memory", "busy", kind.name, round, memory::busy(&setting, kind));
            }
        }
    }
    Ok(results)
}

/// The servers of these names that can be started here.
fn present(names: &[&str]) -> impl Iterator<Item = Kind> {
    let nginx = is_installed("nginx") || std::path::Path::new("/usr/sbin/nginx").exists();
    names.iter().filter_map(|name| named(name)).filter(move |kind| kind.name != "nginx" || nginx)
}

/// Keeps a value and prints it; a server that fails, or does not serve a scenario, has none.
pub(crate) fn note(
    results: &mut Results,
    metric: &str,
    scenario: &str,
    server: &str,
    round: usize,
    value: io::Result<f64>,
) {
    match value {
        Ok(value) => {
            println!("{metric:<8} {scenario:<16} {server:<18} {value:>12.2}");
            results.add(metric, scenario, server, round, value);
        }
        Err(error) => {
            let error = error.to_string();
            let line = error.lines().next().unwrap_or_default();
            println!("{metric:<8} {scenario:<16} {server:<18} {:>12} ({line})", "-");
        }
    }
}

fn count_instructions(options: &Options, setting: &Setting, results: &mut Results) {
    if !is_installed("valgrind") {
        println!("no valgrind: no instructions");
        return;
    }
    for work in Work::ALL.into_iter().filter(|work| !options.quick || *work != Work::Upload) {
        for core in CORES {
            match core.time(&setting.places.programs, work, true) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    let value = core.instructions(&setting.places.programs, work);
                    note(results, "core-ir", work.name(), core.name, 0, value);
                }
                Err(error) => println!("{} does not run: {error}", core.name),
            }
        }
    }
    for counted in COUNTED {
        for kind in present(counted.servers).filter(|kind| !options.quick || is_needed(*kind)) {
            let value = instructions::of_server(kind, &setting.places, &(counted.request)());
            note(results, "ir", counted.name, kind.name, 0, value);
        }
    }
}

/// Whether a server is compared by a goal.
fn is_needed(kind: Kind) -> bool {
    kind.is_ours() || ["hyper", "bare-tokio", "bare-threads"].contains(&kind.name)
}

fn count_system_calls(setting: &Setting, results: &mut Results) {
    if !is_installed("strace") {
        println!("no strace: no system calls");
        return;
    }
    let kept = Load::Closed { connections: 8, pipeline: 1 };
    for kind in present(HELLO_CALLS) {
        note(results, "calls", "hello", kind.name, 0, system_calls::measure(kind, &setting.places, kept));
    }
    let one = Load::Short { connections: 1 };
    for kind in present(SHORT_CALLS) {
        note(results, "calls", "short", kind.name, 0, system_calls::measure(kind, &setting.places, one));
    }
}

fn time_cores(options: &Options, setting: &Setting, results: &mut Results, round: usize) {
    for work in Work::ALL {
        for core in CORES {
            if let Some(value) = core.time(&setting.places.programs, work, options.quick).transpose() {
                note(results, "core-ns", work.name(), core.name, round, value);
            }
        }
    }
}

/// The rate is half of what hyper reaches in the same round.
fn measure_latency(setting: &Setting, results: &mut Results, round: usize) {
    let Some(hyper) = named("hyper") else { return };
    let rate = match latency::full_rate(setting, hyper) {
        Ok(rate) => rate / 2.0,
        Err(error) => {
            println!("hyper's rate is not known: {error}");
            return;
        }
    };
    results.add("rate", "latency", "hyper", round, rate);
    let longer = Setting { time: setting.time * 2, ..setting.clone() };
    for kind in present(LATENCY) {
        note(results, "p99", "latency", kind.name, round, latency::percentile_99(&longer, kind, rate));
    }
}
