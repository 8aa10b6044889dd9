//! CORS: scripts of other origins may use the responses of an application.
//!
//! `cargo run -p wsgi-cookbook --bin cors [ADDRESS]`

use tokio::net::TcpListener;
use wsgi_tokio::{
    Application, Body, Environ, Headers, IntoResponse, Options, Response, Result, Server, StartResponse, site,
};

/// Middleware around any application, also around that of a `site`.
struct Cors<A> {
    application: A,
    /// Whose scripts may use it, such as `https://app.example`.
    origins: Vec<&'static str>,
    /// What they may use, besides what any page may send.
    methods: &'static str,
    request_headers: &'static str,
    /// What they may read, besides a few that they may always read.
    response_headers: &'static str,
    /// Whether they may send cookies.
    credentials: bool,
}

impl<A> Cors<A> {
    /// The fields of every response to `origin`; none if its scripts may not use the application.
    fn allow(&self, origin: Option<&str>) -> Headers {
        let mut headers = Headers::default();
        let Some(origin) = self.origins.iter().find(|allowed| Some(**allowed) == origin) else {
            return headers;
        };
        // Not `*`, which browsers refuse for requests with cookies.
        headers.insert("Access-Control-Allow-Origin", origin);
        if self.credentials {
            headers.insert("Access-Control-Allow-Credentials", "true");
        }
        headers
    }

    /// The response to a preflight, by which a browser asks before it sends the request itself.
    fn preflight(&self, origin: &str) -> Response {
        let mut headers = self.allow(Some(origin));
        if !headers.is_empty() {
            headers.insert("Access-Control-Allow-Methods", self.methods);
            headers.insert("Access-Control-Allow-Headers", self.request_headers);
            headers.insert("Access-Control-Max-Age", "600");
        }
        let asked = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        (204, headers, ()).into_response().with_header("Vary", asked)
    }
}

impl<A: Application> Application for Cors<A> {
    async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        let origin = environ.header("Origin");
        if let Some(origin) = &origin
            && environ.method() == "OPTIONS"
            && environ.header("Access-Control-Request-Method").is_some()
        {
            return self.preflight(origin).start(&start_response);
        }
        let mut allowed = self.allow(origin.as_deref());
        if !allowed.is_empty() {
            allowed.insert("Access-Control-Expose-Headers", self.response_headers);
        }
        // The response of the server to a failure has the fields as well, so that scripts see the 500.
        let start_response = start_response.map(move |_status, headers| {
            for (name, value) in &allowed {
                headers.insert(name, value);
            }
            // A cache must not give the response for one origin to another, nor one without `Origin`.
            vary(headers, "Origin");
        });
        self.application.call(environ.clone(), start_response).await
    }
}

/// Adds a name to `Vary`, unless it is there.
fn vary(headers: &mut Headers, name: &str) {
    let listed = headers.get_all("Vary").any(|names| {
        names.split(',').any(|other| ["*", name].iter().any(|it| it.eq_ignore_ascii_case(other.trim())))
    });
    if !listed {
        headers.append("Vary", name);
    }
}

async fn page(environ: Environ) -> Result<Response> {
    match (&*environ.method(), &*environ.path()) {
        (_, "/fails") => Err("no disk".into()),
        ("PUT", _) => Ok((204, [("ETag", "\"1\"")], ()).into_response()),
        _ => Ok(([("Vary", "Accept-Language")], "Hello\n").into_response()),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let application = Cors {
        application: site(page),
        origins: vec!["https://app.example", "http://localhost:3000"],
        methods: "GET, HEAD, POST, PUT, DELETE",
        request_headers: "Content-Type, If-Match",
        response_headers: "ETag",
        credentials: true,
    };
    let server = Server::new(listener, application).options(Options::public());
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
