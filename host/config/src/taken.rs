//! Addresses that are taken: no two listeners can have the same one.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::Admin;
use crate::address::Address;
use crate::listen_address::ListenAddress;
use crate::listener::Listener;
use crate::located::Located;
use crate::resolve::Resolver;

/// Who has which address.
pub(crate) struct Taken {
    owners: HashMap<ListenAddress, String>,
    /// Ports that an address of IPv6 takes for IPv4, too.
    dual_stack: HashMap<u16, String>,
    /// Ports that addresses of IPv4 have.
    v4: HashMap<u16, String>,
}

impl Taken {
    pub(crate) fn by(admin: &Admin) -> Self {
        let mut taken = Self {
            owners: HashMap::new(),
            dual_stack: HashMap::new(),
            v4: HashMap::new(),
        };
        if let Some(address) = &admin.address {
            taken.note(&ListenAddress::Bind(address.clone()), false, "[admin]");
        }
        taken
    }

    /// The listener has the address, unless another one has it.
    pub(crate) fn take(
        &mut self,
        address: &Located<ListenAddress>,
        listener: &Listener,
        resolver: &mut Resolver,
    ) {
        let dual = !listener.socket.v6_only;
        if let Some(owner) = self.owner(&address.value, dual) {
            resolver.reject(
                address.span,
                format!("`{}` is taken by {owner}", address.value),
                "choose another address",
            );
        }
        let name = format!("the listener `{}`", listener.name);
        self.note(&address.value, dual, &name);
    }

    fn owner(&self, address: &ListenAddress, dual: bool) -> Option<&String> {
        let overlap = match socket(address) {
            // The system chooses another port for each port 0.
            Some(socket) if socket.port() == 0 => return None,
            Some(SocketAddr::V4(v4)) => self.dual_stack.get(&v4.port()),
            Some(v6) if dual && v6.ip().is_unspecified() => self.v4.get(&v6.port()),
            _ => None,
        };
        self.owners.get(address).or(overlap)
    }

    fn note(&mut self, address: &ListenAddress, dual: bool, owner: &str) {
        let owner = || owner.to_owned();
        self.owners.entry(address.clone()).or_insert_with(owner);
        match socket(address) {
            Some(SocketAddr::V4(v4)) => {
                self.v4.entry(v4.port()).or_insert_with(owner);
            }
            Some(v6) if dual && v6.ip().is_unspecified() => {
                self.dual_stack.entry(v6.port()).or_insert_with(owner);
            }
            _ => {}
        }
    }
}

fn socket(address: &ListenAddress) -> Option<SocketAddr> {
    match address {
        ListenAddress::Bind(Address::Socket(socket)) => Some(*socket),
        _ => None,
    }
}
