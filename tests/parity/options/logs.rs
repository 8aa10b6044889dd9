//! Options for what is logged, and where.

use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Journal, Kind, NOT_HELD_UP, PATIENCE, eventually};
use wsgi_tests::runtimes::Runtime;
use wsgi_tokio::{Log, LogEntry, LogFormat, Options};

use super::site::{HELLO, Program, Serve as _, Site, Written, on_each, quiet};

const YO: &str = "GET /yo HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n\r\n";

/// The log of a server from start to end, with one request in between.
fn written(runtime: Runtime, change: impl FnOnce(Options) -> Options, program: Program) -> String {
    let log = Written::default();
    let options = Options::default().debug(false).log_to(log.clone());
    let site = runtime.serve(change(options), program);
    site.ask(YO);
    site.stop();
    log.text()
}

/// The access lines of such a log, without the server's own messages.
fn accesses(log: &str) -> Vec<&str> {
    let own = format!("({}) ", std::process::id());
    log.lines().filter(|line| !line.starts_with(&own)).collect()
}

#[test]
fn log_gives_a_function_each_entry_and_the_record_of_an_access() {
    on_each("log", |runtime| {
        // Also without `debug`, which only affects lines.
        let (options, entries) = Journal::keep(Options::default().debug(false));
        let site = runtime.serve(options, HELLO);
        site.ask(YO);
        site.stop();

        let [start, end] = &entries.of(Kind::Info)[..] else { panic!("not a start and an end: {entries:?}") };
        assert!(start.text.contains("wsgi starting up on http://127.0.0.1:"), "{start:?}");
        assert!(end.text.contains("wsgi exited, "), "{end:?}");
        let debug = entries.of(Kind::Debug);
        assert!(debug.iter().any(|entry| entry.text.contains(" accepted 127.0.0.1:")), "{entries:?}");
        let [access] = &entries.of(Kind::Access)[..] else { panic!("not one access: {entries:?}") };
        assert!(access.text.contains("\"GET /yo HTTP/1.1\" 200 "), "{access:?}");
        let record = access.record.as_ref().expect("an access has one");
        assert_eq!((record.status, record.body_length), (200, 5));
        assert_eq!(record.head.as_ref().map(|head| head.path()), Some(&b"/yo"[..]));
    });
}

#[test]
fn log_gives_a_function_the_errors_of_the_application() {
    on_each("log", |runtime| {
        let (options, entries) = Journal::keep(Options::default());
        let site = runtime.serve(options, Program::Script(&["fail it broke"]));
        assert_eq!(site.ask(YO).status, 500);
        site.stop();
        let [error] = &entries.of(Kind::Error)[..] else { panic!("not one error: {entries:?}") };
        assert!(error.text.contains("it broke"), "{error:?}");
    });
}

#[test]
fn logger_gives_a_value_each_entry() {
    struct Texts(Written);

    impl Log for Texts {
        fn log(&self, entry: &LogEntry<'_>) {
            writeln!(self.0.clone(), "{}", entry.text()).expect("memory never fails");
        }
    }

    on_each("logger", |runtime| {
        let log = Written::default();
        let site = runtime.serve(Options::default().debug(false).logger(Texts(log.clone())), HELLO);
        site.ask(YO);
        site.stop();
        let log = log.text();
        for part in ["wsgi starting up on http://127.0.0.1:", "\"GET /yo HTTP/1.1\" 200 ", "wsgi exited, "] {
            assert!(log.contains(part), "{log}");
        }
    });
}

#[test]
fn log_to_writes_a_line_an_entry() {
    on_each("log_to", |runtime| {
        let log = written(runtime, |options| options, HELLO);
        let [start, access, end] = &log.lines().collect::<Vec<_>>()[..] else {
            panic!("not a start, an access and an end: {log}");
        };
        assert!(start.contains("wsgi starting up on http://127.0.0.1:"), "{log}");
        assert!(access.contains("\"GET /yo HTTP/1.1\" 200 "), "{log}");
        assert!(end.contains("wsgi exited, "), "{log}");
        assert!(log.ends_with('\n'), "{log}");
    });
}

#[test]
fn access_log_off_leaves_out_access_lines_alone() {
    on_each("access_log", |runtime| {
        let fails = Program::Script(&["fail it broke"]);
        let usual = written(runtime, |options| options, fails);
        assert!(usual.contains("GET /yo HTTP/1.1"), "{usual}");
        let log = written(runtime, |options| options.access_log(false), fails);
        let [start, error, end] = &log.lines().collect::<Vec<_>>()[..] else {
            panic!("not a start, an error and an end: {log}");
        };
        assert!(start.contains("wsgi starting up") && end.contains("wsgi exited, "), "{log}");
        assert!(error.contains("it broke"), "{log}");
        // Also for a function, and for their separate file.
        let (options, entries) = Journal::keep(Options::default().access_log(false));
        let site = runtime.serve(options, HELLO);
        site.ask(YO);
        site.stop();
        assert_eq!((entries.of(Kind::Access).len(), entries.of(Kind::Info).len()), (0, 2), "{entries:?}");
        let accesses = Written::default();
        written(runtime, |options| options.access_log_to(accesses.clone()).access_log(false), HELLO);
        assert_eq!(accesses.text(), "");
    });
}

