//! The account as a value.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::absorb::take_along;
use super::burn::Burn;
use super::entry::{Alarm, Answered, Booked, Covered, Purchase};
use super::entry_contract::{Allotted, Pending, Sent, TransferId};
use super::idle::Idle;
use crate::credit::invoice::Line;
use crate::credit::path::{self, Path};
use crate::credit::price::PeriodOverage;
use crate::credit::{Book, CapKey, PoolId, Subject};
use crate::engine::contract::Contract;
use crate::lease::AccountTerms;
use crate::lease::exchange::LeaseTotals;
use crate::lease::recount::Charged;
use crate::lease::terms::{HandleKey, Refund};
use crate::playbook::draw_order::Species;
use crate::types::calendar::Stretch;
use crate::types::{
    AccountId, BlockId, Credits, Epoch, LeaseId, Money, Name, RequestId, ReservationId, SidecarId, Timestamp,
};

#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub id: AccountId,
    pub book: Book,
    /// `None` until it is subscribed.
    pub contract: Option<Contract>,
    pub zone: String,
    pub key: HandleKey,
    pub period: Stretch,
    /// When each allowance of the plan grants next; `None` = never again.
    pub allowances: Vec<Option<Timestamp>>,
    /// When each link of the overage chain starts anew.
    pub chain: Vec<Option<Timestamp>>,
    pub leases: BTreeMap<SidecarId, Lease>,
    /// The same leases by their end: what time does next must not take a look at each.
    pub(super) ends: BTreeSet<(Timestamp, SidecarId)>,
    pub(super) idle: Idle,
    /// How many grants brought something: whether anything was lent since.
    pub lent: u64,
    pub seals: Vec<Seal>,
    pub sidecars: BTreeMap<SidecarId, Seen>,
    pub requests: BTreeMap<RequestId, Answered>,
    pub overage: Vec<PeriodOverage>,
    /// Users who took their seat's share in this period.
    pub seated: BTreeSet<Name>,
    /// What one seat takes of each block that is set aside for seats.
    pub seat_shares: BTreeMap<BlockId, Credits>,
    /// Pools that sidecars were told to be dry: soft state, not part of the journal.
    pub told_dry: BTreeSet<PoolId>,
    /// What was bought, and is not forgotten.
    pub purchases: BTreeMap<BlockId, Purchase>,
    /// Packs that top-ups bought in this period.
    pub topped_up: u32,
    /// Awards to each user, ever, and credits awarded in this period.
    pub awards: BTreeMap<(Name, Name), u32>,
    pub awarded: BTreeMap<Name, Credits>,
    /// Where credits of an ended block went on.
    pub heirs: BTreeMap<BlockId, BlockId>,
    /// What next allowances were lowered by for what was borrowed, by the block that it was borrowed from.
    pub covered: BTreeMap<BlockId, Covered>,
    /// In which order the account came to hold its open runs.
    pub arrivals: BTreeMap<ReservationId, u64>,
    /// Conditions that hold now.
    pub raised: BTreeSet<Alarm>,
    /// Which sidecar reported each promoted run.
    pub owners: BTreeMap<ReservationId, SidecarId>,
    /// What was booked for runs that are open at a sidecar alone: the blocks that paid in fact.
    pub booked: BTreeMap<(SidecarId, ReservationId), Booked>,
    /// What each block paid of debt, and was not given back since.
    pub repaid: BTreeMap<BlockId, Credits>,
    /// What was spent of each emergency block and has become debt.
    pub reconciled: BTreeMap<BlockId, Credits>,
    /// What was raised so far, in order.
    pub alerts: Vec<(Timestamp, Alarm)>,
    /// What the records of each sidecar charged, as the sidecar saw it.
    pub charged: BTreeMap<SidecarId, Charged>,
    pub next_block: u64,
    pub next_lease: u64,
    /// The number and link of the last entry.
    pub number: u64,
    pub link: [u8; 32],
    /// Until when time has done its work.
    pub clock: Timestamp,
    /// The running term; `None` where the plan has none.
    pub term: Option<Stretch>,
    /// When each fee is billed next.
    pub fees: Vec<Option<Timestamp>>,
    /// What counts towards the plan's commitment.
    pub committed: Option<Committed>,
    /// Billing lines so far, overage excepted: that is summed by period.
    pub lines: Vec<Line>,
    pub pending: Pending,
    /// Debt of each pool that was billed, and for how much.
    pub debt_billed: BTreeMap<PoolId, (Credits, Money)>,
    /// Refunds of runs that sidecars may still remember, until when they do.
    pub refunds: VecDeque<(Timestamp, Refund)>,
    /// Where a plan changed in this period.
    pub allotted: Option<Allotted>,
    /// Blocks of the plan's allowance.
    pub allotments: BTreeSet<BlockId>,
    /// What was given in a window of the plan's limit on transfers: the window's start and credits.
    pub given: Option<(Timestamp, Credits)>,
    /// Transfers to other accounts that these have not answered yet.
    pub sent: BTreeMap<TransferId, Sent>,
    /// Transfers from other accounts that arrived, and whether they were taken.
    pub received: BTreeMap<TransferId, bool>,
    /// What each of the last hours consumed, by its start.
    pub burn: Burn,
}

