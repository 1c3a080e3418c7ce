//! What time does to an account, each thing at its own instant: blocks end, periods begin, runs lapse, silent leases and
//! seals come back.

use super::entry::{Source, What};
use super::work::Work;
use crate::credit::block::Block;
use crate::credit::{Column, Move, PoolId, period};
use crate::engine::contract::Contract;
use crate::engine::lapse::lapse;
use crate::playbook::draw_order::Species;
use crate::playbook::overage::Link;
use crate::types::calendar::{self, Stretch};
use crate::types::{BlockId, Credits, Timestamp};

/// What an allowance of `credits` covers of what was borrowed; the rest stays owed.
fn cover(owed: &mut [(BlockId, Credits)], credits: Credits) -> Vec<(BlockId, Credits)> {
    let mut left = credits;
    let mut covered = Vec::new();
    for (block, owed) in owed {
        let part = left.min(*owed);
        if part.is_positive() {
            covered.push((*block, part));
            left -= part;
            *owed -= part;
        }
    }
    covered
}

impl Work<'_> {
    /// Does everything that is due up to `at`, in order of time.
    pub fn pass_time(&mut self, at: Timestamp) {
        while let Some(due) = self.next_timer().filter(|due| *due <= at) {
            // An instant never runs backwards: what was overdue happens now.
            self.at = due.max(self.at);
            self.fire();
        }
        self.at = at;
        self.account.clock = self.account.clock.max(at);
    }

    /// The next instant at which time does something here.
    pub fn next_timer(&self) -> Option<Timestamp> {
        let account = &*self.account;
        account.contract.as_ref()?;
        let blocks = account.book.pools.iter().flat_map(|pool| &pool.blocks);
        let ends = blocks
            .clone()
            .filter(|block| block.available.is_positive() && !block.elastic)
            .filter_map(|block| block.expires_at);
        let starts = blocks
            .filter(|block| block.species != Species::Emergency)
            .map(|block| block.effective_at)
            .filter(|start| *start > self.at);
        let runs = account.book.deadlines.first().map(|(at, _)| *at);
        let leases = account.next_reclaim(self.reclaim_after());
        let seals = account.seals.iter().map(|seal| seal.until);
        let grants = account.allowances.iter().chain(&account.chain).copied().flatten();
        let period = Some(account.period.end).filter(|_| !self.is_over());
        ends.chain(starts)
            .chain(runs)
            .chain(leases)
            .chain(seals)
            .chain(grants)
            .chain(period)
            .chain(self.next_renewal())
            .chain(self.next_alert())
            .chain(self.next_transfer())
            .min()
    }

    fn fire(&mut self) {
        self.roll_over();
        self.lapse_ended();
        self.end_stretches();
        self.begin_period();
        self.grant_due();
        self.bill_due();
        while let Some(event) = self.frame().and_then(|frame| lapse(&frame)) {
            self.emit_run(Box::new(event));
        }
        self.reclaim();
        self.unseal();
        self.lapse_ended();
        self.repay();
        self.raise_alerts();
        let mut blocks = self.account.book.pools.iter().flat_map(|pool| &pool.blocks);
        if blocks.any(|block| block.effective_at == self.at && block.species != Species::Emergency) {
            self.refresh = true;
        }
    }

    /// What ended blocks still have available lapses.
    pub(super) fn lapse_ended(&mut self) {
        let moves: Vec<Move> = self
            .account
            .book
            .blocks()
            .filter(|block| block.has_ended(self.at) && block.available.is_positive() && !block.elastic)
            .map(|block| Move {
                block: block.id,
                from: Column::Available,
                to: Column::Lapsed,
                amount: block.available,
            })
            .collect();
        if !moves.is_empty() {
            self.emit(What::Lapsed(moves));
        }
    }

    /// A new period begins: changes that waited for it come, and the overage chain starts anew.
    fn begin_period(&mut self) {
        let begins = self.account.period.end <= self.at && !self.is_over();
        self.take_changes(begins);
        let Some(contract) = self.account.contract.as_ref().filter(|_| begins) else { return };
        let version = contract.playbook.version;
        let Stretch { end, .. } = period::period(&contract.plan, contract.origin, self.at, &contract.zone);
        self.emit(What::PeriodStarted { start: self.at, end, version });
        self.refresh = true;
    }

    fn grant_due(&mut self) {
        let Some(contract) = self.account.contract.clone() else { return };
        let mut owed = self.borrowed();
        for (index, allowance) in contract.plan.allowances.iter().enumerate() {
            let due = self.account.allowances.get(index).copied().flatten();
            if due.is_none_or(|due| due > self.at) {
                continue;
            }
            let credit = &contract.playbook.credit;
            let granted =
                period::grant(&contract.plan, allowance, credit, contract.origin, self.at, &contract.zone);
            let mut block = self.new_block(Species::Subscription, granted.end);
            block.unit_price = Some(contract.plan.price);
            let covered = cover(&mut owed, granted.credits);
            let credits = granted.credits - covered.iter().map(|(_, amount)| *amount).sum();
            let (share, seats) =
                if index == 0 { self.set_aside(granted.credits) } else { Default::default() };
            let seats = seats.min(credits);
            let by = block.id;
            self.emit(What::Granted {
                block: Box::new(block.clone().with(credits - seats)),
                source: Source::Allowance(u32::try_from(index).unwrap_or(u32::MAX)),
            });
            for (block, amount) in covered {
                self.emit(What::Covered { block, by, amount });
            }
            if seats.is_positive() {
                let block = block.moved(BlockId(self.account.next_block), PoolId::Seats).with(seats);
                self.emit(What::Granted { block: Box::new(block), source: Source::Seats(share) });
            }
            self.refresh = true;
        }
        self.grant_chain(&contract);
    }

    fn grant_chain(&mut self, contract: &Contract) {
        for (index, link) in contract.plan.overage.iter().enumerate() {
            let due = self.account.chain.get(index).copied().flatten();
            if due.is_none_or(|due| due > self.at) {
                continue;
            }
            let source = Source::Chain(u32::try_from(index).unwrap_or(u32::MAX));
            let block = match link {
                Link::TopUp { .. } => continue,
                Link::Borrow { up_to } => {
                    let next = contract.plan.allowances.first().map(|allowance| allowance.credits);
                    let credits = up_to.of(next.unwrap_or_default(), contract.playbook.credit.scale);
                    self.new_block(Species::Borrowed, Some(self.account.period.end)).with(credits)
                }
                Link::Soft { up_to: Some(credits), .. } => {
                    self.new_block(Species::Overage, Some(self.account.period.end)).with(*credits)
                }
                Link::Soft { up_to: None, .. } => {
                    let mut block = self.new_block(Species::Overage, Some(self.account.period.end));
                    block.elastic = true;
                    block
                }
                Link::Degraded { credits, every } => {
                    let window = calendar::window(self.at, *every, contract.origin, &contract.zone);
                    let block = self.new_block(Species::Basic, Some(window.end));
                    // Free degraded use holds nothing: there is nothing to grant, and nothing to start anew.
                    block.with(credits.unwrap_or(Credits::ZERO))
                }
            };
            self.emit(What::Granted { block: Box::new(block), source });
            self.refresh = true;
        }
    }

    fn new_block(&self, species: Species, end: Option<Timestamp>) -> Block {
        let mut block = Block::new(BlockId(self.account.next_block), PoolId::Account, species, self.at);
        block.expires_at = end;
        block
    }
}
