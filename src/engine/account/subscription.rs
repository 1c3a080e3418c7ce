//! C15: what administrators change of a contract: subscribe, another plan, seats, caps of its own, an end.

use jiff::tz::TimeZone;

use super::administer::AdminRefusal;
use super::entry::{Source, What};
use super::entry_contract::{Allotted, Pending, PlanMoved};
use super::renewal::fee_rest;
use super::work::Work;
use crate::credit::invoice::{Line, LineKind};
use crate::credit::{Block, Column, Move, PoolId, period};
use crate::engine::contract::{Contract, Since};
use crate::lease::terms::HandleKey;
use crate::playbook::Plan;
use crate::playbook::allowance::{Allowance, Recurs};
use crate::playbook::draw_order::Species;
use crate::playbook::overlay::{self, Overlay, OverlayFault};
use crate::playbook::pooling::SEATS_MAX;
use crate::types::calendar::{self, Stretch};
use crate::types::{BlockId, Credits, Money, Name, Ratio, Timestamp};

impl Work<'_> {
    pub(super) fn subscribe(
        &self,
        plan: &Name,
        zone: &str,
        key: HandleKey,
        overlay: &Overlay,
    ) -> Result<Vec<What>, AdminRefusal> {
        if self.account.contract.is_some() && !self.is_over() {
            return Err(AdminRefusal::AlreadySubscribed);
        }
        let playbook = self.playbooks.in_force(self.at).ok_or(AdminRefusal::NoPlaybook)?;
        if TimeZone::get(zone).is_err() {
            return Err(AdminRefusal::InvalidZone(zone.chars().take(64).collect()));
        }
        sound(playbook, plan, overlay)?;
        let version = playbook.version;
        let mut entries = vec![What::Subscribed { plan: plan.clone(), version, zone: zone.to_owned(), key }];
        if *overlay != Overlay::default() {
            entries.push(What::Overlaid(Box::new(overlay.clone())));
        }
        Ok(entries)
    }

    pub(super) fn change_plan(&self, plan: &Name, now: bool) -> Result<Vec<What>, AdminRefusal> {
        let contract = self.running()?;
        // A customer keeps the version that they have, as long as it has the plan.
        let in_force = self.playbooks.in_force(self.at);
        let own = Some(&contract.playbook).filter(|_| now);
        let playbook = own
            .into_iter()
            .chain(in_force)
            .find(|playbook| playbook.plans.contains_key(plan))
            .ok_or_else(|| AdminRefusal::PlanUnknown(plan.clone()))?;
        sound(playbook, plan, &contract.overlay)?;
        if !now {
            let pending = Pending { plan: Some(plan.clone()), ends: None, ..self.account.pending.clone() };
            return Ok(vec![What::Pended(pending)]);
        }
        let since = Since { origin: contract.origin, zone: &self.account.zone };
        let new = Contract::of(playbook, plan, contract.overlay.clone(), since)
            .ok_or_else(|| AdminRefusal::PlanUnknown(plan.clone()))?;
        let (allotted, mut entries) = self.allot(contract, &new);
        entries.extend(self.overage_room(&contract.plan, &new.plan));
        let moved = PlanMoved { plan: plan.clone(), version: playbook.version, anew: false, allotted };
        entries.push(What::PlanMoved(Box::new(moved)));
        entries.extend(self.fee_difference(contract, &new));
        entries.push(What::Pended(Pending { plan: None, ends: None, ..self.account.pending.clone() }));
        Ok(entries)
    }

    /// Up at once, down at the next period.
    pub(super) fn set_seats(&self, seats: u32) -> Result<Vec<What>, AdminRefusal> {
        let contract = self.running()?;
        if seats > SEATS_MAX {
            return Err(AdminRefusal::TooManySeats);
        }
        if contract.seats().is_some_and(|now| seats < now) {
            return Ok(vec![What::Pended(Pending { seats: Some(seats), ..self.account.pending.clone() })]);
        }
        let overlay = Overlay { seats: Some(seats), ..contract.overlay.clone() };
        let pending = Pending { seats: None, ..self.account.pending.clone() };
        let added = seats - contract.seats().unwrap_or(0);
        let mut entries = vec![What::Overlaid(Box::new(overlay)), What::Pended(pending)];
        entries.extend(self.more_seats(added));
        Ok(entries)
    }

    pub(super) fn cancel(&self, now: bool) -> Result<Vec<What>, AdminRefusal> {
        self.running()?;
        let end = self.account.term.map_or(self.account.period.end, |term| term.end);
        let ends = Some(if now { self.at } else { end });
        Ok(vec![What::Pended(Pending { plan: None, seats: None, ends })])
    }

    /// A cap of the account's own; one of the same name is replaced.
    pub(super) fn set_cap(&self, cap: &str) -> Result<Vec<What>, AdminRefusal> {
        let contract = self.contract()?;
        let mut overlay = contract.overlay.clone();
        let name = overlay::name_of_cap(cap);
        overlay.caps.retain(|other| overlay::name_of_cap(other) != name);
        overlay.caps.push(cap.to_owned());
        if overlay.caps.len() > overlay::CAPS_MAX {
            return Err(AdminRefusal::TooManyCaps);
        }
        sound(&contract.playbook, &contract.plan.name, &overlay)?;
        Ok(vec![What::Overlaid(Box::new(overlay))])
    }

    pub(super) fn contract(&self) -> Result<&Contract, AdminRefusal> {
        self.account.contract.as_ref().ok_or(AdminRefusal::AccountUnknown)
    }

    /// The contract of a subscription that is not over.
    fn running(&self) -> Result<&Contract, AdminRefusal> {
        if self.is_over() {
            return Err(AdminRefusal::SubscriptionOver);
        }
        self.contract()
    }

    /// What a change of plan makes of the period's allowance: the new plan's for the share of time that is left, and what
    /// was earned until now.
    fn allot(&self, old: &Contract, new: &Contract) -> (Option<Allotted>, Vec<What>) {
        let credit = &new.playbook.credit;
        let Some((earned, granted)) = self.earned(old) else { return (None, Vec::new()) };
        let recurring = || new.plan.allowances.iter().filter(|one| matches!(one.recurs, Recurs::Every(_)));
        let coming = recurring().try_fold(Ratio::ZERO, |sum, allowance| {
            let (stretch, credits) = self.stretch_of(new, allowance, true)?;
            let left = stretch.end.micros_since(self.at);
            sum.plus(Ratio::of(credits.decimal())?.share(left, super::renewal::length(stretch))?)
        });
        let target = coming.and_then(|coming| coming.plus(earned)?.credits(credit.scale, credit.rounding));
        let (Some(target), Some(earned)) = (target, earned.credits(9, crate::types::Rounding::HalfEven))
        else {
            return (None, Vec::new());
        };
        let until = self.lasts_until(new);
        // A trial is not granted by a change, and takes nothing of what was granted before.
        let trial = !new.plan.allowances.is_empty() && recurring().next().is_none();
        if trial {
            return (Some(Allotted { since: self.at, earned, granted, until: None }), Vec::new());
        }
        let allotted = Some(Allotted { since: self.at, earned, granted: target, until: Some(until) });
        let entries = if target > granted {
            let mut block =
                Block::new(BlockId(self.account.next_block), PoolId::Account, Species::Subscription, self.at);
            block.expires_at = Some(until);
            block.unit_price = Some(new.plan.price);
            vec![What::Granted { block: Box::new(block.with(target - granted)), source: Source::Changed }]
        } else {
            vec![What::Reduced(self.reduction(granted - target))]
        };
        (allotted, entries)
    }

    /// Until when a changed allowance lasts: the period goes on, and where the next one is due later, nothing is missing
    /// until then.
    fn lasts_until(&self, new: &Contract) -> Timestamp {
        let due = new.plan.allowances.iter().find_map(|allowance| self.stretch_of(new, allowance, true));
        due.map_or(self.account.period.end, |(stretch, _)| stretch.end.max(self.account.period.end))
    }

    /// What the plan's allowance earned until now by the time that is over, and what was granted of it.
    fn earned(&self, old: &Contract) -> Option<(Ratio, Credits)> {
        let (mut earned, mut granted) = (Ratio::ZERO, Credits::ZERO);
        let changed = self.account.allotted;
        for allowance in &old.plan.allowances {
            // A change brings nobody what is granted once: there is nothing of it to earn.
            if changed.is_some() && matches!(allowance.recurs, Recurs::Once { .. }) {
                continue;
            }
            let Some((stretch, credits)) = self.stretch_of(old, allowance, false) else { continue };
            let since = changed.map_or(stretch.start, |changed| changed.since.max(stretch.start));
            let over = Ratio::of(credits.decimal())?
                .share(self.at.micros_since(since), super::renewal::length(stretch))?;
            earned = earned.plus(over)?;
            granted += credits;
        }
        match changed {
            Some(changed) => Some((earned.plus(Ratio::of(changed.earned.decimal())?)?, changed.granted)),
            None => Some((earned, granted)),
        }
    }

    /// The running stretch of an allowance and what is granted for it. One that is granted once counts over the period
    /// where it is the old plan's and still pays; nobody gets one by a change.
    fn stretch_of(
        &self,
        contract: &Contract,
        allowance: &Allowance,
        new: bool,
    ) -> Option<(Stretch, Credits)> {
        match allowance.recurs {
            Recurs::Once { .. } if new => None,
            Recurs::Once { lasts } => {
                let end = lasts.map(|lasts| calendar::plus(contract.origin, lasts, &contract.zone));
                let pays = end.is_none_or(|end| end > self.at);
                pays.then_some((self.account.period, allowance.credits))
            }
            Recurs::Every(every) => {
                let (plan, origin, zone) = (&contract.plan, contract.origin, &contract.zone);
                let stretch = period::stretch(plan.anchor, every, origin, self.at, zone);
                let credit = &contract.playbook.credit;
                // The first stretch of a calendar anchor is worth its share of time.
                let granted = period::grant(plan, allowance, credit, origin, self.at, zone);
                Some((stretch, granted.credits))
            }
        }
    }

    /// Takes `amount` out of what is available of the allowance: the account's pool first.
    fn reduction(&self, amount: Credits) -> Vec<Move> {
        let mut blocks: Vec<&Block> = self
            .account
            .book
            .blocks()
            .filter(|block| block.species == Species::Subscription && block.pays(self.at))
            .collect();
        let own = |block: &Block| !self.account.allotments.contains(&block.id);
        blocks.sort_by_key(|block| (own(block), block.pool.clone(), std::cmp::Reverse(block.id)));
        let mut left = amount;
        let mut moves = Vec::new();
        for block in blocks {
            let part = block.available.min(left);
            if part.is_positive() {
                moves.push(Move {
                    block: block.id,
                    from: Column::Available,
                    to: Column::Withdrawn,
                    amount: part,
                });
                left -= part;
            }
        }
        moves
    }

    /// The period's counters go on: what a limited overage still has follows the new limit.
    fn overage_room(&self, old: &Plan, new: &Plan) -> Vec<What> {
        let (Some(Some(before)), Some(Some(after))) = (soft_limit(old), soft_limit(new)) else {
            return Vec::new();
        };
        let mut blocks = self
            .account
            .book
            .blocks()
            .filter(|block| block.species == Species::Overage && block.pays(self.at) && !block.elastic);
        let Some(block) = blocks.next() else { return Vec::new() };
        if after >= before {
            let mut more =
                Block::new(BlockId(self.account.next_block + 1), block.pool.clone(), block.species, self.at);
            // Overage of one period is priced together, by the period's start.
            more.effective_at = block.effective_at;
            more.expires_at = block.expires_at;
            let more = Box::new(more.with(after - before));
            return vec![What::Granted { block: more, source: Source::Changed }];
        }
        let amount = (before - after).min(block.available);
        if !amount.is_positive() {
            return Vec::new();
        }
        vec![What::Reduced(vec![Move {
            block: block.id,
            from: Column::Available,
            to: Column::Withdrawn,
            amount,
        }])]
    }

    /// Fees are pro-rated like the allowance: the rest of the new one's stretch, less the rest of what was billed.
    fn fee_difference(&self, old: &Contract, new: &Contract) -> Option<What> {
        let sum = |contract: &Contract| -> Money {
            let fees = contract.plan.fees.iter().map(|fee| fee_rest(fee, contract, self.at));
            let sum = fees.sum();
            let discount = contract.plan.commitment.map(|commitment| commitment.discount);
            discount.and_then(|discount| crate::playbook::billing::discounted(sum, discount)).unwrap_or(sum)
        };
        let amount = sum(new) - sum(old);
        let line = Line {
            kind: LineKind::Fee,
            at: self.at,
            credits: Credits::ZERO,
            amount,
            from: self.at,
            to: Some(self.account.period.end),
            // What is left to pay is the new plan's fee, what goes back was the old one's.
            what: Some(if amount.is_negative() { &old.plan } else { &new.plan }.name.clone()),
        };
        (!amount.is_zero()).then(|| What::Billed(Box::new(line)))
    }
}

