//! A program that prints where it serves, run as a user runs it.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use crate::caller::Caller;
use crate::live::eventually;

/// A running program. It is killed when a test fails.
#[derive(Debug)]
pub struct Program {
    command: String,
    child: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Program {
    /// Starts the program with a free port as its address, and reads the line with the address that it prints.
    ///
    /// # Panics
    ///
    /// It prints no address.
    pub fn start(program: impl AsRef<Path>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.arg("127.0.0.1:0");
        Self::run(command)
    }

    /// Starts it with a listener as systemd passes one: descriptor 3, and the number of the process that it is for. Only
    /// the child knows that number, so a shell sets it and then becomes the program.
    ///
    /// # Panics
    ///
    /// It prints no address.
    pub fn activate(program: impl AsRef<Path>, listener: &TcpListener) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\""])
            .arg(program.as_ref());
        shell.stdin(OwnedFd::from(listener.try_clone().expect("a descriptor")));
        Self::run(shell)
    }

    /// Starts a command, whose arguments may be any.
    ///
    /// # Panics
    ///
    /// It prints no address.
    pub fn run(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut output = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("text");
        let address = line.trim_end().trim_end_matches('/').rsplit_once("//").expect("an address").1;
        let address = address.parse().expect("an address");
        Self { command: format!("{command:?}"), child, output, address }
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection.
    pub fn connect(&self) -> Caller {
        Caller::connect(self.address)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    ///
    /// # Panics
    ///
    /// It prints something that is not text.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line
    }

    /// Sends Ctrl-C; returns the remaining standard output and the standard error.
    ///
    /// # Panics
    ///
    /// It does not end, or fails.
    pub fn stop(self) -> (String, String) {
        self.signal("INT")
    }

    /// Like [`stop`](Self::stop), without the time that a process of `kill` takes.
    ///
    /// # Panics
    ///
    /// It does not end, or fails.
    pub fn stop_at_once(mut self) -> (String, String) {
        use rustix::process::{Pid, Signal, kill_process};

        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::INT).expect("it runs");
        self.end()
    }

    /// Sends a signal; returns the remaining standard output and the standard error.
    ///
    /// # Panics
    ///
    /// It does not end, or fails.
    pub fn signal(mut self, name: &str) -> (String, String) {
        self.send_signal(name);
        self.end()
    }

    /// Sends a signal, and does not wait for the end.
    ///
    /// # Panics
    ///
    /// The process has ended.
    pub fn send_signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", kill.as_str()]).status().expect("there is a shell");
        assert!(sent.success());
    }

    /// Waits for the end; returns the remaining standard output and the standard error.
    ///
    /// # Panics
    ///
    /// It does not end, or fails.
    pub fn end(&mut self) -> (String, String) {
        let (status, output, errors) = self.status();
        assert!(status.success(), "{}: {output} {errors}", self.command);
        (output, errors)
    }

    /// Waits for the end; returns the exit status, the remaining standard output and the standard error.
    ///
    /// # Panics
    ///
    /// It does not end.
    pub fn status(&mut self) -> (ExitStatus, String, String) {
        let mut ended = None;
        eventually("it ends", || {
            ended = self.child.try_wait().expect("it is a child");
            ended.is_some()
        });
        let (mut output, mut errors) = (String::new(), String::new());
        self.output.read_to_string(&mut output).expect("text");
        self.child.stderr.take().expect("it is a pipe").read_to_string(&mut errors).expect("text");
        (ended.expect("it has ended"), output, errors)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program has ended, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
