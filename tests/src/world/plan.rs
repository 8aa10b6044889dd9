//! What happens in a world, drawn from its seed: options, clients, applications, stops.

use std::time::Duration;

use wsgi_app::adapter::Runtime;
use wsgi_app::{KeepAlive, Options};

use crate::machine::choose::{Choose, Seeded};
use crate::world::client::{Client, Step};
use crate::world::network::{Left, Manners, Reading};
use crate::world::time::{MICRO, MILLI, Nanos, SECOND};

/// The worlds that found a fault have no limits with these choices.
const LIMITS: u64 = 0x11a8;

/// How many descriptors the server reserves for other uses than connections.
const OTHER_DESCRIPTORS: usize = 32;

/// Everything that is decided before a world begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) requests: Vec<Request>,
    pub(crate) clients: Vec<(Nanos, Client)>,
    /// When the process is stopped, and for how long.
    pub(crate) pauses: Vec<(Nanos, Nanos)>,
    pub(crate) commands: Vec<(Nanos, Command)>,
    pub(crate) manners: Manners,
    pub(crate) accept_fails: bool,
    /// How many connections the process has descriptors for.
    pub(crate) descriptors: usize,
    /// What one run of a task costs, at most.
    pub(crate) cost: Nanos,
    /// Tasks run in the order in which they were woken.
    pub(crate) in_order: bool,
    /// Nobody here can hold a place for long: honest clients are served within a bounded time.
    pub(crate) bounded: bool,
}

/// What the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Shutdown,
    /// Cuts every connection.
    Abort,
    /// Drops the future that serves.
    Drop,
}

/// The options of the server.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) max_size: usize,
    pub(crate) keepalive: KeepAlive,
    pub(crate) socket_timeout: Option<Duration>,
    pub(crate) header_timeout: Option<Duration>,
    pub(crate) linger_timeout: Duration,
    graceful_timeout: Duration,
    handshake_timeout: Duration,
    minimum_chunk_size: usize,
    outbox: usize,
    inbox: usize,
    pub(crate) drain: u64,
    pub(crate) body: Option<u64>,
    debug: bool,
    /// Bytes per second.
    pub(crate) request_rate: Option<u64>,
    response_rate: Option<u64>,
    pub(crate) rate_grace: Duration,
    pub(crate) max_age: Option<Duration>,
    max_requests: Option<u64>,
    /// The limit that the runtime reports.
    descriptor_limit: Option<usize>,
}

impl Settings {
    /// The properties of the runtime.
    pub(crate) fn runtime(&self) -> Runtime {
        Runtime::default().descriptor_limit(self.descriptor_limit)
    }

    /// How many connections there is room for.
    pub(crate) fn room(&self) -> usize {
        self.descriptor_limit.map_or(self.max_size, |limit| self.max_size.min(limit - OTHER_DESCRIPTORS))
    }

    /// Draws limits of rates, age, requests and descriptors. They have separate choices, so that all other parts of a
    /// plan stay the same.
    fn limit(&mut self, choices: &mut Seeded) {
        if choices.once_in(2) {
            return;
        }
        if choices.once_in(2) {
            let mut rate = || [None, Some(1), Some(240), Some(5000)][choices.below(4)];
            (self.request_rate, self.response_rate) = (rate(), rate());
            self.rate_grace = [SECOND, 3 * SECOND, 10 * SECOND].map(Duration::from_nanos)[choices.below(3)];
        }
        if choices.once_in(3) {
            let most = [50 * MILLI, SECOND, 5 * SECOND][choices.below(3)];
            self.max_age = Some(Duration::from_nanos(1 + choices.below(most as usize) as Nanos));
        }
        if choices.once_in(3) {
            self.max_requests = Some(1 + choices.below(5) as u64);
        }
        if choices.once_in(3) {
            self.descriptor_limit = Some(OTHER_DESCRIPTORS + 1 + choices.below(5));
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options::default()
            .max_size(self.max_size)
            .keepalive(self.keepalive)
            .socket_timeout(self.socket_timeout)
            .header_timeout(self.header_timeout)
            .linger_timeout(self.linger_timeout)
            .graceful_timeout(self.graceful_timeout)
            .handshake_timeout(self.handshake_timeout)
            .minimum_chunk_size(self.minimum_chunk_size)
            .max_body_size(self.body)
            .debug(self.debug)
            .min_request_rate(self.request_rate)
            .min_response_rate(self.response_rate)
            .rate_grace(self.rate_grace)
            .max_connection_age(self.max_age)
            .max_requests(self.max_requests)
            // Without the time of day, which depends on the zone.
            .log_format("%(client_ip)s:%(client_port)s \"%(request_line)s\" %(status_code)s %(body_length)s")
            .limits(|limits| {
                (limits.outbox, limits.inbox, limits.drain) = (self.outbox, self.inbox, self.drain);
            })
    }
}

/// One request, and what the application does with it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// HTTP/1.0.
    pub(crate) old: bool,
    pub(crate) connection: &'static str,
    pub(crate) body: usize,
    pub(crate) chunked: bool,
    pub(crate) expects: bool,
    pub(crate) reads: Reads,
    /// How long the application waits, and how long it computes.
    pub(crate) waits: Nanos,
    pub(crate) computes: Nanos,
    pub(crate) gives: Gives,
    /// Another task waits until the client is gone.
    pub(crate) watches: bool,
    /// Another task uses its handles when the exchange is long over.
    pub(crate) late: bool,
    pub(crate) hook: bool,
}

