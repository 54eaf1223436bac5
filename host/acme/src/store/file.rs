//! Files that are written as a whole or not at all, and that only their owner can read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;
use zeroize::Zeroizing;

/// The most bytes that are read: a chain and a key have a few thousand.
const BYTES_MAX: u64 = 1024 * 1024;

/// Makes a folder that only its owner can look into (0700), with those above it, unless it is there. One that is there
/// stays as it is: it may be for others too.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The mode of a folder, where others than its owner can look into it.
pub(super) fn open_mode(folder: &Path) -> io::Result<Option<u32>> {
    let mode = std::fs::metadata(folder)?.mode() & 0o7777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// The number of the user to whom a folder belongs, where it is neither this process's nor root.
pub(super) fn other_owner(folder: &Path) -> io::Result<Option<u32>> {
    let owner = std::fs::metadata(folder)?.uid();
    let is_ours = owner == 0 || owner == geteuid().as_raw();
    Ok((!is_ours).then_some(owner))
}

/// The content, or `None` where there is no such file.
pub(super) fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // A pipe in the place of a file is not waited for.
    let without_waiting = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    let file = match options.read(true).custom_flags(without_waiting).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a file",
        ));
    }
    // Room for all of it at once: growing would leave copies behind.
    let length = metadata.len();
    if length > BYTES_MAX {
        let problem = format!("it is larger than {BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(BYTES_MAX).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Puts a file (0600) in the place of the one before. After a crash it is the one or the other.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut staged = path.as_os_str().to_owned();
    staged.push(".tmp");
    let staged = Path::new(&staged);
    let written = write_new(staged, content).and_then(|()| std::fs::rename(staged, path));
    if written.is_err() {
        // It may hold a key. That it cannot be removed either is said by the first error.
        let _ = std::fs::remove_file(staged);
    }
    written?;
    // The new name is on the disk only with its folder.
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn only_files_of_a_bounded_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(read(&path).unwrap().is_none());
        write(&path, b"content").unwrap();
        assert_eq!(**read(&path).unwrap().unwrap(), *b"content");
        let large = File::create(&path).unwrap();
        large.set_len(BYTES_MAX + 1).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("larger than"));
        assert!(
            read(folder.path())
                .unwrap_err()
                .to_string()
                .contains("not a file")
        );
        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        assert!(read(&pipe).unwrap_err().to_string().contains("not a file"));
    }
}
