//! Applications of `tower::Service`, and the types of `http` and `http-body`.
#![cfg(feature = "tower")]

mod common;

use std::collections::VecDeque;
use std::future::{Future, Ready, poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower_service::Service;
use wsgi_app::test::{Request as TestRequest, call};
use wsgi_app::{
    Application, Body, Bytes, Environ, Error, Input, IntoResponse, StartResponse, Tls, Upgrade, site, tower,
};

use common::run;

fn text(response: &wsgi_app::Response) -> String {
    response.body().as_bytes().expect("in memory").escape_ascii().to_string()
}

/// A service of a function.
#[derive(Clone)]
struct Of<F>(F);

impl<F: Fn(Request<Input>) -> T, T: Future<Output = Result<Response<B>, Error>>, B> Service<Request<Input>>
    for Of<F>
{
    type Response = Response<B>;
    type Error = Error;
    type Future = T;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Input>) -> T {
        (self.0)(request)
    }
}

/// A body of frames that are there; `None` waits forever.
#[derive(Default)]
struct Frames {
    frames: VecDeque<Option<Result<Frame<Bytes>, Error>>>,
    length: Option<u64>,
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.frames.pop_front() {
            Some(None) => {
                self.frames.push_front(None);
                Poll::Pending
            }
            Some(frame) => Poll::Ready(frame),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn data(bytes: &'static str) -> Option<Result<Frame<Bytes>, Error>> {
    Some(Ok(Frame::data(Bytes::from(bytes))))
}

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    let (name, value) = (http::HeaderName::from_static(name), http::HeaderValue::from_static(value));
    HeaderMap::from_iter([(name, value)])
}

#[test]
fn a_request_has_everything_that_the_client_sent() {
    let service = Of(async |request: Request<Input>| {
        let (parts, mut body) = request.into_parts();
        let environ = parts.extensions.get::<Environ>().unwrap();
        let mut frames = String::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            frames += &match frame?.into_data() {
                Ok(data) => format!("{data:?} "),
                Err(frame) => format!("{:?} ", frame.trailers_ref()),
            };
        }
        assert!(body.is_end_stream());
        let cookies = parts.headers.get_all("cookie").iter().count();
        let text = format!(
            "{} {} {:?} {cookies} {:?} {frames}",
            parts.method,
            parts.uri,
            parts.version,
            environ.endpoints().scheme
        );
        Ok(Response::new(text))
    });
    let request = TestRequest::post("/a%20b?c=d", "abc").header("Cookie", "a=1");
    let response = run(call(tower(service.clone()), request));
    assert_eq!(text(&response), r#"POST /a%20b?c=d HTTP/1.1 1 Http b\"abc\" "#);
    assert_eq!(
        response.headers().get("content-length").unwrap(),
        text(&response).replace('\\', "").len().to_string()
    );
}

#[test]
fn a_request_has_no_fields_of_others() {
    let service = Of(async |request: Request<Input>| {
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str().to_owned()).collect();
        let mut response = Response::new(names.join(" "));
        for number in 0..100 {
            let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
            response.headers_mut().append(name, http::HeaderValue::from_static("secret"));
        }
        Ok(response)
    });
    for fields in [1, 0, 90, 2] {
        let request =
            (0..fields).fold(TestRequest::get("/"), |request, at| request.header(format!("y-{at}"), "1"));
        let names = text(&run(call(tower(service.clone()), request)));
        assert!(names.starts_with("host") && !names.contains("x-"), "{names}");
        assert_eq!(names.matches("y-").count(), fields, "{names}");
    }
}

#[test]
fn a_body_shows_its_length_and_its_end() {
    let service = Of(async |request: Request<Input>| {
        let body = request.body();
        Ok(Response::new(format!("{:?} {}", body.size_hint().exact(), body.is_end_stream())))
    });
    assert_eq!(text(&run(call(tower(service.clone()), TestRequest::get("/")))), "Some(0) true");
    assert_eq!(text(&run(call(tower(service.clone()), TestRequest::post("/", "abc")))), "Some(3) false");
    let chunked = TestRequest::post("/", "abc").header("Transfer-Encoding", "chunked");
    assert_eq!(text(&run(call(tower(service), chunked))), "None false");
}

