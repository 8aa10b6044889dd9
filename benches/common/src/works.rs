//! The works of a core in memory, and how the programs run them: `PROGRAM [CORE] WORK COUNT` prints the processor time
//! of one repetition in nanoseconds.

use crate::requests;

/// What a core does once per repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Reads the smallest request, answers with 13 bytes.
    Hello,
    /// Reads the request of a browser, answers with 13 bytes.
    Browser,
    /// Reads the smallest request, answers with 1,000 pieces of 16 bytes, each a chunk.
    Chunks,
    /// Reads 1 MiB in chunks of 16 KiB, answers with 13 bytes.
    Upload,
}

impl Work {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hello, Self::Browser, Self::Chunks, Self::Upload];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Browser => "browser",
            Self::Chunks => "chunks",
            Self::Upload => "upload",
        }
    }

    /// The work of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|work| work.name() == name)
    }

    /// The bytes that arrive before the application is called.
    pub fn request(self) -> Vec<u8> {
        match self {
            Self::Hello | Self::Chunks => requests::HELLO.to_vec(),
            Self::Browser => requests::browser("/"),
            Self::Upload => requests::chunked_head("/upload"),
        }
    }

    /// The bytes that arrive afterwards.
    pub fn body(self) -> Vec<u8> {
        if self == Self::Upload { requests::chunked_body() } else { Vec::new() }
    }
}

/// The status of a program that does not know the requested core or work.
pub const UNKNOWN: u8 = 3;
