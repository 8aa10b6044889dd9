use wsgi_tests::program::Program;

/// Its own tests are in the program.
#[test]
fn the_program_serves_what_its_tests_call() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_tested"));
    let mut client = recipe.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "Hello, World!\n");
    }
    let refused = client.get("/");
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.field("Retry-After").expect("a time").parse().expect("a number");
    assert!((1..=60).contains(&wait));
    recipe.stop();
}
