//! Checks of passwords against their hashes, beside the data path.

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use scrypt::Scrypt;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Bytes of a password.
const PASSWORD_BYTES_MAX: usize = 4096;
/// Bytes of a hash, in text.
const HASH_BYTES_MAX: usize = 512;
/// Memory of one check, in KiB: 256 MiB.
const MEMORY_KIB_MAX: u64 = 256 << 10;
/// Memory times passes, in KiB: some seconds of a processor.
const WORK_KIB_MAX: u64 = 1 << 20;
const ARGON2_LANES_MAX: u32 = 16;
/// Each step doubles the time; 14 takes about a second.
const BCRYPT_COST_MAX: u32 = 14;

/// Bounds of what all plugins check together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordSettings {
    /// Checks that run at one time, each on a thread of its own.
    pub running: usize,
    /// Checks that wait for one of those.
    pub waiting: usize,
}

/// Checks passwords. Cheap to clone; clones share the bounds.
#[derive(Clone)]
pub struct Passwords {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

/// Why a password could not be checked. That it is wrong is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The hash is none that is known.
    #[error("the hash is neither a PHC string of argon2 or scrypt nor one of bcrypt")]
    NotAHash,
    /// Checking the hash would take too much time or memory.
    #[error("the hash costs more than is allowed")]
    TooCostly,
    /// More than 4 KiB.
    #[error("the password has more than 4096 bytes")]
    TooLong,
    /// Too many checks wait already.
    #[error("too many passwords are being checked")]
    Busy,
}

impl Default for PasswordSettings {
    /// One check for each processor.
    fn default() -> PasswordSettings {
        PasswordSettings {
            running: std::thread::available_parallelism().map_or(1, usize::from),
            waiting: 64,
        }
    }
}