/// What of a commitment was spent in its running stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub stretch: Stretch,
    pub spent: Money,
}

/// Credits by block.
pub(super) type Slices = Vec<(BlockId, Credits)>;
/// Room by counter.
type Rooms = Vec<(CapKey, Credits)>;

/// What a sidecar holds of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    pub id: LeaseId,
    /// How many grants it had.
    pub grants: u32,
    /// Credits that it holds, idle or reserved.
    pub out: BTreeMap<BlockId, Credits>,
    pub rooms: BTreeMap<CapKey, Credits>,
    /// The ledger's own end of it, margin included.
    pub ends_at: Timestamp,
    /// The last grant, taken back if its sidecar never saw it.
    pub last: (Slices, Rooms),
    /// Running totals, as last heard: soft state, not part of the journal.
    pub totals: LeaseTotals,
}

/// What an unclean stop may have lost sight of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    pub sidecar: SidecarId,
    pub slices: BTreeMap<BlockId, Credits>,
    pub rooms: BTreeMap<CapKey, Credits>,
    pub until: Timestamp,
}

/// How far a sidecar has reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub epoch: Epoch,
    pub number: u64,
    /// The newest of its epoch's asks that was granted: an older one, or this one again, changes nothing any more.
    pub asked: u64,
}

impl Seen {
    /// A later start counts its asks anew.
    pub(super) fn starts(&mut self, epoch: Epoch) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.asked = 0;
        }
    }
}

impl Account {
    pub fn new(id: AccountId) -> Self {
        Self {
            id,
            book: Book::default(),
            contract: None,
            zone: "UTC".to_owned(),
            key: HandleKey { id: 0, secret: [0; 32] },
            period: Stretch { start: Timestamp::default(), end: Timestamp::default() },
            allowances: Vec::new(),
            chain: Vec::new(),
            leases: BTreeMap::new(),
            ends: BTreeSet::new(),
            idle: Idle::default(),
            lent: 0,
            seals: Vec::new(),
            sidecars: BTreeMap::new(),
            requests: BTreeMap::new(),
            overage: Vec::new(),
            seated: BTreeSet::new(),
            seat_shares: BTreeMap::new(),
            told_dry: BTreeSet::new(),
            purchases: BTreeMap::new(),
            topped_up: 0,
            awards: BTreeMap::new(),
            awarded: BTreeMap::new(),
            heirs: BTreeMap::new(),
            covered: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            raised: BTreeSet::new(),
            owners: BTreeMap::new(),
            booked: BTreeMap::new(),
            repaid: BTreeMap::new(),
            reconciled: BTreeMap::new(),
            alerts: Vec::new(),
            charged: BTreeMap::new(),
            next_block: 1,
            next_lease: 1,
            number: 0,
            link: [0; 32],
            clock: Timestamp::default(),
            term: None,
            fees: Vec::new(),
            committed: None,
            lines: Vec::new(),
            pending: Pending::default(),
            debt_billed: BTreeMap::new(),
            refunds: VecDeque::new(),
            allotted: None,
            allotments: BTreeSet::new(),
            given: None,
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
            burn: Burn::default(),
        }
    }

