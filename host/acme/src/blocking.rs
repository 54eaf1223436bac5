//! Work that takes a thread for itself.

use crate::certificate::CertificateError;
use crate::failure::{Failure, Kind};
use crate::store::StoreError;

/// Waits for the disk, or makes keys, where nobody else has to wait for it.
pub(crate) async fn off_thread<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
{
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
