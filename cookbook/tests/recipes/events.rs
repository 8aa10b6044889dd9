use wsgi_tests::caller::Caller;
use wsgi_tests::live::eventually;
use wsgi_tests::program::Program;

const HEAD: &str = "HTTP/1.1 200 OK\r\n";

/// Connects to the events, after the one with this number if there is one.
fn listen(recipe: &Program, last: Option<u64>) -> Caller {
    let mut client = recipe.connect();
    let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
    client.send(format!("GET /events HTTP/1.1\r\nHost: h\r\n{last}\r\n"));
    client
}

/// Reads up to the head's end, and this text of the first chunks.
fn hears(client: &mut Caller, chunks: &[&str]) {
    for chunk in chunks {
        let framed = format!("{:x}\r\n{chunk}\r\n", chunk.len());
        assert_eq!(String::from_utf8_lossy(&client.bytes(framed.len())), framed);
    }
}

fn skip_head(client: &mut Caller) {
    let mut head = client.bytes(HEAD.len());
    assert_eq!(String::from_utf8_lossy(&head), HEAD);
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.bytes(1));
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
}

fn publish(recipe: &Program, text: &str) {
    let mut client = recipe.connect();
    client.send(format!("POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
    assert_eq!(client.answer().status, 201);
}

fn listeners(recipe: &Program, count: usize) {
    eventually("the number of listeners", || {
        recipe.connect().get("/listeners").text() == format!("{count}\n")
    });
}

#[test]
fn listeners_get_each_event_once_and_are_counted_until_they_leave() {
    let mut recipe = Program::start(env!("CARGO_BIN_EXE_events"));
    publish(&recipe, "before");
    let mut clients = [None, Some(0), Some(1)].map(|last| listen(&recipe, last));
    listeners(&recipe, 3);
    publish(&recipe, "one\ntwo");
    for (number, client) in clients.iter_mut().enumerate() {
        skip_head(client);
        if number == 1 {
            hears(client, &["id: 1\ndata: before\n\n"]);
        }
        hears(client, &["id: 2\ndata: one\ndata: two\n\n"]);
    }
    let [first, second, left] = clients;
    drop(left);
    // Nothing was sent to it: its end alone is noticed.
    listeners(&recipe, 2);
    // A stop ends the others in order, with the last chunk.
    recipe.send_signal("INT");
    for mut client in [first, second] {
        assert_eq!(client.bytes(5), b"0\r\n\r\n");
        assert!(client.ends());
    }
    recipe.end();
}