#[test]
fn access_log_to_separates_access_lines_from_all_others() {
    on_each("access_log_to", |runtime| {
        let accesses = Written::default();
        let program = Program::Script(&["fail it broke"]);
        let log = written(runtime, |options| options.access_log_to(accesses.clone()), program);
        let [access] = &accesses.text().lines().map(str::to_string).collect::<Vec<_>>()[..] else {
            panic!("not one access: {}", accesses.text());
        };
        assert!(access.contains("\"GET /yo HTTP/1.1\" 500 "), "{access}");
        let [start, error, end] = &log.lines().collect::<Vec<_>>()[..] else {
            panic!("not a start, an error and an end: {log}");
        };
        assert!(start.contains("wsgi starting up") && end.contains("wsgi exited, "), "{log}");
        assert!(error.contains("it broke"), "{log}");
        // Also beside a function.
        let accesses = Written::default();
        let (options, entries) = Journal::keep(Options::default().access_log_to(accesses.clone()));
        let site = runtime.serve(options, HELLO);
        site.ask(YO);
        site.stop();
        assert_eq!(accesses.text().lines().count(), 1);
        assert_eq!(entries.of(Kind::Access).len(), 0);
        assert_eq!(entries.of(Kind::Info).len(), 2, "{entries:?}");
        // The option for everything includes it.
        let accesses = Written::default();
        written(runtime, |options| options.access_log_to(accesses.clone()).log_output(false), HELLO);
        assert_eq!(accesses.text(), "");
    });
}

/// Requests whose lines have more than 10 KiB. They are more than the queue of a log and a pipe hold.
const BURST: usize = 400;

/// A server with such lines in a pipe that is not read, after all requests of the burst.
fn unread(runtime: Runtime) -> (Site, Caller, PipeReader) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let template = format!("%(request_line)s {}", "%({X-Pad}i)s".repeat(10));
    let options = Options::default().debug(false).log_format(template).log_to(writer);
    let site = runtime.serve(options, HELLO);
    let pad = "x".repeat(1024);
    let mut client = site.connect();
    let began = Instant::now();
    for number in 0..BURST {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: h\r\nX-Pad: {pad}\r\n\r\n"));
        assert_eq!(client.answer().status, 200, "{number}");
    }
    // A third of a second for each, on average.
    assert!(began.elapsed() < 4 * PATIENCE, "{:?}", began.elapsed());
    (site, client, reader)
}

#[test]
fn a_log_that_is_not_read_costs_lines_but_no_requests() {
    on_each("log_to", |runtime| {
        let (site, mut client, reader) = unread(runtime);
        let (read_by, read) = channel();
        std::thread::spawn(move || {
            BufReader::new(reader).lines().try_for_each(|line| read_by.send(line.expect("text")))
        });
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.contains(" dropped: ")) {
            lines.push(read.recv_timeout(PATIENCE).expect("the dropped lines are reported"));
        }
        let last = BURST + 20;
        for number in BURST..=last {
            assert_eq!(client.get(&format!("/{number}")).status, 200);
        }
        site.stop();
        drop(site);
        lines.extend(read);
        let mut next = 0;
        let mut dropped = 0;
        for line in &lines[1..lines.len() - 1] {
            if let Some(number) = line.strip_prefix("GET /") {
                let number: usize = number.split(' ').next().and_then(|text| text.parse().ok()).expect(line);
                assert_eq!(number, next, "in order, with reports at the gaps");
                next += 1;
            } else {
                let report = line.strip_suffix(" dropped: the log is not being read").expect(line);
                let count: usize = report.split(' ').nth(1).and_then(|text| text.parse().ok()).expect(line);
                dropped += count;
                next += count;
            }
        }
        assert!(dropped > 100 && dropped < BURST, "{dropped}");
        assert_eq!(next, last + 1);
        assert!(lines[lines.len() - 1].contains("wsgi exited, "), "{lines:?}");
    });
}

#[test]
fn a_log_that_is_never_read_delays_the_end_by_a_second_at_most() {
    on_each("log_to", |runtime| {
        let (site, _client, reader) = unread(runtime);
        let began = Instant::now();
        site.stop();
        assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
        assert!(began.elapsed() < NOT_HELD_UP, "{:?}", began.elapsed());
        drop(reader);
    });
}

#[test]
fn a_line_is_written_within_100_ms() {
    on_each("log_to", |runtime| {
        let log = Written::default();
        let site = runtime.serve(Options::default().debug(false).log_to(log.clone()), HELLO);
        // The machine may be busy, so the fastest counts.
        let mut count = 0;
        eventually("a line is written in time", || {
            site.ask(YO);
            let answered = Instant::now();
            count += 1;
            eventually("the line is written", || log.text().matches("GET /yo").count() == count);
            answered.elapsed() < Duration::from_millis(100)
        });
    });
}

