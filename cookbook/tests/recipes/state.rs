use wsgi_tests::program::Program;

#[test]
fn connections_share_the_state_and_its_limit_holds() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_state"));
    let mut client = recipe.connect();
    assert_eq!(client.get("/a").text(), "1 of 1 requests\n");
    assert_eq!(recipe.connect().get("/a").text(), "2 of 2 requests\n");
    for page in 1..1000 {
        assert_eq!(client.get(&format!("/{page}")).status, 200, "{page}");
    }
    let refused = client.get("/one-more");
    assert_eq!((refused.status, refused.text().as_str()), (503, "too many pages\n"));
    assert_eq!(client.get(&format!("/{}", "a".repeat(200))).status, 414);
    assert_eq!(client.get("/a").text(), "3 of 1003 requests\n");
    recipe.stop();
}
