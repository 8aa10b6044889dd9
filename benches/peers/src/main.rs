//! Other servers with one core for everything: `bench-peers --kind KIND --port N [--tls DIR]`.
//!
//! | kind | server |
//! | --- | --- |
//! | `hyper`, `hyper-flush` | hyper on one thread of tokio, with its defaults and with `pipeline_flush` |
//! | `actix` | actix-web with one worker |
//! | `may` | may_minihttp with one worker; it knows no chunked bodies |
//! | `bare-tokio`, `bare-smol`, `bare-epoll`, `bare-threads` | a fixed answer for each read, without parsing |
//!
//! The pages are those of `bench-ours`.

mod actix;
mod bare;
mod hyper_server;
mod may_server;
mod pieces;

use std::io;
use std::process::ExitCode;

use bench_common::arguments::Arguments;
use bench_common::server::listen;

fn serve(arguments: &Arguments) -> io::Result<()> {
    let port = arguments.port;
    match arguments.kind.as_str() {
        "hyper" => hyper_server::serve(listen(port)?, arguments.tls.as_deref(), false),
        "hyper-flush" => hyper_server::serve(listen(port)?, arguments.tls.as_deref(), true),
        "actix" => actix::serve(listen(port)?),
        "may" => may_server::serve(port),
        "bare-tokio" => bare::on_tokio(listen(port)?),
        "bare-smol" => bare::on_smol(listen(port)?),
        "bare-epoll" => bare::on_epoll(listen(port)?),
        "bare-threads" => bare::on_threads(listen(port)?),
        _ => Err(io::Error::other("not a server")),
    }
}

fn main() -> ExitCode {
    let served = Arguments::from_env()
        .and_then(|arguments| serve(&arguments).map_err(|error| format!("{}: {error}", arguments.kind)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-peers: {why}");
            ExitCode::FAILURE
        }
    }
}