#[test]
fn frames_are_the_body_and_trailers_follow_it() {
    let service = Of(async |_| {
        let last = Some(Ok(Frame::trailers(trailers("x-sum", "1"))));
        let frames = [data("a"), data(""), data("b"), last].into();
        Ok(Response::builder()
            .header("Trailer", "x-sum")
            .body(Frames { frames, ..Frames::default() })
            .unwrap())
    });
    let response = run(call(tower(service), TestRequest::get("/")));
    assert_eq!(
        (text(&response), response.headers().get("Transfer-Encoding").as_deref()),
        ("ab".into(), Some("chunked"))
    );
    assert_eq!(response.trailers().get("x-sum").as_deref(), Some("1"));
}

#[test]
fn a_known_length_is_announced_and_a_foreign_coding_is_not() {
    let service = Of(async |_| {
        let body = Frames { frames: [data("a"), data("b")].into(), length: Some(2) };
        Ok(Response::builder().header("Transfer-Encoding", "chunked").body(body).unwrap())
    });
    for (method, body) in [("GET", "ab"), ("HEAD", "")] {
        let response = run(call(tower(service.clone()), TestRequest::new(method, "/")));
        assert_eq!(
            (response.headers().get("Content-Length").as_deref(), &*text(&response)),
            (Some("2"), body)
        );
        assert!(!response.headers().contains("Transfer-Encoding"));
    }
    let empty = run(call(tower(Of(async |_| Ok(Response::new(Frames::default())))), TestRequest::get("/")));
    assert_eq!(empty.headers().get("Content-Length").as_deref(), Some("0"));
    // axum announces the length of every empty body.
    let unchanged = Of(async |_| {
        Ok(Response::builder().status(304).header("Content-Length", "0").body(String::new()).unwrap())
    });
    assert_eq!(run(call(tower(unchanged), TestRequest::get("/"))).headers().get("Content-Length"), None);
    let status = Of(async |_| Ok(Response::builder().status(204).body(String::new()).unwrap()));
    assert_eq!(run(call(tower(status), TestRequest::get("/"))).headers().get("Content-Length"), None);
}

#[test]
fn an_error_is_an_error() {
    let fails = Of(async |_| Err::<Response<String>, _>(Error::from("no disk")));
    let response = run(call(tower(fails), TestRequest::get("/")));
    assert_eq!((response.status().code(), &*text(&response)), (500, "the application failed: no disk\\n"));
    let breaks = Of(async |_| {
        let frames = [data("a"), Some(Err("no disk".into()))].into();
        Ok(Response::new(Frames { frames, length: Some(2) }))
    });
    let response = run(call(tower(breaks), TestRequest::get("/")));
    assert_eq!(
        (response.error().unwrap().to_string(), &*text(&response)),
        ("the response was cut".into(), "a")
    );
    // The client's errors keep their status.
    let reads = Of(async |mut request: Request<Input>| {
        while let Some(frame) = poll_fn(|context| Pin::new(request.body_mut()).poll_frame(context)).await {
            frame?;
        }
        Ok(Response::new(String::new()))
    });
    let short = TestRequest::post("/", "a")
        .header("Transfer-Encoding", "chunked")
        .options(wsgi_app::Options::default().log_output(false).max_body_size(0));
    assert_eq!(run(call(tower(reads), short)).status().code(), 413);
    // What `http` cannot represent.
    let any = Of(async |_| Ok(Response::new(String::new())));
    assert_eq!(run(call(tower(any), TestRequest::get("/<"))).status().code(), 400);
}

/// It must be polled until it is ready before it is called, by the clone that is called.
struct Readied {
    polls: usize,
    clones: Arc<AtomicUsize>,
}

impl Clone for Readied {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Self { polls: 0, clones: Arc::clone(&self.clones) }
    }
}

impl Service<Request<Input>> for Readied {
    type Response = Response<String>;
    type Error = Error;
    type Future = Ready<Result<Response<String>, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.polls += 1;
        if self.polls < 3 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Input>) -> Self::Future {
        ready(Ok(Response::new(format!("{} polls", self.polls))))
    }
}

#[test]
fn the_clone_that_is_ready_is_the_one_that_is_called() {
    let clones = Arc::new(AtomicUsize::new(0));
    let application = Arc::new(tower(Readied { polls: 0, clones: Arc::clone(&clones) }));
    for count in 1..=3 {
        let response = run(call(Arc::clone(&application), TestRequest::get("/")));
        assert_eq!((text(&response), clones.load(Ordering::Relaxed)), ("3 polls".into(), count));
    }
}

