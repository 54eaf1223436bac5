//! Reading the files that a configuration names, and the configuration itself.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::size;

/// A file that was not read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {problem}", path.display())]
pub struct ReadError {
    /// Its path, as it was given.
    pub path: PathBuf,
    /// Why.
    pub problem: ReadProblem,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadProblem {
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else: a folder, a pipe, a socket, a device.
    #[error("it is not a regular file; name one, or a symlink to one")]
    NotAFile,
    /// It has more bytes than are read.
    #[error("it is larger than {}; check that it is the right file", size::write(*.0))]
    TooLarge(u64),
}

/// All of a regular file of at most `most` bytes; symlinks are followed. Blocks for as long as the file
/// system takes: not for a worker of an async runtime.
///
/// # Errors
/// It cannot be read, is not a regular file, or is larger. Pipes and devices are refused because to open or to
/// read one may wait, or go on, for ever.
pub fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, ReadError> {
    read(path, most).map_err(|problem| ReadError {
        path: path.to_owned(),
        problem,
    })
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, ReadProblem> {
    // Before it is opened: that alone can wait for whoever writes to a pipe.
    if !fs::metadata(path)?.is_file() {
        return Err(ReadProblem::NotAFile);
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > most {
        return Err(ReadProblem::TooLarge(most));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    // It may grow in the meantime, and what is in /proc says that it has no bytes.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(ReadProblem::TooLarge(most));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_a_bound() {
        let manifest = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let whole = fs::read(manifest).unwrap();
        let length = whole.len() as u64;
        assert_eq!(read_file(manifest, length).unwrap(), whole);
        let error = read_file(manifest, length - 1).unwrap_err();
        assert!(matches!(error.problem, ReadProblem::TooLarge(_)));
        assert!(error.to_string().contains("Cargo.toml: it is larger than"));
    }

    #[test]
    fn what_claims_to_be_empty_is_bounded_too() {
        let environment = Path::new("/proc/self/environ");
        assert!(!read_file(environment, 1 << 20).unwrap().is_empty());
        let error = read_file(environment, 1).unwrap_err();
        assert!(matches!(error.problem, ReadProblem::TooLarge(1)));
    }

    #[test]
    fn folders_and_devices_are_not_read() {
        for path in ["/", "/dev/zero", "/dev/null"] {
            let error = read_file(Path::new(path), 1 << 20).unwrap_err();
            assert!(matches!(error.problem, ReadProblem::NotAFile), "{path}");
        }
        let error = read_file(Path::new("/nonexistent"), 1).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot read /nonexistent: No such file")
        );
    }
}
