//! Calls of applications without a socket, in a runtime of tokio.

use std::time::Duration;

use wsgi_tokio::test::{Request, call};
use wsgi_tokio::{Environ, site};

#[tokio::test(start_paused = true)]
async fn a_call_takes_no_time_while_the_time_is_paused() {
    let begun = tokio::time::Instant::now();
    let slow = site(|environ: Environ| async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        environ.path().into_owned()
    });
    let response = call(slow, Request::get("/after-an-hour")).await;
    assert_eq!(response.body().as_bytes(), Some(&b"/after-an-hour"[..]));
    assert_eq!(begun.elapsed(), Duration::from_secs(3600));
}

#[tokio::test]
async fn an_application_may_use_other_tasks() {
    let spawning = site(|environ: Environ| async move {
        let body = tokio::spawn(async move { environ.input().read_to_end().await });
        body.await.expect("no panic").map(|body| body.to_vec())
    });
    let response = call(spawning, Request::post("/", "abc")).await;
    assert_eq!(response.body().as_bytes(), Some(&b"abc"[..]));
}
