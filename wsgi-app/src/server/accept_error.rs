//! Classifies the errors of `accept(2)`.

use std::io;

/// The consequence of an `accept(2)` error for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFailure {
    /// Only one peer is affected: accept the next.
    Peer,
    /// Descriptors or memory ran out: log it, pause, continue.
    Exhausted,
    /// The listener itself is unusable.
    Listener,
}

/// Classifies an error of `accept(2)`. The numbers are those of Linux and, where they differ, of the BSDs and macOS.
pub fn accept_failure(error: &io::Error) -> AcceptFailure {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::OutOfMemory => return AcceptFailure::Exhausted,
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused => {
            return AcceptFailure::Peer;
        }
        Kind::NotConnected | Kind::BrokenPipe | Kind::TimedOut => return AcceptFailure::Peer,
        Kind::PermissionDenied | Kind::Interrupted | Kind::WouldBlock => return AcceptFailure::Peer,
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => return AcceptFailure::Peer,
        Kind::InvalidInput => return AcceptFailure::Listener,
        _ => {}
    }
    match error.raw_os_error() {
        // ENFILE, EMFILE: the same everywhere. ENOBUFS: 105 on Linux, 55 elsewhere.
        Some(23 | 24) => AcceptFailure::Exhausted,
        Some(105) if cfg!(target_os = "linux") => AcceptFailure::Exhausted,
        Some(55) if !cfg!(target_os = "linux") => AcceptFailure::Exhausted,
        // EBADF, ENOTSOCK.
        Some(9 | 88 | 38) => AcceptFailure::Listener,
        // accept(2): "network errors of the new socket are passed on" (EPROTO, ENOPROTOOPT, EHOSTDOWN, ...).
        _ => AcceptFailure::Peer,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn one_peer_never_ends_the_loop() {
        for (number, wanted) in [
            (103, AcceptFailure::Peer),      // ECONNABORTED
            (104, AcceptFailure::Peer),      // ECONNRESET
            (71, AcceptFailure::Peer),       // EPROTO
            (1, AcceptFailure::Peer),        // EPERM
            (107, AcceptFailure::Peer),      // ENOTCONN
            (24, AcceptFailure::Exhausted),  // EMFILE
            (23, AcceptFailure::Exhausted),  // ENFILE
            (105, AcceptFailure::Exhausted), // ENOBUFS
            (12, AcceptFailure::Exhausted),  // ENOMEM
            (22, AcceptFailure::Listener),   // EINVAL
            (9, AcceptFailure::Listener),    // EBADF
        ] {
            assert_eq!(accept_failure(&io::Error::from_raw_os_error(number)), wanted, "{number}");
        }
    }
}
