//! The simulated adapter: a listener, and a transport for each accepted link.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wsgi_app::adapter::{Adapter, BoundAddr, Server, Transport, serve_after_handshake, serve_connection};
use wsgi_app::{Application, Endpoints};

use crate::machine::choose::Choose;
use crate::world::network::{Inside, Link, Net};
use crate::world::shared::{Shared, remote};
use crate::world::time::{MILLI, Nanos};

/// How much a transport that keeps what it takes holds at most.
const KEPT: usize = 16 * 1024;

/// Errors of accept(2) that are nobody's fault: ECONNABORTED, EMFILE.
const FAILURES: [i32; 2] = [103, 24];

/// The one listener of a world. Its queue ends with it.
#[derive(Debug)]
pub(crate) struct SimulatedListener(pub(crate) Arc<Shared>);

impl Drop for SimulatedListener {
    fn drop(&mut self) {
        let mut net = self.0.net();
        for link in net.queue.take().unwrap_or_default() {
            net.tear(link);
        }
    }
}

/// Accepts, spawns and sleeps in the simulated world.
pub(crate) struct SimulatedAdapter<A> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) server: Arc<Server<A>>,
}

impl<A: Application> Adapter for SimulatedAdapter<A> {
    type Listener = SimulatedListener;
    type Accepted = SimulatedTransport;

    fn bound_addr(&self, _: &Self::Listener) -> BoundAddr {
        BoundAddr::tcp(Ok(([127, 0, 0, 1], 80).into()))
    }

