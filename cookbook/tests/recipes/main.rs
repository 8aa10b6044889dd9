//! The programs of the cookbook, run as a reader runs them: each is started, queried over a socket, and stopped by
//! Ctrl-C. `page` compares the page with the programs.

#![cfg(unix)]

mod download;
mod forms;
mod json;
mod page;
mod routes;
mod state;
mod upload;