/// How the application reads the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Nothing,
    All,
    Some(usize),
    /// Another task reads, and this one waits for it.
    Elsewhere,
    /// Two handles read at the same time.
    Both,
}

/// How the application answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gives {
    Bytes(usize),
    Blocks(usize, usize),
    Iterator(usize, usize),
    Stream(usize, usize, Nanos),
    Write(usize, usize),
    /// Another task writes, and this one waits for it.
    WriteElsewhere(usize, usize),
    Fail,
    /// After this number of further bytes.
    FailLate(usize),
    Panic,
    PanicLate(usize),
    /// Never returns.
    Forever,
    /// Returns without having started a response.
    Nothing,
    TakeOver,
    TakeOverElsewhere,
    /// Requests the stream and does not wait for it.
    TakeOverDropped,
}

impl Gives {
    /// The bytes of the body, where the application answers 200.
    pub(crate) fn length(self) -> Option<usize> {
        match self {
            Self::Bytes(size) => Some(size),
            Self::Blocks(count, size)
            | Self::Iterator(count, size)
            | Self::Stream(count, size, _)
            | Self::Write(count, size)
            | Self::WriteElsewhere(count, size) => Some(count * size),
            _ => None,
        }
    }

    pub(crate) fn takes_over(self) -> bool {
        matches!(self, Self::TakeOver | Self::TakeOverElsewhere | Self::TakeOverDropped)
    }
}

/// The byte that the body of a request, and its answer, is made of.
pub(crate) fn letter(id: usize) -> u8 {
    b'a' + (id % 26) as u8
}

impl Request {
    fn plain() -> Self {
        Self {
            method: "GET",
            old: false,
            connection: "",
            body: 0,
            chunked: false,
            expects: false,
            reads: Reads::Nothing,
            waits: 0,
            computes: 0,
            gives: Gives::Bytes(20),
            watches: false,
            late: false,
            hook: false,
        }
    }

    /// Whether its client announces that it is its last request.
    pub(crate) fn is_last(&self) -> bool {
        self.connection == "close" || (self.old && self.connection.is_empty())
    }

