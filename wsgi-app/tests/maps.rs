//! `StartResponse::map`: middleware that changes the heads of other applications.

mod common;

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;

use wsgi_app::test::{Request, call, call_blocking};
use wsgi_app::{
    Application, Body, Environ, Headers, NO_HEADERS, Response, ResponseHead, Result, StartError,
    StartResponse, Status, Version, application_fn, blocking, site,
};

use common::{logging, run};

/// An application around which `map` is.
struct Mapped<A, F>(A, F);

impl<A, F> Application for Mapped<A, F>
where
    A: Application,
    F: Fn(&mut Status, &mut Headers) + Clone + Send + Sync + 'static,
{
    async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        self.0.call(environ, start_response.map(self.1.clone())).await
    }
}

impl<A, F> blocking::Application for Mapped<A, F>
where
    A: blocking::Application,
    F: Fn(&mut Status, &mut Headers) + Clone + Send + Sync + 'static,
{
    fn call(&self, environ: blocking::Environ, start_response: blocking::StartResponse) -> Result<Body> {
        self.0.call(environ, start_response.map(self.1.clone()))
    }
}

/// Adds its name to the field `X-Maps`.
fn named(name: &'static str) -> impl Fn(&mut Status, &mut Headers) + Clone {
    move |_, headers| {
        let before = headers.get("X-Maps").unwrap_or_default().into_owned();
        headers.insert("X-Maps", format!("{before}{name}"));
    }
}

fn maps(response: &Response) -> String {
    response.headers().get("X-Maps").unwrap_or_default().into_owned()
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body().as_bytes().expect("in memory").to_vec()).expect("text")
}

fn get(application: impl Application) -> Response {
    run(call(application, Request::get("/")))
}

async fn hello(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("X-Maps", "0"), ("Content-Type", "text/plain")])?;
    Ok("hello".into())
}

