//! How the account evolves by its contract: plans and versions that it moves to, terms, lines, refunds and transfers.

use super::apply_lease;
use super::entry::Purchase;
use super::entry::What;
use super::entry_contract::{
    PlanMoved, PoolsMerged, PurchaseRefunded, Refunded, TransferReceived, TransferSent,
};
use super::state::{Account, Committed};
use crate::credit::invoice::{Line, LineKind};
use crate::credit::pool::Sorting;
use crate::credit::{Block, Move, PoolId, period};
use crate::engine::contract::{Contract, Playbooks, Since};
use crate::lease::terms::{REFUNDS_TOLD_MAX, Refund};
use crate::playbook::Plan;
use crate::playbook::allowance::{Allowance, Anchor, Recurs};
use crate::playbook::billing::discounted;
use crate::playbook::draw_order::Species;
use crate::playbook::overage::Link;
use crate::playbook::overlay::Overlay;
use crate::types::calendar::{self, Every, Stretch};
use crate::types::{Credits, Money, Ratio, Timestamp};

impl Account {
    pub(super) fn apply_contract(&mut self, what: &What, at: Timestamp, playbooks: &Playbooks) {
        match what {
            What::Overlaid(overlay) => self.overlaid(overlay, at, playbooks),
            What::PlanMoved(moved) => {
                let overlay = self.contract.as_ref().map(|contract| contract.overlay.clone());
                self.plan_moved(moved, overlay.unwrap_or_default(), at, playbooks);
            }
            What::Billed(line) => self.billed(line),
            What::Pended(pending) => self.pending = pending.clone(),
            What::Ended => self.end_subscription(at, playbooks),
            What::TermStarted { start, end, lapse } => {
                self.start_term(Stretch { start: *start, end: *end }, *lapse)
            }
            What::CommitmentStarted { start, end } => {
                let stretch = Stretch { start: *start, end: *end };
                self.committed = Some(Committed { stretch, spent: Money::ZERO });
            }
            What::Refunded(refunded) => self.refund(refunded, at),
            What::PurchaseRefunded(refunded) => self.purchase_refunded(refunded),
            What::TransferSent(sent) => self.transfer_sent(sent),
            What::TransferReceived(received) => self.transfer_received(received),
            What::TransferAnswered { id, back } => {
                self.sent.remove(id);
                self.shift_all(back);
            }
            What::PoolsMerged(merged) => self.pools_merged(merged),
            What::DebtBilled { pool, line } => self.debt_billed(pool, line),
            What::Reduced(moves) => self.shift_all(moves),
            other => self.apply_credits(other),
        }
    }

    /// Everything that a contract grants and bills begins now.
    pub(super) fn begin(&mut self, at: Timestamp) {
        let Some(contract) = &self.contract else { return };
        let plan = &contract.plan;
        self.allowances = plan.allowances.iter().map(|_| Some(at)).collect();
        self.chain = plan.overage.iter().map(|link| link.species().map(|_| at)).collect();
        self.fees = plan.fees.iter().map(|_| Some(at)).collect();
        self.book.sort_by(Sorting::of(plan));
        self.start_stretches(at);
    }

    /// The term and the commitment that run at `at`; what was spent of a commitment that goes on counts.
    fn start_stretches(&mut self, at: Timestamp) {
        let Some(contract) = &self.contract else { return };
        let plan = &contract.plan;
        let running =
            |every| period::stretch(Anchor::Subscription, every, contract.origin, at, &contract.zone);
        self.term = plan.term.map(|term| running(Every::Length(term.lasts)));
        let over = plan.commitment.map(|commitment| {
            period::stretch(plan.anchor, commitment.over, contract.origin, at, &contract.zone)
        });
        let spent = |stretch: Stretch| self.committed.filter(|known| known.stretch == stretch);
        self.committed =
            over.map(|stretch| spent(stretch).unwrap_or(Committed { stretch, spent: Money::ZERO }));
    }

