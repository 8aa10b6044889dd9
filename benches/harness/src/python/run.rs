//! A run of the comparison: the servers take turns in every round, so that a change of the machine's speed meets all
//! alike.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::Client;
use crate::options::Options;
use crate::process::{Places, Server, Under, is_installed};
use crate::python::Environment;
use crate::python::blocks;
use crate::python::computing::{self, Beside};
use crate::python::instructions;
use crate::python::measure::{self, SLEEPERS, Times};
use crate::python::scenarios::{FLASK, PLAIN, SCENARIOS, Scenario, hello};
use crate::python::servers::{Kind, SERVERS, named};
use crate::results::Results;
use crate::run::note;

/// The scenarios that are not about processor time.
const OTHERS: &[&str] = &["instructions", "system-calls", "blocks", "sleep", "idle", "computing"];
/// The servers beside which a thread computes.
const COMPUTING: &[&str] = &["wsgi-python", "granian", "gunicorn, gthread"];
/// The servers with idle connections.
const IDLE: &[&str] = &["wsgi-python", "peregrine", "fastpysgi", "bjoern", "granian", "eventlet"];
/// The rounds of `idle`: memory hardly differs between them.
const IDLE_ROUNDS: usize = 3;

/// The names of all scenarios.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name).chain(OTHERS.iter().copied())
}

/// What a run has at hand.
struct Run<'a> {
    options: &'a Options,
    places: &'a Places,
    environment: &'a Environment,
    times: Times,
    results: Results,
}

/// Measures what the options include.
pub(super) fn run(options: &Options, places: &Places, environment: &Environment) -> Outcome<Results> {
    if let Some(unknown) = options.only.iter().find(|name| !names().any(|known| known == **name)) {
        return Err(format!("`{unknown}` is not a scenario; `--only list` prints them").into());
    }
    environment.left_out.iter().for_each(|line| println!("{line}"));
    let (warm_up, time) = if options.quick { (50, 150) } else { (150, 500) };
    let times = Times { warm_up: Duration::from_millis(warm_up), time: Duration::from_millis(time) };
    let mut run = Run { options, places, environment, times, results: Results::default() };
    let start = Instant::now();
    run.instructions();
    run.system_calls();
    run.blocks();
    for round in 0..options.rounds {
        println!("\nround {} of {}, {} s", round + 1, options.rounds, start.elapsed().as_secs());
        run.processor(PLAIN, round);
        run.processor(FLASK, round);
        run.sleep(round);
        if round < IDLE_ROUNDS {
            run.idle(round);
        }
        run.computing(round);
    }
    println!("\n{} s", start.elapsed().as_secs());
    Ok(run.results)
}

