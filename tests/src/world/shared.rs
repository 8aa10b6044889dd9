//! What the parts of a world share: clock, network, tasks, plan, and what is noted for the checks.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use wsgi_app::{Address, LogEntry, Record};

use crate::world::executor::Spawner;
use crate::world::network::{Inside, Net};
use crate::world::plan::Plan;
use crate::world::time::{Nanos, SimulatedClock};

/// The port of the first link; each has its own port, so that the log names it.
const FIRST_PORT: u16 = 1000;

pub(crate) struct Shared {
    pub(crate) clock: SimulatedClock,
    net: Mutex<Net>,
    pub(crate) spawner: Spawner,
    pub(crate) plan: Plan,
    notes: Mutex<Notes>,
}

/// What applications, transports and the log leave for the checks.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// How often the application was called for each request.
    pub(crate) calls: Vec<u32>,
    /// What is wrong already.
    pub(crate) faults: Vec<String>,
    /// Applications and bodies that were not dropped yet.
    pub(crate) alive: usize,
    /// Applications that wait for what never happens.
    pub(crate) forever: usize,
    /// Transports that were made, and dropped.
    pub(crate) transports: usize,
    pub(crate) dropped: usize,
    pub(crate) journal: Journal,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// All entries, without the number of the process.
    pub(crate) lines: Vec<String>,
    pub(crate) accesses: Vec<Access>,
    /// Links that a debug entry names after they were accepted, with that entry.
    pub(crate) ends: Vec<(usize, String)>,
}

/// An access line.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) link: usize,
    /// `None` when it is about no request of the plan.
    pub(crate) id: Option<usize>,
    pub(crate) spoiled: bool,
}

impl Shared {
    pub(crate) fn new(plan: Plan, net: Net, spawner: Spawner, clock: SimulatedClock) -> Arc<Self> {
        let notes = Notes { calls: vec![0; plan.requests.len()], ..Notes::default() };
        Arc::new(Self { clock, net: Mutex::new(net), spawner, plan, notes: Mutex::new(notes) })
    }

    /// The network, at the time of the clock.
    pub(crate) fn net(&self) -> MutexGuard<'_, Net> {
        let mut net = self.net.lock().unwrap_or_else(PoisonError::into_inner);
        net.now = self.clock.nanos();
        net
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fault(&self, what: String) {
        self.notes().faults.push(what);
    }

    /// Ready after `time`.
    pub(crate) fn sleep(self: &Arc<Self>, time: Nanos) -> impl Future<Output = ()> + Send + use<> {
        let (shared, until) = (Arc::clone(self), self.clock.nanos().saturating_add(time));
        let mut number: Option<usize> = None;
        poll_fn(move |context| {
            let mut net = shared.net();
            if net.now >= until {
                return Poll::Ready(());
            }
            let waker = Some(context.waker().clone());
            match number {
                Some(number) if net.sleeps[number].is_some() => net.sleeps[number] = waker,
                _ => {
                    let new = net.sleeps.len();
                    net.sleeps.push(waker);
                    let late = net.lateness();
                    net.inside.add(until.saturating_add(late), Inside::Sleep(new));
                    number = Some(new);
                }
            }
            Poll::Pending
        })
    }

    /// Notes that something lives, until the guard is dropped.
    pub(crate) fn alive(self: &Arc<Self>) -> Alive {
        self.notes().alive += 1;
        Alive(Arc::clone(self))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// Something that has to be dropped before the world ends.
pub(crate) struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.notes().alive -= 1;
    }
}

/// The address of the client's end of a link.
pub(crate) fn remote(link: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), FIRST_PORT + link as u16)
}

/// Which request of the plan a path names.
pub(crate) fn request_id(path: &[u8]) -> Option<usize> {
    std::str::from_utf8(path.strip_prefix(b"/")?).ok()?.parse().ok()
}

impl Journal {
    pub(crate) fn add(&mut self, entry: &LogEntry<'_>) {
        let text = entry.text();
        // The number of the process differs between two runs.
        let line = match text.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
            Some((pid, rest)) if pid.bytes().all(|byte| byte.is_ascii_digit()) => rest,
            _ => text,
        };
        match entry {
            LogEntry::Access { record, .. } => self.accesses.push(Access::new(record)),
            LogEntry::Debug(_) if !line.starts_with("accepted ") => {
                let port = line.split_once("10.0.0.1:").map(|(_, rest)| {
                    let digits =
                        rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
                    &rest[..digits]
                });
                if let Some(port) = port.and_then(|port| port.parse::<u16>().ok()) {
                    self.ends.push((usize::from(port - FIRST_PORT), line.to_owned()));
                }
            }
            _ => {}
        }
        self.lines.push(line.to_owned());
    }

    pub(crate) fn access(&self, id: usize) -> Option<&Access> {
        self.accesses.iter().find(|access| access.id == Some(id))
    }
}

impl Access {
    fn new(record: &Record) -> Self {
        let link = match record.endpoints.remote {
            Address::Ip(address) => usize::from(address.port() - FIRST_PORT),
            Address::Local => usize::MAX,
        };
        Self {
            link,
            id: record.head.as_ref().and_then(|head| request_id(head.path())),
            spoiled: record.lost.is_some() || record.refused.is_some() || record.cut,
        }
    }
}
