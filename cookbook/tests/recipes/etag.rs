use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::program::Program;

fn ask(client: &mut Caller, line: &str, wanted: &str) -> Answer {
    client.send(format!("{line} HTTP/1.1\r\nHost: h\r\nIf-None-Match: {wanted}\r\n\r\n"));
    client.answer()
}

#[test]
fn a_version_that_the_client_has_is_not_sent_again() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_etag"));
    let mut client = recipe.connect();
    let page = client.get("/");
    let etag = page.field("ETag").expect("an ETag").to_owned();
    assert_eq!((page.status, page.text().as_str()), (200, "Hello\n"));
    assert_eq!(client.get("/").field("ETag"), Some(&*etag), "it is the same each time");
    for wanted in [&*etag, &format!("W/{etag}"), &format!("\"a,b\" , \"c\",{etag}"), "*"] {
        let answer = ask(&mut client, "GET /", wanted);
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{wanted}");
        assert_eq!(answer.field("ETag"), Some(&*etag));
        // RFC 9110, 15.4.5: what a cache needs stays, what describes the page does not.
        assert_eq!((answer.field("Cache-Control"), answer.field("Vary")), (Some("no-cache"), Some("Cookie")));
        assert_eq!((answer.field("Content-Type"), answer.field("Content-Length")), (None, None));
    }
    let inside = etag.trim_matches('"');
    for wanted in ["\"other\"", inside, &format!("\"{inside}"), &format!("\"x{inside}\""), ""] {
        let answer = ask(&mut client, "GET /", wanted);
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello\n"), "{wanted}");
    }
    recipe.stop();
}

#[test]
fn only_reads_of_a_page_are_conditional() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_etag"));
    let mut client = recipe.connect();
    assert_eq!(ask(&mut client, "GET /versioned", "\"v1\", \"v1,a\"").status, 304);
    assert_eq!(ask(&mut client, "GET /versioned", "\"v1\", \"a\"").status, 200);
    assert_eq!(ask(&mut client, "HEAD /versioned", "\"v1,a\"").status, 304);
    assert_eq!(ask(&mut client, "POST /versioned", "\"v1,a\"").status, 200);
    assert_eq!(ask(&mut client, "GET /other", "*").status, 404);
    recipe.stop();
}
