use wsgi_tests::program::Program;

#[test]
fn each_method_and_path_has_its_handler() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_routes"));
    let mut client = recipe.connect();
    for (request, status, text) in [
        ("GET /", 200, "index\n"),
        ("GET /users/ada", 200, "user ada\n"),
        ("GET /us%65rs/ada?tab=1", 200, "user ada\n"),
        ("GET /users/J%C3%BCrgen", 200, "user Jürgen\n"),
        ("GET /users/a%20b", 200, "user a b\n"),
        ("GET /users/ada/posts/7", 200, "post 7\n"),
        ("GET /users/ada/posts/seven", 404, "no such post\n"),
        ("GET /files/a/b/c.txt", 200, "file a/b/c.txt\n"),
        ("GET /users", 404, "no such page\n"),
        ("GET /users/", 404, "no such page\n"),
        ("GET /users/ada/", 404, "no such page\n"),
        ("GET /users/a%2Fb", 404, "no such page\n"),
        ("GET /other", 404, "no such page\n"),
        ("GET /users/%E9", 400, "the path is not UTF-8\n"),
        ("DELETE /users/ada", 204, ""),
        ("DELETE /users/root", 403, "root stays\n"),
    ] {
        client.send(format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{request}");
    }
    recipe.stop();
}

#[test]
fn other_methods_are_named_by_allow() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_routes"));
    let mut client = recipe.connect();
    for (request, status, allow) in [
        ("POST /", 405, "GET, HEAD, OPTIONS"),
        ("post /", 405, "GET, HEAD, OPTIONS"),
        ("PUT /users/ada", 405, "DELETE, GET, HEAD, OPTIONS"),
        ("OPTIONS /users/ada", 204, "DELETE, GET, HEAD, OPTIONS"),
    ] {
        client.send(format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("Allow")), (status, Some(allow)), "{request}");
    }
    // The length of the GET, and no body: the next response begins behind the head.
    client.send("HEAD /users/ada HTTP/1.0\r\n\r\n");
    let head = String::from_utf8(client.bytes(15)).expect("text");
    assert_eq!(head, "HTTP/1.1 200 OK");
    recipe.stop();
}
