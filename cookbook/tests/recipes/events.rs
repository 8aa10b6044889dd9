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

/// Returns the number of the event.
fn publish(recipe: &Program, text: &str) -> u64 {
    let mut client = recipe.connect();
    client.send(format!("POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
    let answer = client.answer();
    assert_eq!(answer.status, 201);
    answer.text().trim_end().parse().expect("a number")
}

fn listeners(recipe: &Program, count: usize) {
    eventually("the number of listeners", || {
        recipe.connect().get("/listeners").text() == format!("{count}\n")
    });
}

#[test]
fn listeners_get_each_event_once_and_are_counted_until_they_leave() {
    let mut recipe = Program::start(env!("CARGO_BIN_EXE_events"));
    let first = publish(&recipe, "before");
    let mut clients = [None, Some(0), Some(first)].map(|last| listen(&recipe, last));
    listeners(&recipe, 3);
    for client in &mut clients {
        // They know that they are connected, although nothing has happened.
        skip_head(client);
        hears(client, &[":\n\n"]);
    }
    let second = publish(&recipe, "one\ntwo");
    assert_eq!(second, first + 1);
    for (number, client) in clients.iter_mut().enumerate() {
        if number == 1 {
            hears(client, &[&format!("id: {first}\ndata: before\n\n")]);
        }
        hears(client, &[&format!("id: {second}\ndata: one\ndata: two\n\n")]);
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

#[test]
fn a_text_cannot_add_fields_to_its_event() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_events"));
    let mut client = listen(&recipe, None);
    skip_head(&mut client);
    hears(&mut client, &[":\n\n"]);
    let id = publish(&recipe, "a\rid: 7\r\revent: b\r\nc");
    hears(&mut client, &[&format!("id: {id}\ndata: a\ndata: id: 7\ndata: \ndata: event: b\ndata: c\n\n")]);
    drop(client);
    recipe.stop();
}

#[test]
fn a_client_misses_no_event_after_a_restart() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_events"));
    let last = Some([(); 3].map(|()| publish(&recipe, "before"))[2]);
    recipe.stop();
    let recipe = Program::start(env!("CARGO_BIN_EXE_events"));
    let id = publish(&recipe, "after");
    let mut client = listen(&recipe, last);
    skip_head(&mut client);
    hears(&mut client, &[":\n\n", &format!("id: {id}\ndata: after\n\n")]);
    drop(client);
    recipe.stop();
}
