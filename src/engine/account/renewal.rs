//! What time does to a contract: terms and commitments end, versions take effect, changes that waited come, fees are due.

use jiff::tz::TimeZone;

use super::entry::What;
use super::entry_contract::{Pending, PlanMoved, PoolsMerged};
use super::work::Work;
use crate::credit::invoice::{Line, LineKind};
use crate::credit::path::has_pool;
use crate::credit::{Column, Move, Pool, PoolId, period};
use crate::playbook::allowance::Anchor;
use crate::playbook::billing::{Fee, Unused, discounted, share_of};
use crate::playbook::overlay::{self, Overlay};
use crate::playbook::pooling::PoolScope;
use crate::playbook::version::Grandfather;
use crate::types::calendar::{self, Every, Stretch};
use crate::types::{BlockId, Credits, Money, Ratio, Timestamp};

impl Work<'_> {
    /// The next instant at which time changes something of the contract.
    pub(super) fn next_renewal(&self) -> Option<Timestamp> {
        let account = &*self.account;
        let contract = account.contract.as_ref()?;
        if contract.overlay.ended.is_some() {
            return None;
        }
        let term = account.term.map(|term| term.end);
        let committed = account.committed.map(|committed| committed.stretch.end);
        let fees = account.fees.iter().copied().flatten();
        [term, committed, account.pending.ends, self.version_due()].into_iter().flatten().chain(fees).min()
    }

    /// What ends at this instant, before anything begins: the commitment's stretch, the subscription, the term.
    pub(super) fn end_stretches(&mut self) {
        self.settle_commitment();
        if self.account.pending.ends.is_some_and(|end| end <= self.at) {
            self.end_subscription();
            return;
        }
        let Some(contract) = &self.account.contract else { return };
        let (Some(term), Some(over)) = (contract.plan.term, self.account.term) else { return };
        if over.end > self.at {
            return;
        }
        if !term.renews {
            self.end_subscription();
            return;
        }
        let every = Every::Length(term.lasts);
        let next = period::stretch(Anchor::Subscription, every, contract.origin, self.at, &contract.zone);
        let lapse = term.unused == Unused::Lapse;
        self.emit(What::TermStarted { start: next.start, end: next.end, lapse });
        self.lapse_ended();
        self.refresh = true;
    }

    /// Whether unused credits roll at this instant's boundary: not where the subscription ends, nor where a term does whose
    /// rest lapses.
    pub(super) fn rolls_now(&self) -> bool {
        let plan = self.account.contract.as_ref().and_then(|contract| contract.plan.term);
        let over = self.account.term.is_some_and(|term| term.end <= self.at);
        let lapses = plan.is_some_and(|term| term.unused == Unused::Lapse || !term.renews);
        let ends = self.account.pending.ends.is_some_and(|end| end <= self.at);
        !(ends || over && lapses)
    }

    fn begins_term(&self) -> bool {
        let origin = self.account.contract.as_ref().map(|contract| contract.origin);
        self.account.term.is_some_and(|term| term.start == self.at && origin != Some(self.at))
    }

    /// Changes that waited for this instant: a plan, seats, a version. `period`: a period begins now.
    pub(super) fn take_changes(&mut self, period: bool) {
        let Some(contract) = &self.account.contract else { return };
        if contract.overlay.ended.is_some() {
            return;
        }
        let pending = self.account.pending.clone();
        if period && (pending.plan.is_some() || pending.seats.is_some()) {
            self.emit(What::Pended(Pending { plan: None, seats: None, ..pending.clone() }));
            if let Some(seats) = pending.seats {
                let overlay = self.overlay();
                self.emit(What::Overlaid(Box::new(Overlay { seats: Some(seats), ..overlay })));
            }
            if let Some(plan) = pending.plan {
                self.move_anew(plan);
                return;
            }
        }
        let renewal = if self.account.term.is_some() { self.begins_term() } else { period };
        if renewal || self.version_due().is_some_and(|due| due <= self.at) {
            self.move_version(renewal);
        }
    }

    /// Another plan, as if subscribed now; in the version in force, where it has the plan.
    fn move_anew(&mut self, plan: crate::types::Name) {
        let Some(contract) = &self.account.contract else { return };
        let force = self.playbooks.in_force(self.at).filter(|playbook| playbook.plans.contains_key(&plan));
        let version = force.map_or(contract.playbook.version, |playbook| playbook.version);
        self.emit(What::PlanMoved(Box::new(PlanMoved { plan, version, anew: true, allotted: None })));
        self.refresh = true;
    }

    /// When the account moves to a later version for its time alone; `None` where it keeps its own until a renewal, or for
    /// good.
    fn version_due(&self) -> Option<Timestamp> {
        let contract = self.account.contract.as_ref()?;
        let next = || self.later_versions().map(|(from, _)| from).min();
        match contract.playbook.grandfather {
            Grandfather::None => next(),
            Grandfather::For(length) => next().map(|next| calendar::plus(next, length, &contract.zone)),
            Grandfather::UntilRenewal | Grandfather::Forever => None,
        }
    }

    /// Later versions that still have all that the account subscribed to, with the times from which they are in force.
    fn later_versions(&self) -> impl Iterator<Item = (Timestamp, u32)> {
        let contract = self.account.contract.as_ref();
        let playbooks = self.playbooks;
        contract.into_iter().flat_map(move |contract| {
            let later = playbooks
                .all()
                .filter(|playbook| playbook.version > contract.playbook.version && has(playbook, contract));
            later.filter_map(|playbook| Some((playbooks.in_force_from(playbook.version)?, playbook.version)))
        })
    }

    /// Moves the account to the version in force, where its own does not hold on to it.
    fn move_version(&mut self, renewal: bool) {
        let Some(contract) = &self.account.contract else { return };
        let kept = match contract.playbook.grandfather {
            Grandfather::Forever => true,
            Grandfather::UntilRenewal => !renewal,
            Grandfather::None | Grandfather::For(_) => self.version_due().is_none_or(|due| due > self.at),
        };
        if kept {
            return;
        }
        let newest = self.later_versions().filter(|(from, _)| *from <= self.at).map(|(_, version)| version);
        let Some(version) = newest.max() else { return };
        let moved = PlanMoved { plan: contract.plan.name.clone(), version, anew: false, allotted: None };
        self.emit(What::PlanMoved(Box::new(moved)));
        self.refresh = true;
    }

    fn overlay(&self) -> Overlay {
        self.account.contract.as_ref().map(|contract| contract.overlay.clone()).unwrap_or_default()
    }

    /// Fees whose stretch begins, each for the whole of it; the first of a calendar anchor by its share of time.
    pub(super) fn bill_due(&mut self) {
        let Some(contract) = self.account.contract.clone() else { return };
        for (index, fee) in contract.plan.fees.iter().enumerate() {
            let due = self.account.fees.get(index).copied().flatten();
            let Some(due) = due.filter(|due| *due <= self.at) else { continue };
            let plan = &contract.plan;
            let stretch = period::stretch(plan.anchor, fee.every, contract.origin, due, &contract.zone);
            let whole = match plan.anchor {
                Anchor::Calendar => calendar::window(due, fee.every, contract.origin, &contract.zone),
                Anchor::Subscription => stretch,
            };
            let amount = share_of(fee.amount, length(stretch), length(whole)).unwrap_or(fee.amount);
            // A fee of nothing is a line all the same: it says until when it is paid.
            self.bill(LineKind::Fee, Credits::ZERO, amount, (due, Some(stretch.end)));
        }
    }

    /// Emits a line; a commitment's discount is taken off what counts towards it.
    pub(super) fn bill(
        &mut self,
        kind: LineKind,
        credits: Credits,
        amount: Money,
        (from, to): (Timestamp, Option<Timestamp>),
    ) {
        let amount = if kind.counts() { self.discounted(amount) } else { amount };
        let what = self.account.contract.as_ref().map(|contract| contract.plan.name.clone());
        let line = Line { kind, at: self.at, credits, amount, from, to, what };
        self.emit(What::Billed(Box::new(line)));
    }

    /// An amount at the account's discounted price.
    pub(super) fn discounted(&self, amount: Money) -> Money {
        let commitment = self.account.contract.as_ref().and_then(|contract| contract.plan.commitment);
        commitment.and_then(|commitment| discounted(amount, commitment.discount)).unwrap_or(amount)
    }

    /// At the end of a commitment's stretch its shortfall is billed, and the next stretch begins.
    fn settle_commitment(&mut self) {
        let Some(committed) = self.account.committed.filter(|it| it.stretch.end <= self.at) else { return };
        let Some(contract) = self.account.contract.clone() else { return };
        let Some(commitment) = contract.plan.commitment else { return };
        self.bill_shortfall();
        let next = period::stretch(
            contract.plan.anchor,
            commitment.over,
            contract.origin,
            committed.stretch.end.max(self.at),
            &contract.zone,
        );
        self.emit(What::CommitmentStarted { start: next.start, end: next.end });
    }

    /// What of the commitment is not spent yet. The first stretch of a calendar anchor promises its share of time.
    fn bill_shortfall(&mut self) {
        let Some(committed) = self.account.committed else { return };
        let Some(contract) = &self.account.contract else { return };
        let Some(commitment) = contract.plan.commitment else { return };
        let stretch = committed.stretch;
        let whole = match contract.plan.anchor {
            Anchor::Calendar => {
                calendar::window(stretch.start, commitment.over, contract.origin, &contract.zone)
            }
            Anchor::Subscription => stretch,
        };
        let promised = share_of(commitment.spend, length(stretch), length(whole)).unwrap_or(commitment.spend);
        let short = promised - committed.spent;
        if short.is_positive() {
            self.bill(LineKind::Commitment, Credits::ZERO, short, (stretch.start, Some(stretch.end)));
        }
    }

    /// The subscription is over: its commitment falls due, what it granted lapses, its debt is billed.
    pub(super) fn end_subscription(&mut self) {
        self.bill_shortfall();
        self.emit(What::Ended);
        self.lapse_ended();
        self.refresh = true;
    }

    /// Once the subscription is over no allowance will repay a debt: it is billed, at the plan's price.
    pub(super) fn bill_debt(&mut self) {
        let Some(contract) = &self.account.contract else { return };
        if contract.overlay.ended.is_none() {
            return;
        }
        let price = contract.plan.price;
        let owed: Vec<_> = self
            .account
            .book
            .pools
            .iter()
            .map(|pool| (pool.id.clone(), pool.debt - pool.observed_debt))
            .filter(|(_, debt)| debt.is_positive())
            .collect();
        for (pool, credits) in owed {
            let amount = crate::playbook::overage::Prices::flat(price).total(credits).unwrap_or_default();
            let what = self.account.contract.as_ref().map(|contract| contract.plan.name.clone());
            let line =
                Line { kind: LineKind::Overage, at: self.at, credits, amount, from: self.at, to: None, what };
            self.emit(What::DebtBilled { pool, line: Box::new(line) });
        }
    }

    /// What gives back `credits` of a pool's debt that was billed already, as far as it was.
    pub(super) fn debt_unbilled(&self, pool: &PoolId, credits: Credits) -> Option<(What, Credits)> {
        let (billed, amount) = self.account.debt_billed.get(pool).copied()?;
        let part = billed.min(credits);
        if !part.is_positive() {
            return None;
        }
        let share = Ratio::of(amount.decimal())
            .and_then(|amount| amount.times(part.decimal())?.divide(billed.decimal())?.money());
        let amount = -share.unwrap_or_default();
        let what = self.account.contract.as_ref().map(|contract| contract.plan.name.clone());
        let (at, credits) = (self.at, -part);
        let line = Line { kind: LineKind::Overage, at, credits, amount, from: at, to: None, what };
        Some((What::DebtBilled { pool: pool.clone(), line: Box::new(line) }, part))
    }

    /// Whether the subscription is over.
    pub(super) fn is_over(&self) -> bool {
        self.account.contract.as_ref().is_some_and(|contract| contract.overlay.ended.is_some())
    }

    /// Pools that the plan does not have (any more) merge into the account's.
    pub(super) fn merge_pools(&mut self) {
        let Some(contract) = &self.account.contract else { return };
        let pooling = &contract.plan.pooling;
        let lost = |pool: &&Pool| {
            let seats = pool.id == PoolId::Seats && pooling.scope == PoolScope::Hybrid;
            !seats && !has_pool(pooling, &pool.id)
        };
        let pools: Vec<&Pool> = self.account.book.pools.iter().filter(lost).collect();
        let (mut moves, mut blocks, mut debts) = (Vec::new(), Vec::new(), Vec::new());
        for pool in pools {
            if pool.debt.is_positive() {
                debts.push((pool.id.clone(), pool.debt, pool.observed_debt));
            }
            for block in pool.blocks.iter().filter(|block| block.available.is_positive() && !block.elastic) {
                let (from, to) = (Column::Available, Column::Withdrawn);
                moves.push(Move { block: block.id, from, to, amount: block.available });
                let id = BlockId(self.account.next_block + blocks.len() as u64);
                blocks.push(block.moved(id, PoolId::Account).with(block.available));
            }
        }
        if !moves.is_empty() || !debts.is_empty() {
            self.emit(What::PoolsMerged(Box::new(PoolsMerged { moves, blocks, debts })));
            self.refresh = true;
        }
    }

    pub(super) fn zone(&self) -> TimeZone {
        self.account.contract.as_ref().map_or(TimeZone::UTC, |contract| contract.zone.clone())
    }
}

/// Whether a version has all that an account subscribed to.
fn has(playbook: &crate::playbook::Playbook, contract: &crate::engine::Contract) -> bool {
    playbook.plans.contains_key(&contract.plan.name)
        && overlay::plan(playbook, &contract.plan.name, &contract.overlay).is_ok()
}

pub(super) fn length(stretch: Stretch) -> i64 {
    stretch.end.micros_since(stretch.start)
}

/// What a fee costs more than another for the rest of their stretches.
pub(super) fn fee_rest(fee: &Fee, contract: &crate::engine::Contract, at: Timestamp) -> Money {
    let stretch = period::stretch(contract.plan.anchor, fee.every, contract.origin, at, &contract.zone);
    let whole = match contract.plan.anchor {
        Anchor::Calendar => calendar::window(at, fee.every, contract.origin, &contract.zone),
        Anchor::Subscription => stretch,
    };
    share_of(fee.amount, stretch.end.micros_since(at), length(whole)).unwrap_or_default()
}
