//! Which entries a server logs.

mod common;

use std::sync::{Arc, Mutex};

use wsgi_app::test::{Request, call};
use wsgi_app::{Environ, LogEntry, Options, Result, site};

use common::run;

#[test]
fn access_lines_alone_can_be_switched_off() {
    for (on, expected) in [(true, ["error", "hook", "access"].as_slice()), (false, &["error", "hook"])] {
        let kinds = Arc::new(Mutex::new(Vec::new()));
        let (seen, hooked) = (Arc::clone(&kinds), Arc::clone(&kinds));
        let log = move |entry: &LogEntry<'_>| match entry {
            LogEntry::Access { .. } => seen.lock().expect("no panic").push("access"),
            LogEntry::Error(_) => seen.lock().expect("no panic").push("error"),
            _ => {}
        };
        let fails = move |environ: Environ| {
            let hooked = Arc::clone(&hooked);
            environ.add_post_hook(move |_, record| {
                assert_eq!(record.status, 500);
                hooked.lock().expect("no panic").push("hook");
            });
            std::future::ready(Result::<String>::Err("no disk".into()))
        };
        let options = Options::default().log(log).access_log(on);
        run(call(site(fails), Request::get("/").options(options)));
        assert_eq!(*kinds.lock().expect("no panic"), expected, "{on}");
    }
}
