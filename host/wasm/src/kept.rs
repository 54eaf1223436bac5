//! Instances that an exchange keeps for itself, from its first streamed data on.

use crate::instance::Instance;
use crate::pool::{Place, Pool};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_chain::{Action, Call, Phase};

/// An instance that goes back to its pool when its exchange is over, unless a body was cut off in the
/// middle: what the instance remembers of that is nothing for another exchange.
pub(crate) struct KeptInstance {
    /// In a lock that nobody ever waits for: a store cannot be shared, and an exchange has to be.
    instance: Mutex<Option<Box<Instance>>>,
    open: OpenBodies,
    pool: Arc<Pool>,
    place: Option<Place>,
}

/// Bodies that have begun and not ended on an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenBodies(u8);

impl OpenBodies {
    /// A call was answered.
    pub(crate) fn after(self, call: &Call<'_>, action: &Action) -> OpenBodies {
        let (bit, open) = match call.phase {
            Phase::RequestBody => (1, call.keep && !call.end),
            Phase::ResponseBody => (2, call.keep && !call.end),
            Phase::ReplyBody => (4, matches!(action, Action::Piece(Some(_)))),
            _ => return self,
        };
        OpenBodies(if open { self.0 | bit } else { self.0 & !bit })
    }
}

impl KeptInstance {
    pub(crate) fn new(
        instance: Box<Instance>,
        open: OpenBodies,
        pool: &Arc<Pool>,
        place: Place,
    ) -> KeptInstance {
        KeptInstance {
            instance: Mutex::new(Some(instance)),
            open,
            pool: pool.clone(),
            place: Some(place),
        }
    }

    /// The instance, for a call.
    pub(crate) fn take(mut self) -> Option<(Box<Instance>, OpenBodies, Place)> {
        let instance = self.instance.get_mut();
        let instance = instance.unwrap_or_else(PoisonError::into_inner).take()?;
        Some((instance, self.open, self.place.take()?))
    }
}

impl Drop for KeptInstance {
    fn drop(&mut self) {
        let instance = self.instance.get_mut();
        if let Some(mut instance) = instance.unwrap_or_else(PoisonError::into_inner).take()
            && self.open == OpenBodies::default()
            && instance.is_fit()
        {
            instance.end_calls();
            self.pool.put(instance);
        }
    }
}
