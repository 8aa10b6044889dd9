//! The table of raw exchanges on the machine, however the bytes are split. `BLESS=1` writes the answers into the table
//! instead of comparing them; a person then has to review them.

use wsgi_tests::drive::{self, Cut};
use wsgi_tests::table::{Exchange, Table, blessing, each};
use wsgi_tests::wire::difference;

/// A longer exchange is split at every position near its ends, and at some of those between.
const CUT_EVERYWHERE: usize = 1500;

fn tables() -> Vec<Table> {
    Table::all().expect("the files are part of this crate")
}

fn compare(exchange: &Exchange, cut: Cut) -> Result<(), String> {
    let got = drive::answer(exchange, cut).map_err(|error| format!("cut {cut:?}: {error}\n"))?;
    if got == exchange.answer {
        return Ok(());
    }
    Err(format!("cut {cut:?}:\n{}", difference(&exchange.answer.text(), &got.text())))
}

#[test]
fn every_exchange_is_answered_as_written() {
    if blessing() {
        for mut table in tables() {
            for exchange in &mut table.exchanges {
                let name = exchange.name.clone();
                exchange.answer =
                    drive::answer(exchange, Cut::Whole).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            table.write().unwrap();
        }
    } else {
        each(|exchange| compare(exchange, Cut::Whole));
    }
}

#[test]
fn bytes_that_arrive_one_by_one_change_no_answer() {
    if !blessing() {
        each(|exchange| compare(exchange, Cut::Bytewise));
    }
}

#[test]
fn no_cut_changes_an_answer() {
    if blessing() {
        return;
    }
    each(|exchange| {
        let length: usize = exchange.client.iter().map(Vec::len).sum();
        let near_an_end = |at: &usize| *at < CUT_EVERYWHERE / 4 || length - at < CUT_EVERYWHERE / 4;
        (0..=length)
            .filter(|at| length <= CUT_EVERYWHERE || near_an_end(at) || at % 997 == 0)
            .try_for_each(|at| compare(exchange, Cut::At(at)))
    });
}

#[test]
fn the_table_has_an_answer_of_every_status_that_the_machine_gives() {
    let all: Vec<u8> = tables().iter().flat_map(|table| table.text().into_bytes()).collect();
    let all = String::from_utf8(all).unwrap();
    for status in [400, 408, 413, 414, 431, 500, 501, 505] {
        assert!(all.contains(&format!("\nHTTP/1.1 {status} ")), "{status}");
    }
}

#[test]
fn no_two_exchanges_have_the_same_name() {
    let tables = tables();
    let mut names: Vec<_> =
        tables.iter().flat_map(|table| &table.exchanges).map(|exchange| &exchange.name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count >= 80, "there are only {count} exchanges");
}
