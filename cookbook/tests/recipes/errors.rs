use wsgi_tests::program::Program;

#[test]
fn each_error_has_its_status_and_is_json() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_errors"));
    for (request, body, status, text) in [
        ("GET /users/1", "", 200, "Ada\n"),
        ("POST /sum", "[1, 2]", 200, "3\n"),
        ("GET /users/3", "", 404, r#"{"detail":"no such user","status":404,"title":"Not Found"}"#),
        ("GET /users/-1", "", 404, r#"{"detail":"no such user","status":404,"title":"Not Found"}"#),
        ("GET /other", "", 404, r#"{"status":404,"title":"Not Found"}"#),
        (
            "PUT /sum",
            "",
            405,
            r#"{"detail":"method not allowed (expected POST)","status":405,"title":"Method Not Allowed"}"#,
        ),
        (
            "POST /sum",
            "[]",
            422,
            r#"{"detail":"there are no numbers","status":422,"title":"Unprocessable Content"}"#,
        ),
        (
            "POST /sum",
            "[1, 9223372036854775807]",
            422,
            r#"{"detail":"the sum is too large","status":422,"title":"Unprocessable Content"}"#,
        ),
        // Nothing about the cause.
        ("GET /users/0", "", 500, r#"{"status":500,"title":"Internal Server Error"}"#),
    ] {
        let mut client = recipe.connect();
        client.send(format!(
            "{request} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{request} {body}");
        let is_problem = answer.field("Content-Type") == Some("application/problem+json");
        assert_eq!(is_problem, status >= 400, "{request}");
        assert_eq!(answer.field("Allow"), (status == 405).then_some("POST"), "{request}");
    }
    let (_, log) = recipe.stop();
    assert_eq!(log.matches("GET /users/0: No such file or directory (os error 2)").count(), 1, "{log}");
}

#[test]
fn a_body_that_cannot_be_read_is_the_clients_error() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_errors"));
    let long = "1,".repeat(600);
    for (fields, body, status, detail) in [
        (
            "Content-Type: text/plain\r\nContent-Length: 3",
            "[1]",
            415,
            "expected `Content-Type: application/json`",
        ),
        ("Content-Type: application/json\r\nContent-Length: 3", "[a]", 400, "expected value at line 1"),
        ("Content-Type: application/json\r\nContent-Length: 1200", &*long, 413, "1024 bytes"),
        ("Content-Type: application/json\r\nTransfer-Encoding: chunked", "x\r\n", 400, "chunk"),
    ] {
        let mut client = recipe.connect();
        client.send(format!("POST /sum HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}"));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.field("Content-Type"), Some("application/problem+json"));
        assert!(answer.text().contains(detail), "{}", answer.text());
    }
    // A client that is lost in the middle is no failure.
    let mut client = recipe.connect();
    client.send(
        "POST /sum HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[1",
    );
    drop(client);
    let (_, log) = recipe.stop();
    assert!(!log.contains("/sum: "), "{log}");
}

#[test]
fn a_panic_is_a_500_without_its_message() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_errors"));
    let mut client = recipe.connect();
    let answer = client.get("/panic");
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("a bug"), "{}", answer.text());
    // The server and this connection go on.
    assert_eq!(client.get("/users/2").text(), "Grace\n");
    let (_, log) = recipe.stop();
    assert!(log.contains("a bug"), "{log}");
}
