//! Sessions in a signed cookie: log in, log out, and what an attacker cannot do.
//!
//! `cargo run -p wsgi-cookbook --bin session [ADDRESS]`

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cookie::time::Duration;
use cookie::{Cookie, CookieJar, Key, SameSite};
use tokio::net::TcpListener;
use wsgi_tokio::{Environ, IntoResponse, Options, Redirect, Response, Result, Server, site};

/// The prefix makes browsers refuse it unless it is `Secure`, for `/`, and for this host alone.
const NAME: &str = "__Host-session";

const LIFETIME: Duration = Duration::hours(8);

/// The largest form, in bytes.
const FORM: usize = 1000;

/// Who has logged in.
struct Session {
    user: Option<String>,
    changed: bool,
}

impl Session {
    /// The session of a request; an empty one if its cookie is missing, forged or too old.
    fn read(key: &Key, environ: &Environ) -> Self {
        let mut jar = CookieJar::new();
        environ.cookies().for_each(|cookie| jar.add_original(cookie));
        let user = jar.signed(key).get(NAME).and_then(|cookie| {
            // The client decides how long it keeps a cookie, so the end is in the signed value.
            let (end, user) = cookie.value().split_once('.')?;
            (end.parse::<i64>().ok()? > now()).then(|| user.to_owned())
        });
        Self { user, changed: false }
    }

    fn log_in(&mut self, user: String) {
        (self.user, self.changed) = (Some(user), true);
    }

    fn log_out(&mut self) {
        (self.user, self.changed) = (None, true);
    }

    /// Middleware, after the page: sends the cookie if the session has changed, and forbids caches to keep the page.
    fn write(self, key: &Key, mut response: Response) -> Response {
        // A page may depend on the session, so no cache may give it to another client.
        response.headers_mut().insert("Cache-Control", "private, no-store");
        if !self.changed {
            return response;
        }
        let (value, lifetime) = match self.user {
            Some(user) => (format!("{}.{user}", now() + LIFETIME.whole_seconds()), LIFETIME),
            None => (String::new(), Duration::ZERO),
        };
        let cookie = Cookie::build((NAME, value))
            .path("/")
            .max_age(lifetime)
            // Scripts cannot read it, and it is not sent over plain HTTP.
            .http_only(true)
            .secure(true)
            // Forms of other sites are sent without it.
            .same_site(SameSite::Lax);
        let mut jar = CookieJar::new();
        jar.signed_mut(key).add(cookie);
        for cookie in jar.delta() {
            response.headers_mut().append("Set-Cookie", cookie.to_string());
        }
        response
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().try_into().unwrap_or(i64::MAX)
}

async fn page(environ: Environ, session: &mut Session) -> Result<Response> {
    Ok(match (&*environ.method(), &*environ.path(), &session.user) {
        ("GET" | "HEAD", "/", Some(user)) => format!("Hello, {user}\n").into_response(),
        ("GET" | "HEAD", "/", None) => (403, "log in, please\n").into_response(),
        ("POST", "/login", _) => {
            let form = environ.form(FORM).await?;
            let name = form.into_iter().find(|(key, _)| key == "name").unwrap_or_default().1;
            // Here the password is checked.
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Ok((403, "no such user\n").into_response());
            }
            session.log_in(name);
            Redirect::to("/").into_response()
        }
        ("POST", "/logout", _) => {
            session.log_out();
            Redirect::to("/").into_response()
        }
        _ => (404, "no such page\n").into_response(),
    })
}

async fn with_session(key: Arc<Key>, environ: Environ) -> Response {
    let mut session = Session::read(&key, &environ);
    let response = page(environ, &mut session).await.into_response();
    session.write(&key, response)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    // At least 64 random bytes, the same for all processes. With a new one, all users have to log in again.
    let key = std::env::var("SESSION_KEY")
        .map_or_else(|_| Ok(Key::generate()), |key| Key::try_from(key.as_bytes()));
    let key = Arc::new(key.map_err(std::io::Error::other)?);
    let application = site(move |environ| with_session(key.clone(), environ));
    let server = Server::new(listener, application).options(Options::public());
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
