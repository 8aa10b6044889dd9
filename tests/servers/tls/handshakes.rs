//! Handshakes that fail or take long.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Kind, eventually};
use wsgi_tests::secure::{Stream, greeting, trust};

use super::on_every_runtime;
use super::site::{NEVER, Runtime, Site, options};

on_every_runtime! {
    a_handshake_that_is_broken_off_is_a_debug_entry
    what_is_no_tls_is_a_debug_entry
    a_handshake_that_takes_too_long_is_let_go
    stalled_handshakes_make_room_for_new_clients
    room_is_made_for_clients_that_connect_in_quick_succession
}

/// The bytes that a stalling client sends.
fn stages() -> [Vec<u8>; 3] {
    let greeting = greeting();
    [Vec::new(), greeting[..greeting.len() / 2].to_vec(), greeting]
}

/// A client that has sent only these bytes.
fn stalled(site: &Site, sent: &[u8]) -> TcpStream {
    let mut socket = site.plain().clone_stream();
    socket.write_all(sent).expect("there is room");
    socket
}

fn a_handshake_that_is_broken_off_is_a_debug_entry(runtime: Runtime) {
    let site = Site::new(runtime);
    for sent in stages() {
        for leave in [half_closes, resets, closes] {
            let before = failures(&site);
            leave(stalled(&site, &sent));
            eventually("it is logged", || failures(&site) == before + 1);
        }
    }
    site.counts(0);
    site.serves();
    site.is_at_peace();
    // None of them had a request.
    assert_eq!(site.journal.accesses(1).len(), 1);
}

fn failures(site: &Site) -> usize {
    let entries = site.journal.texts(Kind::Debug);
    entries.iter().filter(|entry| entry.contains("handshake failed")).count()
}

fn half_closes(mut socket: TcpStream) {
    socket.shutdown(Shutdown::Write).expect("it is open");
    // It ends for the client, too; the server's alerts arrive before that.
    let _ = socket.read_to_end(&mut Vec::new());
}

fn resets(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("a socket");
}

fn closes(socket: TcpStream) {
    drop(socket);
}

fn what_is_no_tls_is_a_debug_entry(runtime: Runtime) {
    let site = Site::new(runtime);
    let mut broken = greeting();
    let middle = broken.len() / 2;
    broken[middle..].fill(0xff);
    // A TLS close_notify, but not encrypted: anyone may send it.
    let farewell = [0x15, 0x03, 0x03, 0x00, 0x02, 0x01, 0x00];
    // A record that announces more than is allowed, and one that is never complete.
    let (long, short) = ([0x16, 0x03, 0x01, 0xff, 0xff, 0x01], [0x16, 0x03, 0x01, 0x00, 0x00]);
    for sent in [
        b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 64],
        &[0xff; 20_000],
        &broken,
        &farewell.repeat(40),
        &long,
        &short.repeat(40),
    ] {
        let before = failures(&site);
        let mut socket = site.plain().clone_stream();
        // The server may have closed the connection before it has read everything.
        let _ = socket.write_all(sent);
        let mut heard = Vec::new();
        let _ = socket.read_to_end(&mut heard);
        assert!(!heard.starts_with(b"HTTP/"), "{:?} gets {heard:?}", &sent[..4]);
        eventually("it is logged", || failures(&site) == before + 1);
    }
    site.counts(0);
    site.serves();
    site.is_at_peace();
    assert_eq!(site.journal.accesses(1).len(), 1);
}

fn a_handshake_that_takes_too_long_is_let_go(runtime: Runtime) {
    const TIME: Duration = Duration::from_millis(300);
    let (patient, site) = (Site::new(runtime), Site::with(runtime, options().handshake_timeout(TIME)));
    let begun = Instant::now();
    // The handshakes on the other server, with the default time, started before these.
    let waiting = stages().map(|sent| stalled(&patient, &sent));
    patient.counts(3);
    for mut socket in stages().map(|sent| stalled(&site, &sent)) {
        socket.read_to_end(&mut Vec::new()).expect("an end without a reset");
    }
    assert!(begun.elapsed() >= TIME, "after {:?}", begun.elapsed());
    eventually("it is logged", || failures(&site) == 3);
    assert!(site.journal.texts(Kind::Debug).iter().any(|entry| entry.contains("timed out")));
    site.counts(0);
    assert_eq!((patient.handle().connections(), failures(&patient)), (3, 0));
    drop(waiting);
    // A client that completes the handshake in time may idle longer than that, even on a busy machine.
    let mut shaken = None;
    eventually("a handshake in time", || {
        let socket = site.plain().clone_stream();
        shaken = Stream::shake_hands(socket, &trust().client, usize::MAX).ok();
        shaken.is_some()
    });
    let mut client = Caller::new(shaken.expect("it was waited for"));
    assert_eq!(client.get("/").status, 200);
    stalled(&site, b"").read_to_end(&mut Vec::new()).expect("an end without a reset");
    assert_eq!(client.get("/").status, 200);
    site.is_at_peace();
}

fn stalled_handshakes_make_room_for_new_clients(runtime: Runtime) {
    let site = Site::with(runtime, options().max_size(4).handshake_timeout(NEVER));
    let [nothing, half, whole] = stages();
    // On a busy machine a connection may take too long to close, and then another one closes, too: so this may need several
    // tries.
    eventually("each new client costs one connection", || {
        let mut waiting = [&nothing, &nothing, &half, &whole].map(|sent| stalled(&site, sent));
        site.counts(4);
        let mut client = site.connect();
        assert_eq!(client.get("/").status, 200);
        // The connection that had waited longest was closed, the others stay open.
        assert_eq!(waiting[0].read_to_end(&mut Vec::new()).expect("an end"), 0);
        eventually("it has left", || site.handle().connections() <= 4);
        let others_stay = site.handle().connections() == 4;
        let mut more: Vec<_> = (0..3).map(|_| site.connect()).collect();
        let answers = more.iter_mut().chain([&mut client]).filter_map(|client| client.try_get("/"));
        let served = answers.filter(|answer| answer.status == 200).count();
        let all_stay = site.handle().connections() == 4;
        drop((waiting, client, more));
        site.counts(0);
        others_stay && served == 4 && all_stay
    });
    site.is_at_peace();
}

fn room_is_made_for_clients_that_connect_in_quick_succession(runtime: Runtime) {
    const SIZE: usize = 20;
    let site = Site::with(runtime, options().max_size(SIZE).handshake_timeout(NEVER));
    // In each round the new connections have half a second before one of them must be closed.
    for _ in 0..6 {
        let waiting: Vec<_> = (0..SIZE).map(|_| site.plain()).collect();
        site.serves();
        drop(waiting);
    }
    site.is_at_peace();
}
