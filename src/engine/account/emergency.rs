//! Credits for use while the ledger can't be reached: one block per window, leased in advance to the sidecars that use the
//! account, for as long as the plan serves runs offline. What is spent of them is a debt to reconcile: the account's
//! other blocks pay it, or it stays debt.

use super::entry::{Source, What};
use super::work::Work;
use crate::credit::Block;
use crate::credit::hold::Draw;
use crate::playbook::draw_order::Species;
use crate::playbook::offline::{Emergency, OfflineMode};
use crate::types::calendar::{self, Stretch};
use crate::types::{BlockId, Credits, SidecarId};

/// Windows that are leased in advance at most: each is a block, and a lease names them all.
const WINDOWS_MAX: usize = 64;

impl Work<'_> {
    /// The most that one sidecar should hold of each window: an equal part, by the leases that are alive.
    pub(super) fn emergency_share(&self, sidecar: SidecarId) -> Option<Credits> {
        let emergency = self.emergency()?;
        let contract = self.account.contract.as_ref()?;
        let others =
            self.account.leases.iter().filter(|(id, lease)| **id != sidecar && lease.ends_at > self.at);
        let holders = rust_decimal::Decimal::from(1 + others.count());
        let scale = contract.playbook.credit.scale;
        Some(Credits::computed((emergency.credits.decimal() / holders).trunc_with_scale(scale)))
    }

    /// What a sidecar lacks of its share of each window that the plan would serve it in.
    pub(super) fn emergency_for(&mut self, sidecar: SidecarId) -> Vec<Draw> {
        let Some(share) = self.emergency_share(sidecar) else { return Vec::new() };
        let mut draws = Vec::new();
        for block in self.emergency_windows() {
            let held = self.account.leases.get(&sidecar).and_then(|lease| lease.out.get(&block));
            let lacks = share.saturating_sub(held.copied().unwrap_or_default());
            let available = self.account.book.block(block).map(|block| block.available).unwrap_or_default();
            let amount = lacks.min(available);
            if amount.is_positive() {
                draws.push(Draw { block, species: Species::Emergency, amount });
            }
        }
        draws
    }

    /// What was spent of emergency credits since this was last looked at becomes debt; what was given back cancels some.
    pub(super) fn reconcile(&mut self) {
        let due: Vec<(BlockId, Credits)> = self
            .account
            .book
            .blocks()
            .filter(|block| block.species == Species::Emergency)
            .map(|block| {
                (block.id, block.spent - self.account.reconciled.get(&block.id).copied().unwrap_or_default())
            })
            .filter(|(_, amount)| !amount.is_zero())
            .collect();
        for (block, amount) in due {
            self.emit_owing(What::Reconciled { block, amount }, &crate::credit::PoolId::Account, amount);
        }
    }

    fn emergency(&self) -> Option<Emergency> {
        match self.account.contract.as_ref()?.plan.offline.mode {
            OfflineMode::Emergency(emergency) => Some(emergency),
            OfflineMode::Deny | OfflineMode::Basic | OfflineMode::Allow => None,
        }
    }

    /// The blocks of the windows from now until a sidecar that is cut off now is served no more.
    fn emergency_windows(&mut self) -> Vec<BlockId> {
        let (Some(emergency), Some(contract)) = (self.emergency(), self.account.contract.clone()) else {
            return Vec::new();
        };
        let until = self.at.plus_micros(contract.plan.offline.lasts.approximate_micros());
        let (mut at, mut blocks) = (self.at, Vec::new());
        while at < until && blocks.len() < WINDOWS_MAX {
            let window = calendar::window(at, emergency.every, contract.origin, &contract.zone);
            blocks.push(self.emergency_window(window, emergency.credits));
            at = window.end;
        }
        blocks
    }

    fn emergency_window(&mut self, window: Stretch, credits: Credits) -> BlockId {
        let is_it = |block: &&Block| {
            block.species == Species::Emergency
                && block.expires_at == Some(window.end)
                && !block.has_ended(self.at)
        };
        if let Some(block) = self.account.book.blocks().find(is_it) {
            return block.id;
        }
        let id = BlockId(self.account.next_block);
        let mut block = Block::new(id, crate::credit::PoolId::Account, Species::Emergency, window.start);
        block.expires_at = Some(window.end);
        self.emit(What::Granted { block: Box::new(block.with(credits)), source: Source::Emergency });
        id
    }
}
