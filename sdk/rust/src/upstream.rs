//! The upstream of the request.

use crate::Error;
use crate::host::upstream as host;

/// The upstream of the request: a named group of peers. [`Plugin::on_upstream_choice`] may choose;
/// from there on it can be read.
///
/// [`Plugin::on_upstream_choice`]: crate::Plugin::on_upstream_choice
#[derive(Debug)]
pub struct Upstream(());

impl Upstream {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// The group: the route's, or the one that was chosen.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPhase`] where no upstream was asked.
    pub fn group(&self) -> Result<String, Error> {
        host::group()
    }

    /// The peers of a group, as the configuration names them.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] where it was not granted, [`Error::InvalidName`] where it was and is not
    /// there.
    pub fn peers(&self, group: &str) -> Result<Vec<String>, Error> {
        host::peers(group)
    }

    /// Ask this group: the route's own, or one that the operator granted (`upstreams`).
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] where it was not granted, [`Error::InvalidName`] where it was and is not
    /// there.
    pub fn choose_group(&mut self, group: &str) -> Result<(), Error> {
        host::choose_group(group)
    }

    /// Ask this peer of the group first. Further attempts go to the next peers in turn.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] where the group has no such peer.
    pub fn choose_peer(&mut self, peer: &str) -> Result<(), Error> {
        host::choose_peer(peer)
    }

    /// The peer that is asked, from [`Plugin::on_upstream_request`] on.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPhase`] before.
    ///
    /// [`Plugin::on_upstream_request`]: crate::Plugin::on_upstream_request
    pub fn peer(&self) -> Result<String, Error> {
        host::peer()
    }

    /// Which attempt this is, from 1; from [`Plugin::on_upstream_request`] on.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPhase`] before.
    ///
    /// [`Plugin::on_upstream_request`]: crate::Plugin::on_upstream_request
    pub fn attempt(&self) -> Result<u32, Error> {
        host::attempt()
    }
}
