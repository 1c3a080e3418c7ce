//! How many calls are in work at once: further ones are told so at once, instead of waiting in a queue that helps nobody.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::ledger_status::unavailable;

#[derive(Clone, Debug)]
pub(super) struct Admission(Arc<Semaphore>);

impl Admission {
    pub(super) fn new(calls_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(calls_max.min(Semaphore::MAX_PERMITS))))
    }

    /// Errors: `OVERLOADED`.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Status> {
        let full = |_| unavailable("OVERLOADED", "too many calls are in work; try again shortly");
        Arc::clone(&self.0).try_acquire_owned().map_err(full)
    }
}
