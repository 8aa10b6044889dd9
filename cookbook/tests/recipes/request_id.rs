use wsgi_tests::program::Program;

#[test]
fn every_response_has_the_id_of_its_request() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_request_id"));
    let mut client = recipe.connect();
    let first = client.get("/");
    let id = first.field("X-Request-Id").expect("an id").to_owned();
    assert_eq!(first.text(), format!("request {id}\n"));
    assert!(first.field("Server-Timing").is_some_and(|took| took.starts_with("page;dur=")), "{}", first.head);
    assert_ne!(client.get("/").field("X-Request-Id"), Some(&*id));

    // That of a proxy is kept, and one that could harm a log is not.
    let long = "a".repeat(65);
    for (given, kept) in
        [("proxy-7_a.b", true), ("a b", false), ("a\"b", false), (&*long, false), ("", false)]
    {
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: {given}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.field("X-Request-Id") == Some(given), kept, "{given}: {}", answer.head);
    }

    // The response of the server to a failure has it too, and the log names it.
    client.send("GET /fails HTTP/1.1\r\nHost: h\r\nX-Request-Id: the-bad-one\r\n\r\n");
    let failed = client.answer();
    assert_eq!((failed.status, failed.field("X-Request-Id")), (500, Some("the-bad-one")));
    assert_eq!(client.get("/").status, 200);
    let (_, log) = recipe.stop();
    assert!(log.contains("request the-bad-one: out of stock"), "{log}");
}
