//! Routes with `matchit`: 404 and 405, HEAD and OPTIONS, and parameters in paths.
//!
//! `cargo run -p wsgi-cookbook --bin routes [ADDRESS]`

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use wsgi_tokio::{Environ, IntoResponse, Options, Response, Server, site};

/// A page: a handler for each of its methods.
#[derive(Default)]
struct Page(BTreeMap<&'static str, Handler>);

type Handler = Box<dyn Fn(Environ, Params) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// The parameters of a path, such as `name` of `/users/{name}`.
struct Params(Vec<(String, String)>);

impl Params {
    /// The parameter with this name; empty if the route has none.
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

impl Page {
    fn on<T: Future<Output: IntoResponse> + Send + 'static>(
        mut self,
        method: &'static str,
        handler: impl Fn(Environ, Params) -> T + Send + Sync + 'static,
    ) -> Self {
        let boxed: Handler = Box::new(move |environ, params| {
            let response = handler(environ, params);
            Box::pin(async move { response.await.into_response() })
        });
        self.0.insert(method, boxed);
        self
    }

    fn handler(&self, method: &str) -> Option<&Handler> {
        // The server sends the response to a HEAD without its body.
        let method = if method == "HEAD" && !self.0.contains_key("HEAD") { "GET" } else { method };
        self.0.get(method)
    }

    /// The value of `Allow`.
    fn allow(&self) -> String {
        let mut methods: Vec<&str> = self.0.keys().copied().collect();
        if self.0.contains_key("GET") && !self.0.contains_key("HEAD") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.join(", ")
    }
}

async fn route(pages: Arc<matchit::Router<Page>>, environ: Environ) -> Response {
    // The router compares the decoded path, so `/us%65rs` is `/users`, and `%2F` separates segments as `/` does.
    let Some(path) = environ.path_utf8() else {
        return (400, "the path is not UTF-8\n").into_response();
    };
    let Ok(found) = pages.at(&path) else {
        return (404, "no such page\n").into_response();
    };
    let (page, method) = (found.value, environ.method());
    let Some(handler) = page.handler(&method) else {
        let status = if method == "OPTIONS" { 204 } else { 405 };
        return (status, [("Allow", page.allow())], ()).into_response();
    };
    let params = found.params.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    handler(environ.clone(), Params(params)).await
}

async fn index(_: Environ, _: Params) -> &'static str {
    "index\n"
}

async fn user(_: Environ, params: Params) -> String {
    format!("user {}\n", params.get("name"))
}

async fn delete_user(_: Environ, params: Params) -> Response {
    match params.get("name") {
        "root" => (403, "root stays\n").into_response(),
        _ => Response::new(204),
    }
}

async fn post(_: Environ, params: Params) -> Response {
    match params.get("number").parse::<u32>() {
        Ok(number) => format!("post {number}\n").into_response(),
        Err(_) => (404, "no such post\n").into_response(),
    }
}

async fn file(_: Environ, params: Params) -> String {
    format!("file {}\n", params.get("path"))
}

fn pages() -> Result<matchit::Router<Page>, matchit::InsertError> {
    let mut pages = matchit::Router::new();
    pages.insert("/", Page::default().on("GET", index))?;
    pages.insert("/users/{name}", Page::default().on("GET", user).on("DELETE", delete_user))?;
    pages.insert("/users/{name}/posts/{number}", Page::default().on("GET", post))?;
    // The rest of the path, with its slashes.
    pages.insert("/files/{*path}", Page::default().on("GET", file))?;
    Ok(pages)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let pages = Arc::new(pages().map_err(std::io::Error::other)?);
    let application = site(move |environ| route(pages.clone(), environ));
    let serving =
        Server::new(listener, application).options(Options::public()).serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
