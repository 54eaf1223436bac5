//! What ended a guest's call, as a failure that the chain has a policy for.

use crate::host::log;
use tidegate_chain::{Failure, FailureKind};
use wasmtime::Trap;

/// The guest wanted more memory than its plugin may have.
#[derive(Debug, thiserror::Error)]
#[error(
    "it needs {wanted} bytes of memory and may have {limit}; raise `memory` of the plugin if that is right"
)]
pub(crate) struct MemoryExceeded {
    pub(crate) wanted: usize,
    pub(crate) limit: usize,
}

/// Name the failure.
pub(crate) fn failure(error: &wasmtime::Error) -> Failure {
    let (kind, message) = if let Some(memory) = error.downcast_ref::<MemoryExceeded>() {
        (FailureKind::Memory, memory.to_string())
    } else {
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => (
                FailureKind::Deadline,
                "it did not answer within its deadline".to_owned(),
            ),
            Some(trap) => (FailureKind::Trap, describe(trap, error)),
            None => (FailureKind::Trap, error.root_cause().to_string()),
        }
    };
    // The guest chooses the names of its functions.
    let message = log::clean(&message).into_owned();
    Failure { kind, message }
}

/// The trap, and where in the guest it was, on one line.
fn describe(trap: &Trap, error: &wasmtime::Error) -> String {
    let place = error
        .downcast_ref::<wasmtime::WasmBacktrace>()
        .map(|trace| {
            let names = trace.frames().iter().filter_map(|frame| frame.func_name());
            names.take(4).collect::<Vec<_>>().join(" < ")
        })
        .filter(|place| !place.is_empty());
    match place {
        Some(place) => format!("{trap} in {place}"),
        None => trap.to_string(),
    }
}
