//! How the account evolves by what leases hold: granted, lost, over, sealed, free again.

use super::entry::LeaseEntry;
use super::state::{Account, Lease, Slices};
use crate::credit::{Block, CapKey, Column, Move};
use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits, LeaseId, SidecarId, Timestamp};

impl Account {
    pub(super) fn lease(&mut self, entry: &LeaseEntry, at: Timestamp) {
        for (block, amount) in &entry.slices {
            self.shift(Move { block: *block, from: Column::Available, to: Column::Held, amount: *amount });
        }
        for (key, amount) in &entry.rooms {
            self.count(key, *amount, Credits::ZERO, at);
        }
        self.next_lease = self.next_lease.max(entry.lease.0 + 1);
        if let Some(asked) = entry.asked {
            self.sidecars.entry(entry.sidecar).or_default().asked = asked;
        }
        let lease =
            self.leases.entry(entry.sidecar).or_insert_with(|| Lease { id: entry.lease, ..Lease::default() });
        lease.grants = entry.number;
        let before = std::mem::replace(&mut lease.ends_at, entry.ends_at);
        self.ends.remove(&(before, entry.sidecar));
        self.ends.insert((entry.ends_at, entry.sidecar));
        self.lent += u64::from(!entry.slices.is_empty() || !entry.rooms.is_empty());
        add(&mut lease.out, &entry.slices);
        add(&mut lease.rooms, &entry.rooms);
        lease.last = (entry.slices.clone(), entry.rooms.clone());
        self.weigh(entry.sidecar);
    }

    /// Its holder has ended a lease: what is out of it are the runs that it still knows.
    pub(super) fn lease_over(&mut self, sidecar: SidecarId, over: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&sidecar).filter(|lease| lease.id == over) {
            lease.last = Default::default();
            if lease.out.is_empty() && lease.rooms.is_empty() {
                self.drop_lease(sidecar);
            }
        }
    }

    pub(super) fn drop_lease(&mut self, sidecar: SidecarId) {
        if let Some(lease) = self.leases.remove(&sidecar) {
            self.ends.remove(&(lease.ends_at, sidecar));
            self.weigh(sidecar);
        }
    }

    pub(super) fn grant_lost(&mut self, sidecar: SidecarId) {
        let Some(lease) = self.leases.get_mut(&sidecar) else { return };
        let (mut slices, mut rooms) = std::mem::take(&mut lease.last);
        lease.grants = lease.grants.saturating_sub(1);
        // What of it was reported as used was no lost grant: only what is still out comes back.
        for (block, amount) in &mut slices {
            *amount = lease.out.get(block).copied().unwrap_or_default().min(*amount);
        }
        for (key, amount) in &mut rooms {
            *amount = lease.rooms.get(key).copied().unwrap_or_default().min(*amount);
        }
        subtract(&mut lease.out, &slices);
        subtract(&mut lease.rooms, &rooms);
        self.weigh(sidecar);
        self.free(slices, rooms, Timestamp::default());
    }

    /// An ended, silent lease goes back. Emergency credits are for a sidecar that is cut off: they stay with it until their
    /// window ends.
    pub(super) fn reclaim(&mut self, sidecar: SidecarId, at: Timestamp) {
        let Some(lease) = self.leases.get_mut(&sidecar) else { return };
        let out = std::mem::take(&mut lease.out);
        let stays = |block: &BlockId| self.book.block(*block).is_some_and(|block| stays_out(block, at));
        let (kept, back): (Slices, Slices) = out.into_iter().partition(|(block, _)| stays(block));
        lease.out = kept.into_iter().collect();
        lease.last = Default::default();
        let rooms = std::mem::take(&mut lease.rooms);
        if lease.out.is_empty() {
            self.drop_lease(sidecar);
        }
        self.weigh(sidecar);
        self.free(back, rooms, at);
    }

    /// When an ended, silent lease goes back, or the next part of it does.
    pub(super) fn reclaimed_at(&self, lease: &Lease, after: i64) -> Timestamp {
        let at = lease.ends_at.plus_micros(after);
        let blocks = || lease.out.keys().filter_map(|block| self.book.block(*block));
        if !lease.rooms.is_empty() || blocks().any(|block| block.species != Species::Emergency) {
            return at;
        }
        blocks().filter_map(|block| block.expires_at).min().map_or(at, |end| end.max(at))
    }

    /// When the next of all leases goes back, where each does `after` so long after its end.
    pub(super) fn next_reclaim(&self, after: i64) -> Option<Timestamp> {
        let mut next: Option<Timestamp> = None;
        for (end, sidecar) in &self.ends {
            // Those that are left go back later still.
            if next.is_some_and(|next| next <= end.plus_micros(after)) {
                break;
            }
            let at = self.leases.get(sidecar).map(|lease| self.reclaimed_at(lease, after));
            next = next.into_iter().chain(at).min();
        }
        next
    }

    /// Held credits and room become free; what belongs to an ended block lapses at the next tick.
    pub(super) fn free(
        &mut self,
        slices: impl IntoIterator<Item = (BlockId, Credits)>,
        rooms: impl IntoIterator<Item = (CapKey, Credits)>,
        at: Timestamp,
    ) {
        for (block, amount) in slices {
            self.shift(Move { block, from: Column::Held, to: Column::Available, amount });
        }
        for (key, amount) in rooms {
            self.count(&key, -amount, Credits::ZERO, at);
        }
    }

    pub(super) fn unseal(
        &mut self,
        sidecar: SidecarId,
        slices: &[(BlockId, Credits)],
        rooms: &[(CapKey, Credits)],
        at: Timestamp,
    ) {
        for (block, amount) in slices {
            take_from(
                self.seals.iter_mut().filter(|s| s.sidecar == sidecar).map(|s| &mut s.slices),
                block,
                *amount,
            );
        }
        for (key, amount) in rooms {
            take_from(
                self.seals.iter_mut().filter(|s| s.sidecar == sidecar).map(|s| &mut s.rooms),
                key,
                *amount,
            );
        }
        self.seals.retain(|seal| !seal.slices.is_empty() || !seal.rooms.is_empty());
        // A block that two seals hold a part of comes twice: both parts go back.
        self.free(slices.iter().copied(), rooms.iter().cloned(), at);
    }
}

fn stays_out(block: &Block, at: Timestamp) -> bool {
    block.species == Species::Emergency && !block.has_ended(at)
}

pub(super) fn add<K: Ord + Clone>(map: &mut std::collections::BTreeMap<K, Credits>, more: &[(K, Credits)]) {
    for (key, amount) in more {
        let sum = map.get(key).copied().unwrap_or_default() + *amount;
        if sum.is_positive() {
            map.insert(key.clone(), sum);
        } else {
            map.remove(key);
        }
    }
}

fn subtract<K: Ord + Clone>(map: &mut std::collections::BTreeMap<K, Credits>, less: &[(K, Credits)]) {
    let negative: Vec<(K, Credits)> = less.iter().map(|(key, amount)| (key.clone(), -*amount)).collect();
    add(map, &negative);
}

fn take_from<'a, K: Ord + Clone + 'a>(
    maps: impl Iterator<Item = &'a mut std::collections::BTreeMap<K, Credits>>,
    key: &K,
    amount: Credits,
) {
    let mut left = amount;
    for map in maps {
        let part = map.get(key).copied().unwrap_or_default().min(left);
        subtract(map, &[(key.clone(), part)]);
        left -= part;
    }
}
