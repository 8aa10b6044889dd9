//! A `Router` of axum on every asynchronous runtime.

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tokio::runtime::Runtime;
use wsgi_tests::adapters::{Adapter, AsyncStd, Smol, Tokio};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::PATIENCE;
use wsgi_tokio::{Options, tower};

fn router() -> Router {
    let router = Router::new()
        .route("/", get(async || "index").post(async |body: String| body))
        .route("/users/{id}", get(async |Path(id): Path<u64>| format!("user {id}")));
    let pages = (0..8).map(|number| (format!("/page/{number}"), get(async move || number.to_string())));
    pages.fold(router, |router, (path, page)| router.route(&path, page))
}

fn serves_a_router(adapter: &impl Adapter) {
    let running = adapter.start(Options::public().log_output(false), tower(router())).expect("it starts");
    let mut client = Caller::connect(running.address);
    for (path, status, text) in [
        ("/", 200, "index"),
        ("/users/7", 200, "user 7"),
        ("/users/seven", 400, "Invalid URL: Cannot parse `seven` to a `u64`"),
        ("/page/0", 200, "0"),
        ("/page/7", 200, "7"),
        ("/page/8", 404, ""),
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path}");
    }
    client.send(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "abcd");
    running.handle.shutdown();
    running.ended.recv_timeout(PATIENCE).expect("it stops").expect("the listener is sound");
}

#[test]
fn a_router_of_axum_runs_on_every_runtime() {
    serves_a_router(&Tokio(Runtime::new().expect("threads are available")));
    serves_a_router(&Smol);
    serves_a_router(&AsyncStd);
}
