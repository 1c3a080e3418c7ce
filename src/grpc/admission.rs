//! How many calls are in work at once: further ones are told so at once, instead of waiting in a queue that helps nobody.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Status};

use super::guard::By;
use super::ledger_status::unavailable;
use crate::types::AccountId;

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

    /// A call's message, who makes it, and its place among those in work.
    ///
    /// Errors: `OVERLOADED`.
    pub(super) fn take<T>(&self, request: Request<T>) -> Result<(T, By, OwnedSemaphorePermit), Status> {
        let place = self.enter()?;
        let by = By::of(request.extensions());
        Ok((request.into_inner(), by, place))
    }

    /// The same of a call about one account, which is looked at before anything else of the message.
    ///
    /// Errors: `OVERLOADED`, `INVALID_ACCOUNT`, `ACCOUNT_NOT_ALLOWED`.
    pub(super) fn take_of<T>(
        &self,
        request: Request<T>,
        named: impl FnOnce(&T) -> &str,
    ) -> Result<(AccountId, T, By, OwnedSemaphorePermit), Status> {
        let (message, by, place) = self.take(request)?;
        Ok((by.account(named(&message))?, message, by, place))
    }
}
