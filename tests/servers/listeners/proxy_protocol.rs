//! The PROXY protocol on every runtime, with and without TLS.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::echo::listen::Bound;
use wsgi_tests::echo::{on_smol, on_std, on_tokio};
use wsgi_tests::live::{Journal, Kind, PATIENCE, SOON, eventually};
use wsgi_tests::runtimes::{Runtime, TOKIO, on_each_adapter};
use wsgi_tests::secure::trust;
use wsgi_tests::uninterrupted::uninterrupted;
use wsgi_tokio::Options;

use super::{Listener, Serving, answer, serve};

/// Longer than any test may take.
const NEVER: Duration = Duration::from_secs(600);

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// A source that is listed, and one that is not.
const PROXY: [u8; 4] = [127, 0, 0, 2];
const STRANGER: [u8; 4] = [127, 0, 0, 3];

struct Site {
    serving: Serving,
    address: SocketAddr,
    encrypted: bool,
    journal: Arc<Journal>,
}

impl Site {
    fn new(runtime: Runtime, encrypted: bool, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (options, journal) = Journal::keep(options.debug(false));
        let serving = serve(runtime, [expecting(runtime, Bound::Tcp(listener), encrypted)], options);
        Self { serving, address, encrypted, journal }
    }

    /// A connection from `source`, which has sent these bytes.
    fn connect(&self, source: [u8; 4], sent: &[u8]) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("a loopback address");
        socket.connect_timeout(&self.address.into(), PATIENCE).expect("it accepts");
        let mut socket = Caller::over(socket.into()).clone_stream();
        socket.write_all(sent).expect("there is room");
        socket
    }

    /// Sends a header and a request.
    fn ask(&self, source: [u8; 4], header: &[u8], arrival: Arrival) -> io::Result<(SocketAddr, Answer)> {
        let socket = self.connect(source, b"");
        let address = socket.local_addr()?;
        if !self.encrypted {
            arrival.send(&socket, header, GET)?;
            return Ok((address, Caller::over(socket).try_answer()?));
        }
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(Arc::clone(&trust().client), name).expect("a session");
        let mut greeting = Vec::new();
        session.write_tls(&mut greeting)?;
        arrival.send(&socket, header, &greeting)?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(GET)?;
        Ok((address, Caller::new(stream).try_answer()?))
    }

    /// The scheme, and the version of TLS.
    fn scheme(&self) -> &'static str {
        if self.encrypted { "https TLSv1.3" } else { "http" }
    }

    fn counts(&self, connections: usize) {
        eventually("a number of connections", || self.serving.handle.connections() == connections);
    }

    /// The debug entries about refused connections.
    fn refusals(&self) -> Vec<String> {
        let mut entries = self.journal.texts(Kind::Debug);
        entries.retain(|entry| entry.contains("handshake failed") || entry.contains("cannot accept"));
        entries
    }
}

fn expecting(runtime: Runtime, bound: Bound, encrypted: bool) -> Listener {
    let tls = encrypted.then_some(&trust().server);
    let sources = || "127.0.0.2, unix".parse().expect("they are allowed");
    if let Bound::Tcp(listener) = &bound {
        listener.set_nonblocking(true).expect("a socket");
    }
    let _inside = TOKIO.0.enter();
    match runtime {
        Runtime::Tokio => {
            Listener::Tokio(on_tokio::listener(bound, tls).expect("a socket").proxy_protocol(sources()))
        }
        Runtime::Smol => {
            Listener::Smol(on_smol::listener(bound, tls).expect("a socket").proxy_protocol(sources()))
        }
        Runtime::AsyncStd => {
            Listener::Smol(on_smol::async_std_listener(bound, tls).proxy_protocol(sources()))
        }
        Runtime::Std => Listener::Std(on_std::listener(bound, tls).proxy_protocol(sources())),
        other => unreachable!("{other} has the listeners of another one"),
    }
}

/// How a header and the bytes behind it arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Together,
    Apart,
    ByteByByte,
}

