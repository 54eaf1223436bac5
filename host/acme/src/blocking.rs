//! Work that takes a thread for itself.

use tokio::sync::Semaphore;

use crate::certificate::CertificateError;
use crate::failure::{Failure, Kind};
use crate::store::StoreError;

/// How much of it there is at one time. Thousands of certificates that are due together would else have all threads
/// that may block, and whoever reads a file for a reload waits behind them.
static PLACES: Semaphore = Semaphore::const_new(8);

/// Waits for the disk, or makes keys, where nobody else has to wait for it.
pub(crate) async fn off_thread<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
{
    // Closed by nobody.
    let place = PLACES.acquire().await;
    let work = move || {
        // Until it is done, even when nobody waits for it any more.
        let _place = place;
        work()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(E::into),
        Err(error) => Err(Failure::new(Kind::Store, error)),
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::new(Kind::Store, error)
    }
}

impl From<CertificateError> for Failure {
    fn from(error: CertificateError) -> Failure {
        Failure::new(Kind::Invalid, error)
    }
}