impl Passwords {
    /// Nothing is started yet.
    pub fn new(settings: &PasswordSettings) -> Passwords {
        let running = settings.running.min(Semaphore::MAX_PERMITS);
        let admitted = running.saturating_add(settings.waiting);
        Passwords {
            running: Arc::new(Semaphore::new(running)),
            admitted: Arc::new(Semaphore::new(admitted.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Whether the password fits the hash: a PHC string of argon2id, argon2i, argon2d or scrypt, or one of bcrypt
    /// (`$2a$`, `$2b$`, `$2y$`; of the password its first 72 bytes count, as everywhere).
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn verify(&self, hash: &str, password: &[u8]) -> Result<bool, PasswordError> {
        let hash: Hash = hash.parse()?;
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        let admitted = self.admitted.clone().try_acquire_owned();
        let admitted = admitted.map_err(|_| PasswordError::Busy)?;
        let running = self.running.clone().acquire_owned().await;
        let running = running.map_err(|_| PasswordError::Busy)?;
        let password = Zeroizing::new(password.to_vec());
        let checked = tokio::task::spawn_blocking(move || {
            // Held as long as the thread is, also when nobody waits any more.
            let _places = (admitted, running);
            hash.verify(&password)
        });
        checked.await.unwrap_or(Err(PasswordError::Busy))
    }
}

/// A hash that is not too costly to check.
#[derive(Debug)]
enum Hash {
    Argon2(Box<PasswordHash>),
    Scrypt(Box<PasswordHash>),
    Bcrypt(String),
}

impl FromStr for Hash {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Hash, PasswordError> {
        if text.len() > HASH_BYTES_MAX || !text.is_ascii() {
            return Err(PasswordError::NotAHash);
        }
        if ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            let parts = bcrypt::HashParts::from_str(text).map_err(|_| PasswordError::NotAHash)?;
            within(parts.get_cost() <= BCRYPT_COST_MAX)?;
            return Ok(Hash::Bcrypt(text.into()));
        }
        let hash = PasswordHash::new(text).map_err(|_| PasswordError::NotAHash)?;
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(PasswordError::NotAHash);
        }
        match hash.algorithm.as_str() {
            "argon2id" | "argon2i" | "argon2d" => {
                let costs = argon2::Params::try_from(&hash).map_err(|_| PasswordError::NotAHash)?;
                let (memory, passes) = (u64::from(costs.m_cost()), u64::from(costs.t_cost()));
                within(memory <= MEMORY_KIB_MAX && memory * passes <= WORK_KIB_MAX)?;
                within(costs.p_cost() <= ARGON2_LANES_MAX)?;
                Ok(Hash::Argon2(Box::new(hash)))
            }
            "scrypt" => {
                let costs = scrypt::Params::try_from(&hash).map_err(|_| PasswordError::NotAHash)?;
                // RFC 7914 §6: N blocks of 128 r bytes, p times.
                within(costs.log_n() <= 20)?;
                let memory = (u64::from(costs.r()) << costs.log_n()) / 8;
                within(memory <= MEMORY_KIB_MAX)?;
                within(memory * u64::from(costs.p()) <= WORK_KIB_MAX)?;
                Ok(Hash::Scrypt(Box::new(hash)))
            }
            _ => Err(PasswordError::NotAHash),
        }
    }
}

impl Hash {
    fn verify(&self, password: &[u8]) -> Result<bool, PasswordError> {
        use argon2::password_hash::Error;
        let verified = match self {
            Hash::Bcrypt(hash) => {
                return bcrypt::verify(password, hash).map_err(|_| PasswordError::NotAHash);
            }
            Hash::Argon2(hash) => Argon2::default().verify_password(password, &**hash),
            Hash::Scrypt(hash) => Scrypt::new().verify_password(password, &**hash),
        };
        match verified {
            Ok(()) => Ok(true),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(_) => Err(PasswordError::NotAHash),
        }
    }
}

fn within(bound: bool) -> Result<(), PasswordError> {
    bound.then_some(()).ok_or(PasswordError::TooCostly)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of "hunter2", made by argon2-cffi, py-bcrypt and Python's hashlib.
    const HASHES: &[&str] = &[
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQw$m8nXyMBJJ6PY3vbSfp2Jwx0UrdAAv4XrsThaGDB2jL0",
        "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQw$KAj2B1h/Yr3Vvj0MuDb3YFrUxqmPhkn9rkod7Wr6Bnk",
        "$argon2d$v=19$m=64,t=2,p=1$c29tZXNhbHQw$qDcuxQdYkmcOmQZQkmviK39s0M4YUs9B5OCE5vaKOyo",
        "$2a$04$cj.yZXULyHbeJtajReMipePpSOq6sc5JDzla8zgoneaCPSTXwFPh6",
        "$2b$04$O2ahe5wd1jQaRImuBJ9UpeyTOBuiFpDo3jviEiv3GLq0Ov3OKcwrW",
        "$2y$04$O2ahe5wd1jQaRImuBJ9UpeyTOBuiFpDo3jviEiv3GLq0Ov3OKcwrW",
        "$scrypt$ln=10,r=8,p=1$c29tZXNhbHQw$u3QElrZ45uOa4rOpAdnYaBEALvSyRw0H3/cvlpLFtww",
    ];

    fn passwords(running: usize, waiting: usize) -> Passwords {
        Passwords::new(&PasswordSettings { running, waiting })
    }

    #[tokio::test]
    async fn the_right_password_fits_and_no_other() {
        let passwords = passwords(2, 0);
        for hash in HASHES {
            assert_eq!(passwords.verify(hash, b"hunter2").await, Ok(true), "{hash}");
            for wrong in [b"hunter3" as &[u8], b"", b"hunter22", b"\xff"] {
                assert_eq!(passwords.verify(hash, wrong).await, Ok(false), "{hash}");
            }
        }
        let long = [b'x'; PASSWORD_BYTES_MAX + 1];
        assert_eq!(
            passwords.verify(HASHES[0], &long).await,
            Err(PasswordError::TooLong)
        );
    }

    #[test]
    fn costly_hashes_are_refused() {
        let tail = "c29tZXNhbHQw$m8nXyMBJJ6PY3vbSfp2Jwx0UrdAAv4XrsThaGDB2jL0";
        let bcrypt = "O2ahe5wd1jQaRImuBJ9UpeyTOBuiFpDo3jviEiv3GLq0Ov3OKcwrW";
        for costly in [
            format!("$argon2id$v=19$m=262145,t=1,p=1${tail}"),
            format!("$argon2id$v=19$m=4294967295,t=4294967295,p=1${tail}"),
            format!("$argon2id$v=19$m=262144,t=5,p=1${tail}"),
            format!("$argon2id$v=19$m=1024,t=1,p=17${tail}"),
            format!("$scrypt$ln=19,r=8,p=1${tail}"),
            format!("$scrypt$ln=15,r=8,p=1024${tail}"),
            format!("$scrypt$ln=21,r=1,p=1${tail}"),
            format!("$2b$15${bcrypt}"),
            format!("$2b$31${bcrypt}"),
        ] {
            assert_eq!(
                costly.parse::<Hash>().unwrap_err(),
                PasswordError::TooCostly,
                "{costly}"
            );
        }
        for usual in [
            format!("$argon2id$v=19$m=262144,t=4,p=1${tail}"),
            format!("$argon2id$v=19$m=65536,t=3,p=4${tail}"),
            format!("$scrypt$ln=17,r=8,p=1${tail}"),
            format!("$2b$14${bcrypt}"),
        ] {
            assert!(usual.parse::<Hash>().is_ok(), "{usual}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in [
            "",
            "hunter2",
            "$1$salt$hash",
            "$2x$04$O2ahe5wd1jQaRImuBJ9UpeyTOBuiFpDo3jviEiv3GLq0Ov3OKcwrW",
            "$2b$04$O2ahe5wd1jQ",
            "$2b$xx$O2ahe5wd1jQaRImuBJ9UpeyTOBuiFpDo3jviEiv3GLq0Ov3OKcwrW",
            "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQw",
            "$argon2x$v=19$m=64,t=2,p=1$c29tZXNhbHQw$m8nXyMBJJ6PY3vbSfp2Jwx0UrdAAv4XrsThaGDB2jL0",
            "$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQw$m8nXyMBJJ6PY3vbSfp2Jwx0UrdAAv4XrsThaGDB2jL0",
        ] {
            assert_eq!(
                text.parse::<Hash>().unwrap_err(),
                PasswordError::NotAHash,
                "{text}"
            );
        }
    }

    /// With one place to run and one to wait, the third is turned away.
    #[tokio::test]
    async fn the_queue_is_bounded() {
        let passwords = passwords(1, 1);
        let held = passwords.running.clone().acquire_owned().await.unwrap();
        let _admitted = passwords.admitted.clone().try_acquire_owned().unwrap();
        let waiting = tokio::spawn({
            let passwords = passwords.clone();
            async move { passwords.verify(HASHES[0], b"hunter2").await }
        });
        while passwords.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            passwords.verify(HASHES[0], b"x").await,
            Err(PasswordError::Busy)
        );
        drop(held);
        assert_eq!(waiting.await.unwrap(), Ok(true));
    }

    proptest! {
        /// Whatever a hash looks like, reading it ends without a panic.
        #[test]
        fn any_text_is_read(text in "\\$(2b|argon2id|scrypt)\\$[ -~]{0,80}") {
            let _ = text.parse::<Hash>();
        }
    }
}
