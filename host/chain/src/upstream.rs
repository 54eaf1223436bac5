//! The choice of an upstream, as plugins see it.

use crate::{Exchange, Phase, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of upstreams, and of the peers of each.
pub type Groups = BTreeMap<Arc<str>, Box<[Arc<str>]>>;

/// The upstream that a request goes to.
#[derive(Clone, Debug, Default)]
pub struct Upstreams {
    /// Those that there are.
    pub groups: Arc<Groups>,
    /// The route's.
    pub route: Option<Arc<str>>,
    /// The one that a plugin chose.
    pub chosen: Option<Arc<str>>,
    /// The peer that a plugin chose, by its index in the group.
    pub chosen_peer: Option<usize>,
    /// The one that was asked last.
    pub asked: Option<Arc<str>>,
    /// The peer that was asked last.
    pub peer: Option<Arc<str>>,
    /// How many attempts there were, this one included.
    pub attempt: u32,
}

impl Upstreams {
    /// The one that will be asked.
    pub fn group(&self) -> Option<&Arc<str>> {
        self.chosen.as_ref().or(self.route.as_ref())
    }
}

impl Exchange {
    /// Ask this upstream instead of the route's; `granted` are those that the plugin may choose
    /// besides.
    ///
    /// # Errors
    /// Not in [`Phase::UpstreamChoice`], unknown, or not granted.
    pub fn choose_group(
        &mut self,
        group: &str,
        granted: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        self.choosing()?;
        let choice = &self.upstreams;
        let own = choice.route.as_deref() == Some(group);
        // Which groups there are is nothing that a plugin finds out by trying.
        if !own && !granted(group) {
            return Err(Refusal::Forbidden);
        }
        let (name, _) = choice
            .groups
            .get_key_value(group)
            .ok_or(Refusal::InvalidName)?;
        let name = name.clone();
        self.remember_choice();
        self.upstreams.chosen = Some(name);
        self.upstreams.chosen_peer = None;
        Ok(())
    }

    /// Ask this peer first.
    ///
    /// # Errors
    /// Not in [`Phase::UpstreamChoice`], or not a peer of the group.
    pub fn choose_peer(&mut self, peer: &str) -> Result<(), Refusal> {
        self.choosing()?;
        let choice = &self.upstreams;
        let group = choice.group().ok_or(Refusal::WrongPhase)?;
        let peers = choice.groups.get(group).ok_or(Refusal::InvalidName)?;
        let index = peers.iter().position(|name| **name == *peer);
        let index = index.ok_or(Refusal::InvalidName)?;
        self.remember_choice();
        self.upstreams.chosen_peer = Some(index);
        Ok(())
    }

    fn choosing(&self) -> Result<(), Refusal> {
        if self.phase == Some(Phase::UpstreamChoice) {
            Ok(())
        } else {
            Err(Refusal::WrongPhase)
        }
    }
}
