use std::fs;
use std::process::Command;

use tempfile::TempDir;
use wsgi_tests::program::Program;

#[test]
fn each_request_is_a_line_of_json() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("access.log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_access_log"));
    command.arg("127.0.0.1:0").arg(&path);
    let recipe = Program::run(command);
    let mut client = recipe.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a\"b\r\n\r\n");
    let id = client.answer().field("X-Request-Id").expect("an id").to_owned();
    assert_eq!(client.get("/none").status, 404);
    client.send("no request\r\n\r\n");
    client.answer();
    let (_, errors) = recipe.stop();
    let text = fs::read_to_string(path).expect("a file");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!((&lines[0]["id"], &lines[0]["agent"]), (&id.into(), &"a\"b".into()));
    assert_eq!((&lines[1]["status"], &lines[1]["request"]), (&404.into(), &"GET /none HTTP/1.1".into()));
    assert_eq!((&lines[2]["status"], &lines[2]["id"]), (&400.into(), &"-".into()));
    assert!(errors.contains(": no page /none") && !errors.contains("HTTP/1.1"), "{errors}");
}
