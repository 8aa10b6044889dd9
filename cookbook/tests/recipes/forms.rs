use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::program::Program;

fn post(client: &mut Caller, path: &str, content_type: &str, body: &str) -> Answer {
    let length = body.len();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    client.answer()
}

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn a_guest_signs_and_cannot_add_html() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_forms"));
    let mut client = recipe.connect();
    let answer = post(&mut client, "/", FORM, "name=J%C3%BCrgen+%3Cb%3E&text=a%26b+%2B+c");
    assert_eq!((answer.status, answer.field("Location")), (303, Some("/")));
    let page = client.get("/");
    assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(page.text().ends_with("<p><b>Jürgen &lt;b&gt;</b>: a&amp;b + c\n"), "{}", page.text());
    for number in 0..30 {
        assert_eq!(post(&mut client, "/", FORM, &format!("name={number}")).status, 303);
    }
    assert_eq!(client.get("/").text().matches("<p>").count(), 20);
    recipe.stop();
}

#[test]
fn what_is_no_form_is_refused() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_forms"));
    let long = format!("name={}", "x".repeat(16 * 1024));
    for (content_type, body, status) in [
        ("text/plain", "name=Ada", 415),
        ("application/json", "{}", 415),
        (FORM, "", 422),
        (FORM, "name=+&text=a", 422),
        (FORM, &long, 413),
    ] {
        let answer = post(&mut recipe.connect(), "/", content_type, body);
        assert_eq!(answer.status, status, "{content_type} {}", answer.text());
    }
    let mut client = recipe.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer().field("Allow"), Some("GET, HEAD, POST"));
    recipe.stop();
}

fn part(name: &str, content: &str) -> String {
    format!(
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/plain\r\n\r\n{content}\r\n"
    )
}

#[test]
fn files_are_read_piece_by_piece() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_forms"));
    let mut client = recipe.connect();
    let big = "y".repeat(1024 * 1024);
    let body = [part("../a.txt", "abc"), part("b.txt", &big), part("c", ""), "--x--\r\n".to_owned()].concat();
    let answer = post(&mut client, "/files", "multipart/form-data; boundary=x", &body);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "../a.txt text/plain: 3 bytes\nb.txt text/plain: 1048576 bytes\nc text/plain: 0 bytes\n")
    );
    recipe.stop();
}

#[test]
fn broken_and_large_files_are_refused() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_forms"));
    let multipart = "multipart/form-data; boundary=x";
    let whole = [part("a", "abc"), "--x--\r\n".to_owned()].concat();
    let large = [part("a", &"y".repeat(1024 * 1024 + 1)), "--x--\r\n".to_owned()].concat();
    let many = [part("a", &"y".repeat(1024 * 1024)).repeat(5), "--x--\r\n".to_owned()].concat();
    for (content_type, body, status) in [
        (FORM, "name=Ada", 415),
        ("multipart/form-data", &*whole, 415),
        (multipart, "no form", 400),
        (multipart, &whole[..whole.len() - 9], 400),
        (multipart, &large, 413),
        (multipart, &many, 413),
    ] {
        let answer = post(&mut recipe.connect(), "/files", content_type, body);
        assert_eq!(answer.status, status, "{content_type} {}", answer.text());
    }
    // A client that closes its half in the middle gets the server's own status.
    let mut client = recipe.connect();
    let length = whole.len();
    client.send(format!(
        "POST /files HTTP/1.1\r\nHost: h\r\nContent-Type: {multipart}\r\nContent-Length: {length}\r\n\r\n--x\r\n"
    ));
    client.half_close();
    assert_eq!(client.answer().status, 400);
    let (_, log) = recipe.stop();
    assert!(!log.contains("application failed"), "{log}");
}
