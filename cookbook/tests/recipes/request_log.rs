use wsgi_tests::program::Program;

#[test]
fn each_response_is_an_event_in_the_span_of_its_request() {
    let mut recipe = Program::start(env!("CARGO_BIN_EXE_request_log"));
    let mut client = recipe.connect();
    assert_eq!(client.get("/a?secret=1").status, 200);
    let line = next(&mut recipe, "counted");
    assert!(line.contains(r#"request{method="GET" path="/a" client="127.0.0.1"}"#), "{line}");
    assert!(line.contains("stock=3"), "{line}");
    let line = next(&mut recipe, "sent");
    assert!(line.contains("INFO request{") && line.contains("status=200 body_length=6 elapsed="), "{line}");
    assert!(!line.contains("secret"));

    // What clients choose is escaped.
    assert_eq!(client.get("/a%0Ab%1b").status, 200);
    let line = next(&mut recipe, "sent");
    assert!(line.contains(r#"path="/a\nb\u{1b}""#), "{line}");

    assert_eq!(client.get("/fails").status, 500);
    let line = next(&mut recipe, "ERROR");
    assert!(line.contains("the application failed: no disk"), "{line}");
    let line = next(&mut recipe, "sent");
    assert!(line.contains(r#"path="/fails""#) && line.contains("status=500"), "{line}");

    assert!(!client.get("/cut").whole);
    let line = next(&mut recipe, "cut status");
    assert!(line.contains("WARN request{") && line.contains("status=200"), "{line}");
    recipe.stop();
}

/// The next line with this text.
fn next(recipe: &mut Program, text: &str) -> String {
    loop {
        let line = recipe.line();
        assert!(!line.is_empty(), "the log has ended before {text}");
        if line.contains(text) {
            return line;
        }
    }
}
