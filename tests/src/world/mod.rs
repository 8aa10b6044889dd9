//! A simulated world for the layer that runs connections: the real accept loop, registry and connection tasks of
//! `wsgi-app`, on a seeded executor with one thread, a simulated network and a simulated clock.
//!
//! [`run`] plays the world of one seed. The seed decides everything: when clients arrive and what they do (silent, slow
//! and dripping ones, crowds beyond `max_size`, pipelining, half-closes, resets), which task runs next, how late the
//! runtime reports what the system knows, when the process is stopped for seconds, what writes take, what applications
//! do (wait, compute, stream, fail, panic, use their handles on other tasks, take the connection over), the options of
//! the server, and when it has to stop, to abort, or is dropped. Nothing sleeps, and nothing is shared between two
//! worlds.
//!
//! If the plan has no stop, or its stop has not come when nothing happens any more, the server is stopped then. A
//! world ends when no task can run and no event is left. Then the following has to hold.
//!
//! 1. **No request is lost without a reason that the log names.** The requests that a client sent whole are compared,
//!    in order, with the whole responses that it received on that connection. A response belongs to its request: it has
//!    the request's number, and each byte of its body is the request's letter. The first request without a whole
//!    response needs one of these reasons:
//!    * The response before it said `Connection: close`, or was a 101.
//!    * Its access line shows that it was refused or cut, or that the connection was lost. Or a debug entry shows that
//!      its connection was refused, lost or timed out, or that the rest of a body before it was not read.
//!    * The response before it was cut; its access line shows that.
//!    * A later response of the connection was cut, which resets it. Earlier responses had a second to leave.
//!    * Its last byte arrived after the server had closed its half.
//!    * Its client disconnected first, and an access line shows that the server worked on that connection.
//!    * The server stopped before its handshake was complete, or before the connection was accepted: it had no room for
//!      it, or it was not stopped gracefully (what is in the queue then is served).
//!    * The response was written, and a reset destroyed it although the server lingered (property 5).
//! 2. **No handle waits indefinitely.** All tasks have ended: the accept loop, the connections, and each task to which
//!    an application gave a handle.
//! 3. **Memory and registry are empty.** The handle of the server counts no connection and no request. Each transport,
//!    application and body was dropped. Nothing holds the server, or what its application owns. With the exception of
//!    applications that never return, the counts are 0 even *before* the stop, once all clients have disconnected.
//! 4. **A promise is kept.** After a response that promises to persist, an idle connection stays open for half a
//!    second, counted from the last byte of that response. Exceptions: its client has closed its half, the server
//!    stops, an option ends it (`keepalive`, `socket_timeout`), or the response ends it as in property 1.
//! 5. **The last response is not lost to a reset.** If the server has closed its half and a reset destroys bytes that
//!    the client has not received, at least half a second has passed since the response was written, or
//!    `linger_timeout` or the idle timeout if they are less. Exceptions: connections that are aborted on purpose,
//!    stops, heads that did not become whole in time, and clients that send more behind a request that they announced
//!    as their last.
//! 6. **The accept loop never starves.** An honest client sends simple requests whole and reads immediately. Where no
//!    application takes longer than a few milliseconds, each of its requests is answered within two seconds, and a
//!    second more for each `max_size` of connections that were opened before its own, not counting the time for which
//!    the process was stopped. In all worlds it is answered before its patience of two minutes ends. Where no
//!    application takes longer and the process is not stopped, a connection that waits for room gets a place within 20
//!    ms after one became free.
//! 7. **Each executed request is logged once.** No request is executed twice. If it was executed, it has exactly one
//!    access line.
//! 8. **The same seed gives the same run**: the same bytes at the same times and the same log, as one number
//!    ([`Outcome::digest`]).
//! 9. **It becomes quiet.** No world runs more than [`MOST_RUNS`] tasks: no task is woken for nothing again and again.

mod answers;
mod application;
mod check;
mod client;
mod executor;
mod network;
mod plan;
mod shared;
pub mod time;
mod transport;

use std::sync::Arc;