#[test]
fn a_service_may_send_interim_responses_and_use_hooks() {
    let hooked = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&hooked);
    let service = Of(move |request: Request<Input>| {
        let flag = Arc::clone(&flag);
        async move {
            let extensions = request.extensions();
            let environ = extensions.get::<Environ>().unwrap();
            environ.inform("103 Early Hints", [("Link", "</a>")])?;
            environ.add_post_hook(move |_, record| flag.store(record.status == 200, Ordering::Relaxed));
            Ok(Response::new(String::from("a")))
        }
    });
    assert_eq!(text(&run(call(tower(service), TestRequest::get("/")))), "a");
    assert!(hooked.load(Ordering::Relaxed));
}

#[test]
fn an_upgrade_gets_the_stream_after_101_and_an_error_otherwise() {
    for (status, outcome) in [(101, "stream"), (200, "not switching")] {
        let kept = Arc::new(Mutex::new(None));
        let keeps = Arc::clone(&kept);
        let service = Of(move |request: Request<Input>| {
            *keeps.lock().unwrap() = request.extensions().get::<Upgrade>().cloned();
            ready(Ok(Response::builder()
                .status(status)
                .header("Upgrade", "echo")
                .body(String::new())
                .unwrap()))
        });
        let request = TestRequest::get("/").header("Upgrade", "echo").header("Connection", "upgrade");
        assert_eq!(run(call(tower(service), request)).status().code(), status);
        let upgrade = kept.lock().unwrap().take().expect("the request has an upgrade");
        let shown = match run(upgrade) {
            Ok(_) => "stream".to_owned(),
            Err(wsgi_app::SendError::NotSwitching) => "not switching".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, outcome);
    }
    let plain = Of(async |request: Request<Input>| {
        Ok(Response::new(request.extensions().get::<Upgrade>().is_none().to_string()))
    });
    assert_eq!(text(&run(call(tower(plain.clone()), TestRequest::get("/")))), "true");
    // Its body would be taken for the other protocol.
    let with_body = TestRequest::post("/", "a").header("Upgrade", "echo").header("Connection", "upgrade");
    assert_eq!(text(&run(call(tower(plain), with_body))), "true");
}

#[test]
fn responses_of_http_are_responses() {
    let status = StatusCode::from_u16(299).unwrap();
    let response = run(call(site(move |_: Environ| async move { (status, "a") }), TestRequest::get("/")));
    assert_eq!((response.status().as_str(), &*text(&response)), ("299", "a"));
    let response = run(call(
        site(|_: Environ| async {
            Response::builder().status(201).header("X", "1").body(String::from("a")).unwrap()
        }),
        TestRequest::get("/"),
    ));
    assert_eq!((response.status().code(), response.headers().get("x").as_deref()), (201, Some("1")));
    assert_eq!(
        (text(&response), response.headers().get("content-length").as_deref()),
        ("a".into(), Some("1"))
    );
    let value = Response::new(String::new()).into_response();
    assert_eq!(value.body().length(), Some(0));
}

fn _any_service_is_an_application<S>(service: S) -> impl Application
where
    S: Service<Request<Input>, Response = Response<String>, Error = std::convert::Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    tower(service)
}

/// An application whose heads are mapped.
struct Mapped<A>(A);

impl<A: Application> Application for Mapped<A> {
    async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body, Error> {
        let start_response = start_response.map(|_, headers| headers.insert("X-Mapped", "1"));
        self.0.call(environ, start_response).await
    }
}

#[test]
fn the_head_of_a_service_can_be_mapped() {
    let switches = || {
        let mut response = Response::new(String::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response
    };
    let page = move |request: Request<Input>| {
        ready(match request.uri().path() {
            "/" => Ok(Response::new("hello".to_owned())),
            "/switches" => Ok(switches()),
            _ => Err(Error::from("no disk")),
        })
    };
    let application = Arc::new(Mapped(tower(Of(page))));
    for (path, status) in [("/", 200), ("/switches", 101), ("/fails", 500)] {
        let response = run(call(application.clone(), TestRequest::get(path).header("Upgrade", "echo")));
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers().get("X-Mapped").as_deref(), Some("1"), "{path}");
    }
}

#[test]
fn a_service_sees_what_tls_has_negotiated() {
    let service = Of(|request: Request<Input>| async move {
        let certificates = request.extensions().get::<Tls>().map(|tls| tls.peer_certificates().to_vec());
        Ok(Response::new(format!("{certificates:?}")))
    });
    let request = TestRequest::get("/").tls(Tls::new("TLSv1.3").with_peer_certificates([&b"one"[..]]));
    assert_eq!(text(&run(call(tower(service.clone()), request))), r#"Some([b\"one\"])"#);
    assert_eq!(text(&run(call(tower(service), TestRequest::get("/")))), "None");
}
