//! The processor time of a server per request.

use std::io;

use crate::client::Client;
use crate::client::short;
use crate::measure::{Setting, probe};
use crate::process::{Server, Under};
use crate::scenarios::{Load, Scenario};
use crate::servers::Kind;
use crate::usage::Time;

/// Microseconds of processor time per answer.
///
/// # Errors
///
/// The server does not serve this scenario, or fails.
pub(crate) fn measure(setting: &Setting, scenario: &Scenario, kind: Kind) -> io::Result<f64> {
    let server = Server::start(kind, &setting.places, scenario.tls, &Under::default())?;
    let tls = if scenario.tls { &setting.tls } else { &None };
    let request = (scenario.request)();
    probe(&server, tls, &request, scenario.load)?;
    let id = server.id();
    let (time, answers) = match scenario.load {
        Load::Closed { connections, pipeline } => {
            let mut client = Client::connect(server.address, tls, &request, connections, pipeline)?;
            client.run_for(setting.warm_up)?;
            timed(id, || client.run_for(setting.time))?
        }
        Load::Few { answers } => {
            let mut client = Client::connect(server.address, tls, &request, 1, 1)?;
            timed(id, || client.run_count(answers))?
        }
        Load::Short { connections } => {
            short::run_for(server.address, tls, &request, connections, setting.warm_up)?;
            timed(id, || short::run_for(server.address, tls, &request, connections, setting.time))?
        }
    };
    server.stop()?;
    if answers == 0 {
        return Err(io::Error::other("no answer within the time of the measurement"));
    }
    Ok(time as f64 / answers as f64 / 1000.0)
}

fn timed(process: u32, work: impl FnOnce() -> io::Result<usize>) -> io::Result<(u64, usize)> {
    let before = Time::of(process);
    let answers = work()?;
    Ok((Time::of(process).since(before), answers))
}
