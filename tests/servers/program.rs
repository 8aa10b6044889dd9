//! Servers as programs, since signals and limits apply to a whole process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use wsgi_tests::live::eventually;
use wsgi_tests::runtimes::Runtime;

/// A running `echo`; it is killed when the test is over.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    pub(crate) fn start(runtime: Runtime, flags: &str) -> Self {
        let runtime = runtime.flag();
        let mut child = Command::new(env!("CARGO_BIN_EXE_echo"))
            .args(["--runtime", runtime, "--listen", "127.0.0.1:0"])
            .args(flags.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was built");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is a pipe");
        BufReader::new(out).read_line(&mut line).expect("it prints its address");
        let address = line.trim_end().strip_prefix("listening on ").expect("its address");
        Self { address: address.parse().expect("an address"), child }
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        let id = self.child.id().to_string();
        command.args(arguments).arg(&id);
        assert!(command.status().expect("the program exists").success(), "{command:?}");
    }

    pub(crate) fn signal(&self, name: &str) {
        self.run("kill", &[name]);
    }

    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// Waits for the end of the program, and returns its log.
    pub(crate) fn log(mut self) -> String {
        eventually("it ends", || self.child.try_wait().expect("it is a child").is_some());
        let mut text = String::new();
        self.child.stderr.take().expect("it is a pipe").read_to_string(&mut text).expect("text");
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
