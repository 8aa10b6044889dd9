//! SIGTERM and SIGINT: the first stops a server gracefully, the second ends the process immediately.
//!
//! A separate thread waits for them, so that the code is the same for every runtime.

use std::io;
use std::thread;

use tokio::runtime;
use wsgi_tokio::ServerHandle;

/// Makes signals stop the server of `handle` from now on.
///
/// # Errors
///
/// The system cannot register signals or start a thread.
pub fn stop_by_signal(handle: ServerHandle) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let waiting = move || {
        runtime.block_on(signals.next());
        handle.shutdown();
        runtime.block_on(signals.next());
        #[allow(
            clippy::disallowed_methods,
            reason = "a second signal requests that answers in flight are cut"
        )]
        std::process::exit(130)
    };
    thread::Builder::new().name("signals".into()).spawn(waiting)?;
    Ok(())
}

#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self(tokio::signal::windows::ctrl_c()?))
    }

    async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}