    pub(super) fn overlaid(&mut self, overlay: &Overlay, at: Timestamp, playbooks: &Playbooks) {
        let Some(old) = &self.contract else { return };
        // What is said with the subscription itself holds from its first grant on.
        let anew = old.origin == at && self.period.end == at;
        let moved =
            PlanMoved { plan: old.plan.name.clone(), version: old.playbook.version, anew, allotted: None };
        self.plan_moved(&moved, overlay.clone(), at, playbooks);
    }

    /// The account has another plan, another version of it, or another overlay.
    pub(super) fn plan_moved(
        &mut self,
        moved: &PlanMoved,
        overlay: Overlay,
        at: Timestamp,
        playbooks: &Playbooks,
    ) {
        let Some(old) = self.contract.take() else { return };
        let origin = if moved.anew { at } else { old.origin };
        let since = Since { origin, zone: &self.zone };
        let new = playbooks
            .version(moved.version)
            .and_then(|playbook| Contract::of(playbook, &moved.plan, overlay, since));
        let Some(new) = new else {
            self.contract = Some(old);
            return;
        };
        let new = Contract {
            suspended: old.suspended,
            overage_limit: old.overage_limit,
            period_ends: old.period_ends,
            ..new
        };
        if moved.anew {
            self.contract = Some(new);
            self.begin(at);
            return;
        }
        if let Some(until) = moved.allotted.and_then(|allotted| allotted.until) {
            self.prolong_allowance(&old, until, at);
        }
        self.allotted = moved.allotted.or(self.allotted);
        // A change of plan has granted and billed the running stretches already: what is due comes after them.
        let from = moved.allotted.map_or(at, |_| at.plus_micros(1));
        self.allowances = dues(&old, &new, &self.allowances, from);
        self.chain = links(&old.plan, &new.plan, &self.chain, at);
        self.fees = fee_dues(&old, &new, &self.fees, from);
        self.book.sort_by(Sorting::of(&new.plan));
        let same = old.plan.term == new.plan.term && old.plan.commitment == new.plan.commitment;
        self.end_dropped_links(&old.plan, &new.plan, at);
        self.contract = Some(new);
        if !same {
            self.start_stretches(at);
        }
    }

    /// The allowance after a change of plan is one, wherever it was allocated: no part of what the old plan granted ends
    /// before `until`. What an administrator granted keeps its own end.
    fn prolong_allowance(&mut self, old: &Contract, until: Timestamp, at: Timestamp) {
        let end = |allowance: &Allowance| match allowance.recurs {
            Recurs::Every(every) => {
                Some(period::stretch(old.plan.anchor, every, old.origin, at, &old.zone).end)
            }
            Recurs::Once { lasts } => lasts.map(|lasts| calendar::plus(old.origin, lasts, &old.zone)),
        };
        let before = self.allotted.and_then(|allotted| allotted.until);
        let ends: Vec<_> = old.plan.allowances.iter().filter_map(end).chain(before).collect();
        let of_old = |block: &Block| {
            let end = block.expires_at.filter(|end| at < *end && *end < until);
            block.species == Species::Subscription && end.is_some_and(|end| ends.contains(&end))
        };
        let blocks: Vec<_> = self.book.blocks().filter(|block| of_old(block)).map(|block| block.id).collect();
        for id in blocks {
            self.book.ends_at(id, Some(until));
        }
    }

    /// A last resort that the chain names no more pays no more.
    fn end_dropped_links(&mut self, old: &Plan, new: &Plan, at: Timestamp) {
        let dropped: Vec<Species> = old
            .overage
            .iter()
            .filter_map(Link::species)
            .filter(|species| !new.overage.iter().any(|link| link.species() == Some(*species)))
            .collect();
        if !dropped.is_empty() {
            self.book.end_blocks(at, |species| dropped.contains(&species));
        }
    }

