//! Behind nginx or another proxy: the client's address and scheme, a unix socket, and the PROXY protocol.
//!
//! `cargo run -p wsgi-cookbook --bin proxied [ADDRESS] [SOCKET] [ADDRESS FOR THE PROXY PROTOCOL]`

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::net::{TcpListener, UnixListener};
use wsgi_tokio::{Environ, Listener, Options, ProxySources, Result, Server, site};

/// The proxies: addresses, networks such as `10.0.0.0/8`, and the unix socket, which only they may open.
const PROXIES: &str = "127.0.0.1, ::1, unix";

/// Sets `REMOTE_ADDR` and `wsgi.url_scheme` to those of the client, if a proxy has sent the request.
fn forwarded(proxies: &ProxySources, environ: &Environ) {
    if !proxies.contains(&environ.endpoints().remote) {
        return;
    }
    // Each proxy appends the address of its peer. The last address that is not a proxy's is the client's.
    // The client may have made up those before it.
    let fields: Vec<_> = environ.headers("X-Forwarded-For").collect();
    let mut client = None;
    for hop in fields.iter().flat_map(|field| field.split(',')).rev() {
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        client = Some(address);
        if !proxies.contains(&SocketAddr::new(address, 0).into()) {
            break;
        }
    }
    if let Some(client) = client {
        environ.set("REMOTE_ADDR", client.to_string());
        // The client's port is unknown.
        environ.remove("REMOTE_PORT");
    }
    // The client may have made up those before the last one, too.
    let schemes = environ.headers("X-Forwarded-Proto").last().unwrap_or_default();
    if let Some(scheme @ ("http" | "https")) = schemes.rsplit(',').next().map(str::trim) {
        environ.set("wsgi.url_scheme", scheme);
    }
}

async fn page(proxies: ProxySources, environ: Environ) -> String {
    forwarded(&proxies, &environ);
    let variable = |name| environ.get(name).unwrap_or_default();
    format!("{} by {}\n", variable("REMOTE_ADDR"), variable("wsgi.url_scheme"))
}

/// A socket that the user and the group of this process may open. Add the user of nginx to the group.
fn unix_listener(path: &Path) -> std::io::Result<UnixListener> {
    // A process that was killed has left its socket behind, and an existing file cannot be bound.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listener = TcpListener::bind(arguments.next().unwrap_or_else(|| "127.0.0.1:8090".into())).await?;
    let mut places = format!("serving http://{}/", listener.local_addr()?);
    // The log shows the client's address. Do this only behind a proxy that overwrites the field.
    let options = Options::public().log_x_forwarded_for(true);
    let proxies: ProxySources = PROXIES.parse()?;
    let trusted = proxies.clone();
    let application = site(move |environ| page(trusted.clone(), environ));
    let mut server = Server::new(listener, application).options(options);
    let socket = arguments.next();
    if let Some(path) = &socket {
        server = server.listener(unix_listener(Path::new(path))?);
    }
    if let Some(address) = arguments.next() {
        let listener = TcpListener::bind(address).await?;
        places += &format!("\nPROXY protocol at http://{}/", listener.local_addr()?);
        // The connection then has the addresses of the client, and `forwarded` has nothing to do.
        server = server.listener(Listener::from(listener).proxy_protocol(proxies));
    }
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("{places}");
    serving.await?;
    if let Some(path) = socket {
        fs::remove_file(path)?;
    }
    Ok(())
}
