//! Whether what has to hold in every world holds. The module [`world`](crate::world) defines each property.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use wsgi_app::KeepAlive;

use crate::world::executor::Executor;
use crate::world::network::{Link, Net, Sent};
use crate::world::plan::{Command, Plan, Reads, letter};
use crate::world::shared::Notes;
use crate::world::time::{MILLI, Nanos, SECOND};
use crate::world::{Outcome, World};

/// How long after its answer a connection that was promised persistence stays.
const PROMISED: Nanos = 500 * MILLI;

/// How long a place may be free while a connection waits for it.
const AT_ONCE: Nanos = 20 * MILLI;

/// How long an honest client waits for its turn, at most, with nobody ahead of it.
const TURN: Nanos = 2 * SECOND;

impl World {
    /// All clients have left and nothing happens any more: what is still there?
    pub(crate) fn check_calm(&self) {
        let (connections, requests) = (self.handle.connections(), self.handle.requests());
        let mut notes = self.shared.notes();
        if notes.forever == 0 && (connections, requests) != (0, 0) {
            let fault = format!("at rest there are {connections} connections and {requests} requests");
            notes.faults.push(fault);
        }
    }

    /// Checks everything; `tells`: with the story, even if nothing is wrong.
    pub(crate) fn end(self, mut executor: Executor, tells: bool) -> Outcome {
        executor.ready();
        let waiting: Vec<_> = executor.waiting().collect();
        let Self { shared, server, handle, stopped, paused, runs, .. } = self;
        let mut faults = Vec::new();
        faults.extend(waiting.iter().map(|name| format!("a task still waits: {name}")));
        let (connections, requests) = (handle.connections(), handle.requests());
        if (connections, requests) != (0, 0) {
            faults.push(format!("in the end there are {connections} connections and {requests} requests"));
        }
        drop((executor, handle));
        if Arc::strong_count(&server) != 1 {
            faults.push(format!("{} others hold the server", Arc::strong_count(&server) - 1));
        }
        drop(server);
        if Arc::strong_count(&shared) != 1 {
            faults.push(format!("{} others hold what they share", Arc::strong_count(&shared) - 1));
        }
        let time = shared.clock.nanos();
        let (net, notes) = (shared.net(), shared.notes());
        if notes.alive != 0 || notes.transports != notes.dropped {
            let (alive, left) = (notes.alive, notes.transports - notes.dropped);
            faults.push(format!("{alive} applications and {left} transports were not dropped"));
        }
        let check = Check { plan: &shared.plan, net: &net, notes: &notes, stopped, paused };
        faults.extend(notes.faults.iter().cloned());
        check.all(&mut faults);
        let story = if faults.is_empty() && !tells { String::new() } else { check.story() };
        Outcome {
            digest: digest(&net, &notes),
            links: net.links.len(),
            requests: notes.calls.iter().sum::<u32>() as usize,
            faults,
            runs,
            time,
            story,
        }
    }
}

struct Check<'a> {
    plan: &'a Plan,
    net: &'a Net,
    notes: &'a Notes,
    stopped: Option<Nanos>,
    paused: Nanos,
}

