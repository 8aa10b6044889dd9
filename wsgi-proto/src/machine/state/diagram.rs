//! The tables as pictures: the text in the documentation of this crate, and the diagrams in `ARCHITECTURE.md`.

use alloc::format;
use alloc::string::String;
use core::fmt::Debug;
use std::path::Path;
use std::{env, fs};

use super::tests::*;
use super::*;

/// One table: what it is called, and its ways.
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
        table("Record", "its account", &RECORDS, &RECORD_EVENTS, RecordState::after),
        table("Ending", "whether another exchange may follow", &ENDINGS, &ENDING_EVENTS, Ending::after),
        table(
            "Last read",
            "the one more before a wait for the peer is given up",
            &LAST_READS,
            &LAST_READ_EVENTS,
            LastRead::after,
        ),
        table("Room", "the place that others may wait for", &ROOMS, &ROOM_EVENTS, Room::after),
        table("Transport", "what still can be carried", &TRANSPORTS, &TRANSPORT_EVENTS, Transport::after),
        table("Phase", "the connection itself", &PHASES, &PHASE_EVENTS, Phase::after),
    ]
}

/// For rustdoc: one line a state, with the ways out of it.
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

/// For pages that draw it.
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

/// Compares what stands between the marks of `file` with `wanted`; with `BLESS=1` it is written anew.
fn compare(file: &Path, wanted: &str) {
    const FROM: &str = "<!-- states: made by `BLESS=1 cargo test -p wsgi-proto --lib diagram` -->\n";
    const TO: &str = "<!-- end of states -->\n";
    let all = fs::read_to_string(file).expect("it can be read");
    let start = all.find(FROM).expect("it has the mark") + FROM.len();
    let end = all.find(TO).expect("it has the mark of the end");
    if env::var_os("BLESS").is_some() {
        fs::write(file, format!("{}\n{}\n{}", &all[..start], wanted.trim(), &all[end..]))
            .expect("it can be written");
    } else {
        assert_eq!(all[start..end].trim(), wanted.trim(), "{} is stale, see its mark", file.display());
    }
}

#[test]
fn the_pictures_of_the_states_are_those_of_the_tables() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    compare(&crate_folder.join("src/machine/states.md"), &text());
    // The packaged crate has no map around it.
    let map = crate_folder.join("../ARCHITECTURE.md");
    if map.exists() {
        compare(&map, &mermaid());
    }
}
