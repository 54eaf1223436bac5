//! Compiled code on disk, so that a start with many plugins does not compile them again.
//!
//! Wasmtime runs what it deserialises: compiled code is trusted code. So each entry carries an
//! HMAC-SHA-256 under a key that only this user can read, and an entry that does not match is treated
//! as absent. Entries are named by the component's digest and the engine's own compatibility hash;
//! they are written aside and renamed, never overwritten in place.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

const TAG_BYTES: usize = 32;
/// One block of SHA-256, which is what HMAC makes of a key anyway.
const KEY_BYTES: usize = 64;

/// The cache directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the compiled-code cache at {}: {reason}", path.display())]
pub struct CacheError {
    path: PathBuf,
    reason: String,
}

/// A directory of compiled components.
pub(crate) struct Cache {
    directory: PathBuf,
    key: [u8; KEY_BYTES],
}

impl Cache {
    /// Open or create the directory, which has to belong to this user and be closed to others.
    pub(crate) fn open(directory: &Path) -> Result<Cache, CacheError> {
        let fail = |reason: String| CacheError {
            path: directory.to_owned(),
            reason,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| fail(e.to_string()))?;
        let metadata = fs::metadata(directory).map_err(|e| fail(e.to_string()))?;
        let user = fs::metadata("/proc/self")
            .map_err(|e| fail(e.to_string()))?
            .uid();
        if metadata.uid() != user {
            return Err(fail(
                "it belongs to another user; compiled code is trusted code".into(),
            ));
        }
        if metadata.permissions().mode() & 0o022 != 0 {
            return Err(fail(
                "other users can write to it; compiled code is trusted code (chmod go-w)".into(),
            ));
        }
        let key = key(&directory.join("key"), user).map_err(|e| fail(e.to_string()))?;
        Ok(Cache {
            directory: directory.to_owned(),
            key,
        })
    }

    /// The compiled form of the component with this digest, if it is there and whole.
    pub(crate) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(engine, digest);
        let entry = fs::read(&path).ok()?;
        let (tag, code) = entry.split_at_checked(TAG_BYTES)?;
        if self.mac(&path, code).verify_slice(tag).is_err() {
            tracing::warn!(path = %path.display(), "cached code was changed since it was written; compiling again");
            return None;
        }
        match deserialize(engine, code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!(%error, "cached code does not fit this engine");
                None
            }
        }
    }

    /// Keep a compiled component. A cache that cannot be written costs time, not correctness.
    pub(crate) fn put(&self, engine: &Engine, digest: &str, code: &[u8]) {
        let path = self.path(engine, digest);
        if let Err(error) = self.write(&path, code) {
            tracing::warn!(path = %path.display(), %error, "cannot keep compiled code");
        }
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let aside = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(&self.mac(path, code).finalize().into_bytes())?;
        file.write_all(code)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    }

    fn path(&self, engine: &Engine, digest: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name = format!("{digest}-{:016x}.cwasm", hasher.finish());
        self.directory.join(name)
    }

    /// The name is part of what is authenticated: one entry cannot stand in for another.
    fn mac(&self, path: &Path, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new(&self.key.into());
        let name = path.file_name().unwrap_or_default();
        mac.update(name.as_encoded_bytes());
        mac.update(&[0]);
        mac.update(&Sha256::digest(code));
        mac
    }
}

/// The key of the directory, made at first use.
fn key(path: &Path, owner: u32) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    match fs::File::open(path) {
        Ok(mut file) => {
            let metadata = file.metadata()?;
            if metadata.permissions().mode() & 0o077 != 0 || metadata.uid() != owner {
                return Err(io::Error::other("the key file is readable by others"));
            }
            file.read_exact(&mut key)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
            let aside = path.with_extension(std::process::id().to_string());
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&aside)?;
            file.write_all(&key)?;
            fs::rename(&aside, path)?;
        }
        Err(error) => return Err(error),
    }
    Ok(key)
}

/// The one place where compiled code becomes runnable. `code` is an entry that was authenticated, or what our
/// [compiler](crate::Compiler) has just given.
#[allow(
    unsafe_code,
    reason = "deserialising compiled code is unsafe by nature"
)]
pub(crate) fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is what Wasmtime's compiler gave. Either it was authenticated under a key that only
    // this process's user can read; or it was compiled here, or by a process that this one has started
    // itself for that, and that nobody else could answer for. Wasmtime itself checks version and settings.
    unsafe { Component::deserialize(engine, code) }
}
