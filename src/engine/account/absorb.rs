//! What sidecars report: each record is applied exactly once, in order, whatever has become of the lease it was made on.

use std::collections::BTreeMap;

use super::entry::{Absorbed, Effects, What};
use super::state::Lease;
use super::work::Work;
use crate::credit::hold::Draw;
use crate::credit::{Change, Column, Move, PoolId, RunEvent};
use crate::lease::event::{PassedCall, Returned};
use crate::lease::{Passed, WalletEvent};
use crate::types::{BlockId, Credits, Epoch, SidecarId};

/// One record of a sidecar's journal.
#[derive(Clone, Debug)]
pub struct Report {
    pub epoch: Epoch,
    pub number: u64,
    pub event: WalletEvent,
}

impl Work<'_> {
    /// Applies a record; one that was applied before changes nothing.
    pub fn absorb(&mut self, sidecar: SidecarId, report: Report) {
        if self.account.sidecars.get(&sidecar).is_some_and(|seen| report.number <= seen.number) {
            return;
        }
        self.note_unreserved();
        let Report { epoch, number, event } = report;
        if let WalletEvent::Run(RunEvent { change: Change::Ended(ended), .. }) = &event {
            self.first_seen(&ended.run.subject);
        }
        let (event, effects) = match event {
            WalletEvent::Run(run) => self.absorb_run(sidecar, run),
            WalletEvent::Returned(returned) => {
                let effects = self.absorb_returned(sidecar, &returned);
                (WalletEvent::Returned(returned), effects)
            }
            WalletEvent::Sealed(sealed) => {
                let effects = self.absorb_sealed(sidecar, &sealed);
                (WalletEvent::Sealed(sealed), effects)
            }
            WalletEvent::Promoted(runs) => self.absorb_promoted(sidecar, runs),
            WalletEvent::Left(left) => {
                let effects = self.absorb_returned(sidecar, &self.left_behind(sidecar, epoch, &left));
                (WalletEvent::Left(left), effects)
            }
            other => (other, Effects::default()),
        };
        let passed = match &event {
            WalletEvent::PassedOn(passed) => Some(passed.clone()),
            _ => None,
        };
        let debt = effects.debt;
        let pool = effects.debt_pool.clone().unwrap_or(PoolId::Account);
        let absorbed = Absorbed { sidecar, epoch, number, event, effects };
        self.emit_owing(What::Absorbed(Box::new(absorbed)), &pool, debt);
        if let Some(passed) = passed {
            self.passed_on(&passed, sidecar);
        }
        self.lapse_ended();
        self.repay();
    }

    fn absorb_returned(&self, sidecar: SidecarId, returned: &Returned) -> Effects {
        let mut effects = Effects::default();
        let mut left = self.out(sidecar);
        for (block, amount) in &returned.slices {
            for (block, part) in self.taken_back(&mut left, *block, *amount) {
                let step = Move { block, from: Column::Held, to: Column::Available, amount: part };
                effects.moves.push(step);
                effects.lease.push((block, -part));
            }
        }
        let mut rooms =
            self.account.leases.get(&sidecar).map(|lease| lease.rooms.clone()).unwrap_or_default();
        for (key, amount) in &returned.rooms {
            let part = take(&mut rooms, key, *amount);
            if part.is_positive() {
                effects.room.push((key.clone(), -part));
                effects.counters.push((key.clone(), -part, Credits::ZERO));
            }
        }
        effects
    }

    /// What is sealed stays held, but no longer by the lease.
    fn absorb_sealed(&self, sidecar: SidecarId, sealed: &Returned) -> Effects {
        let mut effects = Effects::default();
        let mut left = self.out(sidecar);
        for (block, amount) in &sealed.slices {
            for (block, part) in self.taken_back(&mut left, *block, *amount) {
                effects.lease.push((block, -part));
            }
        }
        let mut rooms =
            self.account.leases.get(&sidecar).map(|lease| lease.rooms.clone()).unwrap_or_default();
        for (key, amount) in &sealed.rooms {
            effects.room.push((key.clone(), -take(&mut rooms, key, *amount)));
        }
        effects
    }

    /// A call that was answered `ACCEPTED`: settled now. Where the run was settled meanwhile, the settler's word stands.
    fn passed_on(&mut self, passed: &Passed, sidecar: SidecarId) {
        let Some(handle) = self.open_handle(&passed.handle) else { return };
        // Its answer has nobody to go to: the caller was told that it is accepted.
        let _answered = match &passed.commit {
            PassedCall::Commit { result, quantities, completion, verified, request_id } => self.commit(
                &crate::engine::Commit {
                    id: handle.id,
                    result: *result,
                    quantities: quantities.clone(),
                    completion: *completion,
                    verified: *verified,
                    request_id: request_id.clone(),
                    provisional: None,
                    accepted_at: Some(passed.at),
                },
                Some(&handle),
                sidecar,
            ),
            PassedCall::Release => {
                let release = crate::engine::Release { id: handle.id, accepted_at: Some(passed.at) };
                self.release(&release, Some(&handle), sidecar)
            }
        };
    }

    /// Takes what a lease holds of a block that its sidecar gives back: what rolled over first, then what did not.
    pub(super) fn taken_back(
        &self,
        left: &mut BTreeMap<BlockId, Credits>,
        block: BlockId,
        amount: Credits,
    ) -> Vec<(BlockId, Credits)> {
        let mut line = self.account.line(block);
        line.reverse();
        take_along(left, &line, amount)
    }

    pub(super) fn out(&self, sidecar: SidecarId) -> BTreeMap<BlockId, Credits> {
        self.account.leases.get(&sidecar).map(|lease: &Lease| lease.out.clone()).unwrap_or_default()
    }
}

/// Takes up to `amount` along a line of blocks; answers the parts.
pub(super) fn take_along(
    left: &mut BTreeMap<BlockId, Credits>,
    line: &[BlockId],
    amount: Credits,
) -> Vec<(BlockId, Credits)> {
    let mut missing = amount;
    let mut parts = Vec::new();
    for block in line {
        let part = take(left, block, missing);
        if part.is_positive() {
            parts.push((*block, part));
            missing -= part;
        }
    }
    parts
}

pub(super) fn moved(draw: &Draw, from: Column, to: Column) -> Move {
    Move { block: draw.block, from, to, amount: draw.amount }
}

/// Takes up to `amount` of what a map has left; answers how much.
pub(super) fn take<K: Ord + Clone>(left: &mut BTreeMap<K, Credits>, key: &K, amount: Credits) -> Credits {
    let have = left.get(key).copied().unwrap_or_default();
    let part = have.min(amount);
    if part.is_positive() {
        left.insert(key.clone(), have - part);
    }
    part
}
