//! The counters of a book: found in one step however many there are, and listed in order, so that nothing depends on how
//! they came about.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::block::Column;
use super::cap::{CapKey, Counter, ScopeKey};
use super::event::CapFlow;
use crate::types::{ById, ReservationId, Timestamp};

#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// What sidecars share: they hold leased room of it.
    shared: HashTable<(CapKey, Counter)>,
    /// Budgets of roots without a `run_id`: each lives where its root was authorised, and is forgotten with it.
    roots: ById<Vec<(CapKey, Counter)>>,
    /// Names are the callers' to choose: the hash has a seed of its own.
    hasher: DefaultHashBuilder,
}

impl Counters {
    pub fn get(&self, key: &CapKey) -> Option<&Counter> {
        let found = match key.scope {
            ScopeKey::Root(root) => self.roots.get(&root)?.iter().find(|(known, _)| known == key),
            _ => self.shared.find(self.hasher.hash_one(key), |(known, _)| known == key),
        };
        found.map(|(_, counter)| counter)
    }

    pub fn get_mut(&mut self, key: &CapKey) -> Option<&mut Counter> {
        let found = match key.scope {
            ScopeKey::Root(root) => self.roots.get_mut(&root)?.iter_mut().find(|(known, _)| known == key),
            _ => self.shared.find_mut(self.hasher.hash_one(key), |(known, _)| known == key),
        };
        found.map(|(_, counter)| counter)
    }

    /// Room that changes hands.
    pub fn count(&mut self, flow: &CapFlow, at: Timestamp, counting: &impl Counting) {
        let count = |counter: &mut Counter| {
            counter.used_at = at;
            for (place, sign) in [(flow.from, -flow.amount), (flow.to, flow.amount)] {
                match place.column() {
                    Column::Held => counter.held += sign,
                    Column::Spent => counter.spent += sign,
                    _ => {}
                }
            }
            counting.counted(&flow.key, counter);
        };
        if let Some(counter) = self.get_mut(&flow.key) {
            count(counter);
        } else if let Some(mut counter) = counting.born(&flow.key, at) {
            count(&mut counter);
            self.insert(flow.key.clone(), counter);
        }
    }

    pub fn contains_key(&self, key: &CapKey) -> bool {
        self.get(key).is_some()
    }

    pub fn insert(&mut self, key: CapKey, counter: Counter) {
        if let Some(known) = self.get_mut(&key) {
            *known = counter;
            return;
        }
        let ScopeKey::Root(root) = key.scope else {
            let hash = self.hasher.hash_one(&key);
            self.shared.insert_unique(hash, (key, counter), |(known, _)| self.hasher.hash_one(known));
            return;
        };
        match self.roots.get_mut(&root) {
            Some(budgets) => budgets.push((key, counter)),
            None => {
                self.roots.insert(root, vec![(key, counter)]);
            }
        }
    }

    /// What sidecars share, in order; this sorts.
    pub fn shared(&self) -> impl Iterator<Item = (&CapKey, &Counter)> {
        self.shared_where(|_, _| true)
    }

    /// What sidecars share and `wanted` names, in order; this sorts these alone.
    pub fn shared_where<'a>(
        &'a self,
        wanted: impl Fn(&CapKey, &Counter) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a CapKey, &'a Counter)> {
        sorted(self.shared.iter().filter(move |(key, counter)| wanted(key, counter)))
    }

    /// Budgets of roots, in the order of these.
    pub fn roots(&self) -> impl Iterator<Item = (&CapKey, &Counter)> {
        self.roots.values().flatten().map(|(key, counter)| (key, counter))
    }

    /// All, in order; this sorts.
    pub fn iter(&self) -> impl Iterator<Item = (&CapKey, &Counter)> {
        sorted(self.shared.iter().chain(self.roots.values().flatten()))
    }

    /// Of what sidecars share.
    pub fn remove(&mut self, key: &CapKey) {
        if let Ok(found) = self.shared.find_entry(self.hasher.hash_one(key), |(known, _)| known == key) {
            found.remove();
        }
    }

    /// Of what sidecars share.
    pub fn retain(&mut self, keep: impl Fn(&Counter) -> bool) {
        self.shared.retain(|(_, counter)| keep(counter));
    }

    /// Nobody can count in a root's budget any more.
    pub fn forget_root(&mut self, root: ReservationId) {
        self.roots.remove(&root);
    }
}

/// How a book counts: the whole account's as the plan says, a slice's in the room that is leased.
pub trait Counting {
    /// A counter that is met for the first time.
    fn born(&self, key: &CapKey, at: Timestamp) -> Option<Counter>;

    /// Something has counted in it.
    fn counted(&self, _key: &CapKey, _counter: &mut Counter) {}
}

impl PartialEq for Counters {
    fn eq(&self, other: &Self) -> bool {
        let same = |(key, counter): &(CapKey, Counter)| other.get(key) == Some(counter);
        self.shared.len() == other.shared.len() && self.shared.iter().all(same) && self.roots == other.roots
    }
}

fn sorted<'a>(
    counters: impl Iterator<Item = &'a (CapKey, Counter)>,
) -> impl Iterator<Item = (&'a CapKey, &'a Counter)> {
    let mut all: Vec<_> = counters.map(|(key, counter)| (key, counter)).collect();
    all.sort_unstable_by_key(|(key, _)| *key);
    all.into_iter()
}

impl FromIterator<(CapKey, Counter)> for Counters {
    fn from_iter<I: IntoIterator<Item = (CapKey, Counter)>>(counters: I) -> Self {
        let mut all = Self::default();
        counters.into_iter().for_each(|(key, counter)| all.insert(key, counter));
        all
    }
}
