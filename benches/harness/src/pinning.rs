//! Which processor runs the server and which the client.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pinning {
    server: usize,
    client: usize,
}

impl Pinning {
    /// The first two processors that this process may use.
    ///
    /// # Errors
    ///
    /// There is only one: then the client would slow the server down.
    pub(crate) fn new() -> Result<Self, String> {
        let allowed = sched_getaffinity(None).map_err(|error| format!("no list of processors: {error}"))?;
        let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
        match (processors.next(), processors.next()) {
            (Some(server), Some(client)) => Ok(Self { server, client }),
            _ => Err("a benchmark needs two processors".into()),
        }
    }

    /// Puts this thread, and processes that it starts from now on, on the server's processor.
    pub(crate) fn as_server(self) -> io::Result<()> {
        pin(&[self.server])
    }

    /// Puts this thread on the client's processor.
    pub(crate) fn as_client(self) -> io::Result<()> {
        pin(&[self.client])
    }

    /// Puts this thread, and processes that it starts from now on, on both processors.
    pub(crate) fn as_both(self) -> io::Result<()> {
        pin(&[self.server, self.client])
    }
}

fn pin(processors: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    processors.iter().for_each(|processor| set.set(*processor));
    Ok(sched_setaffinity(None, &set)?)
}
