//! The range of a file that is the body of a response.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// A range of a regular file. The file was long enough when it was made.
pub(crate) struct FileRange {
    pub(crate) file: Arc<File>,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl FileRange {
    pub(crate) fn new(file: Arc<File>, range: &impl RangeBounds<u64>) -> io::Result<Self> {
        let length = regular(&file)?.len();
        let start = match range.start_bound() {
            Bound::Included(&start) => Some(start),
            Bound::Excluded(&before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.checked_add(1),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => Some(length),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= length => Ok(Self { file, start, end }),
            (Some(start), Some(end)) => {
                Err(invalid(format!("range {start}..{end} is not within a file of {length} bytes")))
            }
            _ => Err(invalid(format!("range is not within a file of {length} bytes"))),
        }
    }
}

impl FileRange {
    /// Reads the first block of the range, of at most `most` bytes; `None` at its end. After an error the range is the same
    /// as before.
    pub(crate) fn next_block(&mut self, most: usize) -> Option<io::Result<Bytes>> {
        let most = usize::try_from(self.end - self.start).map_or(most, |left| left.min(most));
        let read = (most > 0).then(|| read_block(&self.file, self.start, most))?;
        if let Ok(block) = &read {
            self.start += block.len() as u64;
        }
        Some(read)
    }
}

/// The metadata of a file that can be a body.
pub(crate) fn regular(file: &File) -> io::Result<Metadata> {
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok(metadata) } else { Err(invalid("not a regular file".into())) }
}

/// Reads up to `most` bytes at `at`, at least one.
pub(crate) fn read_block(file: &File, at: u64, most: usize) -> io::Result<Bytes> {
    let mut block = BytesMut::zeroed(most);
    let count = read_at(file, &mut block, at)?;
    if count == 0 {
        return Err(ended(at));
    }
    block.truncate(count);
    Ok(block.freeze())
}

/// The error of a file that ends at `at`, before the end of its range.
pub(crate) fn ended(at: u64) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, format!("the file has become shorter: it ends at byte {at}"))
}

fn read_at(file: &File, space: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(file, space, at);
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(file, space, at);
        #[cfg(not(any(unix, windows)))]
        let read = {
            use std::io::{Read, Seek, SeekFrom};
            let mut file = file;
            file.seek(SeekFrom::Start(at)).and_then(|_| file.read(space))
        };
        match read {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(File::open("Cargo.toml").expect("cargo runs the tests in this folder"))
    }

    #[test]
    fn a_range_is_within_the_file() {
        let length = file().metadata().expect("it is open").len();
        let range = |range: FileRange| (range.start, range.end);
        for (found, wanted) in [
            (FileRange::new(file(), &..), (0, length)),
            (FileRange::new(file(), &(5..)), (5, length)),
            (FileRange::new(file(), &(..5)), (0, 5)),
            (FileRange::new(file(), &(2..=5)), (2, 6)),
            (FileRange::new(file(), &(length..)), (length, length)),
            (FileRange::new(file(), &(3..3)), (3, 3)),
            (FileRange::new(file(), &(..=length - 1)), (0, length)),
            (FileRange::new(file(), &(Bound::Excluded(1), Bound::Unbounded)), (2, length)),
        ] {
            assert_eq!(found.map(range).expect("it is within the file"), wanted);
        }
    }

    #[test]
    fn another_range_is_an_error_that_names_it() {
        let length = file().metadata().expect("it is open").len();
        #[expect(clippy::reversed_empty_ranges, reason = "an application may make one")]
        for (found, wanted) in [
            (FileRange::new(file(), &(5..4)), "range 5..4 is not within a file of"),
            (FileRange::new(file(), &(length + 1..)), "is not within a file of"),
            (FileRange::new(file(), &(..=length)), "is not within a file of"),
            (FileRange::new(file(), &(..=u64::MAX)), "range is not within a file of"),
            (FileRange::new(file(), &(Bound::Excluded(u64::MAX), Bound::Unbounded)), "range is not within"),
        ] {
            let error = found.err().expect("it is not within the file");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_a_regular_file_has_a_range() {
        let folder = Arc::new(File::open(".").expect("a folder can be opened"));
        let error = FileRange::new(folder, &..).err().expect("a folder is not a file");
        assert_eq!(error.to_string(), "not a regular file");
    }
}
