use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::program::Program;

/// A server of a file with the digits from 0 to 9.
fn start() -> (Program, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.txt");
    fs::write(&path, "0123456789").expect("a file");
    // Within the second of its last change it would have no date.
    let modified = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(&path).and_then(|file| file.set_modified(modified)).expect("a time");
    let mut command = Command::new(env!("CARGO_BIN_EXE_download"));
    command.arg("127.0.0.1:0").arg(path);
    (Program::run(command), folder)
}

fn get(client: &mut Caller, fields: &str) -> Answer {
    client.send(format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    client.answer()
}

#[test]
fn a_range_is_a_part_of_the_file() {
    let (recipe, _folder) = start();
    let mut client = recipe.connect();
    let whole = get(&mut client, "");
    assert_eq!((whole.status, whole.text().as_str()), (200, "0123456789"));
    assert_eq!((whole.field("Accept-Ranges"), whole.field("Content-Length")), (Some("bytes"), Some("10")));
    for (range, part, text) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=7-100", "bytes 7-9/10", "789"),
        ("bytes=7-18446744073709551615", "bytes 7-9/10", "789"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=-100", "bytes 0-9/10", "0123456789"),
    ] {
        let answer = get(&mut client, &format!("Range: {range}\r\n"));
        assert_eq!((answer.status, answer.field("Content-Range")), (206, Some(part)), "{range}");
        assert_eq!(answer.text(), text, "{range}");
    }
    // A number of any length, since all of them are behind the end.
    for range in ["bytes=99999999999999999999-", "bytes=10-", "bytes=10-20", "bytes=-0"] {
        let answer = get(&mut client, &format!("Range: {range}\r\n"));
        assert_eq!((answer.status, answer.field("Content-Range")), (416, Some("bytes */10")), "{range}");
    }
    for ignored in ["bytes=0-1,3-4", "bytes=4-2", "bytes=", "bytes=-", "bytes=+1-2", "lines=1-2", "bytes=a-b"]
    {
        let answer = get(&mut client, &format!("Range: {ignored}\r\n"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "0123456789"), "{ignored}");
    }
    recipe.stop();
}

#[test]
fn a_client_that_has_the_file_gets_304() {
    let (recipe, folder) = start();
    let mut client = recipe.connect();
    let whole = get(&mut client, "");
    let tag = whole.field("ETag").expect("a tag").to_owned();
    let modified = whole.field("Last-Modified").expect("a date").to_owned();
    for fields in [
        format!("If-None-Match: {tag}\r\n"),
        format!("If-None-Match: \"other\", W/{tag}\r\n"),
        "If-None-Match: *\r\n".to_owned(),
        format!("If-Modified-Since: {modified}\r\n"),
        format!("If-None-Match: {tag}\r\nRange: bytes=1-2\r\n"),
    ] {
        let answer = get(&mut client, &fields);
        assert_eq!((answer.status, answer.field("ETag")), (304, Some(&*tag)), "{fields}");
    }
    for fields in [
        "If-None-Match: \"other\"\r\n".to_owned(),
        format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {modified}\r\n"),
        "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned(),
        "If-Modified-Since: yesterday\r\n".to_owned(),
    ] {
        assert_eq!(get(&mut client, &fields).status, 200, "{fields}");
    }
    for (condition, status) in
        [(&*tag, 206), ("\"other\"", 200), (&format!("W/{tag}"), 200), (&modified, 206)]
    {
        let answer = get(&mut client, &format!("Range: bytes=1-2\r\nIf-Range: {condition}\r\n"));
        assert_eq!(answer.status, status, "{condition}");
    }
    // A client that continues with another version gets all of it.
    fs::write(folder.path().join("a.txt"), "abc").expect("a file");
    let answer = get(&mut client, &format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "abc"));
    recipe.stop();
}

#[test]
fn other_requests_are_refused_and_head_has_no_body() {
    let (recipe, _folder) = start();
    let mut client = recipe.connect();
    assert_eq!(client.get("/b.txt").status, 404);
    client.send("POST /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().field("Allow"), Some("GET, HEAD"));
    client.send("HEAD /a.txt HTTP/1.0\r\nRange: bytes=1-2\r\n\r\n");
    let mut head = Vec::new();
    std::io::Read::read_to_end(&mut client.stream(), &mut head).expect("an end");
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Length: 10\r\n"), "{head}");
    recipe.stop();
}