/// The limit of the plan's soft overage: outer `None` = it has none.
fn soft_limit(plan: &Plan) -> Option<Option<Credits>> {
    plan.overage.iter().find_map(|link| match link {
        crate::playbook::overage::Link::Soft { up_to, .. } => Some(*up_to),
        _ => None,
    })
}

/// Whether an account may have this plan with this beside it.
fn sound(playbook: &crate::playbook::Playbook, plan: &Name, overlay: &Overlay) -> Result<(), AdminRefusal> {
    let texts = overlay.overrides.iter().chain(&overlay.caps);
    if texts.map(String::len).sum::<usize>() > overlay::TEXT_BYTES_MAX {
        return Err(AdminRefusal::OverridesTooLong);
    }
    if overlay.seats.is_some_and(|seats| seats > SEATS_MAX) {
        return Err(AdminRefusal::TooManySeats);
    }
    overlay::plan(playbook, plan, overlay).map(|_| ()).map_err(|fault| match fault {
        OverlayFault::PlanUnknown(plan) => AdminRefusal::PlanUnknown(plan),
        OverlayFault::AddOnUnknown(addon) => AdminRefusal::AddOnUnknown(addon),
        OverlayFault::Refused(report) => {
            AdminRefusal::OverridesRefused(report.in_file("overrides").to_string())
        }
    })
}
