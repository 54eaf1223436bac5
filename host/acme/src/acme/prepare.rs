//! From settings to what is to be done: stores are opened, what they have is read, keys are made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, Weak};
use std::time::SystemTime;

use super::{Acme, Key, chain};
use crate::authority::Authority;
use crate::certificate::Certificate;
use crate::issuer::Issuer;
use crate::name::{Name, Names};
use crate::permission::Permission;
use crate::renewal::{Loaded, Renewal};
use crate::store::{Shelf, Store, StoreError};

/// A configuration that nothing is wrong with.
pub struct Prepared {
    pub(super) issuers: BTreeMap<Arc<str>, Arc<Issuer>>,
    pub(super) permissions: BTreeMap<Arc<str>, Arc<Permission>>,
    pub(super) certificates: Vec<(Key, Wanted)>,
}

pub(super) enum Wanted {
    /// It is looked after as it should be.
    Kept,
    Loaded(Box<Loaded>),
}

/// What is wrong with the configuration of an authority, or with its store.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct PrepareError {
    /// Its name.
    pub authority: Arc<str>,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Acme {
    /// Opens stores and reads what they have. Changes nothing that runs. Waits for the disk.
    ///
    /// # Errors
    /// What is wrong with an authority: its store cannot be used, or nobody vouches for it.
    pub fn prepare(&self, authorities: Vec<Authority>) -> Result<Prepared, PrepareError> {
        let mut prepared = Prepared {
            issuers: BTreeMap::new(),
            permissions: BTreeMap::new(),
            certificates: Vec::new(),
        };
        let mut lists = Vec::new();
        for mut authority in authorities {
            let name = authority.name.clone();
            // A list that changes is no reason to begin anew with all that is in it.
            lists.push((name.clone(), std::mem::take(&mut authority.certificates)));
            let failed = |reason: String| PrepareError {
                authority: name.clone(),
                reason,
            };
            let issuer = self.issuer(authority).map_err(failed)?;
            if let Some(permission) = self.permission(&issuer).map_err(failed)? {
                prepared.permissions.insert(name.clone(), permission);
            }
            prepared.issuers.insert(name.clone(), issuer);
        }
        for (name, list) in lists {
            let loaded = self.load(&name, list, &prepared);
            let loaded = loaded.map_err(|reason| PrepareError {
                authority: name.clone(),
                reason,
            })?;
            prepared.certificates.extend(loaded);
        }
        Ok(prepared)
    }

    /// The one that runs, where nothing about it changed.
    fn issuer(&self, authority: Authority) -> Result<Arc<Issuer>, String> {
        let before = self.running().issuers.get(&authority.name).cloned();
        if let Some(same) = before.as_ref().filter(|of| of.authority == authority) {
            return Ok(same.clone());
        }
        let store = self.store(&authority).map_err(|error| error.to_string())?;
        let shelf = Shelf::new(store, &authority.name, authority.store_key.clone())
            .map_err(|error| error.to_string())?;
        if before.is_some_and(|before| has_another_key(&before.authority, &authority)) {
            shelf.check().map_err(|error| {
                format!("the key in `encryption` changed, and what it encrypted needs it as it was: {error}")
            })?;
        }
        let issuer = Issuer::new(authority, shelf).map_err(|error| error.to_string())?;
        Ok(Arc::new(issuer))
    }

    /// The one that is open already, as a process can open it once.
    fn store(&self, authority: &Authority) -> Result<Arc<Store>, StoreError> {
        let stores = &self.0.stores;
        let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| store.strong_count() > 0);
        if let Some(known) = stores.get(&authority.store).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let store = Store::open(&authority.store)?;
        stores.insert(authority.store.clone(), Arc::downgrade(&store));
        Ok(store)
    }

    fn permission(&self, issuer: &Issuer) -> Result<Option<Arc<Permission>>, String> {
        let Some(settings) = &issuer.authority.on_demand else {
            return Ok(None);
        };
        let running = self
            .running()
            .permissions
            .get(&issuer.authority.name)
            .cloned();
        if let Some(same) = running.filter(|permission| permission.settings == *settings) {
            return Ok(Some(same));
        }
        let permission = Permission::new(settings.clone()).map_err(|error| error.to_string())?;
        Ok(Some(Arc::new(permission)))
    }

    fn load(
        &self,
        name: &Arc<str>,
        mut list: Vec<Names>,
        prepared: &Prepared,
    ) -> Result<Vec<(Key, Wanted)>, String> {
        let issuers = chain(name, &prepared.issuers);
        let permission = prepared.permissions.get(name);
        let configured = list.len();
        if permission.is_some() {
            list.extend(on_demand_before(&issuers[0], &list)?);
        }
        let mut loaded = Vec::with_capacity(list.len());
        for (place, names) in list.into_iter().enumerate() {
            let key = (name.clone(), names.main().clone());
            if self.is_running(&key, &names, &issuers) {
                loaded.push((key, Wanted::Kept));
                continue;
            }
            let permission = permission.filter(|_| place >= configured);
            let mut renewal = self
                .renewal(names, issuers.clone())
                .map_err(|error| error.to_string())?;
            renewal.permission = permission.cloned();
            let ready = Loaded::new(renewal).map_err(|error| error.to_string())?;
            loaded.push((key, Wanted::Loaded(Box::new(ready))));
        }
        Ok(loaded)
    }

    pub(super) fn renewal(
        &self,
        names: Names,
        issuers: Arc<[Arc<Issuer>]>,
    ) -> Result<Renewal, StoreError> {
        let answering = self.0.answering.clone();
        Renewal::load(names, issuers, answering, &self.0.metrics)
    }

    fn is_running(&self, key: &Key, names: &Names, issuers: &[Arc<Issuer>]) -> bool {
        let running = self.running();
        running.certificates.get(key).is_some_and(|entry| {
            let same = entry.issuers.iter().zip(issuers);
            entry.names == *names
                && entry.issuers.len() == issuers.len()
                && same.fold(true, |all, (old, new)| all && Arc::ptr_eq(old, new))
                && !entry.task.is_finished()
        })
    }
}

fn has_another_key(before: &Authority, now: &Authority) -> bool {
    before.store == now.store && before.store_key != now.store_key
}

/// The names of certificates that clients caused, of the store: they still count.
fn on_demand_before(issuer: &Issuer, list: &[Names]) -> Result<Vec<Names>, String> {
    let listed: BTreeSet<&Name> = list.iter().map(Names::main).collect();
    let mut found = Vec::new();
    let mains = issuer
        .shelf
        .certificates()
        .map_err(|error| error.to_string())?;
    for main in mains {
        if listed.contains(&main) {
            continue;
        }
        // What is damaged or was for other names is nothing that a client caused.
        let pem = issuer.shelf.certificate(&main).ok().flatten();
        let certificate = pem.and_then(|pem| Certificate::from_pem(&pem).ok());
        let names = Names::from(main);
        let counts = |certificate: &Certificate| {
            certificate.is_for(&names) && certificate.validity().expires > SystemTime::now()
        };
        if certificate.as_ref().is_some_and(counts) {
            found.push(names);
        }
    }
    Ok(found)
}
