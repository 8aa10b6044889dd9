//! Calls of applications without a socket, in a runtime of tokio.

use wsgi_tokio::test::{Request, call};
use wsgi_tokio::{Environ, site};

#[tokio::test]
async fn an_application_may_use_other_tasks() {
    let spawning = site(|environ: Environ| async move {
        let body = tokio::spawn(async move { environ.input().read_to_end().await });
        body.await.expect("no panic").map(|body| body.to_vec())
    });
    let response = call(spawning, Request::post("/", "abc")).await;
    assert_eq!(response.body().as_bytes(), Some(&b"abc"[..]));
}
