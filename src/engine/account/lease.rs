//! Issuing slices, and taking back those that nobody answers for.

use std::collections::BTreeMap;

use super::entry::What;
use super::state::Lease;
use super::work::Work;
use crate::credit::cap::{Kind, Need};
use crate::credit::draw::{Drawn, Limits};
use crate::credit::hold::{self, Draw};
use crate::credit::{CapFlow, CapKey, Place, PoolId, ScopeKey};
use crate::lease::exchange::AHEAD_MAX;
use crate::lease::{Ask, Grant, LeaseTotals, sizing};
use crate::playbook::cap;
use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits, Epoch, LeaseId, Planted, SidecarId, Timestamp};

/// What comes of asking for a lease.
#[derive(Clone, Debug)]
pub enum Leasing {
    Granted(Box<Grant>),
    /// The account lacks what was asked for, and these sidecars hold idle slices of it.
    Recall(Vec<SidecarId>),
    /// The account is not subscribed.
    Unknown,
    /// The process that asks is no longer the sidecar's current one.
    Fenced,
    /// The sidecar gave this ask up and has asked anew since.
    Overtaken,
}

impl Work<'_> {
    /// A sidecar's process begins to act for the account: from here on only its epoch may lease.
    pub fn start(&mut self, sidecar: SidecarId, epoch: Epoch) {
        if self.account.sidecars.get(&sidecar).is_none_or(|seen| seen.epoch < epoch) {
            self.emit(What::Started { sidecar, epoch });
        }
    }

    /// Running totals of a lease; they come with the records that they take into account.
    pub fn hear_totals(&mut self, sidecar: SidecarId, totals: LeaseTotals) {
        self.note_unreserved();
        self.account.hear_totals(sidecar, totals);
    }

    /// Issues what is asked. With `recalled`, nothing more comes from other sidecars.
    pub fn lease(&mut self, sidecar: SidecarId, epoch: Epoch, ask: &Ask, recalled: bool) -> Leasing {
        let Some(terms) = self.account.terms() else { return Leasing::Unknown };
        if self.account.sidecars.get(&sidecar).is_some_and(|seen| seen.epoch > epoch) {
            return Leasing::Fenced;
        }
        self.start(sidecar, epoch);
        let granted = self.account.sidecars.get(&sidecar).map_or(0, |seen| seen.asked);
        if ask.number > 0 && ask.number <= granted {
            let again = if ask.number == granted { self.granted_last(sidecar, ask, terms) } else { None };
            return again.map_or(Leasing::Overtaken, |grant| Leasing::Granted(Box::new(grant)));
        }
        self.account_for_lost_grant(sidecar, ask);
        self.hear_totals(sidecar, ask.totals.clone());
        self.first_seen(&ask.subject);
        let path = self.path(&ask.subject);
        let scarce = !ask.partial && self.is_scarce(sidecar, ask, &path);
        if scarce {
            let grant = self.grant_lease(sidecar, ask, Vec::new(), Vec::new(), terms);
            self.hear_totals(sidecar, ask.totals.clone());
            return Leasing::Granted(Box::new(Grant { scarce, ..grant }));
        }
        let mut prior = self.prior_for(sidecar, ask, &path);
        let mut drawn = self.credits_for(sidecar, ask, &path, &prior.draws);
        let rooms = self.rooms_for(sidecar, ask);
        let lacking = drawn.missing.is_positive() || rooms.is_none();
        let soft = self.soft_room_elsewhere(sidecar, &ask.caps);
        // A last resort is none while credits lie idle elsewhere: the decision would differ by who was asked.
        let last_resort = drawn.draws.iter().any(|draw| draw.species.is_last_resort());
        let turn = prior.missing.is_positive();
        if (lacking || last_resort || turn || !soft.is_empty()) && !recalled {
            let mut holders = self.idle_holders(sidecar);
            if !lacking {
                holders.retain(|holder| {
                    soft.contains(holder)
                        || (last_resort && self.holds_idle_balance(*holder))
                        || (!last_resort && turn && self.holds_idle_of(*holder, &path))
                });
            }
            if !holders.is_empty() {
                return Leasing::Recall(holders);
            }
        }
        if ask.buys && rooms.is_some() && self.buy_to_fit(ask.credits, ask.basic, &ask.subject) {
            prior = self.prior_for(sidecar, ask, &path);
            drawn = self.credits_for(sidecar, ask, &path, &prior.draws);
        }
        // What is limited per user is counted here alone.
        if !ask.partial && self.is_counted_here(&drawn) {
            let grant = self.grant_lease(sidecar, ask, Vec::new(), Vec::new(), terms);
            self.hear_totals(sidecar, ask.totals.clone());
            return Leasing::Granted(Box::new(Grant { scarce: true, ..grant }));
        }
        let enough = !drawn.missing.is_positive() && rooms.is_some();
        let mut draws = prior.draws;
        if enough || ask.partial {
            drawn.draws.into_iter().for_each(|draw| hold::add(&mut draws, draw));
        }
        let rooms = if enough || ask.partial { rooms.unwrap_or_default() } else { Vec::new() };
        let rooms = rooms.into_iter().chain(self.rooms_ahead(sidecar, &ask.ahead)).collect();
        let grant = self.grant_lease(sidecar, ask, draws, rooms, terms);
        self.hear_totals(sidecar, ask.totals.clone());
        Leasing::Granted(Box::new(grant))
    }

    /// Whether what is asked for is too little to be sliced, over all sidecars.
    pub(super) fn is_scarce(&self, sidecar: SidecarId, ask: &Ask, path: &[PoolId]) -> bool {
        let holders = self.holders(sidecar);
        let lent = self.idle_along(sidecar, path);
        let (balance, last_resort) = self.rest(path);
        let largest = ask.credits.max(ask.largest);
        let credits = || sizing::is_scarce(balance + last_resort + lent, largest, holders);
        (ask.credits.is_positive() && credits())
            || ask.caps.iter().any(|need| !need.soft && self.is_room_scarce(sidecar, need))
    }

    /// What is idle of other sidecars' live leases and may pay a run of this path.
    fn idle_along(&self, sidecar: SidecarId, path: &[PoolId]) -> Credits {
        if self.account.book.pools.len() <= 1 {
            return self.account.idle_elsewhere(sidecar, self.at);
        }
        let serves = |id: &BlockId| {
            let block = self.account.book.block(*id);
            block.is_some_and(|b| path.contains(&b.pool) || b.species.is_last_resort())
        };
        let others = self.account.leases.iter();
        let others = others.filter(|(id, lease)| **id != sidecar && lease.ends_at > self.at);
        let idle = others.map(|(_, lease)| {
            let out: BTreeMap<BlockId, Credits> =
                lease.out.iter().filter(|(id, _)| serves(id)).map(|(id, amount)| (*id, *amount)).collect();
            let held = lease.totals.held.iter().filter(|(id, _)| serves(id)).map(|(_, amount)| *amount);
            self.account.usable(&out).saturating_sub(held.sum())
        });
        idle.sum()
    }

    /// Sidecars with a live lease, the one that asks among them.
    pub(super) fn holders(&self, sidecar: SidecarId) -> usize {
        1 + self.account.other_holders(sidecar, self.at)
    }

    fn is_room_scarce(&self, sidecar: SidecarId, need: &Need) -> bool {
        let others =
            || self.account.leases.iter().filter(|(id, lease)| **id != sidecar && lease.ends_at > self.at);
        let room = |lease: &Lease| lease.rooms.get(&need.key).copied().unwrap_or_default();
        let (left, holders) = (self.room_left(need), self.holders(sidecar));
        // What others have is added up only where it may matter.
        sizing::is_scarce(left, need.amount, holders) && {
            let lent: Credits = others().map(|(_, lease)| room(lease)).sum();
            sizing::is_scarce(left + lent, need.amount, holders)
        }
    }

    /// The credits to lease: the need from any block that may pay it, more only from blocks that count as balance (or,
    /// where the need reaches into overage, from there).
    pub(super) fn credits_for(
        &self,
        sidecar: SidecarId,
        ask: &Ask,
        path: &[PoolId],
        prior: &[Draw],
    ) -> Drawn {
        let Some(frame) = self.frame() else { return Drawn::default() };
        let limits = frame.limits(ask.basic, path, &ask.subject);
        let need = ask.credits.saturating_sub(hold::total(prior));
        let needed = self.drawn_beside(need, limits, prior);
        if needed.missing.is_positive() || need.is_zero() {
            return needed;
        }
        let overage = needed.draws.iter().any(|draw| draw.species == Species::Overage);
        let balance = self.rest(path);
        let left = if overage { balance.0 + balance.1 } else { balance.0 };
        let size = sizing::size(need, ask.burn, left, self.holders(sidecar));
        let mut drawn = self.drawn_beside(size, Limits { basic: false, ..limits }, prior);
        if drawn.missing.is_positive() || (!overage && drawn.draws.iter().any(|d| d.species.is_last_resort()))
        {
            drawn = needed;
        }
        drawn
    }

    /// What other sidecars hold idle of a counter, as far as their totals tell.
    pub(super) fn room_idle_elsewhere(&self, sidecar: SidecarId, key: &CapKey) -> Credits {
        self.idle_rooms(sidecar, key).map(|(_, idle)| idle).sum()
    }

    fn idle_rooms(&self, sidecar: SidecarId, key: &CapKey) -> impl Iterator<Item = (SidecarId, Credits)> {
        let live =
            self.account.leases.iter().filter(move |(id, lease)| **id != sidecar && lease.ends_at > self.at);
        live.map(move |(id, lease)| {
            let total = lease.totals.caps.iter().find(|(known, _)| known == key);
            let held = total.map(|(_, total)| total.held).unwrap_or_default();
            (*id, lease.rooms.get(key).copied().unwrap_or_default().saturating_sub(held))
        })
    }

    /// Who holds idle room of a soft cap that would be said to be reached only for that.
    fn soft_room_elsewhere(&self, sidecar: SidecarId, needs: &[Need]) -> Vec<SidecarId> {
        let short = needs.iter().filter(|need| need.soft && self.room_left(need) < need.amount);
        let idle = short.flat_map(|need| self.idle_rooms(sidecar, &need.key));
        idle.filter(|(_, idle)| idle.is_positive()).map(|(id, _)| id).collect()
    }

    /// The room to lease, or `None` where a hard cap has not enough for its need. A soft cap refuses nobody, so no run
    /// goes to the ledger for it; where it is too small to be sliced, its room is leased run by run, and is counted right.
    fn rooms_for(&self, sidecar: SidecarId, ask: &Ask) -> Option<Vec<(CapKey, Credits)>> {
        let mut rooms = Vec::with_capacity(ask.caps.len());
        for need in &ask.caps {
            let left = self.room_left(need);
            if left < need.amount && !need.soft {
                return None;
            }
            // Every run counts in a cap of the whole account's credits: its room is used up as credits are.
            let burn = if self.counts_all_credits(&need.key) { ask.burn } else { Credits::ZERO };
            let exact = need.soft && self.is_room_scarce(sidecar, need);
            let size = if exact {
                need.amount
            } else {
                sizing::size(need.amount, burn, left, self.holders(sidecar))
            };
            rooms.push((need.key.clone(), size.min(left)));
        }
        Some(rooms)
    }

    fn counts_all_credits(&self, key: &CapKey) -> bool {
        let plan = self.account.contract.as_ref().map(|contract| &contract.plan);
        let cap = plan.and_then(|plan| cap::named(plan, key.cap.as_str()));
        key.scope == ScopeKey::Account && cap.is_some_and(|cap| Kind::of(&cap.measure) == Kind::Credits)
    }

    /// Room in windows that have not begun: what there is plenty of, and of no window that is further off than a lease.
    fn rooms_ahead(&self, sidecar: SidecarId, ahead: &[Need]) -> Vec<(CapKey, Credits)> {
        let near = self.at.plus_micros(self.lasts());
        let contract = self.account.contract.as_ref();
        let holders = self.holders(sidecar);
        let room = |need: &Need| {
            // By the plan as it is here: a counter is born with its limit.
            let limit = contract.and_then(|contract| contract.counter(&need.key, self.at))?.limit;
            let need = Need { limit, ..need.clone() };
            let near = need.key.window > self.at && need.key.window <= near;
            let left = self.room_left(&need);
            if !near || left < need.amount || self.is_room_scarce(sidecar, &need) {
                return None;
            }
            Some((need.key.clone(), sizing::size(need.amount, Credits::ZERO, left, holders).min(left)))
        };
        ahead.iter().take(AHEAD_MAX).filter_map(room).collect()
    }

    pub(super) fn room_left(&self, need: &Need) -> Credits {
        match self.account.book.counters.get(&need.key) {
            Some(counter) => need.limit.saturating_sub(counter.used()),
            None => need.limit,
        }
    }

    /// Sidecars other than `asking` that hold something idle of a live lease, as far as is known.
    pub(super) fn idle_holders(&self, asking: SidecarId) -> Vec<SidecarId> {
        self.account
            .leases
            .iter()
            .filter(|(id, lease)| **id != asking && lease.ends_at > self.at)
            .filter(|(_, lease)| self.account.lends(lease))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Whether something of blocks that count as balance is idle at this sidecar, as far as its totals tell.
    pub(super) fn holds_idle_balance(&self, sidecar: SidecarId) -> bool {
        let Some(lease) = self.account.leases.get(&sidecar) else { return false };
        let held: BTreeMap<_, _> = lease.totals.held.iter().copied().collect();
        lease.out.iter().any(|(id, out)| {
            let counts = self
                .account
                .book
                .block(*id)
                .is_some_and(|block| !block.species.is_last_resort() && block.pays(self.at));
            counts && *out > held.get(id).copied().unwrap_or_default()
        })
    }

    /// What seals and ended, silent leases hold, what is idle at live ones though it was recalled, and when the last of it
    /// comes back.
    pub(super) fn out_of_reach(&self, asking: SidecarId) -> Option<(Credits, Timestamp)> {
        let reclaim = self.reclaim_after();
        let ended = self.account.ended(asking, self.at);
        let ended = ended.map(|lease| (self.account.usable(&lease.out), lease.ends_at.plus_micros(reclaim)));
        let live = self
            .account
            .last_idle(asking, self.at)
            .map(|end| (self.account.idle_elsewhere(asking, self.at), end.plus_micros(reclaim)));
        let sealed = self.account.seals.iter().map(|seal| (self.account.usable(&seal.slices), seal.until));
        let parts: Vec<(Credits, Timestamp)> =
            ended.chain(live).chain(sealed).filter(|(c, _)| c.is_positive()).collect();
        let until = parts.iter().map(|(_, until)| *until).max()?;
        Some((parts.iter().map(|(credits, _)| *credits).sum(), until))
    }

    pub(super) fn lasts(&self) -> i64 {
        self.account.contract.as_ref().map_or(60_000_000, |c| c.plan.offline.lease.approximate_micros())
    }

    pub(super) fn reclaim_after(&self) -> i64 {
        if Planted::ReclaimedWithoutMargin.is_here() {
            return -self.lasts() / 2;
        }
        self.account
            .contract
            .as_ref()
            .map_or(0, |contract| contract.plan.offline.reclaim_after.approximate_micros())
    }

    /// Ended, silent leases whose time is over.
    pub(super) fn reclaim(&mut self) {
        let after = self.reclaim_after();
        let over: Vec<(SidecarId, LeaseId)> = self
            .account
            .leases
            .iter()
            .filter(|(_, lease)| self.account.reclaimed_at(lease, after) <= self.at)
            .map(|(sidecar, lease)| (*sidecar, lease.id))
            .collect();
        for (sidecar, lease) in over {
            self.emit(What::Reclaimed { sidecar, lease });
        }
    }

    /// Seals whose time is over.
    pub(super) fn unseal(&mut self) {
        let over: Vec<_> = self.account.seals.iter().filter(|seal| seal.until <= self.at).cloned().collect();
        for seal in over {
            self.emit(What::Unsealed {
                sidecar: seal.sidecar,
                slices: seal.slices.into_iter().collect(),
                rooms: seal.rooms.into_iter().collect(),
            });
        }
    }

    /// Frees what a seal holds for a commit of a run that an unclean stop lost sight of: `amount` of its credits, and the
    /// room that the commit is counted in anew.
    pub(super) fn unseal_for(&mut self, sidecar: SidecarId, amount: Credits, counted: &[CapFlow]) {
        let seals = || self.account.seals.iter().filter(|seal| seal.sidecar == sidecar);
        let mut left = amount;
        let mut slices: Vec<(BlockId, Credits)> = Vec::new();
        for (block, sealed) in seals().flat_map(|seal| &seal.slices) {
            let part = (*sealed).min(left);
            if part.is_positive() {
                slices.push((*block, part));
                left -= part;
            }
        }
        let mut rooms: Vec<(CapKey, Credits)> = Vec::new();
        for flow in counted.iter().filter(|flow| flow.to == Place::Spent) {
            let sealed: Credits = seals().filter_map(|seal| seal.rooms.get(&flow.key).copied()).sum();
            let part = sealed.min(flow.amount);
            if part.is_positive() {
                rooms.push((flow.key.clone(), part));
            }
        }
        if !slices.is_empty() || !rooms.is_empty() {
            self.emit(What::Unsealed { sidecar, slices, rooms });
        }
    }
}