impl Check<'_> {
    fn all(&self, faults: &mut Vec<String>) {
        for number in 0..self.net.links.len() {
            let checks =
                [Self::answered, Self::promise, Self::lingered, Self::served_in_time, Self::admitted_at_once];
            for check in checks {
                if let Err(fault) = check(self, number) {
                    faults.push(format!("link {number}: {fault}"));
                }
            }
        }
        for (id, &calls) in self.notes.calls.iter().enumerate() {
            let lines = self.notes.journal.accesses.iter().filter(|access| access.id == Some(id)).count();
            if calls > 1 || (calls == 1 && lines != 1) {
                faults.push(format!("request {id} was executed {calls} times and logged {lines} times"));
            }
        }
    }

    fn link(&self, number: usize) -> &Link {
        &self.net.links[number]
    }

    /// How many connections the server can hold.
    fn room(&self) -> usize {
        self.plan.settings.room().min(self.plan.descriptors)
    }

    /// Property 1: each request has its response, or a reason.
    fn answered(&self, number: usize) -> Result<(), String> {
        let link = self.link(number);
        if let Some(wrong) = &link.received.wrong {
            return Err(format!("malformed response: {wrong}"));
        }
        for (sent, answer) in link.requests.iter().zip(&link.received.answers) {
            let request = &self.plan.requests[sent.id];
            if answer.id.is_some_and(|id| id != sent.id) {
                return Err(format!("request {} got the response to {:?}", sent.id, answer.id));
            }
            if answer.status == 200 {
                let length = if request.method == "HEAD" { Some(0) } else { request.gives.length() };
                if Some(answer.body.len()) != length
                    || answer.body.iter().any(|&byte| byte != letter(sent.id))
                {
                    return Err(format!("request {} got {} wrong bytes", sent.id, answer.body.len()));
                }
            }
        }
        let Some(sent) = link.requests.get(link.received.answers.len()) else { return Ok(()) };
        let before = link.received.answers.last();
        if before.is_some_and(|answer| !answer.persists || answer.status == 101) {
            return Ok(());
        }
        let journal = &self.notes.journal;
        let access = journal.access(sent.id);
        if before.is_some() && self.is_spoiled(link) {
            return Ok(());
        }
        if access.is_some_and(|access| access.spoiled) || journal.ends.iter().any(|(link, _)| *link == number)
        {
            return Ok(());
        }
        if link.total_in_time.is_some_and(|total| total < sent.end) {
            // Its client has to know that the connection can close; property 4 defines when it may not.
            return Ok(());
        }
        let left_out = link.left.is_some() || (link.accepted.is_none() && self.may_leave_out(link));
        if (link.accepted.is_none() && left_out) || (!link.shaken && (left_out || self.stopped.is_some())) {
            return Ok(());
        }
        let mut logged = journal.accesses.iter().filter(|access| access.link == number).peekable();
        if link.left_early && logged.peek().is_some() {
            return Ok(());
        }
        if link.aborted && logged.any(|access| access.spoiled) {
            // A later response was broken off, and this one had its second to leave.
            return Ok(());
        }
        if access.is_some() && link.torn && !link.aborted {
            return Ok(()); // property 5
        }
        Err(format!("request {} is lost without a reason", sent.id))
    }

    /// Whether the server may close a link unseen: it stopped before, or had no room or no time for its queue.
    fn may_leave_out(&self, link: &Link) -> bool {
        let Some(stopped) = self.stopped else { return false };
        let orderly = self.plan.commands.iter().all(|(_, command)| *command == Command::Shutdown);
        let roomy = self.room() > self.net.links.len() && !self.plan.accept_fails;
        !orderly || !roomy || link.opened >= stopped
    }

    /// Whether what was answered last ends the connection, whatever its head announces: the access line shows that it was
    /// broken off, or the application left more of a body unread than is drained.
    fn ends_unsaid(&self, link: &Link) -> bool {
        Self::last_answered(link).is_some_and(|sent| self.is_not_drained(sent)) || self.is_spoiled(link)
    }

    /// Whether an access line shows that what was answered last was broken off.
    fn is_spoiled(&self, link: &Link) -> bool {
        let access = Self::last_answered(link).and_then(|sent| self.notes.journal.access(sent.id));
        access.is_some_and(|access| access.spoiled)
    }

    /// The request that was answered last.
    fn last_answered(link: &Link) -> Option<&Sent> {
        link.requests.get(link.received.answers.len().checked_sub(1)?)
    }

    fn is_not_drained(&self, sent: &Sent) -> bool {
        let (request, settings) = (&self.plan.requests[sent.id], &self.plan.settings);
        let whole = match request.reads {
            Reads::Nothing => request.body == 0 && !request.chunked,
            Reads::Some(size) => size > request.body,
            Reads::All | Reads::Elsewhere | Reads::Both => true,
        };
        let size = request.body as u64;
        // Whether a client that got no 100 sends its body is not known.
        let never_told = request.expects && matches!(request.reads, Reads::Nothing | Reads::Some(0));
        let too_large = settings.drain < 2 * size + 5 || settings.body.is_some_and(|most| most < size);
        let patience = settings
            .socket_timeout
            .map_or(settings.linger_timeout, |timeout| timeout.min(settings.linger_timeout));
        let patience = match settings.request_rate {
            Some(_) => patience.min(settings.rate_grace),
            None => patience,
        };
        let too_slow = sent.at - sent.began >= nanos(patience);
        !whole && (never_told || too_large || too_slow)
    }

    /// Property 4: half a second after a promise.
    fn promise(&self, number: usize) -> Result<(), String> {
        let link = self.link(number);
        let (Some(ended), Some(answer)) = (link.server_ended(), link.received.answers.last()) else {
            return Ok(());
        };
        let answers = link.received.answers.len();
        let idle = answers == link.requests.len()
            && !self.ends_unsaid(link)
            && link.received.bytes.len() as u64 == answer.end
            && link.requests.last().map(|sent| sent.end) == link.total_in_time
            && link.client_ended.is_none_or(|at| at > ended);
        if !idle || !answer.persists || answer.status == 101 || self.stopped.is_some_and(|at| at <= ended) {
            return Ok(());
        }
        let Some(written) = link.written_at(answer.end) else { return Ok(()) };
        let waited = ended.saturating_sub(written);
        if waited < PROMISED && self.idle_timeout().is_none_or(|timeout| nanos(timeout) > waited) {
            let waited = Duration::from_nanos(waited);
            return Err(format!("closed {waited:?} after a response that promised to persist"));
        }
        Ok(())
    }

    /// Property 5: the last response is not lost to a reset.
    fn lingered(&self, number: usize) -> Result<(), String> {
        let link = self.link(number);
        let (Some(closed), Some(dropped)) = (link.half_closed, link.dropped) else { return Ok(()) };
        let in_time =
            link.requests.iter().filter(|sent| link.total_in_time.is_none_or(|total| sent.end <= total));
        let whole = link.received.answers.len() >= in_time.count();
        // A head that was not whole is answered with 408, and its connection gives its place away without a linger.
        let gave_up =
            self.notes.journal.ends.iter().any(|(link, line)| *link == number && line.contains("in time"));
        let left = link.left.is_some_and(|(at, _)| at <= dropped);
        let stopped = self.stopped.is_some_and(|at| at <= dropped);
        // A client that sends more although it announced its last request gets no linger.
        let announced = link.requests.iter().any(|sent| self.plan.requests[sent.id].is_last());
        if announced || !link.torn || link.aborted || whole || gave_up || left || stopped {
            return Ok(());
        }
        let written = link.writes.last().map_or(closed, |(_, at)| *at);
        let quiet = dropped.saturating_sub(written);
        let settings = &self.plan.settings;
        let wanted = nanos(settings.linger_timeout).min(PROMISED);
        if quiet < self.idle_timeout().map_or(wanted, |timeout| wanted.min(nanos(timeout))) {
            let quiet = Duration::from_nanos(quiet);
            return Err(format!("a response was lost to a reset {quiet:?} after it was written"));
        }
        Ok(())
    }

    /// The option that ends an idle connection.
    fn idle_timeout(&self) -> Option<Duration> {
        match self.plan.settings.keepalive {
            KeepAlive::For(time) => Some(time),
            _ => self.plan.settings.socket_timeout,
        }
    }

    /// Property 6: honest clients are served.
    fn served_in_time(&self, number: usize) -> Result<(), String> {
        let link = self.link(number);
        if !self.net.clients[link.client].honest {
            return Ok(());
        }
        let ahead = self.net.links.iter().filter(|other| other.opened <= link.opened).count();
        let rounds = ahead.div_ceil(self.room()) as Nanos;
        let bound = TURN + rounds * SECOND + self.paused;
        for (place, sent) in link.requests.iter().enumerate() {
            let answer = link.received.answers.get(place);
            let (end, text) = match answer {
                Some(answer) => (answer.at, "was answered"),
                None if self.stopped.is_some() || link.torn || link.server_ended().is_some() => continue,
                None => (link.left.map_or(Nanos::MAX, |(at, _)| at), "was given up"),
            };
            let waited = end.saturating_sub(sent.at);
            if answer.is_none() || (self.plan.bounded && waited > bound) {
                let (waited, bound) = (Duration::from_nanos(waited), Duration::from_nanos(bound));
                return Err(format!("an honest request {text} after {waited:?} (bound {bound:?})"));
            }
        }
        Ok(())
    }

    /// Property 6: a place that becomes free is given away without waiting for a timer.
    fn admitted_at_once(&self, number: usize) -> Result<(), String> {
        let link = self.link(number);
        let (Some(taken), Some(accepted)) = (link.taken, link.accepted) else { return Ok(()) };
        let since = accepted.saturating_sub(AT_ONCE);
        if !self.plan.bounded || self.paused > 0 || taken >= since {
            return Ok(());
        }
        let mut dropped = self.net.links.iter().filter_map(|other| other.dropped);
        match dropped.any(|at| (since..=accepted).contains(&at)) {
            true => Ok(()),
            false => Err(String::from("a place was free, and no acceptor was woken")),
        }
    }

    /// What happened, for somebody who looks for a fault.
    fn story(&self) -> String {
        let mut story = String::new();
        let plan = self.plan;
        // Writing to a string cannot fail.
        let _ =
            writeln!(story, "{:?}\npauses {:?}, commands {:?}", plan.settings, plan.pauses, plan.commands);
        for (number, link) in self.net.links.iter().enumerate() {
            let _ = writeln!(
                story,
                "link {number} of client {}: opened {} accepted {:?} half closed {:?} dropped {:?} aborted {} torn {} \
                 left {:?} client ended {:?} arrived {} in time {:?}",
                link.client,
                link.opened,
                link.accepted,
                link.half_closed,
                link.dropped,
                link.aborted,
                link.torn,
                link.left,
                link.client_ended,
                link.total,
                link.total_in_time,
            );
            for sent in &link.requests {
                let _ = writeln!(story, "  sent {sent:?}: {:?}", plan.requests[sent.id]);
            }
            for answer in &link.received.answers {
                let (status, id, at) = (answer.status, answer.id, answer.at);
                let _ = writeln!(story, "  answer {status} to {id:?} at {at}, persists {}", answer.persists);
            }
            if link.received.has_part() {
                let _ = writeln!(story, "  and a part");
            }
        }
        for line in &self.notes.journal.lines {
            let _ = writeln!(story, "{line}");
        }
        story
    }
}

fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// FNV-1a.
struct Digest(u64);

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }
}

fn digest(net: &Net, notes: &Notes) -> u64 {
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    for link in &net.links {
        digest.add(&link.received.bytes);
        link.writes.iter().for_each(|(total, at)| digest.number(total.wrapping_mul(31) ^ at));
        for at in [link.accepted, link.half_closed, link.dropped, link.total_in_time] {
            digest.number(at.unwrap_or(Nanos::MAX));
        }
    }
    for line in &notes.journal.lines {
        digest.add(line.as_bytes());
    }
    digest.0
}
