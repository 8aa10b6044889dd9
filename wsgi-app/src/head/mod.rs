//! The head of a response as values: its status, its header fields, and the functions that change them.

pub(crate) mod headers;
pub(crate) mod maps;
pub(crate) mod status;
