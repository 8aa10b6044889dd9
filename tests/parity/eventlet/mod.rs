//! Each test of eventlet's own suite for its server, 89 of them: whether it holds here too, and if not, why.
//!
//! The table is in `table.rs`; the checks, one per row and named like the row, are in the other files. They run over
//! real sockets. `docs/from-eventlet.md` is the version for readers.

mod bodies;
mod continues;
mod logs;
mod requests;
mod responses;
mod running;
mod streaming;
mod table;
mod talk;
mod tls;

use std::collections::BTreeSet;

use table::{ROWS, Verdict};

#[test]
fn no_row_is_without_a_verdict_and_a_check() {
    assert_eq!(ROWS.len(), 89);
    assert_eq!(ROWS.iter().map(|row| row.name).collect::<BTreeSet<_>>().len(), 89, "each has its own name");
    let (mut same, mut departures, mut not_applicable) = (0, 0, 0);
    for row in &ROWS {
        let count = match row.verdict {
            Verdict::Same => &mut same,
            Verdict::Departure(why) => {
                println!("departure: {}: {why}", row.name);
                &mut departures
            }
            Verdict::NotApplicable(why) => {
                println!("not applicable: {}: {why}", row.name);
                &mut not_applicable
            }
        };
        *count += 1;
        let applies = !matches!(row.verdict, Verdict::NotApplicable(_));
        assert_eq!(row.check.is_some(), applies, "{}", row.name);
        assert!(row.name.starts_with("test_"), "{}", row.name);
    }
    println!("{same} same, {departures} departures, {not_applicable} not applicable");
    let page =
        include_str!("../../../docs/from-eventlet.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let heard = format!(
        "{same} also hold here, {departures} differ on purpose, {not_applicable} test features of Python"
    );
    assert!(page.contains(&heard), "docs/from-eventlet.md does not contain: {heard}");
}
