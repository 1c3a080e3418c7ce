//! What lies idle at sidecars, as far as their totals tell: kept as a sum, so that no lease costs more the more others
//! there are.

use std::collections::{BTreeMap, BTreeSet};

use super::apply_lease::add;
use super::state::{Account, Lease};
use crate::credit::CapKey;
use crate::lease::LeaseTotals;
use crate::types::{BlockId, Credits, SidecarId, Timestamp};

/// What is idle of each lease where anything is, by sidecar and by the lease's end, and the sum: soft state as totals are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Idle {
    at: BTreeMap<SidecarId, (Timestamp, Credits)>,
    ends: BTreeSet<(Timestamp, SidecarId)>,
    sum: Credits,
}

impl Idle {
    fn put(&mut self, sidecar: SidecarId, end: Timestamp, idle: Credits) {
        self.ends.insert((end, sidecar));
        self.at.insert(sidecar, (end, idle));
        self.sum += idle;
    }

    fn remove(&mut self, sidecar: SidecarId) {
        if let Some((end, idle)) = self.at.remove(&sidecar) {
            self.ends.remove(&(end, sidecar));
            self.sum -= idle;
        }
    }
}

/// No sidecar's id is greater.
const LAST: SidecarId = SidecarId([u8::MAX; 16]);

impl Account {
    /// What no run holds of what a lease has out, as far as its totals tell.
    pub(super) fn idle(&self, lease: &Lease) -> Credits {
        let held = lease.totals.held.iter().map(|(_, amount)| *amount).sum();
        self.usable(&lease.out).saturating_sub(held)
    }

    /// Running totals of a lease, as its sidecar tells them.
    pub fn hear_totals(&mut self, sidecar: SidecarId, totals: LeaseTotals) {
        if let Some(lease) = self.leases.get_mut(&sidecar) {
            lease.totals = totals;
            self.weigh(sidecar);
        }
    }

    /// What a lease holds has changed by so much.
    pub(super) fn change_out(
        &mut self,
        sidecar: SidecarId,
        slices: &[(BlockId, Credits)],
        rooms: &[(CapKey, Credits)],
    ) {
        if let Some(lease) = self.leases.get_mut(&sidecar) {
            add(&mut lease.out, slices);
            add(&mut lease.rooms, rooms);
            self.weigh(sidecar);
        }
    }

    /// Looks anew at what is idle of a lease: its end, its slices or its totals have changed, or it is gone.
    pub(super) fn weigh(&mut self, sidecar: SidecarId) {
        self.idle.remove(sidecar);
        if let Some(lease) = self.leases.get(&sidecar).filter(|lease| self.is_idle(lease)) {
            let (end, idle) = (lease.ends_at, self.idle(lease));
            self.idle.put(sidecar, end, idle);
        }
    }

    /// Whether a lease has credits or room that no run holds.
    fn is_idle(&self, lease: &Lease) -> bool {
        let told = |key| lease.totals.caps.iter().find(|(told, _)| told == key);
        let held = |key| told(key).map(|(_, total)| total.held).unwrap_or_default();
        self.idle(lease).is_positive() || lease.rooms.iter().any(|(key, room)| *room > held(key))
    }

    /// Whether live leases have anything idle, credits or room.
    pub fn knows_idle(&self, at: Timestamp) -> bool {
        self.idle.ends.last().is_some_and(|(end, _)| *end > at)
    }

    /// Leases whose time is over, of sidecars other than `asking`.
    pub(super) fn ended(&self, asking: SidecarId, at: Timestamp) -> impl Iterator<Item = &Lease> {
        let over = self.ends.range(..=(at, LAST)).filter(move |(_, sidecar)| *sidecar != asking);
        over.filter_map(|(_, sidecar)| self.leases.get(sidecar))
    }

    /// How many sidecars other than `asking` have a live lease.
    pub(super) fn other_holders(&self, asking: SidecarId, at: Timestamp) -> usize {
        let own = usize::from(self.leases.contains_key(&asking));
        self.leases.len().saturating_sub(own + self.ended(asking, at).count())
    }

    /// What is idle of live leases of sidecars other than `asking`.
    pub(super) fn idle_elsewhere(&self, asking: SidecarId, at: Timestamp) -> Credits {
        let idle = |sidecar: &SidecarId| self.idle.at.get(sidecar).map(|(_, idle)| *idle).unwrap_or_default();
        let ended = self.idle.ends.range(..=(at, LAST)).map(|(_, sidecar)| sidecar);
        let ended: Credits = ended.filter(|sidecar| **sidecar != asking).map(idle).sum();
        self.idle.sum - ended - idle(&asking)
    }

    /// When the last live lease of another sidecar ends of which credits are idle.
    pub(super) fn last_idle(&self, asking: SidecarId, at: Timestamp) -> Option<Timestamp> {
        let live = self.idle.ends.iter().rev().take_while(|(end, _)| *end > at);
        let credits = |sidecar| self.idle.at.get(sidecar).is_some_and(|(_, idle)| idle.is_positive());
        let mut others = live.filter(|(_, sidecar)| *sidecar != asking && credits(sidecar));
        others.next().map(|(end, _)| *end)
    }

    /// Whether the indexes of the leases say what the leases do.
    pub(super) fn verify_idle(&self) -> Result<(), String> {
        let mut anew = Idle::default();
        for (sidecar, lease) in self.leases.iter().filter(|(_, lease)| self.is_idle(lease)) {
            anew.put(*sidecar, lease.ends_at, self.idle(lease));
        }
        let ends: BTreeSet<_> = self.leases.iter().map(|(id, lease)| (lease.ends_at, *id)).collect();
        if anew != self.idle || ends != self.ends {
            return Err(format!("{anew:?} is idle at sidecars, and {:?} was kept", self.idle));
        }
        Ok(())
    }
}
