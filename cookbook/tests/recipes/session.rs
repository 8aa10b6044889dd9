use std::process::Command;

use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::program::Program;

fn ask(client: &mut Caller, line: &str, cookie: &str, body: &str) -> Answer {
    let length = body.len();
    client.send(format!(
        "{line} HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ));
    client.answer()
}

/// The name and the value of the cookie that a response sets.
fn cookie(answer: &Answer) -> &str {
    answer.field("Set-Cookie").expect("a cookie").split(';').next().expect("a pair")
}

#[test]
fn a_user_logs_in_and_out() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_session"));
    let mut client = recipe.connect();
    assert_eq!(ask(&mut client, "GET /", "other=1", "").status, 403);
    let login = ask(&mut client, "POST /login", "other=1", "name=ada");
    assert_eq!((login.status, login.field("Location")), (303, Some("/")));
    let set = login.field("Set-Cookie").expect("a cookie");
    for attribute in
        ["__Host-session=", "; HttpOnly", "; Secure", "; SameSite=Lax", "; Path=/", "; Max-Age=28800"]
    {
        assert!(set.contains(attribute), "{attribute}: {set}");
    }
    assert!(!set.contains("Domain"), "{set}");
    let session = cookie(&login);
    // RFC 6265, 4.1.1.
    assert!(!session.contains([' ', '%', '"', ',', ';', '\\']), "{session}");
    let page = ask(&mut client, "GET /", &format!("other=1; {session}"), "");
    assert_eq!((page.status, page.text().as_str()), (200, "Hello, ada\n"));
    assert_eq!(page.field("Set-Cookie"), None, "only a change sets it");
    let logout = ask(&mut client, "POST /logout", session, "");
    assert!(logout.field("Set-Cookie").is_some_and(|set| set.contains("Max-Age=0")), "{}", logout.head);
    assert_eq!(ask(&mut client, "GET /", cookie(&logout), "").status, 403);
    let long = format!("name={}", "a".repeat(1000));
    for (body, status) in
        [("", 403), ("name=", 403), ("name=a+b", 403), ("name=%ff", 403), ("user=ada", 403), (&*long, 413)]
    {
        let refused = ask(&mut recipe.connect(), "POST /login", "", body);
        assert_eq!((refused.status, refused.field("Set-Cookie")), (status, None), "{body}");
    }
    recipe.stop();
}

#[test]
fn no_cache_keeps_a_page() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_session"));
    let mut client = recipe.connect();
    let login = ask(&mut client, "POST /login", "", "name=ada");
    let page = ask(&mut client, "GET /", cookie(&login), "");
    let logout = ask(&mut client, "POST /logout", cookie(&login), "");
    for answer in [&login, &page, &logout, &ask(&mut client, "GET /", "", "")] {
        assert_eq!(answer.field("Cache-Control"), Some("private, no-store"), "{}", answer.head);
    }
    recipe.stop();
}

#[test]
fn a_forged_session_is_none() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_session"));
    let mut client = recipe.connect();
    let login = ask(&mut client, "POST /login", "", "name=ada");
    let session = cookie(&login);
    let (name, value) = session.split_once('=').expect("a pair");
    for forged in [
        format!("{name}={}", session.replace("ada", "eve")),
        format!("{name}={}", value.replace("ada", "eve")),
        format!("{name}=9999999999.eve"),
        format!("other={value}"),
        format!("{name}="),
        String::from("="),
    ] {
        assert_eq!(ask(&mut client, "GET /", &forged, "").status, 403, "{forged}");
    }
    assert_eq!(ask(&mut client, "GET /", session, "").status, 200);
    recipe.stop();
}

#[test]
fn processes_with_one_key_share_sessions() {
    let start = |key: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_session"));
        command.arg("127.0.0.1:0").env("SESSION_KEY", key);
        Program::run(command)
    };
    let key = "k".repeat(64);
    let (one, two, other) = (start(&key), start(&key), start(&"o".repeat(64)));
    let login = ask(&mut one.connect(), "POST /login", "", "name=ada");
    assert_eq!(ask(&mut two.connect(), "GET /", cookie(&login), "").status, 200);
    assert_eq!(ask(&mut other.connect(), "GET /", cookie(&login), "").status, 403);
    for recipe in [one, two, other] {
        recipe.stop();
    }
}