impl Arrival {
    fn send(self, mut socket: &TcpStream, header: &[u8], rest: &[u8]) -> io::Result<()> {
        match self {
            Self::Together => socket.write_all(&[header, rest].concat()),
            Self::Apart => {
                socket.write_all(header)?;
                thread::park_timeout(Duration::from_millis(5));
                socket.write_all(rest)
            }
            Self::ByteByByte => [header, rest].concat().chunks(1).try_for_each(|byte| {
                if byte[0] % 8 == 0 {
                    thread::park_timeout(Duration::from_millis(1));
                }
                socket.write_all(byte)
            }),
        }
    }
}

/// Runs the check on all runtimes, with and without TLS.
fn on_every_site(what: &str, options: impl Fn() -> Options + Sync, check: impl Fn(&Site) + Sync) {
    on_each_adapter(what, |runtime| {
        for encrypted in [false, true] {
            let site = Site::new(runtime, encrypted, options());
            check(&site);
            assert_eq!(site.journal.texts(Kind::Error), [""; 0], "TLS: {encrypted}");
        }
    });
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("it is short").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

fn binary_addresses(remote: &str, local: &str) -> Vec<u8> {
    let [remote, local] = [remote, local].map(|address| address.parse::<SocketAddr>().expect("an address"));
    let bytes = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [remote.port().to_be_bytes(), local.port().to_be_bytes()].concat();
    [bytes(remote), bytes(local), ports].concat()
}

/// The addresses of a client and of the proxy that it connected to.
type Pair = (&'static str, &'static str);

const FOUR: Pair = ("192.0.2.1:56324", "198.51.100.2:443");
const SIX: Pair = ("[2001:db8::1]:56324", "[2001:db8::2]:8443");

#[test]
fn the_application_and_the_log_see_the_addresses_in_the_header() {
    // A client certificate as the proxy describes it: PP2_TYPE_SSL, which is ignored.
    let tlv = [0x20, 0x00, 0x05, 0x01, 0, 0, 0, 0];
    let four = binary_addresses(FOUR.0, FOUR.1);
    let cases: [(&str, Vec<u8>, Option<Pair>); 9] = [
        ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".into(), Some(FOUR)),
        ("v1, IPv6", b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 8443\r\n".into(), Some(SIX)),
        ("v1, unknown", b"PROXY UNKNOWN\r\n".into(), None),
        ("v2", binary(0x21, 0x11, &four), Some(FOUR)),
        ("v2, IPv6", binary(0x21, 0x21, &binary_addresses(SIX.0, SIX.1)), Some(SIX)),
        ("v2 with a TLV", binary(0x21, 0x11, &[&four[..], &tlv].concat()), Some(FOUR)),
        ("v2, unix", binary(0x21, 0x31, &[0; 216]), Some(("unix", "unix"))),
        ("v2, unknown", binary(0x21, 0x00, b""), None),
        ("v2, local", binary(0x20, 0x00, b""), None),
    ];
    on_every_site("addresses", Options::default, |site| {
        let mut count = 0;
        for (name, header, addresses) in &cases {
            for arrival in [Arrival::Together, Arrival::Apart, Arrival::ByteByByte] {
                let what = format!("{name}, {arrival:?}, {}", site.scheme());
                let (own, heard) = site.ask(PROXY, header, arrival).expect(&what);
                let (remote, local) = addresses.map_or_else(
                    || (own.to_string(), site.address.to_string()),
                    |(remote, local)| (remote.to_owned(), local.to_owned()),
                );
                assert_eq!(heard.text(), expected(&remote, &local, site.scheme()), "{what}");
                count += 1;
                let record = site.journal.accesses(count).pop().expect("there are as many");
                assert_eq!(format!("{:?}", record.endpoints.remote), shown(&remote), "{what}");
                let line = site.journal.texts(Kind::Access).pop().expect("there is one");
                let ip =
                    remote.parse::<SocketAddr>().map_or(remote.clone(), |address| address.ip().to_string());
                assert!(line.starts_with(&format!("{ip} ")), "{what}: {line}");
            }
        }
        assert_eq!(site.refusals(), [""; 0]);
    });
}

/// As `Debug` shows an address.
fn shown(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(address) => format!("Ip({address:?})"),
        Err(_) => "Local".into(),
    }
}

/// IPv6 addresses are in brackets as SERVER_NAME.
fn expected(remote: &str, local: &str, scheme: &str) -> String {
    let text = answer(remote, local, scheme);
    match local.parse::<SocketAddr>() {
        Ok(SocketAddr::V6(local)) => {
            text.replace(&format!(" {} ", local.ip()), &format!(" [{}] ", local.ip()))
        }
        _ => text,
    }
}

#[test]
fn a_connection_without_a_valid_header_is_closed_without_an_answer() {
    let four = binary_addresses(FOUR.0, FOUR.1);
    let cases: [(&str, Vec<u8>); 7] = [
        ("no PROXY protocol header", b"".into()),
        ("no PROXY protocol header", b"PROXY TCP5 192.0.2.1 198.51.100.2 56324 443\r\n".into()),
        ("malformed PROXY protocol header", b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n".into()),
        ("malformed PROXY protocol header", binary(0x11, 0x11, &four)),
        ("malformed PROXY protocol header", binary(0x21, 0x11, &four[..11])),
        (
            "PROXY protocol header too long (limit: 107 bytes)",
            [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
        ),
        ("PROXY protocol header too long (limit: 4096 bytes)", binary(0x21, 0x11, &[0; 4081])),
    ];
    on_every_site("no header", Options::default, |site| {
        for (number, (entry, header)) in cases.iter().enumerate() {
            for (turn, arrival) in [Arrival::Together, Arrival::ByteByByte].into_iter().enumerate() {
                site.ask(PROXY, header, arrival).expect_err(entry);
                let count = 2 * number + turn + 1;
                eventually("it is logged", || site.refusals().len() == count);
                let logged = site.refusals().pop().expect("there is one");
                assert!(logged.contains(entry) && logged.contains("127.0.0.2:"), "{logged}");
            }
        }
        // The peer closes.
        for header in [b"".as_slice(), b"PROXY TCP4 192.0.2.1 198.", &binary(0x21, 0x11, &four)[..20]] {
            let before = site.refusals().len();
            drop(site.connect(PROXY, header));
            eventually("it is logged", || site.refusals().len() == before + 1);
        }
        site.counts(0);
        assert_eq!(site.journal.texts(Kind::Access), [""; 0]);
    });
}

#[test]
fn a_source_that_is_not_listed_is_refused_before_it_uses_any_room() {
    let options = || Options::default().max_size(1).handshake_timeout(NEVER);
    on_every_site("another source", options, |site| {
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
        let kept = site.connect(PROXY, b"PROXY");
        site.counts(1);
        for arrival in [Arrival::Together, Arrival::ByteByByte] {
            site.ask(STRANGER, header, arrival).expect_err("it is not listed");
        }
        let refusals = site.refusals();
        assert_eq!(refusals.len(), 2);
        for refusal in refusals {
            assert!(refusal.contains("127.0.0.3:"), "{refusal}");
            assert!(refusal.ends_with("is not listed as a source of the PROXY protocol"), "{refusal}");
        }
        // No room had to be made for them.
        (&kept).write_all(&header[b"PROXY".len()..]).expect("it is open");
        assert_eq!(site.journal.texts(Kind::Access), [""; 0]);
    });
}

#[test]
fn a_header_that_takes_too_long_is_let_go() {
    on_every_site(
        "silence",
        || Options::default().handshake_timeout(SOON),
        |site| {
            let begun = Instant::now();
            let header = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
            let mut silent =
                vec![b"".as_slice(), b"PROXY TCP4 192.0.2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"];
            if site.encrypted {
                silent.push(header);
            }
            let waiting: Vec<_> = silent.iter().map(|sent| site.connect(PROXY, sent)).collect();
            // It arrives in drips, none of which extends the time. What arrives after the end causes a reset.
            let mut dripping = site.connect(PROXY, b"PROXY UNKNOWN ");
            while dripping.write_all(b"x").is_ok() {
                assert!(begun.elapsed() < PATIENCE, "each byte extends the time");
                thread::park_timeout(SOON / 20);
            }
            for mut socket in waiting {
                assert_eq!(uninterrupted(|| socket.read(&mut [0])).expect("an end without a reset"), 0);
            }
            assert!(begun.elapsed() >= SOON, "after {:?}", begun.elapsed());
            eventually("they are logged", || site.refusals().len() == silent.len() + 1);
            assert!(
                site.refusals().iter().all(|entry| entry.ends_with("timed out")),
                "{:?}",
                site.refusals()
            );
            // The client's address is known when the handshake of TLS fails.
            let named = site.refusals().iter().filter(|entry| entry.contains("192.0.2.1:56324")).count();
            assert_eq!(named, usize::from(site.encrypted));
            if !site.encrypted {
                // After its header, a connection may be idle like any other.
                let mut idle = Caller::over(site.connect(PROXY, header));
                thread::park_timeout(2 * SOON);
                idle.send(GET);
                assert_eq!(idle.answer().status, 200);
            }
        },
    );
}

#[test]
fn an_unfinished_header_makes_room_and_ends_at_a_stop() {
    let options = || Options::default().max_size(2).handshake_timeout(NEVER).graceful_timeout(NEVER);
    on_every_site("room", options, |site| {
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
        let mut kept = None;
        // On a busy machine a connection may take too long to close, and then another one closes, too: so this may need
        // several tries.
        eventually("one of two makes room for one", || {
            let [mut first, second] = [b"".as_slice(), &header[..20]].map(|sent| {
                let socket = site.connect(PROXY, sent);
                thread::park_timeout(Duration::from_millis(5));
                socket
            });
            site.counts(2);
            assert_eq!(site.ask(PROXY, header, Arrival::Together).expect("there is room").1.status, 200);
            // The connection that had waited longest was closed.
            assert_eq!(uninterrupted(|| first.read(&mut [0])).expect("an end without a reset"), 0);
            eventually("it has left", || site.serving.handle.connections() < 2);
            kept = Some(second);
            site.serving.handle.connections() == 1
        });
        assert_eq!(site.serving.stop().cut, 0);
        let mut kept = kept.expect("there was a try");
        assert_eq!(uninterrupted(|| kept.read(&mut [0])).expect("an end without a reset"), 0);
    });
}

#[test]
fn bytes_behind_a_header_are_those_of_the_first_request_even_if_there_are_many() {
    on_every_site("pipelined requests", Options::default, |site| {
        if site.encrypted {
            return;
        }
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
        let keep = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(15);
        let mut client = Caller::over(site.connect(PROXY, &[header, &keep[..], GET].concat()));
        for _ in 0..16 {
            assert_eq!(client.answer().text(), answer(FOUR.0, FOUR.1, "http"));
        }
        assert_eq!(site.journal.accesses(16).len(), 16);
    });
}

#[test]
fn unix_sockets_are_a_source_by_their_own_name() {
    use std::os::unix::net::{UnixListener, UnixStream};

    on_each_adapter("unix sockets", |runtime| {
        let name = format!("wsgi-proxy-{}-{runtime:?}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).expect("a place for a file");
        listener.set_nonblocking(true).expect("a socket");
        let serving = serve(
            runtime,
            [expecting(runtime, Bound::Unix(listener), false)],
            Options::default().log_output(false),
        );
        for (header, (remote, local)) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", FOUR),
            ("PROXY UNKNOWN\r\n", ("unix", "unix")),
        ] {
            let mut client = Caller::new(UnixStream::connect(&path).expect("it listens"));
            client.send([header.as_bytes(), GET].concat());
            assert_eq!(client.answer().text(), answer(remote, local, "http"));
        }
        let mut client = Caller::new(UnixStream::connect(&path).expect("it listens"));
        client.send(GET);
        client.try_answer().expect_err("there is no header");
        std::fs::remove_file(&path).expect("it is there");
        serving.stop();
    });
}