#[test]
fn the_outermost_function_is_called_last_for_every_way_to_start() {
    let kept = |_: Environ, start: StartResponse| async move {
        static HEAD: OnceLock<ResponseHead> = OnceLock::new();
        let headers =
            [("X-Maps", "0"), ("Connection", "close"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b: 2")];
        let head = HEAD.get_or_init(|| start.prepare("200 Fine", headers).unwrap());
        start.start_with(head)?;
        Ok::<_, StartError>("hello".into())
    };
    let again = |_: Environ, start: StartResponse| async move {
        start.start("404 Not Found", [("X-Maps", "never")])?;
        start.restart("200 OK", [("X-Maps", "0")], "broken")?;
        Ok::<_, wsgi_app::Error>("hello".into())
    };
    let value = site(|_| async { (200, [("X-Maps", "0")], "hello") });
    for application in [hello.boxed(), kept.boxed(), again.boxed(), value.boxed()] {
        let response = get(Mapped(Mapped(application, named("1")), named("2")));
        assert_eq!((response.status().code(), maps(&response)), (200, "012".into()));
        assert_eq!(text(&response), "hello");
        assert_eq!(response.headers().get("Content-Length").as_deref(), Some("5"));
    }
    let response = get(Mapped(kept, named("1")));
    assert_eq!(response.status().as_str(), "200 Fine");
    assert_eq!(response.headers().get("Connection").as_deref(), Some("close"));
    assert_eq!(response.headers().get_all("Set-Cookie").collect::<Vec<_>>(), ["a=1", "b: 2"]);
}

#[test]
fn a_function_sees_and_changes_the_whole_head() {
    let map = |status: &mut Status, headers: &mut Headers| {
        assert_eq!((status.as_str(), headers.len()), ("200 OK", 2));
        *status = 418.into();
        headers.remove("content-type");
    };
    let response = get(Mapped(hello, map));
    assert_eq!(response.status().code(), 418);
    assert!(!response.headers().contains("Content-Type"));
}

#[test]
fn other_handles_do_not_change() {
    let outer = application_fn(|environ, start: StartResponse| async move {
        let fails = |_: Environ, _: StartResponse| async { Err::<Body, _>(wsgi_app::Error::from("no")) };
        let result = Application::call(&fails, environ, start.map(named("inner"))).await;
        start.start("503 Service Unavailable", [("X-Maps", result.unwrap_err().to_string())])?;
        Ok("later".into())
    });
    let response = get(Mapped(outer, named("!")));
    assert_eq!((response.status().code(), maps(&response)), (503, "no!".into()));
}

#[test]
fn the_servers_own_response_is_mapped() {
    let failing = |_: Environ, _: StartResponse| async { Err::<Body, _>(wsgi_app::Error::from("no disk")) };
    let panicking = application_fn(|_, start| async move {
        start.start("200 OK", [("X-Maps", "never")])?;
        panic!("no disk")
    });
    let idle = |_: Environ, _: StartResponse| async { Ok::<_, wsgi_app::Error>("no disk".into()) };
    let streaming = application_fn(|_, start| async move {
        start.start("200 OK", [("X-Maps", "never")])?;
        Ok(Body::iterator([Err("no disk".into())]))
    });
    for (application, status) in
        [(failing.boxed(), 500), (panicking.boxed(), 500), (idle.boxed(), 500), (streaming.boxed(), 500)]
    {
        let map = |status: &mut Status, headers: &mut Headers| {
            if status.is_error() {
                assert_eq!((status.as_str(), headers.len()), ("500 Internal Server Error", 2));
                headers.insert("Content-Length", "1");
            }
        };
        let response = get(Mapped(Mapped(Mapped(application, named("1")), named("2")), map));
        assert_eq!((response.status().code(), maps(&response)), (status, "12".into()));
        let text = text(&response);
        assert!(text.contains("no disk") || text.contains("not started"), "{text}");
        assert_eq!(response.headers().get("Content-Length"), Some(text.len().to_string().into()));
        assert_eq!(response.headers().get("Content-Type").as_deref(), Some("text/plain"));
        assert!(response.error().is_none());
    }
}

#[test]
fn the_answer_to_a_clients_error_is_mapped() {
    let read = application_fn(|environ, _| async move {
        environ.input().read_all(3).await?;
        Ok(Body::empty())
    });
    let unmapped = run(call(read, Request::post("/", "four")));
    let record = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&record);
    let hooked = application_fn(move |environ: Environ, start| {
        let kept = Arc::clone(&kept);
        environ.add_post_hook(move |_, record| *kept.lock().unwrap() = Some(record.clone()));
        read(environ, start)
    });
    let response = run(call(Mapped(hooked, named("1")), Request::post("/", "four")));
    assert_eq!((response.status().code(), maps(&response)), (413, "1".into()));
    assert_eq!(text(&response), text(&unmapped));
    for name in ["Content-Length", "Content-Type", "Connection"] {
        assert!(unmapped.headers().contains(name), "{name}");
        assert_eq!(response.headers().get(name), unmapped.headers().get(name), "{name}");
    }
    let record = record.lock().unwrap().take().unwrap();
    assert_eq!(record.status, 413);
    assert!(record.refused.is_some() && !record.cut);
}

#[test]
fn an_interim_response_and_one_that_is_cut_are_not_mapped() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let map = move |_: &mut Status, _: &mut Headers| _ = counted.fetch_add(1, Ordering::Relaxed);
    let application = application_fn(|_, start: StartResponse| async move {
        start.inform("103 Early Hints", [("Link", "</a.css>")])?;
        let write = start.start("200 OK", NO_HEADERS)?;
        write.write("begun").await?;
        assert!(start.start("200 OK", NO_HEADERS).is_err());
        assert_eq!(start.restart("500 Oh", NO_HEADERS, "late").unwrap_err().to_string(), "late");
        Err("no disk".into())
    });
    let response = get(Mapped(application, map));
    assert!(response.error().is_some());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_panic_is_a_failure_of_the_application() {
    let (options, errors) = logging();
    let map = |_: &mut Status, headers: &mut Headers| {
        headers.insert("X-Maps", "half");
        panic!("a bad map")
    };
    let response = run(call(Mapped(hello, map), Request::get("/").options(options)));
    assert_eq!((response.status().code(), maps(&response)), (500, String::new()));
    assert!(text(&response).contains("a bad map"));
    let errors = errors.lock().unwrap();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("the application panicked") && errors[0].contains("a bad map"));
    assert!(errors[1].starts_with("a function of `StartResponse::map` failed for the server's response"));
}

#[test]
fn what_http_does_not_allow_is_refused() {
    let map = |_: &mut Status, headers: &mut Headers| headers.insert("X-Bad", "1\r\n2");
    // The application learns of it.
    let careful = application_fn(|_, start: StartResponse| async move {
        let refused = start.start("200 OK", NO_HEADERS).unwrap_err();
        assert!(matches!(refused, StartError::FieldValue(_)), "{refused}");
        Err(refused.into())
    });
    let (options, errors) = logging();
    let response = run(call(Mapped(careful, map), Request::get("/").options(options)));
    assert_eq!(response.status().code(), 500);
    assert!(!response.headers().contains("X-Bad"));
    let errors = errors.lock().unwrap();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[1].contains("`X-Bad`"), "{errors:?}");

    let switch = |status: &mut Status, _: &mut Headers| *status = 101.into();
    let failing = |_: Environ, _: StartResponse| async { Err::<Body, _>(wsgi_app::Error::from("no")) };
    let (options, errors) = logging();
    let old = Request::get("/").options(options.max_http_version(Version::Http10));
    let response = run(call(Mapped(failing, switch), old));
    assert_eq!(response.status().code(), 500);
    assert_eq!(errors.lock().unwrap().len(), 2);
}