use wsgi_app::adapter::Server;
use wsgi_app::{Environ, LogEntry, Report, ServerHandle, StartResponse};

use crate::machine::choose::{Choose, Seeded};
use crate::world::executor::Executor;
use crate::world::network::{Inside, Net, Outside};
use crate::world::plan::{Command, Plan, Planner};
use crate::world::shared::Shared;
use crate::world::time::{Nanos, SECOND, SimulatedClock};
use crate::world::transport::{SimulatedAdapter, SimulatedListener};

/// How many runs of tasks a world may have.
pub const MOST_RUNS: u64 = 300_000;

/// How long nothing has to happen outside until nothing is going to happen: longer than every timeout of every plan.
const AT_REST: Nanos = 300 * SECOND;

const SERVE: &str = "serve";

/// How a world went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Bytes, times and log as one number.
    pub digest: u64,
    /// What does not hold.
    pub faults: Vec<String>,
    /// Connections that were opened.
    pub links: usize,
    /// Requests that were executed.
    pub requests: usize,
    /// How often a task was run.
    pub runs: u64,
    /// The simulated time that passed.
    pub time: Nanos,
    /// What happened, for a report.
    pub story: String,
}

/// Plays the world of `seed`. It has a story if something does not hold.
pub fn run(seed: u64) -> Outcome {
    alone(seed, false)
}

/// Plays the world of `seed`, and tells its story in any case.
pub fn tell(seed: u64) -> Outcome {
    alone(seed, true)
}