#[test]
fn a_server_that_is_dropped_writes_its_last_lines() {
    let log = Written::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a port");
        let application = |_, start_response: wsgi_tokio::StartResponse| async move {
            start_response.start("204 No Content", wsgi_tokio::NO_HEADERS)?;
            Ok::<_, wsgi_tokio::Error>(wsgi_tokio::Body::empty())
        };
        let options = Options::default().debug(false).log_to(log.clone());
        let mut serving = wsgi_tokio::Server::new(listener, application).options(options).serve();
        let client = std::thread::spawn(move || {
            let mut client = Caller::connect(address);
            (0..3).for_each(|_| assert_eq!(client.get("/yo").status, 204));
        });
        while !client.is_finished() {
            tokio::select! {
                ended = &mut serving => panic!("it ended: {ended:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(serving);
        assert_eq!(log.text().matches("GET /yo").count(), 3, "{}", log.text());
    });
}

#[test]
fn log_output_off_silences_everything() {
    on_each("log_output", |runtime| {
        // Everything: starts, errors, accesses, debug entries.
        let fails = Program::Script(&["fail it broke"]);
        let usual = written(runtime, |options| options.debug(true), fails);
        for part in ["wsgi starting up", " accepted ", "it broke", "GET /yo HTTP/1.1", "wsgi exited"] {
            assert!(usual.contains(part), "{part} is missing from {usual}");
        }
        assert_eq!(written(runtime, |options| options.debug(true).log_output(false), fails), "");

        let (options, entries) = Journal::keep(quiet());
        let site = runtime.serve(options, HELLO);
        assert_eq!(site.ask(YO).status, 200);
        site.stop();
        for kind in [Kind::Info, Kind::Access, Kind::Error, Kind::Debug] {
            assert!(entries.of(kind).is_empty(), "{entries:?}");
        }
    });
}

#[test]
fn log_format_is_the_template_of_access_lines() {
    on_each("log_format", |runtime| {
        let template = "HI %(request_line)s %(status_code)05d HI";
        let log = written(runtime, |options| options.log_format(template), HELLO);
        assert_eq!(accesses(&log), ["HI GET /yo HTTP/1.1 00200 HI"]);
        let usual = written(runtime, |options| options, HELLO);
        let [line] = accesses(&usual)[..] else { panic!("not one access: {usual}") };
        assert!(line.starts_with("1.2.3.4,5.6.7.8,127.0.0.1 - - ["), "{line}");
        assert!(line.contains("] \"GET /yo HTTP/1.1\" 200 5 "), "{line}");
    });
}

#[test]
fn log_format_can_show_any_field_of_request_and_response() {
    const FIELDS: Program = Program::Script(&["respond 200 OK", "body hello"]);
    on_each("log_format", |runtime| {
        let template =
            "%({x-FORWARDED-for}i)s %({Content-Length}o)s %({X-None}i)s%({X-None}o)s %({date}o).3s";
        let log = written(runtime, |options| options.log_format(template), FIELDS);
        let [line] = accesses(&log)[..] else { panic!("not one access: {log}") };
        let day = line.strip_prefix("1.2.3.4, 5.6.7.8 5 -- ").expect(line);
        assert!(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&day), "{line}");

        let log = written(runtime, |options| options.log_format(LogFormat::COMBINED), FIELDS);
        let [line] = accesses(&log)[..] else { panic!("not one access: {log}") };
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.ends_with("] \"GET /yo HTTP/1.1\" 200 5 \"-\" \"-\""), "{line}");

        // A function gets the whole head.
        let (options, entries) = Journal::keep(Options::default());
        let site = runtime.serve(options, FIELDS);
        site.ask(YO);
        site.ask("nonsense\r\n\r\n");
        site.stop();
        let accesses = entries.of(Kind::Access);
        for access in &accesses {
            let record = access.record.as_ref().expect("an access has one");
            let length = record.body_length.to_string();
            assert_eq!(record.response_field("content-length"), Some(length.as_bytes()), "{access:?}");
        }
        assert_eq!(accesses.len(), 2);
    });
}

#[test]
fn log_x_forwarded_for_begins_a_line_with_the_clients_header() {
    on_each("log_x_forwarded_for", |runtime| {
        for (on, wanted) in [(true, "1.2.3.4,5.6.7.8,127.0.0.1"), (false, "127.0.0.1")] {
            let change = |options: Options| options.log_format("%(client_ip)s").log_x_forwarded_for(on);
            assert_eq!(accesses(&written(runtime, change, HELLO)), [wanted], "{on}");
        }
        let usual = written(runtime, |options| options.log_format("%(client_ip)s"), HELLO);
        assert_eq!(accesses(&usual), ["1.2.3.4,5.6.7.8,127.0.0.1"], "as when it is on");
    });
}

#[test]
fn debug_has_debug_entries_written() {
    on_each("debug", |runtime| {
        let accepted = " accepted 127.0.0.1:";
        let log = written(runtime, |options| options.debug(true), HELLO);
        assert!(log.contains(accepted), "{log}");
        let log = written(runtime, |options| options.debug(false), HELLO);
        assert!(!log.contains(accepted) && !accesses(&log).is_empty(), "{log}");
    });
}