    /// What sidecars must know; `None` until the account is subscribed.
    pub fn terms(&self) -> Option<AccountTerms> {
        let contract = self.contract.as_ref()?;
        Some(AccountTerms {
            plan: contract.plan.name.clone(),
            version: contract.playbook.version,
            origin: contract.origin,
            zone: self.zone.clone(),
            suspended: contract.suspended,
            overage_limit: contract.overage_limit,
            period_ends: self.period.end,
            key: self.key,
            owes: self.owes(),
            overlay: contract.overlay.clone(),
            refunds: self
                .refunds
                .iter()
                .filter(|(end, _)| *end > self.clock)
                .map(|(_, told)| *told)
                .collect(),
        })
    }

    /// The pools that runs of this subject draw on.
    pub fn path(&self, subject: &Subject) -> Path {
        let pooling = self.contract.as_ref().map(|contract| contract.plan.pooling).unwrap_or_default();
        path::path(&pooling, subject)
    }

    /// Whether a lease holds credits or room that others might use.
    pub fn lends(&self, lease: &Lease) -> bool {
        !lease.rooms.is_empty() || self.usable(&lease.out).is_positive()
    }

    /// A block, and those that its credits rolled into since: its sidecar knows them by the first.
    pub(super) fn line(&self, block: BlockId) -> Vec<BlockId> {
        let mut line = vec![block];
        while let Some(heir) = line.last().and_then(|last| self.heirs.get(last)) {
            line.push(*heir);
        }
        line
    }

    /// What of a block is idle at a sidecar, as far as its totals tell.
    pub(super) fn idle_in(&self, lease: &Lease, block: BlockId) -> Credits {
        let Some(out) = lease.out.get(&block).copied() else { return Credits::ZERO };
        let held = self.held_in(lease, &lease.totals).remove(&block).unwrap_or_default();
        out.saturating_sub(held)
    }

    /// What runs hold of a lease by its totals. Its holder knows credits that rolled over by the block that they were in:
    /// what is held is first what did not roll.
    pub(super) fn held_in(&self, lease: &Lease, totals: &LeaseTotals) -> BTreeMap<BlockId, Credits> {
        let mut left = lease.out.clone();
        let mut held = BTreeMap::new();
        for (block, amount) in &totals.held {
            for (block, part) in take_along(&mut left, &self.line(*block), *amount) {
                *held.entry(block).or_default() += part;
            }
        }
        held
    }

    /// What of some slices others might use: emergency credits wait for the ledger to be away.
    pub(super) fn usable(&self, slices: &BTreeMap<BlockId, Credits>) -> Credits {
        let counts =
            |id: &BlockId| self.book.block(*id).is_some_and(|block| block.species != Species::Emergency);
        slices.iter().filter(|(id, _)| counts(id)).map(|(_, amount)| *amount).sum()
    }

    /// Whether there is debt that credits coming back would pay.
    pub fn owes(&self) -> bool {
        self.book.pools.iter().any(|pool| pool.debt > pool.observed_debt)
    }

    /// Names of the alerts raised so far, in order.
    pub fn alert_names(&self) -> impl Iterator<Item = &Name> {
        self.alerts.iter().map(|(_, alarm)| &alarm.alert)
    }

    /// Holds on blocks besides those of open runs.
    pub fn elsewhere(&self) -> BTreeMap<BlockId, Credits> {
        let mut held: BTreeMap<BlockId, Credits> = BTreeMap::new();
        let leased = self.leases.values().flat_map(|lease| &lease.out);
        let sealed = self.seals.iter().flat_map(|seal| &seal.slices);
        for (block, amount) in leased.chain(sealed) {
            *held.entry(*block).or_default() += *amount;
        }
        held
    }
}
