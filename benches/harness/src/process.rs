//! A server that runs: started on its processor, ready when it answers, ended with its handle.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::pinning::Pinning;
use crate::servers::Kind;
use crate::usage;

/// How long a server may take to answer; Python under callgrind needs a part of it.
const START: Duration = Duration::from_secs(120);
/// How long it may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(10);

/// Where the programs and the files of a run are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The folder of the programs.
    pub(crate) programs: PathBuf,
    /// The folder for certificates, logs and settings.
    pub(crate) scratch: PathBuf,
    /// The processors.
    pub(crate) pinning: Pinning,
}

/// A program that a server runs under, with all of its arguments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Under {
    /// The words before the server's own command.
    pub(crate) words: Vec<String>,
    /// Whether the server is a child of that program, instead of being replaced by it.
    pub(crate) is_parent: bool,
    /// Whether the server may use the client's processor, too.
    pub(crate) anywhere: bool,
}

/// A running server. Invariant: when this is dropped, the process has ended.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    is_parent: bool,
    log: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    ///
    /// It cannot be started, ends, or does not answer.
    pub(crate) fn start(kind: Kind, places: &Places, tls: bool, under: &Under) -> io::Result<Self> {
        let address = free_address()?;
        if let Some(settings) = kind.settings(&places.scratch, address.port()) {
            fs::write(places.scratch.join("nginx.conf"), settings)?;
        }
        let words = kind.command(&places.programs, &places.scratch, address.port(), tls);
        Self::launch(kind.name, &words, None, address, places, tls, under)
    }

    /// Starts any command that serves this address, in this folder, and waits until it answers.
    ///
    /// # Errors
    ///
    /// Like [`start`](Self::start).
    pub(crate) fn launch(
        name: &str,
        words: &[String],
        folder: Option<&Path>,
        address: SocketAddr,
        places: &Places,
        tls: bool,
        under: &Under,
    ) -> io::Result<Self> {
        let words = [&under.words, words].concat();
        let log = places.scratch.join(format!("{name}.log"));
        let errors = File::create(&log)?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        if under.anywhere {
            places.pinning.as_both()?
        } else {
            places.pinning.as_server()?
        }
        let process = command.spawn();
        places.pinning.as_client()?;
        let named = |error| io::Error::other(format!("`{}` did not start: {error}", words[0]));
        let mut server = Self { process: process.map_err(named)?, is_parent: under.is_parent, log, address };
        server.wait_until_it_answers(tls)?;
        Ok(server)
    }

    fn wait_until_it_answers(&mut self, tls: bool) -> io::Result<()> {
        let limit = Instant::now() + START;
        while Instant::now() < limit {
            if let Some(status) = self.process.try_wait()? {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(io::Error::other(format!("ended with {status}: {}", log.trim())));
            }
            // Under TLS an accepted connection is enough.
            if answers(self.address, tls).is_ok() {
                return Ok(());
            }
            pause();
        }
        Err(io::Error::other("does not answer"))
    }

    /// The process of the server itself.
    pub(crate) fn id(&self) -> u32 {
        let own = self.process.id();
        if self.is_parent { usage::child(own).unwrap_or(own) } else { own }
    }

    /// Ends the server and returns what it, or the program above it, wrote to standard error.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub(crate) fn stop(mut self) -> io::Result<String> {
        self.end()?;
        fs::read_to_string(&self.log)
    }

    fn end(&mut self) -> io::Result<()> {
        if self.process.try_wait()?.is_some() {
            return Ok(());
        }
        if let Some(id) = Pid::from_raw(self.id() as i32) {
            kill_process(id, Signal::TERM)?;
        }
        let limit = Instant::now() + STOP;
        while self.process.try_wait()?.is_none() {
            if Instant::now() > limit {
                // With its workers, which would otherwise go on serving.
                for id in usage::tree(self.process.id()).into_iter().rev() {
                    if let Some(id) = Pid::from_raw(id as i32) {
                        let _ = kill_process(id, Signal::KILL);
                    }
                }
                self.process.wait()?;
                return Err(io::Error::other("did not end after SIGTERM"));
            }
            pause();
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.end().is_err() {
            // Both fail only if it has already ended and been waited for.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// An address without a listener.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn answers(address: SocketAddr, tls: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    if tls {
        return Ok(());
    }
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&bench_common::requests::get_and_close("/"))?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    if start.starts_with(b"HTTP/1.") { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Whether a program is installed.
pub(crate) fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// The folder of this program, where cargo puts all of them.
pub(crate) fn programs() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().unwrap_or(Path::new(".")).to_path_buf())
}

#[allow(clippy::disallowed_methods, reason = "std has no wait for a process with a time limit")]
fn pause() {
    thread::sleep(Duration::from_millis(5));
}
