//! The programs of the cookbook, run as a reader runs them: each is started, queried over a socket, and stopped by
//! Ctrl-C. `page` compares the page with the programs.

#![cfg(unix)]

mod access_log;
mod blocking;
mod client_certificates;
mod compression;
mod cors;
mod download;
mod errors;
mod etag;
mod events;
mod forms;
mod json;
mod metrics;
mod page;
mod proxied;
mod request_id;
mod request_log;
mod routes;
mod session;
mod state;
mod static_files;
mod systemd;
mod tested;
mod upload;
mod web_socket;