#[test]
fn a_body_may_change_its_length() {
    let sized = application_fn(|_, start: StartResponse| async move {
        start.start("200 OK", [("Content-Length", "5")])?;
        Ok("hello".into())
    });
    struct Doubled<A>(A, Option<&'static str>);
    impl<A: Application> Application for Doubled<A> {
        async fn call(&self, environ: Environ, start: StartResponse) -> Result<Body> {
            let length = self.1;
            let start = start.map(move |_, headers| {
                headers.remove("Content-Length");
                if let Some(length) = length {
                    headers.insert("Content-Length", length);
                }
            });
            let body = self.0.call(environ, start).await?;
            Ok(body.as_bytes().expect("in memory").repeat(2).into())
        }
    }
    for response in [get(Doubled(sized, None)), get(Doubled(sized, Some("10"))), get(Doubled(hello, None))] {
        assert_eq!(text(&response), "hellohello");
        assert_eq!(response.headers().get("Content-Length").as_deref(), Some("10"));
    }
}

#[test]
fn no_lock_is_held_while_a_function_runs() {
    let application = application_fn(|environ: Environ, start: StartResponse| async move {
        let (inner, seen) = (start.clone(), environ.clone());
        let start = start.map(move |_, headers| {
            headers.insert("X-Method", seen.method().as_bytes());
            seen.insert(7_u32);
            seen.add_post_hook(|_, _| ());
            // Another handle of the same response is first.
            inner.start("200 OK", [("X-Maps", "first")]).unwrap();
        });
        let error = start.start("404 Not Found", NO_HEADERS).unwrap_err();
        assert!(matches!(error, StartError::AlreadyStarted));
        Ok(environ.extension::<u32>().unwrap().to_string().into())
    });
    let response = get(application);
    assert_eq!((maps(&response), text(&response)), ("first".into(), "7".into()));
}

#[test]
fn functions_are_dropped_after_the_exchange() {
    let value = Arc::new(());
    for (fails, hooked) in [(false, false), (true, false), (false, true), (true, true)] {
        let late = Arc::new(Mutex::new(None));
        let (kept, outlives) = (Arc::clone(&value), Arc::clone(&late));
        let application = application_fn(move |environ: Environ, start: StartResponse| {
            if hooked {
                environ.add_post_hook(|environ, _| assert_eq!(environ.method(), "GET"));
            }
            *outlives.lock().unwrap() = Some(start.clone());
            // A cycle, while the exchange is open.
            let (value, seen) = (Arc::clone(&kept), environ.clone());
            let start = start.map(move |_, headers| {
                let _ = (&value, &seen);
                headers.insert("X-Maps", "1");
            });
            async move {
                if fails {
                    return Err("no".into());
                }
                start.start("200 OK", NO_HEADERS)?;
                Ok(Body::empty())
            }
        });
        let application = Arc::new(application);
        let response = get(Arc::clone(&application));
        assert_eq!(maps(&response), "1");
        assert_eq!(Arc::strong_count(&value), 2, "only the application has it: {fails} {hooked}");
        // A handle that outlives its exchange is harmless, and keeps nothing alive.
        let late = late.lock().unwrap().take().unwrap();
        let kept = Arc::clone(&value);
        let late = late.map(move |_, _| drop(Arc::clone(&kept)));
        assert!(matches!(late.start("200 OK", NO_HEADERS), Err(StartError::Over)));
        drop((late, application));
        assert_eq!(Arc::strong_count(&value), 1);
    }
}

#[test]
fn functions_of_a_call_that_never_ends_are_dropped_with_its_connection() {
    let value = Arc::new(());
    let kept = Arc::clone(&value);
    let application = application_fn(move |environ: Environ, start: StartResponse| {
        let (value, seen) = (Arc::clone(&kept), environ);
        let start = start.map(move |_, _| drop((value.clone(), seen.clone())));
        async move {
            let _start = start;
            poll_fn(|_| Poll::<Result<Body>>::Pending).await
        }
    });
    let application = Arc::new(application);
    let called = call(Arc::clone(&application), Request::get("/"));
    let mut called = Box::pin(called);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(called.as_mut().poll(&mut context).is_pending());
    assert_eq!(Arc::strong_count(&value), 3);
    drop(called);
    assert_eq!(Arc::strong_count(&value), 2);
}

#[test]
fn a_function_that_panics_when_it_is_dropped_does_no_harm() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bomb")
        }
    }
    let (options, errors) = logging();
    let application = application_fn(|_, start: StartResponse| async move {
        let bomb = Bomb;
        let mapped = start.map(move |_, _| _ = &bomb);
        start.start("200 OK", NO_HEADERS)?;
        drop(mapped);
        Ok("hello".into())
    });
    let response = run(call(application, Request::get("/").options(options)));
    assert_eq!(text(&response), "hello");
    let errors = errors.lock().unwrap();
    assert!(errors.len() == 1 && errors[0].contains("a bomb"), "{errors:?}");
}

#[test]
fn blocking_applications_are_mapped_too() {
    let page = blocking::application_fn(|environ, start| {
        if environ.path() == "/fails" {
            return Err("no disk".into());
        }
        start.start("200 OK", [("X-Maps", "0")])?;
        Ok("hello".into())
    });
    for (path, status, wanted) in [("/", 200, "012"), ("/fails", 500, "12")] {
        let application = Mapped(Mapped(page, named("1")), named("2"));
        let response = call_blocking(application, Request::get(path));
        assert_eq!((response.status().code(), maps(&response).as_str()), (status, wanted));
    }
}
