//! The benchmark: starts servers, loads them, measures them, and writes the report. `cargo xtask bench` builds and
//! starts it; the README of `benches` describes what is measured and how.

mod client;
mod measure;
mod options;
mod pinning;
mod process;
mod python;
mod report;
mod results;
mod run;
mod scenarios;
mod servers;
mod usage;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use options::{Command, Options};
use pinning::Pinning;
use process::Places;
use results::Results;
use rustix::process::{Resource, getrlimit, setrlimit};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match options::parse(&words) {
        Ok(command) => carry_out(command),
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> Outcome {
    match command {
        Command::Help => println!("{}", options::USAGE),
        Command::List { python: false } => run::names().for_each(|name| println!("{name}")),
        Command::List { python: true } => python::names().for_each(|name| println!("{name}")),
        Command::Instructions { programs } => measure::gate::print(&places(programs)?)?,
        Command::Report { python: true } => python::report(&places(process::programs()?)?)?,
        Command::Report { python: false } => {
            let scratch = scratch()?;
            let results = Results::load(&scratch.join("results"))?;
            let full = fs::read_to_string(scratch.join("full")).is_ok_and(|text| text == "full");
            write_report(&results, &scratch, full)?;
        }
        Command::Run(options) => measured(&options)?,
    }
    Ok(())
}

fn measured(options: &Options) -> Outcome {
    raise_descriptors()?;
    let places = places(process::programs()?)?;
    if options.python {
        return python::measured(options, &places);
    }
    let results = run::run(options, &places)?;
    results.save(&places.scratch.join("results"))?;
    fs::write(places.scratch.join("full"), if options.is_full() { "full" } else { "part" })?;
    write_report(&results, &places.scratch, options.is_full())
}

fn places(programs: PathBuf) -> Outcome<Places> {
    let pinning = Pinning::new()?;
    pinning.as_client()?;
    Ok(Places { programs, scratch: scratch()?, pinning })
}

/// The folder for all files of a run: next to the programs.
fn scratch() -> Outcome<PathBuf> {
    let folder = process::programs()?.join("bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn write_report(results: &Results, scratch: &Path, full: bool) -> Outcome {
    let folder = if full { report::root().join("docs") } else { scratch.join("report") };
    report::write(results, &folder)?;
    println!("\nthe report is {}", folder.join("performance.md").display());
    Ok(())
}

/// The scenarios of memory need more descriptors than most shells allow.
fn raise_descriptors() -> Outcome {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