    pub(super) fn billed(&mut self, line: &Line) {
        if line.kind.counts() {
            self.count_committed(line.amount);
        }
        let fee = line.kind == LineKind::Fee;
        if fee && let Some(due) = self.fees.iter_mut().find(|due| **due == Some(line.from)) {
            *due = line.to;
        }
        self.lines.push(line.clone());
    }

    pub(super) fn count_committed(&mut self, amount: Money) {
        if let Some(committed) = &mut self.committed {
            committed.spent += amount;
        }
    }

    /// The subscription is over: what it granted pays no more, what was bought stays.
    pub(super) fn end_subscription(&mut self, at: Timestamp, playbooks: &Playbooks) {
        self.book.end_blocks(at, Species::ends_with_subscription);
        let overlay =
            self.contract.as_ref().map(|contract| Overlay { ended: Some(at), ..contract.overlay.clone() });
        if let Some(overlay) = overlay {
            self.overlaid(&overlay, at, playbooks);
        }
        self.pending = Default::default();
        (self.term, self.committed) = (None, None);
        self.period = Stretch { start: self.period.start.min(at), end: at };
        if let Some(contract) = &mut self.contract {
            contract.period_ends = at;
        }
    }

    pub(super) fn start_term(&mut self, stretch: Stretch, lapse: bool) {
        self.term = Some(stretch);
        if lapse {
            let unused = |species| matches!(species, Species::Subscription | Species::Rollover);
            self.book.end_blocks(stretch.start, unused);
        }
    }

    pub(super) fn refund(&mut self, refunded: &Refunded, at: Timestamp) {
        for step in &refunded.moves {
            self.shift(*step);
        }
        let unpaid: Vec<_> = refunded.unpaid.iter().map(|(block, amount)| (*block, -*amount)).collect();
        apply_lease::add(&mut self.repaid, &unpaid);
        for (key, amount) in &refunded.counters {
            self.count(key, Credits::ZERO, -*amount, at);
        }
        if refunded.debt.is_positive() {
            self.burn.note(-refunded.debt);
            let pool = self.book.pool_mut(&refunded.debt_pool);
            pool.debt = (pool.debt - refunded.debt).or_zero();
            pool.observed_debt = pool.observed_debt.min(pool.debt);
        }
        let Some(ended) = self.book.finals.get(&refunded.run) else { return };
        let mut ended = (**ended).clone();
        ended.give_back(refunded.credits);
        self.refunds.retain(|(_, told)| told.run != refunded.run);
        let told = Refund { run: refunded.run, credits: ended.refunded.unwrap_or_default() };
        self.refunds.push_back((ended.expires_at, told));
        if self.refunds.len() > REFUNDS_TOLD_MAX {
            self.refunds.pop_front();
        }
        self.remember(refunded.run, &ended, at);
    }

    pub(super) fn purchase_refunded(&mut self, refunded: &PurchaseRefunded) {
        for step in &refunded.moves {
            self.shift(*step);
        }
        self.lines.extend(refunded.line.clone());
    }

    pub(super) fn pools_merged(&mut self, merged: &PoolsMerged) {
        for step in &merged.moves {
            self.shift(*step);
        }
        self.insert_all(&merged.blocks);
        for (pool, debt, observed) in &merged.debts {
            let from = self.book.pool_mut(pool);
            from.debt -= *debt;
            from.observed_debt -= *observed;
            let to = self.book.pool_mut(&PoolId::Account);
            to.debt += *debt;
            to.observed_debt += *observed;
        }
    }

    /// A pack that was voided, as far as it was not used, is not billed after all.
    pub(super) fn unbill(&mut self, moves: &[Move], at: Timestamp) {
        for step in moves {
            let Some(purchase) = self.purchases.get(&step.block) else { continue };
            let what = Some(purchase.pack.clone());
            let share = priced(purchase, step.amount);
            let amount = discounted(share, self.discount()).unwrap_or(share);
            let credits = -step.amount;
            self.billed(&Line {
                kind: LineKind::Pack,
                at,
                credits,
                amount: -amount,
                from: at,
                to: None,
                what,
            });
        }
    }

