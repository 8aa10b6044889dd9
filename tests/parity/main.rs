//! What eventlet promises: the tests of its own suite for its server, and the options of its manual.

mod eventlet;
mod options;
