//! Parity with eventlet: the tests of its server, and the options of its manual.

mod eventlet;
mod options;
