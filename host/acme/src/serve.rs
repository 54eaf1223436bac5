//! Who serves what is issued.

use crate::certificate::Certificate;
use crate::name::Name;

/// Takes certificates over, to serve them to clients. Its functions are quick: they are called between
/// the steps of an order.
pub trait Serve: Send + Sync + 'static {
    /// Serve these certificates of the authority, each in the place of the one of its main name before. Those that come
    /// together are given together: there can be thousands.
    fn put(&self, authority: &str, certificates: &[(&Name, &Certificate)]);

    /// Serve no other certificates of the authority than those of these main names.
    fn retain(&self, authority: &str, mains: &[Name]);

    /// Answer handshakes for this name that ask for `acme-tls/1` with this certificate (RFC 8737).
    fn challenge(&self, name: &Name, certificate: &Certificate);

    /// The challenge of this name is over.
    fn challenge_over(&self, name: &Name);
}
