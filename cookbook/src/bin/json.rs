//! JSON in and out: a limit, and 400, 413, 415 and 422 for bodies that are not accepted.
//!
//! `cargo run -p wsgi-cookbook --bin json [ADDRESS]`, then for instance
//! `curl -i -H 'Content-Type: application/json' -d '{"name": "Ada"}' http://127.0.0.1:8090/users`

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use wsgi_tokio::{Environ, IntoResponse, Json, Options, Response, Server, site};

/// The largest body, in bytes.
const LIMIT: usize = 16 * 1024;
const USERS: usize = 1000;

#[derive(Deserialize)]
// A misspelled name of an optional field would otherwise be ignored.
#[serde(deny_unknown_fields)]
struct NewUser {
    // Only what clients may choose. With a field `admin`, any client could make itself one.
    name: String,
    email: Option<String>,
}

#[derive(Clone, Serialize)]
struct User {
    id: usize,
    name: String,
    email: Option<String>,
    admin: bool,
}

type Users = Mutex<Vec<User>>;

async fn api(users: Arc<Users>, environ: Environ) -> Result<Response, Response> {
    let (method, path) = (environ.method(), environ.path());
    match (&*method, &*path) {
        ("POST", "/users") => create(&users, &environ).await,
        ("GET" | "HEAD", "/users") => {
            let users = users.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Ok(Json(users).into_response())
        }
        (_, "/users") => Ok(Response::not_allowed("GET, HEAD, POST")),
        _ => Ok((404, "no such page\n").into_response()),
    }
}

async fn create(users: &Users, environ: &Environ) -> Result<Response, Response> {
    // 415 if `Content-Type` is another one, 413 above the limit, 400 if it is not JSON or not that of a `NewUser`.
    let NewUser { name, email } = environ.json(LIMIT).await?;
    // The types describe the shape of the value. Other rules are checked here.
    if name.trim().is_empty() {
        return Err((422, "the name is empty\n").into_response());
    }
    let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
    if users.len() == USERS {
        return Err((507, "no more users\n").into_response());
    }
    let user = User { id: users.len(), name, email, admin: false };
    users.push(user.clone());
    Ok((201, [("Location", format!("/users/{}", user.id))], Json(user)).into_response())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let users = Arc::new(Users::default());
    let application = site(move |environ| api(users.clone(), environ));
    let serving =
        Server::new(listener, application).options(Options::public()).serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