impl Run<'_> {
    fn note(&mut self, metric: &str, scenario: &str, kind: Kind, round: usize, value: io::Result<f64>) {
        note(&mut self.results, metric, scenario, kind.name, round, value);
    }

    /// Starts a server; its failure is the value of this metric.
    fn start(&self, kind: Kind, module: &str, threads: Option<usize>, under: &Under) -> io::Result<Server> {
        kind.start(self.environment, self.places, module, threads, under)
    }

    /// The servers that are installed.
    fn present(&self) -> Vec<Kind> {
        let installed = |kind: &Kind| self.environment.version(kind.package).is_some();
        SERVERS.iter().copied().filter(installed).collect()
    }

    /// The scenarios of a module that the options include.
    fn scenarios(&self, module: &str) -> Vec<&'static Scenario> {
        let wanted = |scenario: &&Scenario| scenario.module == module && self.options.includes(scenario.name);
        SCENARIOS.iter().filter(wanted).collect()
    }

    fn instructions(&mut self) {
        if !self.options.includes("instructions") {
            return;
        }
        if !is_installed("callgrind_control") {
            println!("no valgrind: no instructions");
            return;
        }
        for module in [PLAIN, FLASK] {
            let scenarios: Vec<_> = SCENARIOS.iter().filter(|scenario| scenario.module == module).collect();
            for pair in self.present().chunks(2) {
                // Two at a time, one for each processor: other work does not change what is counted.
                let count =
                    |kind: Kind| instructions::count(kind, self.environment, self.places, module, &scenarios);
                let values: Vec<_> = thread::scope(|scope| {
                    let started: Vec<_> = pair.iter().map(|kind| scope.spawn(move || count(*kind))).collect();
                    started.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
                });
                for (kind, values) in pair.iter().zip(values) {
                    for (scenario, value) in scenarios.iter().zip(values) {
                        self.note("ir", scenario.name, *kind, 0, value);
                    }
                }
            }
        }
    }

    fn system_calls(&mut self) {
        if !self.options.includes("system-calls") {
            return;
        }
        if !is_installed("strace") {
            println!("no strace: no system calls");
            return;
        }
        for kind in self.present() {
            let value = self.calls(kind);
            self.note("calls", "hello", kind, 0, value);
        }
    }

    /// System calls per hello: the difference of two runs.
    fn calls(&self, kind: Kind) -> io::Result<f64> {
        const REQUESTS: usize = 500;
        let table = self.places.scratch.join("strace-python");
        let count = |requests: usize| {
            let words =
                ["strace", "-c", "-f", "-q", "-o", &table.to_string_lossy()].map(str::to_owned).into();
            let under = Under { words, is_parent: true, ..Under::default() };
            let server = self.start(kind, PLAIN, None, &under)?;
            if kind.closes {
                crate::client::short::run_count(server.address, &None, &hello(), requests)?;
            } else {
                Client::connect(server.address, &None, &hello(), 8, 1)?.run_count(requests)?;
            }
            server.stop()?;
            crate::measure::system_calls::total(&fs::read_to_string(&table)?)
        };
        Ok((count(3 * REQUESTS)? - count(REQUESTS)?) / (2 * REQUESTS) as f64)
    }

    fn blocks(&mut self) {
        if !self.options.includes("blocks") && !self.options.includes("generator") {
            return;
        }
        for kind in self.present() {
            let value =
                self.start(kind, PLAIN, None, &Under::default()).and_then(|server| blocks::delay(&server));
            self.note("delay", "blocks", kind, 0, value);
        }
    }

    /// All servers run, and one at a time is loaded: A B C for a scenario, then A B C for the next one.
    fn processor(&mut self, module: &str, round: usize) {
        let scenarios = self.scenarios(module);
        if scenarios.is_empty() {
            return;
        }
        let start = |kind| (kind, self.start(kind, module, None, &Under::default()));
        let servers: Vec<_> = self.present().into_iter().map(start).collect();
        for scenario in scenarios {
            for (kind, server) in &servers {
                let value = match server {
                    Ok(server) => measure::processor(server, *kind, scenario, self.times),
                    Err(error) => Err(io::Error::other(error.to_string())),
                };
                self.note("cpu", scenario.name, *kind, round, value);
            }
        }
    }

    fn sleep(&mut self, round: usize) {
        if !self.options.includes("sleep") {
            return;
        }
        for kind in self.present().into_iter().filter(|kind| kind.has_threads()) {
            let found = self
                .start(kind, PLAIN, Some(SLEEPERS), &Under::default())
                .and_then(|server| measure::sleep(&server, self.times));
            let (rate, cpu) = split(found);
            self.note("rate", "sleep", kind, round, rate);
            self.note("cpu", "sleep", kind, round, cpu);
        }
    }

    fn idle(&mut self, round: usize) {
        if !self.options.includes("idle") {
            return;
        }
        for kind in IDLE.iter().filter_map(|name| named(name)) {
            let found =
                self.start(kind, PLAIN, None, &Under::default()).and_then(|server| measure::idle(&server));
            let (memory, answered) = split(found);
            self.note("memory", "idle", kind, round, memory);
            self.note("answered", "idle", kind, round, answered);
        }
    }

    fn computing(&mut self, round: usize) {
        if !self.options.includes("computing") {
            return;
        }
        for (metric, anywhere) in [("one", false), ("two", true)] {
            for kind in COMPUTING.iter().filter_map(|name| named(name)) {
                let found = self
                    .start(kind, PLAIN, None, &Under { anywhere, ..Under::default() })
                    .and_then(|server| computing::measure(&server, self.times));
                for (at, beside) in [Beside::Rate, Beside::Full].into_iter().enumerate() {
                    let part = match &found {
                        Ok(found) => Ok((found[at].share * 100.0, found[at].answers)),
                        Err(error) => Err(io::Error::other(error.to_string())),
                    };
                    let (share, answers) = split(part);
                    self.note(&format!("share-{metric}"), beside.name(), kind, round, share);
                    self.note(&format!("answers-{metric}"), beside.name(), kind, round, answers);
                }
            }
        }
    }
}

/// Both values, or the error twice.
fn split(found: io::Result<(f64, f64)>) -> (io::Result<f64>, io::Result<f64>) {
    match found {
        Ok((one, other)) => (Ok(one), Ok(other)),
        Err(error) => (Err(io::Error::other(error.to_string())), Err(error)),
    }
}
