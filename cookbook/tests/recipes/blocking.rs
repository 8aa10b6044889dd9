use std::fs;
use std::process::Command;

use tempfile::TempDir;
use wsgi_tests::program::Program;

#[test]
fn notes_are_added_by_code_that_blocks_and_other_pages_are_asynchronous() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("notes.txt");
    let mut command = Command::new(env!("CARGO_BIN_EXE_blocking"));
    command.arg("127.0.0.1:0").arg(&file);
    let recipe = Program::run(command);
    let mut client = recipe.connect();
    let mut ask = |request: &str, body: &str| {
        client.send(format!("{request} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let answer = client.answer();
        (answer.status, answer.text())
    };
    assert_eq!(ask("GET /", ""), (200, "The notes are at /notes.\n".into()));
    assert_eq!(ask("GET /notes", ""), (200, String::new()));
    for note in ["one", "two"] {
        assert_eq!(ask("POST /notes", note), (201, "added\n".into()));
    }
    for note in ["", "two\nlines"] {
        assert_eq!(ask("POST /notes", note).0, 400);
    }
    assert_eq!(ask("GET /notes", ""), (200, "one\ntwo\n".into()));
    assert_eq!(ask("PUT /notes", ""), (405, "method not allowed (expected GET, HEAD, POST)\n".into()));
    // The rest of the body is not read.
    let mut other = recipe.connect();
    other
        .send(format!("POST /notes HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n{}", "x".repeat(1001)));
    assert_eq!(other.answer().status, 413);
    recipe.stop();
    assert_eq!(fs::read_to_string(file).expect("a file"), "one\ntwo\n");
}
