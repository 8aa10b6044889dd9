//! What applications read from the head of a request.

mod common;

use wsgi_app::test::{Request, call, call_blocking};
use wsgi_app::{Environ, blocking, site};

use common::run;

/// What `read` returns for a request.
fn read(request: Request, read: impl Fn(&Environ) -> String + Send + Sync + 'static) -> String {
    let page = move |environ: Environ| std::future::ready(read(&environ));
    run(call(site(page), request)).body().as_str().expect("text").to_owned()
}

#[test]
fn a_path_is_split_before_it_is_decoded() {
    for (path, segments) in [
        ("/", r#"Some([""])"#),
        ("/users", r#"Some(["users"])"#),
        ("/users/", r#"Some(["users", ""])"#),
        ("/bands/AC%2FDC/%2f?a/b", r#"Some(["bands", "AC/DC", "/"])"#),
        ("//a//", r#"Some(["", "a", "", ""])"#),
        ("/caf%C3%A9/a+b%20c", r#"Some(["café", "a+b c"])"#),
        // Once, and what is malformed stays.
        ("/%252F/%2/%zz", r#"Some(["%2F", "%2", "%zz"])"#),
        ("/../%2e%2e", r#"Some(["..", ".."])"#),
        ("http://h/a%2Fb", r#"Some(["a/b"])"#),
        ("http://h", r#"Some([""])"#),
        ("/a/%ff", "None"),
        // Half of a character in each.
        ("/%C3/%A9", "None"),
    ] {
        let found = read(Request::get(path), |environ| format!("{:?}", environ.segments()));
        assert_eq!(found, segments, "{path}");
    }
    let all = read(Request::new("OPTIONS", "*"), |environ| format!("{:?}", environ.segments()));
    assert_eq!(all, r#"Some(["*"])"#);
}

#[test]
fn the_segments_of_a_changed_path_are_those_of_the_change() {
    let found = read(Request::get("/app/a%2Fb"), |environ| {
        // As middleware that serves an application below `/app`.
        environ.set("PATH_INFO", "/x y/caf\u{c3}\u{a9}");
        let changed = environ.segments();
        environ.set("PATH_INFO", "");
        format!("{changed:?} {:?}", environ.segments())
    });
    assert_eq!(found, r#"Some(["x y", "café"]) Some([""])"#);
    let blocks = blocking::site(|environ: blocking::Environ| format!("{:?}", environ.segments()));
    assert_eq!(call_blocking(blocks, Request::get("/a")).body().as_str(), Some(r#"Some(["a"])"#));
}

#[test]
fn cookies_are_pairs_of_a_name_and_a_value() {
    for (fields, expected) in [
        (&["a=1; b=2"][..], "a=1|b=2"),
        (&["a=1;b=2 ;\tc = 3"], "a=1|b=2|c=3"),
        // As sent: the first one has the longest path.
        (&["a=1; a=2", "a=3"], "a=1|a=2|a=3"),
        (&["a=b=c; d=\"e f\"; g=%20"], "a=b=c|d=\"e f\"|g=%20"),
        (&["a=; =b; c; ; A=1"], "a=|A=1"),
        (&["n=caf\u{e9}"], "n=cafÃ©"),
        (&[""], ""),
        (&[], ""),
    ] {
        let request =
            fields.iter().fold(Request::get("/"), |request, value| request.append("cookie", *value));
        let found = read(request, |environ| {
            let pairs: Vec<_> = environ.cookies().map(|(name, value)| format!("{name}={value}")).collect();
            pairs.join("|")
        });
        assert_eq!(found, expected, "{fields:?}");
    }
}
