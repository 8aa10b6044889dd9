//! Sends a file as the body of a response. The transport sends what is in the system's cache, if it can; everything else
//! is read where a read may block.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use wsgi_proto::{Flow, SendError};

use crate::application::file::{FileRange, ended, read_block};
use crate::connection::request::Failure;
use crate::exchange::file::Stopped;
use crate::exchange::handle::Handle;

/// The largest block that the transport sends.
const BLOCK: u64 = 2 * 1024 * 1024;

/// The distance of the bytes that are looked for in the cache.
const STRIDE: u64 = BLOCK;

/// The largest read, and the block of a transport that has not yet shown that it can send files.
const READ: u64 = 128 * 1024;

/// Sends the range after the head, with the length of the range unless the application set one.
pub(crate) async fn send_file(handle: Handle, range: FileRange) -> Result<(), Failure> {
    let FileRange { file, start, end } = range;
    let handle = &handle;
    let _closes = Closes(handle);
    handle.with(|mut exchange| exchange.announce_length(end - start));
    // The head: it decides whether there is a body.
    send(handle, Bytes::new()).await?;
    // Up to `read_until` the file is read, without another look into the cache.
    let (mut at, mut read_until) = (start, start);
    while at < end && !handle.look(|exchange| exchange.drops_body()).unwrap_or(true) {
        let most = match handle.sends_files() {
            _ if at < read_until => 0,
            Some(true) => (end - at).min(BLOCK),
            Some(false) => 0,
            None => (end - at).min(READ),
        };
        let may_block = handle.server_context().blocking.is_in_place();
        let block = if may_block { most } else { cached(&file, at, most) };
        if block > 0 {
            room(handle).await;
            let sent = handle.send_file(&file, at, block, at + block < end);
            if sent == Err(SendError::Full) {
                // Another handle has filled the outbox.
                continue;
            }
            finish_block(handle, &file).await?;
            sent?;
            at += block;
        } else {
            // A look for a byte brings it into the cache, but not those before it.
            if at >= read_until {
                read_until = at + STRIDE;
            }
            let read = read(handle, &file, at, (end - at).min(READ)).await.map_err(failed)?;
            at += read.len() as u64;
            send(handle, read).await?;
        }
    }
    Ok(())
}

/// Sends one block, then waits until the outbox has room for the next.
async fn send(handle: &Handle, block: Bytes) -> Result<(), SendError> {
    let mut block = Some(block);
    while block.is_some() {
        let sent = handle.with(|mut exchange| {
            // Other handles may have filled the outbox.
            let Some(block) = block.take_if(|_| !exchange.is_full()) else { return Ok(Flow::Full) };
            exchange.send(block)
        });
        if sent.unwrap_or(Err(SendError::Finished))? == Flow::Full {
            room(handle).await;
        }
    }
    Ok(())
}

/// Waits until the outbox has room for a block.
async fn room(handle: &Handle) {
    poll_fn(|context| handle.poll_until(context, |exchange| !exchange.is_full())).await;
}

/// Waits until the block was sent. Reads the rest if the transport cannot send it.
async fn finish_block(handle: &Handle, file: &Arc<File>) -> Result<(), Failure> {
    match poll_fn(|context| handle.poll_file_sent(context)).await {
        Ok(()) => Ok(()),
        Err(Stopped::Ended(at)) => Err(failed(ended(at))),
        Err(Stopped::Unable(mut at)) => {
            while let left @ 1.. = handle.look(|exchange| exchange.external_left()).unwrap_or(0) {
                let read = read(handle, file, at, left.min(READ)).await.map_err(failed)?;
                at += read.len() as u64;
                handle.with(|mut exchange| exchange.supply_external(read));
                poll_fn(|context| handle.poll_supplied(context)).await;
            }
            Ok(())
        }
    }
}

/// Reads up to `most` bytes, at least one.
async fn read(handle: &Handle, file: &Arc<File>, at: u64, most: u64) -> io::Result<Bytes> {
    let file = Arc::clone(file);
    handle.server_context().blocking.run(move || read_block(&file, at, most as usize)).await?
}

fn failed(error: io::Error) -> Failure {
    Failure::Application(Box::new(error))
}

/// The number of bytes from `at`, `most` at most, that are in the system's cache: files are read from front to back, so
/// one byte in a stride shows it.
fn cached(file: &File, at: u64, most: u64) -> u64 {
    let mut found = 0;
    while found < most {
        let next = (found + STRIDE).min(most);
        if !is_cached(file, at + next - 1) {
            break;
        }
        found = next;
    }
    found
}

/// Whether the byte at `last` is in the system's cache. False if the file system does not reveal it, as NFS and FUSE: a
/// transport might wait for the disk, on a thread that other connections need.
fn is_cached(file: &File, last: u64) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::fstatfs;
        use rustix::io::{Errno, ReadWriteFlags, preadv2};

        const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

        let mut byte = [0];
        let slices = &mut [io::IoSliceMut::new(&mut byte)];
        match preadv2(file, slices, last, ReadWriteFlags::NOWAIT) {
            Err(Errno::AGAIN) => false,
            // tmpfs does not reveal it, but has all files in memory.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => fstatfs(file).is_ok_and(|fs| fs.f_type == TMPFS_MAGIC),
            _ => true,
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, last);
        true
    }
}

/// Closes the file at the end, however it is reached.
struct Closes<'a>(&'a Handle);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close_file();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_does_not_reveal_its_cache_has_none() {
        let status = File::open("/proc/self/status").expect("Linux has it");
        assert!(!is_cached(&status, 0));
    }

    #[test]
    fn the_files_of_tmpfs_are_in_memory() {
        let path = format!("/dev/shm/wsgi-app-{}", std::process::id());
        // It may be another file system, or missing.
        if std::fs::write(&path, "content").is_ok() {
            let file = File::open(&path).expect("it exists");
            std::fs::remove_file(&path).expect("it exists");
            assert!(is_cached(&file, 0));
        }
    }
}