    fn poll_accept(
        &self,
        listener: &mut Self::Listener,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Accepted>> {
        let mut net = listener.0.net();
        if self.shared.plan.accept_fails && net.choices.once_in(20) {
            return Poll::Ready(Err(io::Error::from_raw_os_error(FAILURES[net.choices.below(2)])));
        }
        let waits = net.queue.as_ref().is_some_and(|queue| !queue.is_empty());
        let notes = self.shared.notes();
        if waits && notes.transports - notes.dropped >= self.shared.plan.descriptors {
            return Poll::Ready(Err(io::Error::from_raw_os_error(FAILURES[1])));
        }
        drop(notes);
        match net.queue.as_mut().and_then(VecDeque::pop_front) {
            Some(link) => {
                net.links[link].taken = Some(net.now);
                Poll::Ready(Ok(SimulatedTransport::new(&self.shared, link)))
            }
            None => {
                net.acceptor = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn start(&self, transport: Self::Accepted) {
        let link = transport.link;
        let mut net = self.shared.net();
        net.links[link].accepted = Some(net.now);
        let handshake = net.links[link].handshake;
        drop(net);
        let guard = self.server.admit(Endpoints::new(remote(link).into(), remote(link).into()));
        let server = Arc::clone(&self.server);
        if handshake {
            let shared = Arc::clone(&self.shared);
            let sleep = move |time| shared.sleep(nanos(time));
            let shake = transport.handshake();
            self.shared.spawner.spawn("connection", serve_after_handshake(server, guard, shake, sleep));
        } else {
            self.shared.spawner.spawn("connection", serve_connection(server, guard, transport));
        }
    }

    fn sleep(&self, time: Duration) -> impl Future {
        self.shared.sleep(nanos(time))
    }
}

fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The server's end of a link.
#[derive(Debug)]
pub(crate) struct SimulatedTransport {
    shared: Arc<Shared>,
    link: usize,
}

impl SimulatedTransport {
    fn new(shared: &Arc<Shared>, link: usize) -> Self {
        shared.notes().transports += 1;
        Self { shared: Arc::clone(shared), link }
    }

    /// Waits for the byte that goes before HTTP.
    async fn handshake(mut self) -> io::Result<Self> {
        let mut space = [0];
        match poll_fn(|context| self.poll_read(context, &mut space)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {
                self.with(|net, number| net.links[number].shaken = true);
                Ok(self)
            }
        }
    }

    fn with<R>(&self, call: impl FnOnce(&mut Net, usize) -> R) -> R {
        call(&mut self.shared.net(), self.link)
    }
}

impl Net {
    /// What a read gets from the system, whether or not the runtime knows of it.
    fn read(&mut self, number: usize, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let less = self.happens_less();
        let link = &mut self.links[number];
        let mut count = link.arrived.len().min(space.len());
        if count == 0 {
            return match (link.reset_arrived, link.end_arrived) {
                (true, _) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                (_, true) => Poll::Ready(Ok(0)),
                _ => Poll::Pending,
            };
        }
        if less {
            count = 1 + self.choices.below(count);
        }
        let arrived = self.links[number].arrived.drain(..count);
        for (to, from) in space.iter_mut().zip(arrived) {
            *to = from;
        }
        Poll::Ready(Ok(count))
    }

    fn is_broken(&self, number: usize) -> bool {
        self.links[number].reset_arrived || self.links[number].torn
    }

    /// Moves what a transport kept on to the client; pending while there is no room for all of it.
    fn flush(&mut self, number: usize, context: &Context<'_>) -> Poll<io::Result<()>> {
        if self.links[number].kept.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.is_broken(number) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let now = self.now;
        let link = &mut self.links[number];
        let count = link.kept.len().min(link.capacity - link.underway.len());
        link.underway.extend(link.kept.drain(..count));
        if count > 0 {
            link.note_written(count, now);
            self.sent(number);
        }
        let link = &mut self.links[number];
        if link.kept.is_empty() {
            return Poll::Ready(Ok(()));
        }
        link.writer = Some(context.waker().clone());
        if link.underway.len() < link.capacity {
            // The client took it at once.
            self.inside.add(now, Inside::Writable(number));
        }
        Poll::Pending
    }

    fn end_in_time(link: &mut Link) {
        link.total_in_time.get_or_insert(link.total);
    }
}

impl Transport for SimulatedTransport {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|net, number| {
            let link = &mut net.links[number];
            let there = !link.arrived.is_empty() || link.end_arrived || link.reset_arrived;
            link.reported &= there;
            if link.reported {
                return Poll::Ready(Ok(()));
            }
            link.reader = Some(context.waker().clone());
            Poll::Pending
        })
    }

    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.with(|net, number| {
            if net.links[number].reported {
                let read = net.read(number, space);
                if read.is_ready() {
                    return read;
                }
                net.links[number].reported = false;
            }
            net.links[number].reader = Some(context.waker().clone());
            Poll::Pending
        })
    }

    fn poll_last_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.with(|net, number| net.read(number, space))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.with(|net, number| {
            if net.is_broken(number) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let (now, less) = (net.now, net.happens_less());
            let sticks = net.manners.stuck > 1 && net.choices.once_in(net.manners.stuck);
            let link = &mut net.links[number];
            let room = match link.keeps {
                true => KEPT - link.kept.len(),
                false => link.capacity - link.underway.len(),
            };
            if room == 0 || link.stuck || sticks {
                link.writer = Some(context.waker().clone());
                if room > 0 && !link.stuck {
                    link.stuck = true;
                    let late = net.choices.below(10 * MILLI as usize) as Nanos;
                    net.inside.add(now + late, Inside::Writable(number));
                }
                return Poll::Pending;
            }
            let all: usize = slices.iter().map(|slice| slice.len()).sum();
            let mut count = all.min(room);
            if less {
                count = 1 + net.choices.below(count);
            }
            let link = &mut net.links[number];
            let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).take(count);
            if link.keeps {
                link.kept.extend(bytes);
            } else {
                link.underway.extend(bytes);
                link.note_written(count, now);
                net.sent(number);
            }
            Poll::Ready(Ok(count))
        })
    }

    fn poll_last_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The system has room, even if the runtime does not know it.
        self.with(|net, number| net.links[number].stuck = false);
        self.poll_write(context, slices)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|net, number| net.flush(number, context))
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|net, number| {
            if net.flush(number, context).is_pending() {
                return Poll::Pending;
            }
            let now = net.now;
            let link = &mut net.links[number];
            link.half_closed.get_or_insert(now);
            Net::end_in_time(link);
            net.sent(number);
            Poll::Ready(Ok(()))
        })
    }

    fn poll_abort(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|net, number| net.links[number].aborted = true);
        Poll::Ready(Ok(()))
    }

    fn poll_yield(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.with(|net, _| {
            if net.choices.once_in(2) {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            net.inside.add(net.now, Inside::Wake(waker));
            Poll::Pending
        })
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let at = self.shared.clock.nanos_at(deadline);
        self.with(|net, number| {
            if net.now >= at {
                return Poll::Ready(());
            }
            let link = &mut net.links[number];
            link.sleeper = Some(context.waker().clone());
            // A timer that is set earlier may stay: the clock is compared again when it fires.
            let stays = link.lazy_timer && link.timer.is_some_and(|set| set < at);
            if link.timer != Some(at) && !stays {
                link.timer = Some(at);
                let late = net.lateness();
                net.inside.add(at.saturating_add(late), Inside::Timer(number, at));
            }
            Poll::Pending
        })
    }
}

impl Drop for SimulatedTransport {
    fn drop(&mut self) {
        let mut net = self.shared.net();
        let (now, number) = (net.now, self.link);
        let link = &mut net.links[number];
        link.dropped = Some(now);
        Net::end_in_time(link);
        (link.reader, link.writer, link.sleeper) = (None, None, None);
        // What is kept is lost, as with TLS. A close with unread input is a reset.
        link.kept.clear();
        if link.aborted || !link.arrived.is_empty() {
            net.tear(number);
        } else {
            net.sent(number);
        }
        drop(net);
        self.shared.notes().dropped += 1;
    }
}
