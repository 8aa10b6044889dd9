//! Binds what `--listen` names. Adapters take listeners that are bound already, so this is the program's part.

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use socket2::SockRef;

use super::options::Place;

/// Connections that the system keeps until they are accepted; std asks for 128, and a flood needs more.
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

/// The listeners, where they listen (with the port that was given for 0), and the files to remove.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The listeners.
    pub bound: Vec<Bound>,
    /// Where they listen.
    pub places: Vec<Place>,
    /// The files to remove in the end.
    pub files: Files,
}

/// Files of unix sockets that were made here; they are removed when this is dropped.
#[derive(Debug, Default)]
pub struct Files(Vec<PathBuf>);

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            // Somebody may have removed it before.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds all of `places`.
///
/// # Errors
///
/// The first place that cannot be listened on, by name.
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
