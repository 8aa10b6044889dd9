//! Binds the addresses of `--listen`. Adapters accept listeners that are already bound, so the program binds them.

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use socket2::SockRef;

use super::options::Place;

/// The backlog of connections that are not accepted yet; std sets 128, and a flood needs more.
const BACKLOG: i32 = 1024;

/// A bound listener, before a runtime takes it. It does not block.
#[derive(Debug)]
pub enum Bound {
    /// An internet address.
    Tcp(TcpListener),
    /// A unix socket, whose file is removed when [`Files`] is dropped.
    #[cfg(unix)]
    Unix(UnixListener),
}

/// The listeners, their addresses (with the actual port for port 0), and the files to remove.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The listeners.
    pub bound: Vec<Bound>,
    /// Their addresses.
    pub places: Vec<Place>,
    /// The files to remove at the end.
    pub files: Files,
}

/// Files of unix sockets that were made here; they are removed when this is dropped.
#[derive(Debug, Default)]
pub struct Files(Vec<PathBuf>);

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            // The file may have been removed already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds all of `places`.
///
/// # Errors
///
/// The first address that cannot be listened on, by name.
pub fn bind(places: &[Place]) -> io::Result<Listeners> {
    let mut listeners = Listeners::default();
    for place in places {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {place}: {error}"));
        match place {
            Place::Tcp(address) => {
                let listener = TcpListener::bind(address).map_err(named)?;
                SockRef::from(&listener).listen(BACKLOG)?;
                listener.set_nonblocking(true)?;
                listeners.places.push(Place::Tcp(listener.local_addr()?));
                listeners.bound.push(Bound::Tcp(listener));
            }
            #[cfg(unix)]
            Place::Unix(path) => {
                let listener = UnixListener::bind(path).map_err(named)?;
                listeners.files.0.push(path.clone());
                SockRef::from(&listener).listen(BACKLOG)?;
                listener.set_nonblocking(true)?;
                listeners.places.push(place.clone());
                listeners.bound.push(Bound::Unix(listener));
            }
            #[cfg(not(unix))]
            Place::Unix(_) => return Err(named(io::ErrorKind::Unsupported.into())),
        }
    }
    Ok(listeners)
}
