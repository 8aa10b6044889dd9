use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use tempfile::TempDir;
use wsgi_tests::program::Program;

/// A folder `root` with files, and a file beside it that must not be served.
fn start() -> (Program, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("sub/.git")).expect("a folder");
    fs::create_dir_all(root.join("empty")).expect("a folder");
    fs::create_dir(folder.path().join("root-2")).expect("a folder");
    for (name, text) in [
        ("secret.txt", "secret"),
        ("root-2/secret.txt", "secret"),
        ("root/index.html", "<p>index"),
        ("root/a b.css", "p {}"),
        ("root/größe", "bytes"),
        ("root/sub/index.html", "<p>sub"),
        ("root/sub/.git/config", "secret"),
        ("root/.env", "secret"),
        ("root/%2e", "percent"),
    ] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let pipe = Command::new("mkfifo").arg(root.join("pipe")).status().expect("there is mkfifo");
    assert!(pipe.success());
    UnixListener::bind(root.join("socket")).expect("a socket");
    symlink("sub/index.html", root.join("inside.html")).expect("a link");
    symlink("../secret.txt", root.join("outside.txt")).expect("a link");
    symlink("..", root.join("up")).expect("a link");
    symlink("../root-2", root.join("beside")).expect("a link");
    let mut command = Command::new(env!("CARGO_BIN_EXE_static_files"));
    command.arg("127.0.0.1:0").arg(root);
    (Program::run(command), folder)
}

#[test]
fn files_have_their_types() {
    let (recipe, _folder) = start();
    let mut client = recipe.connect();
    for (path, content_type, text) in [
        ("/", "text/html; charset=utf-8", "<p>index"),
        ("/index.html?a=b", "text/html; charset=utf-8", "<p>index"),
        ("/sub/", "text/html; charset=utf-8", "<p>sub"),
        ("/s%75b/index.html", "text/html; charset=utf-8", "<p>sub"),
        ("/inside.html", "text/html; charset=utf-8", "<p>sub"),
        ("/a%20b.css", "text/css; charset=utf-8", "p {}"),
        ("/gr%C3%B6%C3%9Fe", "application/octet-stream", "bytes"),
        ("/%252e", "application/octet-stream", "percent"),
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.field("Content-Type")), (200, Some(content_type)), "{path}");
        assert_eq!(answer.text(), text, "{path}");
        let tag = answer.field("ETag").expect("a tag");
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"a\", {tag}\r\n\r\n"));
        assert_eq!(client.answer().status, 304, "{path}");
    }
    let folder = client.get("/s%75b?a=b");
    assert_eq!((folder.status, folder.field("Location")), (308, Some("/s%75b/")));
    recipe.stop();
}

#[test]
fn there_is_no_way_out_of_the_folder() {
    let (recipe, _folder) = start();
    let mut client = recipe.connect();
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2E./secret.txt",
        "/sub/../../secret.txt",
        "/sub/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/%2e%2e%5csecret.txt",
        "//secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/sub//index.html",
        "/./index.html",
        "/c:/index.html",
        "/index.html%00.txt",
        "/outside.txt",
        "/up/secret.txt",
        "/up/root/index.html/../../secret.txt",
        "/beside/secret.txt",
        "/.env",
        "/sub/.git/config",
        "/sub/.git/",
        "/index.html/",
        "/index.html/a",
        "/empty/",
        "/%ff",
        "/none",
        // Neither is a file.
        "/pipe",
        "/socket",
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (404, "no such file\n"), "{path}");
    }
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("Allow")), (405, Some("GET, HEAD")));
    recipe.stop();
}