    pub(super) fn debt_billed(&mut self, pool: &PoolId, line: &Line) {
        if line.credits.is_positive() {
            self.book.pool_mut(pool).debt -= line.credits;
        }
        let billed = self.debt_billed.entry(pool.clone()).or_default();
        *billed = (billed.0 + line.credits, billed.1 + line.amount);
        self.lines.push(line.clone());
    }

    pub(super) fn transfer_sent(&mut self, sent: &TransferSent) {
        for step in &sent.moves {
            self.shift(*step);
        }
        self.insert_all(&sent.blocks);
        if let Some((id, sent)) = &sent.sent {
            self.sent.insert(id.clone(), sent.clone());
        }
        if let Some(window) = sent.window {
            let before = self.given.filter(|(start, _)| *start == window).map(|(_, credits)| credits);
            self.given = Some((window, before.unwrap_or_default() + sent.credits));
        }
    }

    pub(super) fn transfer_received(&mut self, received: &TransferReceived) {
        self.insert_all(&received.blocks);
        self.received.insert(received.id.clone(), !received.blocks.is_empty());
    }

    fn insert_all(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.next_block = self.next_block.max(block.id.0 + 1);
            self.book.insert(block.clone());
        }
    }
}

/// What so many credits of a purchase cost.
pub(super) fn priced(purchase: &Purchase, credits: Credits) -> Money {
    Ratio::of(purchase.price.decimal())
        .and_then(|price| price.times(credits.decimal())?.divide(purchase.credits.decimal())?.money())
        .unwrap_or_default()
}

/// When each allowance of the new plan is granted next: one that stays as it is when it was due, another at the next start
/// of its stretch. One that is granted once is for those who subscribe.
fn dues(
    old: &Contract,
    new: &Contract,
    known: &[Option<Timestamp>],
    at: Timestamp,
) -> Vec<Option<Timestamp>> {
    let place = |index: usize, allowance: &crate::playbook::allowance::Allowance| {
        let before = old.plan.allowances.get(index).filter(|old| old.recurs == allowance.recurs);
        if before.is_some() {
            return known.get(index).copied().flatten();
        }
        match allowance.recurs {
            Recurs::Every(every) => Some(next_start(new, every, at)),
            Recurs::Once { .. } => None,
        }
    };
    new.plan.allowances.iter().enumerate().map(|(index, allowance)| place(index, allowance)).collect()
}

fn fee_dues(
    old: &Contract,
    new: &Contract,
    known: &[Option<Timestamp>],
    at: Timestamp,
) -> Vec<Option<Timestamp>> {
    let place = |index: usize, fee: &crate::playbook::billing::Fee| {
        let before = old.plan.fees.get(index).filter(|old| old.every == fee.every);
        match before {
            Some(_) => known.get(index).copied().flatten(),
            None => Some(next_start(new, fee.every, at)),
        }
    };
    new.plan.fees.iter().enumerate().map(|(index, fee)| place(index, fee)).collect()
}

/// The first start of a stretch that is not before `at`.
fn next_start(contract: &Contract, every: Every, at: Timestamp) -> Timestamp {
    let stretch = period::stretch(contract.plan.anchor, every, contract.origin, at, &contract.zone);
    if stretch.start >= at { stretch.start } else { stretch.end }
}

/// A link that stays keeps when it starts anew, a new one starts now.
fn links(old: &Plan, new: &Plan, known: &[Option<Timestamp>], at: Timestamp) -> Vec<Option<Timestamp>> {
    let place = |link: &Link| {
        let kind = std::mem::discriminant(link);
        let before = old.overage.iter().position(|other| std::mem::discriminant(other) == kind);
        before.map_or(link.species().map(|_| at), |index| known.get(index).copied().flatten())
    };
    new.overage.iter().map(place).collect()
}
