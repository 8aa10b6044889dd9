//! Responses as values, and calls of applications without a socket.

mod common;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use wsgi_app::test::{Request, call, call_blocking};
use wsgi_app::{
    Application, Body, Bytes, Environ, Error, Headers, Html, IntoResponse, Options, Redirect, Response,
    Result, StartResponse, Status, Tls, application_fn, blocking, site,
};

use common::run;

fn get(application: impl Application) -> Response {
    run(call(application, Request::get("/")))
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(response.body().as_bytes().expect("in memory")).into_owned()
}

fn shown(response: &Response) -> String {
    let content_type = response.headers().get("Content-Type").unwrap_or_default();
    let body = response.body().as_bytes().expect("in memory").escape_ascii();
    format!("{}|{content_type}|{body}", response.status())
}

#[test]
fn values_become_responses() {
    fn of<T: IntoResponse>(value: T) -> String {
        shown(&value.into_response())
    }
    let text = "text/plain; charset=utf-8";
    assert_eq!(of("a"), format!("200 OK|{text}|a"));
    assert_eq!(of(String::from("a")), format!("200 OK|{text}|a"));
    assert_eq!(of(Bytes::from("a")), "200 OK|application/octet-stream|a");
    assert_eq!(of(vec![b'a']), "200 OK|application/octet-stream|a");
    assert_eq!(of(Html("a")), "200 OK|text/html; charset=utf-8|a");
    assert_eq!(of(Body::from("a")), "200 OK||a");
    assert_eq!(of(()), "200 OK||");
    assert_eq!(of(Status::from(204)), "204 No Content||");
    assert_eq!(of(204), "204 No Content||");
    assert_eq!(of(Err::<&str, _>(404)), "404 Not Found||");
    assert_eq!(of(([("X-Page", "a")], 404)), "404 Not Found||");
    assert_eq!(
        of(Response::not_allowed(String::from("PUT"))),
        format!("405 Method Not Allowed|{text}|method not allowed (expected PUT)\\n")
    );
    assert_eq!(of((404, ())), "404 Not Found||");
    assert_eq!(of((200, vec![b'a'])), "200 OK|application/octet-stream|a");
    assert_eq!(of(([("Content-Type", "x/y")], "a")), "200 OK|x/y|a");
    assert_eq!(of((vec![("Content-Type", "x/y".to_owned())], (404, "a"))), "404 Not Found|x/y|a");
    let headers: Headers = [("content-type", "x/y")].into_iter().collect();
    assert_eq!(of((headers.clone(), vec![b'a'])), "200 OK|x/y|a");
    assert_eq!(of((headers.clone(), ())), "200 OK|x/y|");
    assert_eq!(of((String::from("201 Made"), headers.clone(), "a")), "201 Made|x/y|a");
    assert_eq!(of((Status::from(201), &headers, "a")), "201 Created|x/y|a");
    assert_eq!(of(("201 Made", headers.into_iter().map(|(name, _)| (name, "z")), "a")), "201 Made|z|a");
    assert_eq!(of((404, "a")), format!("404 Not Found|{text}|a"));
    assert_eq!(of(("404 Gone Fishing", "a")), format!("404 Gone Fishing|{text}|a"));
    assert_eq!(of((Status::from(404), Html("a"))), "404 Not Found|text/html; charset=utf-8|a");
    assert_eq!(of((201, [("content-type", "x/y")], "a")), "201 Created|x/y|a");
    assert_eq!(of(Ok::<_, Error>("a")), format!("200 OK|{text}|a"));
    assert_eq!(of(Err::<(), _>((503, "a"))), format!("503 Service Unavailable|{text}|a"));
    assert_eq!(of(Err::<(), Error>("a".into())), "500 Internal Server Error||");
    let moved = Redirect::temporary("/b").into_response();
    assert_eq!((moved.status().code(), moved.headers().get("location").as_deref()), (307, Some("/b")));
    let cookies = (200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], "").into_response();
    assert_eq!(cookies.headers().get_all("Set-Cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[test]
fn a_site_sends_the_response_of_its_function() {
    let page = |environ: Environ| async move {
        (404, [("X-Path", environ.path().into_owned())], format!("no {}\n", environ.path()))
    };
    let response = run(call(site(page), Request::get("/a%20b")));
    assert_eq!(shown(&response), "404 Not Found|text/plain; charset=utf-8|no /a b\\n");
    assert_eq!(response.headers().get("X-Path").as_deref(), Some("/a b"));
    assert_eq!(response.headers().get("Content-Length").as_deref(), Some("8"));
    let response = run(call(site(page), Request::new("HEAD", "/a%20b")));
    assert_eq!(shown(&response), "404 Not Found|text/plain; charset=utf-8|");
    assert_eq!(response.headers().get("Content-Length").as_deref(), Some("8"));
}

#[test]
fn an_error_is_the_servers_to_answer() {
    let fails = |_: Environ| async { Err::<(), _>(Error::from("no disk")) };
    let response = get(site(fails));
    assert_eq!(response.status().code(), 500);
    assert_eq!(
        response.body().as_bytes().unwrap().escape_ascii().to_string(),
        "the application failed: no disk\\n"
    );
    let quiet = Request::get("/").options(Options::default().log_output(false).debug(false));
    assert_eq!(run(call(site(fails), quiet)).body().as_bytes(), Some(&b""[..]));

    // Of the client: 413. The function sees it as a response, and may choose another.
    let read = |environ: Environ| async move {
        let body = environ.input().read_all(3).await?;
        Ok::<_, Error>(body)
    };
    assert_eq!(run(call(site(read), Request::post("/", "four"))).status().code(), 413);
    let own = move |environ: Environ| async move {
        let mut response = read(environ).await.into_response();
        assert_eq!(response.status().code(), 413);
        assert_eq!(
            response.take_error().unwrap().to_string(),
            "cannot read the request body: request body too large (limit: 3 bytes)"
        );
        response.with_body("at most 3, please")
    };
    let response = run(call(site(own), Request::post("/", "four")));
    assert_eq!(shown(&response), "413 Content Too Large||at most 3, please");
}

#[test]
fn what_http_does_not_allow_is_named() {
    for (response, named) in [
        (Response::new("very good"), "very good"),
        (Response::new(1000), "1000"),
        (Response::new(200).with_header("X Y", "1"), "X Y"),
        (Response::new(200).with_header("X", "1\r\nY: 2"), "1\\r\\nY: 2"),
    ] {
        let response = Arc::new(std::sync::Mutex::new(Some(response)));
        let answered = get(site(move |_: Environ| {
            let response = response.lock().unwrap().take().unwrap();
            async { response }
        }));
        assert_eq!(answered.status().code(), 500);
        let body = answered.body().as_bytes().unwrap().escape_ascii().to_string().replace("\\\\", "\\");
        assert!(body.contains(named), "{body}");
    }
}

#[test]
fn a_call_is_a_whole_exchange() {
    // Chunks, hooks, shared applications, a response begun by `write`.
    let hooks = Arc::new(AtomicUsize::new(0));
    let counted = hooks.clone();
    let application = Arc::new(application_fn(move |environ: Environ, start_response: StartResponse| {
        let hooks = counted.clone();
        async move {
            environ.add_post_hook(move |_, record| {
                assert!(record.lost.is_none());
                hooks.fetch_add(1, Ordering::Relaxed);
            });
            start_response.inform("103 Early Hints", [("Link", "</a>")])?;
            let write = start_response.start("200 OK", [("Trailer", "X-Sum")])?;
            write.write(environ.input().read_to_end().await?).await?;
            write.set_trailers([("X-Sum", "1")])?;
            Ok(Body::iterator([Ok("b".into()), Ok("c".into())]))
        }
    }));
    for request in [Request::post("/", "a"), Request::post("/", "a").header("Transfer-Encoding", "chunked")] {
        let response = run(call(Arc::clone(&application), request));
        assert_eq!(shown(&response), "200 OK||abc");
        assert_eq!(format!("{:?}", response.trailers()), r#"{"X-Sum": "1"}"#);
        assert!(response.error().is_none());
    }
    assert_eq!(hooks.load(Ordering::Relaxed), 2);
}

#[test]
fn a_response_may_have_trailers() {
    let response = get(site(|_: Environ| async {
        let mut response =
            Body::iterator([Ok(Bytes::from("a"))]).into_response().with_header("Trailer", "X-Sum");
        response.trailers_mut().append("X-Sum", "1");
        response
    }));
    assert_eq!(
        (shown(&response), response.trailers().get("x-sum").as_deref()),
        ("200 OK||a".into(), Some("1"))
    );
}

#[test]
fn a_cut_response_shows() {
    let response = get(application_fn(|_, start_response| async move {
        start_response.start("200 OK", [("Content-Length", "5")])?.write("abc").await?;
        Err("no more".into())
    }));
    assert_eq!(response.error().unwrap().to_string(), "the response was cut");
    assert_eq!(shown(&response), "200 OK||abc");
}

#[test]
fn a_request_that_http_does_not_allow_gets_400() {
    assert_eq!(run(call(site(|_: Environ| async {}), Request::get("/a b"))).status().code(), 400);
    let refused = Request::post("/", "a").header("Content-Length", "b");
    assert_eq!(run(call(site(|_: Environ| async {}), refused)).status().code(), 400);
}

#[test]
fn a_client_that_waits_is_not_gone() {
    /// Whether a client is gone, after the server has had the chance to notice it.
    async fn is_gone(environ: Environ) -> String {
        let (input, mut polls) = (environ.input(), 0);
        let mut gone = pin!(input.client_gone());
        let is_gone = poll_fn(|context| {
            polls += 1;
            match gone.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending if polls == 5 => Poll::Ready(false),
                Poll::Pending => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        });
        is_gone.await.to_string()
    }
    assert_eq!(get(site(is_gone)).body().as_bytes(), Some(&b"false"[..]));
    let unfinished = Request::post("/", "a").header("Content-Length", "2");
    assert_eq!(run(call(site(is_gone), unfinished)).body().as_bytes(), Some(&b"true"[..]));

    let looks = blocking::site(|environ: blocking::Environ| environ.input().is_client_gone().to_string());
    assert_eq!(call_blocking(looks, Request::get("/")).body().as_bytes(), Some(&b"false"[..]));
}

#[test]
fn a_body_that_is_shorter_than_announced_is_400() {
    let reads =
        site(|environ: Environ| async move { environ.input().read_to_end().await.map(|body| body.to_vec()) });
    let short = Request::post("/", "a").header("Content-Length", "2");
    assert_eq!(run(call(reads, short)).status().code(), 400);
}

#[test]
fn a_stream_that_was_taken_over_ends() {
    let upgraded = application_fn(|environ: Environ, start_response: StartResponse| async move {
        start_response.start("101 Switching Protocols", [("Upgrade", "echo")])?;
        let mut stream = environ.take_over().await?;
        let mut space = [0; 16];
        while stream.read(&mut space).await? > 0 {}
        stream.shutdown().await?;
        Ok(Body::empty())
    });
    let request = Request::get("/").header("Upgrade", "echo").header("Connection", "upgrade");
    assert_eq!(run(call(upgraded, request)).status().code(), 101);
}

#[test]
fn the_status_of_an_error_is_that_of_its_cause() {
    let error =
        wsgi_app::InputError::Body(wsgi_app::BodyError::Request(wsgi_app::RequestError::BodyTooLarge(3)));
    for error in [Error::from(error), std::io::Error::from(error).into()] {
        assert_eq!(Response::from_error(error).status().code(), 413);
    }
}

#[test]
fn a_response_is_the_error_of_any_other_error() {
    async fn number(environ: Environ) -> Result<String, Response> {
        let text = String::from_utf8(environ.input().read_all(3).await?.into())?;
        let number: u32 = text.parse().map_err(|_| (422, "not a number").into_response())?;
        Ok(format!("{number}"))
    }
    for (body, status) in [("12", 200), ("1234", 413), ("one", 422)] {
        let response = run(call(site(number), Request::post("/", body)));
        assert_eq!(response.status().code(), status, "{body}");
    }
    let response = run(call(site(number), Request::post("/", &b"\xff"[..])));
    assert_eq!(response.status().code(), 500);
}

#[test]
fn readings() {
    let read = |environ: Environ| async move {
        let accepted: Vec<_> = environ.headers("accept").collect();
        let pairs: Vec<_> = environ.query_pairs().collect();
        let path = environ.path_utf8().map(|path| path.into_owned());
        format!("{path:?} {pairs:?} {accepted:?} {:?}", environ.content_length())
    };
    let request = Request::post("/caf%C3%A9?a=b+c&d", "four").append("Accept", "x/y").append("ACCEPT", "z");
    let response = run(call(site(read), request));
    let body = String::from_utf8(response.body().as_bytes().unwrap().to_vec()).unwrap();
    assert_eq!(body, r#"Some("/café") [("a", "b c"), ("d", "")] ["x/y", "z"] Some(4)"#);
    let response = run(call(site(read), Request::get("/%ff")));
    assert_eq!(response.body().as_bytes(), Some(&br#"None [] [] None"#[..]));
}

#[test]
fn blocking_applications_are_called_the_same_way() {
    let read = blocking::site(|environ: blocking::Environ| -> Result<String> {
        Ok(format!("{}|", String::from_utf8(environ.input().read_to_end()?.into())?))
    });
    assert_eq!(shown(&call_blocking(read, Request::post("/", "a"))), "200 OK|text/plain; charset=utf-8|a|");
    let write = blocking::application_fn(|_, start_response| {
        start_response.start("200 OK", wsgi_app::NO_HEADERS)?.write("a")?;
        Ok(Body::iterator((0..3).map(|number| Ok(number.to_string().into()))))
    });
    assert_eq!(shown(&call_blocking(write, Request::get("/"))), "200 OK||a012");
    // The client sends less than it announced.
    let short = blocking::site(|environ: blocking::Environ| {
        environ.input().read_to_end().map(|body| body.len().to_string())
    });
    let response = call_blocking(short, Request::post("/", "a").header("Content-Length", "2"));
    assert_eq!(response.status().code(), 400);
}

/// A request of a client with a certificate.
#[test]
fn a_test_can_have_a_connection_with_a_client_certificate() {
    fn described(environ: &Environ) -> String {
        let Some(tls) = environ.tls() else { return "none".to_owned() };
        let scheme = environ.get("wsgi.url_scheme").unwrap_or_default();
        format!("{scheme} {} {:?} {:?}", tls.version(), tls.server_name(), tls.peer_certificates())
    }

    let tls = || Tls::new("TLSv1.3").with_server_name("a").with_peer_certificates([&b"one"[..], b"two"]);
    let seen = r#"https TLSv1.3 Some("a") [b"one", b"two"]"#;
    let application = || site(|environ: Environ| async move { described(&environ) });
    assert_eq!(text(&run(call(application(), Request::get("/").tls(tls())))), seen);
    assert_eq!(text(&run(call(application(), Request::get("/")))), "none");
    let blocks = || blocking::site(|environ: blocking::Environ| described(&environ));
    assert_eq!(text(&call_blocking(blocks(), Request::get("/").tls(tls()))), seen);
    assert_eq!(text(&call_blocking(blocks(), Request::get("/"))), "none");
}

#[test]
fn a_response_starts_from_either_kind_of_application() {
    async fn page(_: Environ, start_response: StartResponse) -> Result<Body> {
        Response::text("async").start(&start_response)
    }
    fn page_blocking(_: blocking::Environ, start_response: blocking::StartResponse) -> Result<Body> {
        let mut response = Response::text("blocking");
        response.trailers_mut().insert("X-Sum", "1");
        response.start(start_response)
    }
    assert_eq!(run(call(page, Request::get("/"))).body().as_str(), Some("async"));
    assert_eq!(call_blocking(page_blocking, Request::get("/")).body().as_str(), Some("blocking"));
}
