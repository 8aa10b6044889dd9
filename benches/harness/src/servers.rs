//! The servers: their names in results and reports, and how each is started.

use std::path::Path;

/// A server of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its name in the results.
    pub(crate) name: &'static str,
    /// Its name in the report.
    pub(crate) title: &'static str,
    program: Program,
    words: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Ours,
    Peer,
    Nginx,
}

const fn ours(name: &'static str, title: &'static str, words: &'static [&'static str]) -> Kind {
    Kind { name, title, program: Program::Ours, words }
}

const fn peer(name: &'static str, title: &'static str, words: &'static [&'static str]) -> Kind {
    Kind { name, title, program: Program::Peer, words }
}

/// All servers.
pub(crate) const SERVERS: &[Kind] = &[
    ours("tokio", "wsgi-tokio", &["--kind", "tokio"]),
    ours("std", "wsgi-std", &["--kind", "std"]),
    ours("smol", "wsgi-smol", &["--kind", "smol"]),
    ours("async-std", "wsgi-smol on async-std", &["--kind", "async-std"]),
    ours("tokio-log", "wsgi-tokio, log to a file", &["--kind", "tokio", "--log", "on"]),
    peer("hyper", "hyper", &["--kind", "hyper"]),
    peer("hyper-flush", "hyper, pipeline_flush", &["--kind", "hyper-flush"]),
    peer("actix", "actix-web", &["--kind", "actix"]),
    peer("may", "may_minihttp", &["--kind", "may"]),
    peer("bare-tokio", "bare loop, tokio", &["--kind", "bare-tokio"]),
    peer("bare-smol", "bare loop, smol", &["--kind", "bare-smol"]),
    peer("bare-epoll", "bare loop, epoll", &["--kind", "bare-epoll"]),
    peer("bare-threads", "bare loop, threads", &["--kind", "bare-threads"]),
    Kind { name: "nginx", title: "nginx", program: Program::Nginx, words: &[] },
];

/// The server of this name.
pub(crate) fn named(name: &str) -> Option<Kind> {
    SERVERS.iter().copied().find(|server| server.name == name)
}

/// Its name in the report; cores have other names.
pub(crate) fn title(name: &str) -> &str {
    match name {
        "ours" => "wsgi-proto, three calls and a record",
        "ours-answer" => "wsgi-proto, one call, no record",
        "ours-kept" => "wsgi-proto, kept head",
        "http-net" => "http-net",
        "http-net-prebuilt" => "http-net, prebuilt answer",
        "httparse" => "httparse alone (floor)",
        name => named(name).map_or(name, |server| server.title),
    }
}

impl Kind {
    /// Whether it is one of ours.
    pub(crate) fn is_ours(self) -> bool {
        self.program == Program::Ours
    }

    /// The program and its arguments. `folder` has the programs, `scratch` the files that servers read.
    pub(crate) fn command(self, folder: &Path, scratch: &Path, port: u16, tls: bool) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let program = match self.program {
            Program::Ours => folder.join("bench-ours"),
            Program::Peer => folder.join("bench-peers"),
            Program::Nginx => {
                let settings = text(&scratch.join("nginx.conf"));
                return ["nginx", "-e", "stderr", "-p", &text(scratch), "-c", &settings]
                    .map(str::to_owned)
                    .into();
            }
        };
        let mut command = vec![text(&program)];
        command.extend(self.words.iter().map(|word| (*word).to_owned()));
        command.extend(["--port".to_owned(), port.to_string()]);
        if self.program == Program::Ours {
            command.extend(["--file".to_owned(), text(&scratch.join("file"))]);
        }
        if tls {
            command.extend(["--tls".to_owned(), text(scratch)]);
        }
        command
    }

    /// The configuration of nginx that matches the other servers: one process, the same pages.
    pub(crate) fn settings(self, scratch: &Path, port: u16) -> Option<String> {
        if self.program != Program::Nginx {
            return None;
        }
        let scratch = scratch.display();
        Some(format!(
            "daemon off;\nmaster_process off;\npid {scratch}/nginx.pid;\nerror_log stderr crit;\n\
             worker_rlimit_nofile 20000;\n\
             events {{ worker_connections 16384; }}\n\
             http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 100000000;\n  \
             default_type text/plain;\n  client_body_temp_path {scratch}/body;\n  proxy_temp_path {scratch}/proxy;\n  \
             fastcgi_temp_path {scratch}/fastcgi;\n  uwsgi_temp_path {scratch}/uwsgi;\n  \
             scgi_temp_path {scratch}/scgi;\n  \
             server {{\n    listen 127.0.0.1:{port} backlog=4096;\n    \
             location = / {{ return 200 \"Hello, World!\"; }}\n    \
             location = /file {{ alias {scratch}/file; }}\n  }}\n}}\n"
        ))
    }
}
