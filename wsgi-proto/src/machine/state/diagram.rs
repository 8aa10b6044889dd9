//! Renders the tables: as text for the documentation of this crate, and as diagrams for `ARCHITECTURE.md`.

use alloc::format;
use alloc::string::String;
use core::fmt::Debug;
use std::path::Path;
use std::{env, fs};

use super::tests::*;
use super::*;

/// One table: its name, its description, and its transitions.
struct Table {
    name: &'static str,
    about: &'static str,
    ways: alloc::vec::Vec<(String, String, String)>,
}

fn table<S: Copy + Debug, E: Copy + Debug>(
    name: &'static str,
    about: &'static str,
    states: &[S],
    events: &[E],
    after: impl Fn(S, E) -> Option<S>,
) -> Table {
    let plain = |shown: String| shown.split('(').next().unwrap_or_default().into();
    let mut ways = alloc::vec::Vec::new();
    for &state in states {
        for &event in events {
            if let Some(next) = after(state, event) {
                ways.push((
                    plain(format!("{state:?}")),
                    plain(format!("{event:?}")),
                    plain(format!("{next:?}")),
                ));
            }
        }
    }
    Table { name, about, ways }
}

fn tables() -> [Table; 8] {
    [
        table("Peer's half", "the request", &PEER, &PEER_EVENTS, PeerHalf::after),
        table("Our half", "the response", &OURS, &OUR_EVENTS, OurHalf::after),
        table("Record", "of the exchange, for the log", &RECORDS, &RECORD_EVENTS, RecordState::after),
        table("Ending", "whether another exchange may follow", &ENDINGS, &ENDING_EVENTS, Ending::after),
        table(
            "Last read, last write",
            "before a wait for the peer is given up",
            &LAST_ATTEMPTS,
            &LAST_ATTEMPT_EVENTS,
            LastAttempt::after,
        ),
        table("Room", "whether another connection is waiting for room", &ROOMS, &ROOM_EVENTS, Room::after),
        table("Transport", "the usable directions", &TRANSPORTS, &TRANSPORT_EVENTS, Transport::after),
        table("Phase", "the connection itself", &PHASES, &PHASE_EVENTS, Phase::after),
    ]
}

/// Renders the tables for rustdoc: one line per state, with the transitions out of it.
fn text() -> String {
    let mut text = String::from("```text\n");
    for Table { name, about, ways } in tables() {
        text += &format!("{name} ({about})\n");
        let mut at = 0;
        while at < ways.len() {
            let state = &ways[at].0;
            let mut line = format!("  {state:<12}");
            let mut separator = "";
            while at < ways.len() && ways[at].0 == *state {
                let (_, event, next) = &ways[at];
                if next != state {
                    line += &format!("{separator} {event} -> {next}");
                    separator = ",";
                }
                at += 1;
            }
            if !separator.is_empty() {
                text += &format!("{line}\n");
            }
        }
        text += "\n";
    }
    text.truncate(text.trim_end().len());
    text + "\n```\n"
}

/// Renders the tables as Mermaid diagrams.
fn mermaid() -> String {
    let mut text = String::new();
    for Table { name, about, ways } in tables() {
        text += &format!("{name} ({about}):\n\n```mermaid\nstateDiagram-v2\n    direction LR\n");
        text += &format!("    [*] --> {}\n", ways[0].0);
        for (state, event, next) in ways.iter().filter(|(state, _, next)| state != next) {
            text += &format!("    {state} --> {next}: {event}\n");
        }
        text += "```\n\n";
    }
    text
}

/// Compares the text between the marks of `file` with `wanted`, or replaces it if `BLESS` is set.
fn compare(file: &Path, wanted: &str) {
    const FROM: &str = "<!-- states: made by `BLESS=1 cargo test -p wsgi-proto --lib diagram` -->\n";
    const TO: &str = "<!-- end of states -->\n";
    let all = fs::read_to_string(file).expect("the file is readable");
    let start = all.find(FROM).expect("the file has the start mark") + FROM.len();
    let end = all.find(TO).expect("the file has the end mark");
    if env::var_os("BLESS").is_some() {
        fs::write(file, format!("{}\n{}\n{}", &all[..start], wanted.trim(), &all[end..]))
            .expect("the file is writable");
    } else {
        assert_eq!(all[start..end].trim(), wanted.trim(), "{} is stale (see its start mark)", file.display());
    }
}

#[test]
fn the_state_diagrams_match_the_tables() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    compare(&crate_folder.join("src/machine/states.md"), &text());
    // The packaged crate does not contain `ARCHITECTURE.md`.
    let map = crate_folder.join("../ARCHITECTURE.md");
    if map.exists() {
        compare(&map, &mermaid());
    }
}