    /// The head and the body as bytes; the body begins at the second value.
    pub(crate) fn bytes(&self, id: usize) -> (Vec<u8>, usize) {
        let version = if self.old { "1.0" } else { "1.1" };
        let mut head = format!("{} /{id} HTTP/{version}\r\nHost: h\r\n", self.method);
        if !self.connection.is_empty() {
            head += &format!("Connection: {}\r\n", self.connection);
        }
        if self.gives.takes_over() {
            head += "Upgrade: echo\r\n";
        }
        if self.expects {
            head += "Expect: 100-continue\r\n";
        }
        let mut body = Vec::new();
        if self.chunked {
            head += "Transfer-Encoding: chunked\r\n";
            let mut left = self.body;
            while left > 0 {
                let size = left.min(700);
                body.extend(format!("{size:x}\r\n").bytes());
                body.resize(body.len() + size, letter(id));
                body.extend(b"\r\n");
                left -= size;
            }
            body.extend(b"0\r\n\r\n");
        } else if self.body > 0 {
            head += &format!("Content-Length: {}\r\n", self.body);
            body.resize(self.body, letter(id));
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        let at = bytes.len();
        bytes.extend(body);
        (bytes, at)
    }
}

/// Draws a plan.
pub(crate) struct Planner {
    choices: Seeded,
    requests: Vec<Request>,
    /// No application takes long.
    brief: bool,
}

impl Planner {
    pub(crate) fn plan(seed: u64) -> Plan {
        let mut choices = Seeded(seed);
        let bounded = choices.once_in(4);
        let mut planner = Self { choices, requests: Vec::new(), brief: bounded };
        let mut settings = planner.settings();
        let mut limits = Seeded(seed ^ LIMITS);
        settings.limit(&mut limits);
        let descriptors = if limits.once_in(6) { 1 + limits.below(6) } else { usize::MAX };
        let crowded = bounded || planner.choices.once_in(3);
        let settings = Settings {
            max_size: if crowded { 1 + planner.choices.below(4) } else { settings.max_size },
            ..settings
        };
        let count = if crowded { 3 + planner.choices.below(10) } else { 1 + planner.choices.below(5) };
        let span = [100 * MILLI, 2 * SECOND, 20 * SECOND][planner.choices.below(3)];
        let mut clients: Vec<_> = (0..count)
            .map(|_| {
                let at = planner.time(span);
                (at, planner.client(bounded))
            })
            .collect();
        if bounded || planner.choices.once_in(2) {
            for _ in 0..1 + planner.choices.below(2) {
                let at = planner.time(span);
                clients.push((at, planner.honest()));
            }
        }
        let pauses = match planner.choices.below(3) {
            0 => (0..1 + planner.choices.below(3))
                .map(|_| (planner.time(span + SECOND), 10 * MILLI + planner.time(8 * SECOND)))
                .collect(),
            _ => Vec::new(),
        };
        let commands = match planner.choices.below(if bounded { 1 } else { 5 }) {
            0 => Vec::new(),
            1 | 2 => vec![(planner.time(span * 2), Command::Shutdown)],
            3 => {
                let at = planner.time(span * 2);
                vec![(at, Command::Shutdown), (at + planner.time(2 * SECOND), Command::Abort)]
            }
            _ => vec![(planner.time(span * 2), Command::Drop)],
        };
        let often = |choices: &mut Seeded| [1, 1, 20, 4, 2][choices.below(5)];
        let manners = Manners {
            partial: often(&mut planner.choices),
            stuck: [1, 1, 20, 5][planner.choices.below(4)],
            late: often(&mut planner.choices),
        };
        Plan {
            settings,
            clients,
            pauses,
            commands,
            manners,
            accept_fails: planner.choices.once_in(8),
            descriptors,
            cost: [0, 10 * MICRO, 100 * MICRO][planner.choices.below(3)],
            in_order: planner.choices.once_in(2),
            bounded,
            requests: planner.requests,
        }
    }

    fn time(&mut self, most: Nanos) -> Nanos {
        self.choices.below(most as usize + 1) as Nanos
    }

    fn settings(&mut self) -> Settings {
        let choices = &mut self.choices;
        let mut seconds = |of: &[Option<f64>]| of[choices.below(of.len())].map(Duration::from_secs_f64);
        let socket_timeout = seconds(&[None, None, Some(0.3), Some(2.0), Some(10.0)]);
        let header_timeout = seconds(&[Some(30.0), Some(1.0), Some(5.0), None]);
        let linger_timeout = seconds(&[Some(2.0), Some(2.0), Some(0.2), Some(0.0)]).unwrap_or_default();
        let graceful_timeout = seconds(&[Some(30.0), Some(2.0), Some(0.1), Some(0.0)]).unwrap_or_default();
        let handshake_timeout = seconds(&[Some(30.0), Some(1.0)]).unwrap_or_default();
        let keepalive = match choices.below(6) {
            0 => KeepAlive::Off,
            1 => KeepAlive::For(Duration::from_secs(1)),
            2 => KeepAlive::For(Duration::from_secs(5)),
            _ => KeepAlive::On,
        };
        Settings {
            max_size: 1024,
            keepalive,
            socket_timeout,
            header_timeout,
            linger_timeout,
            graceful_timeout,
            handshake_timeout,
            minimum_chunk_size: [0, 0, 100, 5000][choices.below(4)],
            outbox: [64 * 1024, 1, 500, 4096][choices.below(4)],
            inbox: [64 * 1024, 1024, 4096][choices.below(3)],
            drain: [256 * 1024, 0, 1000][choices.below(3)],
            body: [None, None, None, Some(3000)][choices.below(4)],
            debug: choices.once_in(2),
            request_rate: None,
            response_rate: None,
            rate_grace: Duration::from_secs(10),
            max_age: None,
            max_requests: None,
            descriptor_limit: None,
        }
    }

