//! What lies idle at sidecars, as far as their totals tell: kept as a sum, so that no lease costs more the more others
//! there are.

use super::state::{Account, Lease};
use crate::lease::LeaseTotals;
use crate::types::{BlockId, Credits, SidecarId, Timestamp};

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
    pub(super) fn change_out(&mut self, sidecar: SidecarId, by: &[(BlockId, Credits)]) {
        if let Some(lease) = self.leases.get_mut(&sidecar) {
            super::apply_lease::add(&mut lease.out, by);
            self.weigh(sidecar);
        }
    }

    /// Looks anew at what is idle of a lease: its slices or its totals have changed, or it is gone.
    pub(super) fn weigh(&mut self, sidecar: SidecarId) {
        let idle = self.leases.get(&sidecar).map_or(Credits::ZERO, |lease| self.idle(lease));
        let before = self.idle_at.get(&sidecar).copied().unwrap_or_default();
        if idle.is_positive() {
            self.idle_at.insert(sidecar, idle);
        } else {
            self.idle_at.remove(&sidecar);
        }
        self.idle_sum += idle - before;
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
        let ended: Credits = self.ended(asking, at).map(|lease| self.idle(lease)).sum();
        self.idle_sum - ended - self.idle_at.get(&asking).copied().unwrap_or_default()
    }

    /// When the last live lease of another sidecar ends of which something is idle.
    pub(super) fn last_idle(&self, asking: SidecarId, at: Timestamp) -> Option<Timestamp> {
        let live = self.ends.iter().rev().take_while(|(end, _)| *end > at);
        let mut idle = live.filter(|(_, sidecar)| *sidecar != asking && self.idle_at.contains_key(sidecar));
        idle.next().map(|(end, _)| *end)
    }

    /// Whether the indexes of the leases say what the leases do.
    pub(super) fn verify_idle(&self) -> Result<(), String> {
        let sum: Credits = self.leases.values().map(|lease| self.idle(lease)).sum();
        let known = self.leases.iter().all(|(id, lease)| self.ends.contains(&(lease.ends_at, *id)));
        if sum != self.idle_sum || !known || self.ends.len() != self.leases.len() {
            return Err(format!("{sum} is idle at sidecars, and {} was added up", self.idle_sum));
        }
        Ok(())
    }
}
