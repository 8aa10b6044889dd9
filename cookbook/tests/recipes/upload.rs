use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use wsgi_tests::live::eventually;
use wsgi_tests::program::Program;

fn start() -> (Program, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_upload"));
    command.arg("127.0.0.1:0").arg(folder.path());
    (Program::run(command), folder)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

#[test]
fn an_upload_becomes_a_file_and_shows_its_progress() {
    let (recipe, folder) = start();
    let mut client = recipe.connect();
    client.send("PUT /files/a.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    let mut observer = recipe.connect();
    eventually("the progress shows", || {
        let progress = observer.get("/progress/a.bin");
        progress.status == 200 && progress.text() == "100000 of 300000\n"
    });
    let mut other = recipe.connect();
    other.send("PUT /files/a.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(other.answer().status, 409);
    client.send(vec![b'y'; 200_000]);
    let answer = client.answer();
    // A file cannot be read here, so nothing leads to it.
    assert_eq!((answer.status, answer.field("Location")), (201, None));
    assert_eq!(observer.get("/progress/a.bin").status, 404);
    assert_eq!(names(folder.path()), ["a.bin"]);
    let content = fs::read(folder.path().join("a.bin")).expect("a file");
    assert_eq!(content, [vec![b'x'; 100_000], vec![b'y'; 200_000]].concat());
    // The next one replaces it; this one is chunked.
    client.send(
        "PUT /files/a.bin HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer().status, 204);
    assert_eq!(fs::read(folder.path().join("a.bin")).expect("a file"), b"abc");
    recipe.stop();
}

#[test]
fn a_client_that_leaves_leaves_nothing_behind() {
    let (recipe, folder) = start();
    let mut client = recipe.connect();
    client.send("PUT /files/a.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    eventually("the upload has begun", || !names(folder.path()).is_empty());
    drop(client);
    eventually("the upload is over", || names(folder.path()).is_empty());
    assert_eq!(recipe.connect().get("/progress/a.bin").status, 404);
    // A malformed chunk ends an upload, too.
    let mut client = recipe.connect();
    client.send(
        "PUT /files/a.bin HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nno chunk\r\n",
    );
    assert_eq!(client.answer().status, 400);
    eventually("the upload is over", || names(folder.path()).is_empty());
    let (_, log) = recipe.stop();
    assert!(!log.contains("application failed"), "{log}");
}

#[test]
fn large_files_and_other_names_are_refused() {
    let (recipe, folder) = start();
    for (request, status) in [
        ("PUT /files/a.bin HTTP/1.1\r\nContent-Length: 268435457", 413),
        ("PUT /files/a.bin HTTP/1.1\r\nContent-Length: 0\r\nContent-Range: bytes 0-9/20", 400),
        ("PUT /files/.hidden HTTP/1.1\r\nContent-Length: 0", 404),
        ("PUT /files/..%2Fa HTTP/1.1\r\nContent-Length: 0", 404),
        ("PUT /files/%2e%2e HTTP/1.1\r\nContent-Length: 0", 404),
        ("PUT /files/ HTTP/1.1\r\nContent-Length: 0", 404),
        ("PUT /other/a HTTP/1.1\r\nContent-Length: 0", 404),
        ("POST /files/a HTTP/1.1\r\nContent-Length: 0", 405),
        ("PUT /progress/a HTTP/1.1\r\nContent-Length: 0", 405),
    ] {
        let mut client = recipe.connect();
        client.send(format!("{request}\r\nHost: h\r\n\r\n"));
        assert_eq!(client.answer().status, status, "{request}");
    }
    assert!(names(folder.path()).is_empty());
    recipe.stop();
}

#[test]
fn without_a_folder_it_makes_one_where_it_was_started() {
    let folder = TempDir::new().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_upload"));
    command.arg("127.0.0.1:0").current_dir(folder.path());
    let recipe = Program::run(command);
    let mut client = recipe.connect();
    client.send("PUT /files/a.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.answer().status, 201);
    assert_eq!(fs::read(folder.path().join("uploads/a.bin")).expect("a file"), b"abc");
    recipe.stop();
}