/// Plays a world on a separate thread. A thread keeps the buffers of its connections, whose sizes decide how much is
/// read in one go, so a world must not inherit those of another.
fn alone(seed: u64, tells: bool) -> Outcome {
    let world = || play(seed, Planner::plan(seed), tells);
    let played = std::thread::scope(|scope| scope.spawn(world).join());
    played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn play(seed: u64, plan: Plan, tells: bool) -> Outcome {
    application::quiet_panics();
    let mut choices = Seeded(seed ^ 0x5eed);
    let clock = SimulatedClock::new();
    let mut executor = Executor::default();
    let mut net = Net::new(Seeded(choices.bits()), plan.manners);
    for (number, (at, client)) in plan.clients.iter().enumerate() {
        net.clients.push(client.clone());
        net.step_after(number, *at);
    }
    for (at, _) in &plan.commands {
        net.inside.add(*at, Inside::Command);
    }
    let shared = Shared::new(plan, net, executor.spawner.clone(), clock);
    let handle = ServerHandle::new();
    let server = server(&shared, &handle);
    let (commands, pauses) = (shared.plan.commands.clone(), shared.plan.pauses.clone());
    let mut world = World {
        shared,
        server,
        handle,
        due: Vec::new(),
        choices,
        commands,
        pauses,
        stopped: None,
        paused: 0,
        runs: 0,
        last: 0,
    };
    world.pauses.sort_unstable();
    world.commands.sort_unstable_by_key(|(at, _)| *at);
    world.commands.reverse();
    world.pauses.reverse();
    world.serve(&mut executor);
    world.run_to_rest(&mut executor);
    if world.stopped.is_none() {
        world.check_calm();
        world.command(&mut executor, Command::Shutdown);
        world.run_to_rest(&mut executor);
    }
    world.end(executor, tells)
}

type App = Box<dyn Fn(Environ, StartResponse) -> Served + Send + Sync>;
type Served = std::pin::Pin<Box<dyn Future<Output = wsgi_app::Result<wsgi_app::Body>> + Send>>;

fn server(shared: &Arc<Shared>, handle: &ServerHandle) -> Arc<Server<App>> {
    let (for_log, for_application) = (Arc::clone(shared), Arc::clone(shared));
    let options = shared.plan.settings.options();
    let options = options.log(move |entry: &LogEntry<'_>| for_log.notes().journal.add(entry));
    let application: App = Box::new(move |environ, start| {
        Box::pin(application::serve(Arc::clone(&for_application), environ, start))
    });
    let runtime = shared.plan.settings.runtime().clock(shared.clock.clone());
    Server::with_runtime(options, handle, application, runtime).expect("each option has an allowed value")
}

struct World {
    shared: Arc<Shared>,
    server: Arc<Server<App>>,
    handle: ServerHandle,
    /// What the runtime can report.
    due: Vec<Inside>,
    choices: Seeded,
    /// The last one is next.
    commands: Vec<(Nanos, Command)>,
    pauses: Vec<(Nanos, Nanos)>,
    stopped: Option<Nanos>,
    /// How long the process was stopped, or one task computed.
    paused: Nanos,
    runs: u64,
    /// When something happened outside for the last time.
    last: Nanos,
}

impl World {
    fn serve(&self, executor: &mut Executor) {
        let (shared, server) = (Arc::clone(&self.shared), Arc::clone(&self.server));
        let handle = self.handle.clone();
        let serving = async move {
            let listener = SimulatedListener(Arc::clone(&shared));
            let adapter = SimulatedAdapter { shared: Arc::clone(&shared), server: Arc::clone(&server) };
            match server.run(&handle, vec![listener], &adapter).await {
                Ok(Report { finished, cut, .. }) => {
                    let text = format!("report: {finished} finished, {cut} cut");
                    shared.notes().journal.lines.push(text);
                }
                Err(error) => shared.fault(format!("serving failed: {error}")),
            }
        };
        executor.add(SERVE, Box::pin(serving));
    }

    /// Runs until no task can run and no event is left.
    fn run_to_rest(&mut self, executor: &mut Executor) {
        loop {
            self.look_outside();
            let (ready, due) = (executor.ready(), self.due.len());
            let now = self.shared.clock.nanos();
            if ready + due == 0 {
                // A connection that waits for room looks for it indefinitely if an application never returns.
                let Some(at) = self.next_at().filter(|at| *at < self.last + AT_REST) else { return };
                self.shared.clock.advance_to(at);
                continue;
            }
            if let Some((_, time)) = self.pauses.pop_if(|(at, _)| *at <= now) {
                self.shared.clock.advance(time);
                self.paused += time;
                continue;
            }
            self.runs += 1;
            if self.runs > MOST_RUNS {
                self.shared.fault(String::from("the world does not come to rest"));
                return;
            }
            let at = match self.shared.plan.in_order {
                true if due > 0 => 0,
                true => due,
                false => self.choices.below(due + ready),
            };
            if at < due {
                self.report(executor, at);
            } else {
                executor.run(at - due);
                let cost = self.choices.below(self.shared.plan.cost as usize + 1) as Nanos;
                self.shared.clock.advance(cost);
            }
        }
    }

    /// When something happens next.
    fn next_at(&self) -> Option<Nanos> {
        let net = self.shared.net();
        net.outside.next_at().into_iter().chain(net.inside.next_at()).min()
    }

    /// Lets happen outside what happens until now, each at its time.
    fn look_outside(&mut self) {
        let mut net = self.shared.net();
        let now = net.now;
        while let Some((at, event)) = net.outside.take(now) {
            (net.now, self.last) = (at, at);
            match event {
                Outside::Step(client, turn) if net.is_turn(client, turn) => net.step(client),
                Outside::Step(..) => {}
                Outside::Drain(link) => net.drain_some(link),
            }
        }
        net.now = now;
        while let Some((at, event)) = net.inside.take(now) {
            if let Inside::Command = event {
                self.last = at;
            }
            self.due.push(event);
        }
    }

    fn report(&mut self, executor: &mut Executor, at: usize) {
        let event = self.due.remove(at);
        if let Inside::Command = event {
            if let Some((_, command)) = self.commands.pop() {
                self.command(executor, command);
            }
            return;
        }
        let waker = self.shared.net().fire(event);
        waker.into_iter().for_each(std::task::Waker::wake);
    }

    fn command(&mut self, executor: &mut Executor, command: Command) {
        self.last = self.shared.clock.nanos();
        self.stopped.get_or_insert(self.shared.clock.nanos());
        match command {
            Command::Shutdown => self.handle.shutdown(),
            Command::Abort => self.server.abort(),
            Command::Drop => executor.cancel(SERVE),
        }
    }
}
