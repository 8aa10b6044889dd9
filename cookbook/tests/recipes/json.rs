use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::program::Program;

fn post(client: &mut Caller, content_type: &str, body: &str) -> Answer {
    let length = body.len();
    client.send(format!(
        "POST /users HTTP/1.1\r\nHost: h\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    client.answer()
}

#[test]
fn a_user_is_created_and_listed() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_json"));
    let mut client = recipe.connect();
    let created = post(&mut client, "application/json; charset=utf-8", r#"{"name": "Zoë"}"#);
    assert_eq!((created.status, created.field("Location")), (201, Some("/users/0")));
    assert_eq!(created.text(), r#"{"id":0,"name":"Zoë","email":null,"admin":false}"#);
    let listed = client.get("/users");
    assert_eq!((listed.status, listed.field("Content-Type")), (200, Some("application/json")));
    assert_eq!(listed.text(), r#"[{"id":0,"name":"Zoë","email":null,"admin":false}]"#);
    assert_eq!(client.get("/").status, 404);
    client.send("PUT /users HTTP/1.1\r\nHost: h\r\n\r\n");
    let refused = client.answer();
    assert_eq!((refused.status, refused.field("Allow")), (405, Some("GET, HEAD, POST")));
    recipe.stop();
}

#[test]
fn other_bodies_get_the_status_that_fits() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_json"));
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(16 * 1024));
    for (content_type, body, status, text) in [
        ("text/plain", r#"{"name": "Ada"}"#, 415, "expected `Content-Type: application/json`"),
        ("application/json", "", 400, "EOF while parsing"),
        ("application/json", "{", 400, "EOF while parsing"),
        ("application/json", "{}", 400, "missing field `name`"),
        ("application/json", r#"{"name": 7}"#, 400, "expected a string"),
        ("application/json", r#"{"name": "Ada", "emial": "a@b"}"#, 400, "unknown field `emial`"),
        ("application/json", r#"{"name": "Ada", "admin": true}"#, 400, "unknown field `admin`"),
        ("application/json", r#"{"name": " "}"#, 422, "the name is empty"),
        ("application/json", &long, 413, ""),
    ] {
        // After a 413 the connection closes.
        let answer = post(&mut recipe.connect(), content_type, body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(text), "{body}: {}", answer.text());
    }
    let (_, log) = recipe.stop();
    assert!(
        !log.contains("Error") && !log.contains("error"),
        "none of them is an error of the application: {log}"
    );
}
