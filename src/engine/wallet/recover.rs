//! What is done after a restart, once the journal has been read.

use super::state::{Here, Log, Wallet};
use crate::lease::{Returned, WalletEvent};
use crate::types::ReservationId;

impl Wallet {
    /// After an unclean stop only the mark is sealed; the rest is usable at once. `learned` is false where the ledger's time
    /// is not known any more (another boot): then no lease outlived the process, and all of it goes back.
    ///
    /// Answers the record of the seal, which must be on disk before anything else of the lease is used: else a second
    /// crash would lose it together with new reservations, and one seal would stand for what two marks had covered.
    pub fn restarted(
        &mut self,
        clean: bool,
        learned: bool,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Option<u64> {
        if !clean && learned && self.terms.is_some() {
            let open = self.book.runs.keys().copied().collect();
            self.emit(WalletEvent::Resumed(open, here.at), false, here, log);
        }
        let usable = learned && self.lease.as_ref().is_some_and(|lease| lease.until > here.at);
        let seal = if clean { None } else { self.seal(here) };
        let sealed = seal.map(|seal| self.emit(WalletEvent::Sealed(seal), true, here, log));
        if let Some(lease) = self.lease.as_ref().map(|lease| lease.lease)
            && !usable
        {
            self.over(lease, here, log);
        }
        sealed
    }

    /// Tells the wallet, record by record as the journal is read, which promotions it has not seen acknowledged: the ledger
    /// may hold those runs already, until `acknowledged` says how far it came.
    pub fn resume_handing(&mut self, number: u64, event: &WalletEvent) {
        self.hand(number, event.handed_roots());
        if event.is_reported() {
            self.charged.through = number;
        }
    }

    /// Families are on their way to the account itself, by record `number`.
    pub(super) fn hand(&mut self, number: u64, roots: Vec<ReservationId>) {
        if !roots.is_empty() {
            self.handing_roots.extend(roots.iter().copied());
            self.handing.insert(number, roots);
        }
    }

    fn seal(&self, here: Here<'_>) -> Option<Returned> {
        let contract = self.contract.as_ref()?;
        let lease = self.lease.as_ref()?;
        let seal = lease.mark.seal(&self.book, &contract.plan, here.at);
        (!seal.is_empty()).then_some(seal)
    }
}
