//! The machine of `wsgi-proto`: bytes and calls in, bytes and events out. Time is an argument; nothing here opens a
//! socket or sleeps.
//!
//! `allocations.rs` is a separate binary, see `Cargo.toml`.

mod body_pieces;
mod deadlines;
mod edited_heads;
mod endings;
mod exchanges;
mod external;
mod fuzzed;
mod last_read;
mod last_write;
mod lent_buffers;
mod limits;
mod memory;
mod misuse;
mod one_call;
mod proxy_header;
mod rates;
mod request_line;
mod shutdown;
mod split_invariance;
