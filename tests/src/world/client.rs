//! What clients do: scripts of steps, taken one after the other by the world outside.

use std::collections::VecDeque;

use crate::machine::choose::{Choose, Seeded};
use crate::world::network::{Left, Link, Net, Outside, Reading, Sent};
use crate::world::time::{MICRO, Nanos, SECOND};

/// How long a client waits for an answer, or for the end, before it goes on.
pub(crate) const PATIENCE: Nanos = 120 * SECOND;

/// One step of a client.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Has a connection on which another request can be sent: opens one if necessary.
    Fresh,
    /// Sends bytes; the last one ends this request. True: its answer has no body (HEAD).
    Send(Vec<u8>, Option<(usize, bool)>),
    /// Waits.
    Pause(Nanos),
    /// Waits until all requests on this connection are answered, or the server closes.
    Await,
    /// Waits until the server closes.
    AwaitEnd,
    /// Reads in another way.
    Read(Reading),
    /// Closes its half.
    HalfClose,
    /// Closes or resets the connection.
    Leave(Left),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    No,
    Answers,
    End,
}

/// One client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) steps: VecDeque<Step>,
    /// It stops sending when it has seen the end.
    pub(crate) polite: bool,
    /// How long it thinks before the step after an answer, at most.
    pub(crate) thinks: Nanos,
    pub(crate) reading: Reading,
    pub(crate) keeps: bool,
    pub(crate) handshake: bool,
    pub(crate) capacity: usize,
    pub(crate) link: Option<usize>,
    /// Which requests must be served within a bounded time, with the links that were ahead of them.
    pub(crate) honest: bool,
    /// The next step that was announced; earlier announcements do not count.
    turn: u64,
    waits: Wait,
}

impl Client {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            polite: true,
            thinks: 100 * MICRO,
            reading: Reading::Eager,
            keeps: false,
            handshake: false,
            capacity: 64 * 1024,
            link: None,
            honest: false,
            turn: 0,
            waits: Wait::No,
        }
    }

    /// Whether it waits for what `link` shows now; then it waits no longer.
    pub(crate) fn is_content(&mut self, link: &Link) -> bool {
        let content = match self.waits {
            Wait::No => false,
            _ if link.seen_end() => true,
            Wait::Answers => link.received.answers.len() >= link.requests.len() && !link.received.has_part(),
            Wait::End => false,
        };
        if content {
            self.waits = Wait::No;
        }
        content
    }

    pub(crate) fn think(&self, choices: &mut Seeded) -> Nanos {
        choices.below(self.thinks as usize + 1) as Nanos
    }
}

impl Net {
    /// A client takes its next steps, as far as they take no time.
    pub(crate) fn step(&mut self, number: usize) {
        self.clients[number].waits = Wait::No;
        while let Some(step) = self.clients[number].steps.pop_front() {
            let link = self.clients[number].link;
            let gone = link.is_none_or(|link| self.links[link].left.is_some());
            let ended = link.is_none_or(|link| self.links[link].seen_end());
            match step {
                Step::Fresh => {
                    if gone || ended || !link.is_some_and(|link| self.is_open_for_more(link)) {
                        link.into_iter().for_each(|link| self.leave(link, Left::Closed));
                        let fresh = self.connect(number);
                        self.clients[number].link = fresh;
                        let Some(fresh) = fresh else {
                            self.clients[number].steps.clear();
                            return;
                        };
                        if self.clients[number].handshake && !self.clients[number].steps.is_empty() {
                            self.deliver(fresh, b"H");
                        }
                    }
                }
                Step::Send(bytes, ends) => {
                    let Some(link) = link else { continue };
                    let torn = self.links[link].torn;
                    if gone || torn || (ended && self.clients[number].polite) || self.has_closed_half(link) {
                        continue;
                    }
                    let at = self.now;
                    let began = *self.links[link].began.get_or_insert(at);
                    if let Some((id, bodyless)) = ends {
                        let end = self.links[link].total + bytes.len() as u64;
                        self.links[link].began = None;
                        self.links[link].requests.push(Sent { id, end, began, at });
                        self.links[link].received.heads.push(bodyless);
                    }
                    self.deliver(link, &bytes);
                }
                Step::Pause(time) => return self.step_after(number, time),
                Step::Await if !gone => {
                    let (client, link) = (&mut self.clients[number], link.unwrap_or_default());
                    client.waits = Wait::Answers;
                    if !client.is_content(&self.links[link]) {
                        return self.step_after(number, PATIENCE);
                    }
                    let think = client.think(&mut self.choices);
                    return self.step_after(number, think);
                }
                Step::AwaitEnd if !gone && !ended => {
                    self.clients[number].waits = Wait::End;
                    return self.step_after(number, PATIENCE);
                }
                Step::Await | Step::AwaitEnd => {}
                Step::Read(reading) => {
                    if let Some(link) = link {
                        self.links[link].reading = reading;
                        self.sent(link);
                    }
                }
                Step::HalfClose if !gone && !ended => {
                    link.into_iter().for_each(|link| self.deliver_end(link))
                }
                Step::HalfClose => {}
                Step::Leave(how) => link.into_iter().for_each(|link| self.leave(link, how)),
            }
        }
    }

    /// Announces the next step of a client.
    pub(crate) fn step_after(&mut self, number: usize, time: Nanos) {
        self.clients[number].turn += 1;
        let turn = self.clients[number].turn;
        self.outside.add(self.now + time, Outside::Step(number, turn));
    }

    pub(crate) fn is_turn(&self, number: usize, turn: u64) -> bool {
        self.clients[number].turn == turn
    }

    fn is_open_for_more(&self, link: usize) -> bool {
        let link = &self.links[link];
        let closes = link.received.answers.last().is_some_and(|answer| !answer.persists);
        !closes && !link.received.switched && !link.end_arrived
    }

    fn has_closed_half(&self, link: usize) -> bool {
        self.links[link].client_ended.is_some()
    }
}
