//! Options for what is logged, and where.

use std::io::Write as _;

use wsgi_tests::live::{Journal, Kind};
use wsgi_tests::runtimes::Runtime;
use wsgi_tokio::{Log, LogEntry, Options};

use super::site::{HELLO, Program, Serve as _, Written, on_each, quiet};

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
