use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::program::Program;

fn ask(client: &mut Caller, line: &str, fields: &str) -> Answer {
    client.send(format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    client.answer()
}

/// The names in `Vary`.
fn varies(answer: &Answer) -> String {
    let lines = answer.head.lines().filter_map(|line| line.strip_prefix("Vary: "));
    lines.collect::<Vec<_>>().join(", ")
}

#[test]
fn scripts_of_allowed_origins_may_use_every_response() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_cors"));
    let mut client = recipe.connect();
    for (line, status) in [("GET /", 200), ("PUT /", 204), ("GET /fails", 500)] {
        let answer = ask(&mut client, line, "Origin: https://app.example\r\n");
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("https://app.example"), "{line}");
        assert_eq!(answer.field("Access-Control-Allow-Credentials"), Some("true"), "{line}");
        assert_eq!(answer.field("Access-Control-Expose-Headers"), Some("ETag"), "{line}");
        assert!(varies(&answer).ends_with("Origin"), "{line}: {}", answer.head);
    }
    let page = ask(&mut client, "GET /", "Origin: http://localhost:3000\r\n");
    assert_eq!(page.field("Access-Control-Allow-Origin"), Some("http://localhost:3000"));
    assert_eq!(varies(&page), "Accept-Language, Origin");
    // Others get the page, and their browser keeps it from the script. Caches have to know that.
    for fields in
        ["", "Origin: https://evil.example\r\n", "Origin: null\r\n", "Origin: https://app.example.evil\r\n"]
    {
        let answer = ask(&mut client, "GET /", fields);
        assert_eq!((answer.status, answer.field("Access-Control-Allow-Origin")), (200, None), "{fields}");
        assert_eq!(varies(&answer), "Accept-Language, Origin", "{fields}");
    }
    recipe.stop();
}

#[test]
fn a_preflight_is_answered_without_the_application() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_cors"));
    let mut client = recipe.connect();
    let wants = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: if-match\r\n";
    let answer = ask(&mut client, "OPTIONS /fails", &format!("Origin: https://app.example\r\n{wants}"));
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    for (name, value) in [
        ("Access-Control-Allow-Origin", "https://app.example"),
        ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE"),
        ("Access-Control-Allow-Headers", "Content-Type, If-Match"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Max-Age", "600"),
        ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ] {
        assert_eq!(answer.field(name), Some(value), "{name}");
    }
    let answer = ask(&mut client, "OPTIONS /", &format!("Origin: https://evil.example\r\n{wants}"));
    assert_eq!((answer.status, answer.field("Access-Control-Allow-Origin")), (204, None));
    assert!(answer.field("Access-Control-Allow-Methods").is_none());
    // Not a preflight: the application answers.
    assert_eq!(ask(&mut client, "OPTIONS /", "Origin: https://app.example\r\n").status, 200);
    recipe.stop();
}
