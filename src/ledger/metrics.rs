//! What a ledger's metrics are.

use super::service::Ledger;
use super::store::LedgerStore;
use crate::telemetry::metrics::{Reading, table};

impl<S: LedgerStore> Ledger<S> {
    pub(super) fn read(&self) -> Vec<Reading> {
        vec![
            Reading::build("ledger"),
            Reading::of(&table::ACCOUNTS, count(self.len())),
            Reading::of(&table::SIDECARS, count(self.watchers.len())),
            Reading::of(&table::LEARNING, count(self.has_learned().is_err().into())),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count of a process comes near 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}