    fn request(&mut self) -> Request {
        let brief = self.brief;
        let choices = &mut self.choices;
        let mut request = Request::plain();
        if choices.once_in(2) {
            request.method = "POST";
            request.body = [0, 1, 100, 3000, 20_000][choices.below(5)];
            request.chunked = choices.once_in(3);
            request.expects = choices.once_in(6);
            request.reads = match choices.below(8) {
                0 => Reads::Nothing,
                1 => Reads::Some(choices.below(request.body + 10)),
                2 => Reads::Elsewhere,
                3 => Reads::Both,
                _ => Reads::All,
            };
        } else if choices.once_in(10) {
            request.method = "HEAD";
        }
        match choices.below(20) {
            0 => request.connection = "close",
            1 => request.old = true,
            2 => (request.old, request.connection) = (true, "keep-alive"),
            _ => {}
        }
        // HTTP/1.0 has neither.
        request.chunked &= !request.old;
        request.expects &= !request.old && request.body > 0;
        let size = [0, 20, 20, 500, 3000, 50_000][choices.below(6)];
        let count = 1 + choices.below(5);
        request.gives = match choices.below(if brief { 10 } else { 22 }) {
            0 | 1 => Gives::Blocks(count, size / 4),
            2 | 3 => Gives::Iterator(count, size / 4),
            4 | 5 => Gives::Stream(count, size / 4, choices.below(20 * MILLI as usize) as Nanos),
            10 | 11 => Gives::Write(count, size / 4),
            12 => Gives::WriteElsewhere(count, size / 4),
            13 => Gives::Fail,
            14 => Gives::FailLate(size),
            15 => Gives::Panic,
            16 => Gives::PanicLate(size),
            17 => Gives::Forever,
            18 => Gives::Nothing,
            19 => Gives::Stream(count, size / 4, choices.below(2 * SECOND as usize) as Nanos),
            _ => Gives::Bytes(size),
        };
        if !brief && !request.old && request.method == "GET" && choices.once_in(12) {
            request.connection = "upgrade";
            request.gives =
                [Gives::TakeOver, Gives::TakeOverElsewhere, Gives::TakeOverDropped][choices.below(3)];
        }
        if choices.once_in(4) {
            request.waits = choices.below(if brief { 10 * MILLI } else { 3 * SECOND } as usize) as Nanos;
        }
        if choices.once_in(6) {
            request.computes = choices.below(if brief { MILLI } else { 2 * SECOND } as usize) as Nanos;
        }
        request.watches = choices.once_in(10);
        request.late = choices.once_in(10);
        request.hook = choices.once_in(6);
        request
    }

    /// A request among those of the plan, and its bytes.
    fn add(&mut self, request: Request) -> (usize, Vec<u8>, usize) {
        let id = self.requests.len();
        let (bytes, body) = request.bytes(id);
        self.requests.push(request);
        (id, bytes, body)
    }

    /// Steps that send one request, in one piece or in many.
    fn send(&mut self, request: Request, steps: &mut Vec<Step>) {
        let slow = self.choices.once_in(6) && !self.brief;
        let bodyless = request.method == "HEAD";
        let (id, bytes, body) = self.add(request);
        let pieces = match self.choices.below(4) {
            0 | 1 => 1,
            2 => 2,
            _ => 1 + self.choices.below(8),
        };
        let mut from = 0;
        for piece in 1..=pieces {
            let to = match piece {
                _ if piece == pieces => bytes.len(),
                1 if self.choices.once_in(2) && body < bytes.len() => body,
                _ => (from + 1 + self.choices.below(bytes.len() - from)).min(bytes.len() - 1),
            }
            .max(from);
            let ends = (piece == pieces).then_some((id, bodyless));
            steps.push(Step::Send(bytes[from..to].to_vec(), ends));
            from = to;
            if piece < pieces {
                let most = if slow { 900 * MILLI } else { 2 * MILLI };
                let time = self.time(most);
                steps.push(Step::Pause(time));
            }
        }
    }

