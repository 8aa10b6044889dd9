//! Forms: fields (`application/x-www-form-urlencoded`), and files (`multipart/form-data`).
//!
//! `cargo run -p wsgi-cookbook --bin forms [ADDRESS]`, then look at the address with a browser.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use multer::{Constraints, Multipart, SizeLimit};
use serde::Deserialize;
use tokio::net::TcpListener;
use wsgi_tokio::{Environ, Html, IntoResponse, Options, Redirect, Response, Server, site};

/// The largest form without files, in bytes.
const FORM: usize = 16 * 1024;
/// The largest file, and the largest form with files. They are read piece by piece, and not kept.
const FILE: u64 = 1024 * 1024;
const UPLOAD: u64 = 4 * FILE;
/// The number of entries that are kept.
const ENTRIES: usize = 20;

const PAGE: &str = r#"<!DOCTYPE html><title>Guests</title>
<form method="post" action="/"><input name="name" required> <input name="text"> <button>Sign</button></form>
<form method="post" action="/files" enctype="multipart/form-data"><input type="file" name="file" multiple> <button>Measure</button></form>
"#;

type Guests = Mutex<VecDeque<(String, String)>>;

async fn page(guests: Arc<Guests>, environ: Environ) -> Result<Response, Response> {
    let (method, path) = (environ.method(), environ.path());
    match (&*method, &*path) {
        ("GET" | "HEAD", "/") => Ok(index(&guests).into_response()),
        ("POST", "/") => sign(&guests, &environ).await.map(IntoResponse::into_response),
        ("POST", "/files") => measure(&environ).await.map(IntoResponse::into_response),
        (_, "/") => Ok(Response::not_allowed("GET, HEAD, POST")),
        (_, "/files") => Ok(Response::not_allowed("POST")),
        _ => Ok((404, "no such page\n").into_response()),
    }
}

fn index(guests: &Guests) -> Html<String> {
    let mut page = PAGE.to_owned();
    for (name, text) in &*guests.lock().unwrap_or_else(PoisonError::into_inner) {
        // Without `escape`, a guest could add scripts to the page.
        let _ = writeln!(page, "<p><b>{}</b>: {}", escape(name), escape(text));
    }
    Html(page)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The fields of the form. One that is missing is empty.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    name: String,
    text: String,
}

async fn sign(guests: &Guests, environ: &Environ) -> Result<Redirect, Response> {
    // 413 if it is larger, 415 if it is no form, 400 if the fields are not those of the type.
    let entry: Entry = environ.form_as(FORM).await?;
    let (name, text) = (entry.name.trim(), entry.text.trim());
    if name.is_empty() {
        return Err((422, "the form has no name\n").into_response());
    }
    let mut guests = guests.lock().unwrap_or_else(PoisonError::into_inner);
    guests.push_front((name.to_owned(), text.to_owned()));
    guests.truncate(ENTRIES);
    // 303: reloading the page does not send the form again.
    Ok(Redirect::to("/"))
}

/// Responds with the name, the type and the length of each file.
async fn measure(environ: &Environ) -> Result<String, Response> {
    let content_type = environ.header("Content-Type").unwrap_or_default();
    let boundary = multer::parse_boundary(content_type)
        .map_err(|_| (415, "this is not a form with files\n").into_response())?;
    let limits = SizeLimit::new().whole_stream(UPLOAD).per_field(FILE);
    let mut form =
        Multipart::with_constraints(environ.input(), boundary, Constraints::new().size_limit(limits));
    let mut lines = String::new();
    while let Some(mut field) = form.next_field().await.map_err(refused)? {
        // A name is whatever the client sends: never use it as a path.
        let name = field.file_name().or(field.name()).unwrap_or_default().escape_debug().to_string();
        let kind = field.content_type().map(ToString::to_string).unwrap_or_default();
        let mut length = 0;
        while let Some(chunk) = field.chunk().await.map_err(refused)? {
            length += chunk.len();
        }
        let _ = writeln!(lines, "{name} {kind}: {length} bytes");
    }
    Ok(lines)
}

/// The response to a form that `multer` does not accept.
fn refused(error: multer::Error) -> Response {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            (413, "a file is too large\n").into_response()
        }
        // The body could not be read: the server has a status for that.
        multer::Error::StreamReadFailed(error) => error.into(),
        error => (400, format!("{error}\n")).into_response(),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let guests = Arc::new(Guests::default());
    let application = site(move |environ| page(guests.clone(), environ));
    let serving =
        Server::new(listener, application).options(Options::public()).serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