    fn client(&mut self, bounded: bool) -> Client {
        let mut steps = vec![Step::Fresh];
        match self.choices.below(12) {
            // It is silent for a while.
            0 => {}
            // It stops within a head, or drips it.
            1 => {
                let (_, bytes, body) = self.add(Request::plain());
                let most = 1 + self.choices.below(body - 1);
                let drips = self.choices.once_in(2);
                for piece in bytes[..most].chunks(if drips { 1 } else { most }) {
                    steps.push(Step::Send(piece.to_vec(), None));
                    let time = self.time(if drips { 900 * MILLI } else { 10 });
                    steps.push(Step::Pause(time));
                }
            }
            // It stops within a body, or drips it.
            2 if !bounded => {
                let request = Request { method: "POST", body: 40, reads: Reads::All, ..Request::plain() };
                let (id, bytes, body) = self.add(request);
                steps.push(Step::Send(bytes[..body].to_vec(), None));
                let all = self.choices.once_in(2);
                let most = if all { bytes.len() } else { bytes.len() - 1 - self.choices.below(30) };
                for at in body..most {
                    steps.push(Step::Send(vec![bytes[at]], (at + 1 == bytes.len()).then_some((id, false))));
                    let time = self.time(500 * MILLI);
                    steps.push(Step::Pause(time));
                }
            }
            // It sends something other than HTTP.
            3 => {
                let texts = [
                    "\x16\x03\x01\x02\0",
                    "nonsense\r\n\r\n",
                    "GET / HTTP/1.1\r\n\r\n",
                    "GET / HTTP/3.0\r\nHost: h\r\n\r\n",
                ];
                let text = self.choices.of(&texts);
                steps.push(Step::Send(text.as_bytes().to_vec(), None));
            }
            // It sends many at once.
            4 | 5 => {
                for _ in 0..2 + self.choices.below(8) {
                    let request = self.request();
                    self.send(request, &mut steps);
                }
                steps.push(Step::Await);
            }
            // It sends one after the other.
            _ => {
                for _ in 0..1 + self.choices.below(4) {
                    let request = self.request();
                    steps.push(Step::Fresh);
                    self.send(request, &mut steps);
                    steps.push(Step::Await);
                    if self.choices.once_in(3) {
                        let time = self.time(1500 * MILLI);
                        steps.push(Step::Pause(time));
                    }
                }
            }
        }
        if self.choices.once_in(6) {
            let at = 1 + self.choices.below(steps.len());
            let how = if self.choices.once_in(2) { Left::Reset } else { Left::Closed };
            steps.insert(at, Step::Leave(how));
        }
        if self.choices.once_in(6) {
            let at = 1 + self.choices.below(steps.len());
            steps.insert(at, Step::HalfClose);
        }
        // A last while, and what was sent last is taken in any case.
        match self.choices.below(5) {
            0 => steps.push(Step::HalfClose),
            1 => {
                let time = self.time(20 * SECOND);
                steps.push(Step::Pause(time));
            }
            2 => {}
            _ => steps.push(Step::AwaitEnd),
        }
        let slow = !bounded && self.choices.once_in(5);
        if slow {
            // It ends its slowness at last.
            steps.push(Step::Pause(SECOND));
            steps.push(Step::Read(Reading::Eager));
            steps.push(Step::Await);
        }
        steps.push(Step::Leave(if self.choices.once_in(8) { Left::Reset } else { Left::Closed }));
        let mut client = Client::new(steps);
        if slow {
            let bytes = 1 + self.choices.below(4000);
            let every = self.time(400 * MILLI) + 1;
            client.reading = Reading::Slow { bytes, every };
        }
        client.polite = !self.choices.once_in(4);
        client.thinks = [0, MILLI, 200 * MILLI][self.choices.below(3)];
        client.keeps = self.choices.once_in(4);
        client.handshake = self.choices.once_in(10);
        client.capacity = [64 * 1024, 4096, 300][self.choices.below(3)];
        client
    }

    /// A client that sends simple requests whole, reads all of the answers, and is in no hurry.
    fn honest(&mut self) -> Client {
        let mut steps = Vec::new();
        for _ in 0..1 + self.choices.below(3) {
            steps.push(Step::Fresh);
            let (id, bytes, _) = self.add(Request::plain());
            steps.push(Step::Send(bytes, Some((id, false))));
            steps.push(Step::Await);
            let time = self.time(100 * MILLI);
            steps.push(Step::Pause(time));
        }
        steps.push(Step::Leave(Left::Closed));
        let mut client = Client::new(steps);
        client.honest = true;
        client
    }
}
